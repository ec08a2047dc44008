"""The rules of `rules.py` in Spanish and Portuguese; text is folded, so accents and capitals are gone."""

from __future__ import annotations

from typing import Final

from buril.scanners._injection.rules import CONCEALMENT, EXTRACTION, OVERRIDE, ROLE, _phrase

_VERB = (r"\b(?:ignor(?:a|e|en|ar|es|ad|ando)|olvid(?:a|e|en|ar|es|ad|ate de|ese de)|omit(?:e|a|an|ir)|descart(?:a|e"
         r"|en|ar)"
         r"|desestim(?:a|e|en|ar)|desobede(?:ce|zca)|anul(?:a|e|en)|prescind(?:e|a|an|ir) de|salta(?:te)?|pas(?:a"
         r"|e) por alto"
         r"|(?:haz|haga|hagan) caso omiso (?:de|a)|no (?:sigas?|sigan|obedezcas?|obedezcan|cumplas?|(?:hagas?"
         r"|hagan) caso (?:de|a)))\b")  # fmt: skip
_TOLD = r"(?:instruccion(?:es)?|indicaciones|directrices|directivas|ordenes|prompt|mensaje (?:de|del) sistema)"
_LIMITS = r"(?:reglas|normas|restricciones|politicas|limites|filtros|limitaciones)"
_BEFORE = (r"(?:anterior(?:es)?|previ[oa]s?|de arriba|precedentes?|iniciales|originales|que (?:te|le|les|se|has"
           r"|recibiste|recibio"
           r"|tenias)\b|del (?:sistema|desarrollador|usuario))")  # fmt: skip
_YOUR = r"(?:tus?|sus?|vuestras)"
_AI = r"(?:dan|ia|asistente|modelo|bot|chatbot|chatgpt|copilot|inteligencia artificial)"
_FREE = (r"(?:sin|libre de|carente de|que (?:no tiene|siempre|nunca)|malvad[oa]) (?:<3>)?(?:limites|reglas"
         r"|restricciones|filtros|censura"
         r"|etica|eticos|inseguro|niega|rechaza)")  # fmt: skip

SPANISH: Final = (
    _phrase(OVERRIDE, "es", "high", "instruccion|indicaciones|directri|directiva|ordenes|prompt|mensaje de",
            rf"{_VERB} (?:<3>){_TOLD} (?:<2>){_BEFORE}"),
    _phrase(OVERRIDE, "es", "high", "instruccion|indicaciones|directri|directiva|ordenes|prompt|mensaje de",
            rf"{_VERB} (?:<1>)(?:{_YOUR}|todas {_YOUR}|todas las|cualquier) (?:<1>){_TOLD}\b"),
    _phrase(OVERRIDE, "es", "high", "prompt|sistema", r"\bno (?:sigas?|obedezcas?|obedezcan"
                                                      r"|hagas caso) (?:<2>)(?:prompt|mensaje"
                                                      r"|indicaciones) del sistema"),
    _phrase(OVERRIDE, "es", "high", "reglas|normas|restricciones|politicas|limit|filtros",
            rf"{_VERB} (?:<2>){_LIMITS} (?:<1>)(?:que (?:te|le|les|se te|recibiste|has recibido|te han)\b"
            rf"|de seguridad)"),
    _phrase(OVERRIDE, "es", "medium", "reglas|normas|restricciones|politicas|limit|filtros",
            rf"{_VERB} (?:<1>)(?:tus|todas tus|vuestras) (?:<1>){_LIMITS}\b"),
    _phrase(OVERRIDE, "es", "high", "lo que|lo anterior",
            rf"{_VERB} (?:<1>)todo lo (?:anterior\b|que (?:te|le|se te|has|habias)\b)"),
    _phrase(OVERRIDE, "es", "medium", "lo anterior",
            r"\b(?:haz|haga) caso omiso de lo anterior y (?:escrib|respond|contest|imprim|haz|ejecut|muestr|devuelv"
            r"|entreg)"),
    _phrase(OVERRIDE, "es", "high", "instrucciones|ordenes|reglas|tarea|indicaciones|directrices",
            r"\b(?:tus|sus|vuestras) (?:nuevas|verdaderas|unicas|reales|autenticas) (?:instrucciones|ordenes|reglas"
            r"|tareas|indicaciones|directrices)"),
    _phrase(OVERRIDE, "es", "medium", "tarea|objetivo|mision", r"\btu (?:unic[oa]|nuev[oa]|verdader[oa]) (?:tarea"
                                                               r"|objetivo|mision)\b"),
    _phrase(OVERRIDE, "es", "high", "instrucciones|indicaciones|directrices",
            rf"\b(?:{_YOUR}|las) (?:<1>)(?:instrucciones|indicaciones|directrices) (?:<2>){_BEFORE} (?:<1>)(?:ya no"
            rf"|quedan|no (?:son|valen|sirven)|han sido)"),
    _phrase(ROLE, "es", "medium", "eres|seras",
            rf"\b(?:(?:ahora|desde (?:ahora|este momento)|a partir de ahora),? (?:eres|seras)"
            rf"|eres ahora) (?:<3>){_AI}\b"),
    _phrase(ROLE, "es", "high", "modelo|asistente|inteligencia| ia|bot|copilot",
            rf"\b(?:actua|comportate|finge|imagina|simula|haz de cuenta|responde) (?:<4>){_AI}\b (?:<3>){_FREE}"),
    _phrase(ROLE, "es", "medium", "modo",
            r"\bmodo (?:desarrollador|dios|sin restricciones|jailbreak|libre|dan)\b[^\n]{0,100}?(?:no tienes"
            r"|sin (?:filtros|reglas|limites)"
            r"|te nieg|todas mis|no te|cumple todo)"),
    _phrase(EXTRACTION, "es", "high", "prompt|instrucciones|mensaje|reglas|indicaciones",
            r"\b(?:repite|repita|muestra|muestre|muestrame|revela|revele|escribe|escriba|dime|imprime|imprima|copia"
            r"|copie|entrega)"
            r" (?:<4>)(?:tu|tus|su|sus) (?:<1>)(?:prompt|instrucciones (?:iniciales|originales|secretas|ocultas"
            r"|de sistema|del sistema)|mensaje del? sistema"
            r"|indicaciones (?:iniciales|ocultas)|reglas (?:secretas|ocultas))"),
    _phrase(EXTRACTION, "es", "medium", "reglas|instrucciones|indicaciones",
            r"\b(?:reglas|instrucciones|indicaciones) (?:<1>)(?:secretas|ocultas"
            r"|iniciales)? ?(?:<1>)(?:con las que (?:fuiste|te)|que te (?:dieron|han dado|configur))"),
    _phrase(CONCEALMENT, "es", "medium", "digas|diga|cuentes|menciones|mencione|reveles|expliques|informes|avises",
            r"\bno (?:le |les |se |lo |se lo )?(?:digas?|cuentes?|menciones?|reveles?|expliques?|informes?"
            r"|avises?) (?:<3>)(?:usuario|desarrollador"
            r"|persona que revisa|revisor)[^\n]{0,40}?\b(?:que (?:leiste|has leido|viste)|esta (?:nota|instruccion)"
            r"|este (?:comentario|mensaje|texto)|estas instrucciones)"),
    _phrase(CONCEALMENT, "es", "medium", "menciones|mencione|reveles|mencionar|revelar",
            r"\b(?:no|sin) (?:menciones?|reveles?|mencionar|revelar) (?:<1>)(?:estas instrucciones|esta instruccion"
            r"|esta nota|este comentario|este mensaje)"),
    _phrase(CONCEALMENT, "es", "medium", "usuario",
            r"\b(?:el|al) usuario no (?:se entere|lo sepa|note|debe (?:saber|notar|enterarse)|puede (?:saber|notar))"),
    _phrase(CONCEALMENT, "es", "medium", "oculta|esconde",
            r"\b(?:oculta|esconde|oculte) (?:este cambio|estas instrucciones|esta nota"
            r"|este comentario) (?:<1>)(?:persona|usuario|revisor|desarrollador|equipo|al? )"),
)  # fmt: skip

_PT_VERB = (
    r"\b(?:ignor(?:e|em|a|ar)|esque(?:ca|cam|cer)|desconsider(?:e|em|ar)|descart(?:e|em|ar)|nao (?:siga"
    r"|obedeca|cumpra)m?)\b"
)
_PT_TOLD = r"(?:instrucoes|instrucao|diretrizes|orientacoes|ordens|prompt)"
PORTUGUESE: Final = (
    _phrase(OVERRIDE, "pt", "high", "instruco|diretrizes|orientacoes|ordens|prompt",
            rf"{_PT_VERB} (?:<3>){_PT_TOLD} (?:<2>)(?:anteriores|previas|acima|iniciais|originais|que voce|recebidas"
            rf"|do sistema)"),
    _phrase(OVERRIDE, "pt", "high", "instruco|diretrizes|orientacoes|ordens|prompt|regras|restricoes",
            rf"{_PT_VERB} (?:<1>)(?:suas|todas as suas|todas as) (?:{_PT_TOLD}|regras|restricoes)"),
    _phrase(OVERRIDE, "pt", "high", "regras|restricoes|limites",
            rf"{_PT_VERB} (?:<1>)(?:regras|restricoes|limites) (?:que (?:voce|lhe|te)|recebidas|dadas)"),
    _phrase(ROLE, "pt", "medium", "voce e", r"\b(?:agora|a partir de agora),? voce e (?:<3>)(?:ia|assistente|modelo"
                                            r"|bot|dan|inteligencia artificial)\b"),
    _phrase(ROLE, "pt", "high", "modelo|assistente|inteligencia| ia",
            r"\b(?:aja|finja|imagine|simule|comporte se) (?:<4>)(?:ia|assistente|modelo"
            r"|inteligencia artificial) (?:<3>)sem (?:<1>)(?:limites|regras|restricoes|filtros)"),
    _phrase(EXTRACTION, "pt", "high", "prompt|instrucoes|regras",
            r"\b(?:mostre|repita|revele|escreva|imprima|diga) (?:<3>)(?:seu|sua|suas|seus) (?:<1>)(?:prompt"
            r"|instrucoes (?:iniciais|originais|ocultas)|mensagem do sistema|regras ocultas)"),
    _phrase(CONCEALMENT, "pt", "medium", "conte|diga|mencione|avise|revele",
            r"\bnao (?:conte|diga|avise|revele|mencione) (?:<2>)(?:usuario|revisor"
            r"|desenvolvedor) (?:<1>)(?:que voce (?:leu|viu)|esta (?:instrucao|nota)|este comentario)"),
    _phrase(CONCEALMENT, "pt", "medium", "mencione|revele", r"\bnao (?:mencione"
                                                            r"|revele) (?:<1>)(?:est[ae]s? (?:comentario"
                                                            r"|instruc\w{0,4}|nota|mensagem))"),
)  # fmt: skip
