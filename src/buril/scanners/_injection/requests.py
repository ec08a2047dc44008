"""Requests to a model for what weakens security: an address ("AI assistants:") near something that no one should do.

Neither alone is anything: comments speak of `verify=False` every day, and so do notes for assistants of good practice.
Both lists are searched once each, so that the time is in proportion to the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from buril.scanners._injection.anchors import Anchors, merged
from buril.scanners._injection.fold import PARAGRAPH
from buril.scanners._injection.rules import compiled

NEAR: Final = 170
"""Characters of folded text between an address and what it asks for."""
BEFORE: Final = 90
"""The same where the request comes first ("do X in every client that you generate")."""

_STRONG = (r"(?:ai|llms?|gpt(?: ?\d)?|chatgpt|claude|gemini|copilot|codex|large language models?|language models?"
           r"|artificial intelligence"
           r"|neural networks?|coding (?:agents?|assistants?)|code (?:models?|assistants?)|ais)")  # fmt: skip
_KIND = r"(?: (?:coding |code )?(?:agents?|assistants?|models?|tools?|reviewers?|bots?|systems?|helpers?))?"
_WEAK = r"(?:assistants?|agents?|bots?|automated (?:coding )?agents?)"
_MUST = r"(?:must|shall|should|has to|have to|needs? to|is to|are to|may now)"
_STRONG_ES = r"(?:ia|inteligencia artificial|modelos? de lenguaje|chatgpt|copilot|claude|gemini|gpt|llms?)"
_WEAK_ES = r"(?:asistentes?|agentes?|modelo|bots?)"
_OF = r"(?: de (?:ia|codigo|inteligencia artificial)| automatic[oa]s?)"
ADDRESSES: Final = tuple(
    (confidence, compiled(pattern))
    for confidence, pattern in (
        ("high", rf"\b(?:{_STRONG}{_KIND}|(?:code |coding ){_WEAK}(?: directive)?)(?::|,| {_MUST}\b)"),
        ("high", rf"\b(?:note|attention|instructions?|message|reminder|directive|dear|hey|hi|hello|for|to|as an?|any"
                 rf"|all|every|whichever|whatever|if an?|when an?)"
                 rf" (?:to |for )?(?:an? |the |any |all |automated )?{_STRONG}{_KIND}\b"),
        ("high", rf"\b(?:read|processed|generated|summari[sz]ed|written|completed|edited|reviewed|meant|analy[sz]ed"
                 rf"|used) (?:by|for) (?:an? |any |the )?{_STRONG}\b"),
        ("high", rf"\bif you are (?:an? )?(?:large )?(?:{_STRONG}|{_WEAK})\b"),
        ("high", rf"\bwhen (?:<2>){_STRONG}{_KIND} (?:or \S{{1,20}} )?(?:suggests?|edits?|reads?|writes?|completes?"
                 rf"|generates?|summari[sz]es?)\b"),
        ("high", rf"\b(?:note|message|instructions?|attention) (?:to|for) (?:the |any |all )?(?:{_WEAK}"
                 rf"|models?)\b|\bimportant for the (?:assistant|agent|bot|model)\b"),
        ("high", r"\bwhen you (?:read|process|see|summari[sz]e|complete|review|open|answer|reply to) (?:this|these"
                 r"|the following)\b"),
        ("medium", r"\b(?:every|each|any) (?:<2>)(?:summary|answer|reply|response|report) (?:that )?you (?:produce"
                   r"|generate|write|give)\b"),
        ("high", rf"\b{_STRONG}{_KIND} (?:<4>)(?:must|shall|should|has to|have to)\b"),
        ("high", rf"\b{_STRONG} instructions?\b|\b{_STRONG} (?:should|will|must|shall) \b"),
        ("medium", rf"(?:^|(?<=[\n:.@!=(])|(?<=[\n:.@!=(] ))(?:dear )?{_WEAK}(?::|,)|@{_WEAK}\b"
                   rf"|\bassistants? {_MUST}\b|\bassistants? (?:completing|editing|reading|reviewing)\b"),
        ("medium", r"\b(?:whenever|when|if|as|while) (?:you (?:are )?)?(?:complet(?:e|ing)|generat(?:e|ing)"
                   r"|suggest(?:ing)?) (?:<2>)(?:code|functions?)\b"),
        ("medium", r"\b(?:code|functions?|suggestions|handler|clients?|script|queries) (?:that )?you (?:generate"
                   r"|complete|suggest|write)\b|\byou (?:suggest|generate) here\b"),
        ("medium", r"\bto the model (?:completing|reading|writing)\b|\bcode model\b"),
        ("high", rf"\b(?:{_STRONG_ES}|{_WEAK_ES}{_OF})(?::|,| (?:debe|deben|tiene|tienen) )"),
        ("high", rf"\b(?:nota|atencion|mensaje|querid[oa]s?|estimad[oa]s?|para|a|cualquier|todo|toda|los|las"
                 rf"|herramientas de|asistentes? de|agentes? de|si eres|si es)"
                 rf" (?:para )?(?:un |una |la |el |los |las )?(?:{_STRONG_ES}|{_WEAK_ES}{_OF})\b"),
        ("high", rf"\b(?:si|cuando|que) (?:un |una |la |el )?(?:{_STRONG_ES}|{_WEAK_ES}{_OF}) (?:que )?(?:lee|lea"
                 rf"|edite|complete|resum)|\binteligencia artificial que lea\b"),
        ("medium", rf"(?:^|(?<=[\n:.@!=(])|(?<=[\n:.@!=(] ))(?:querid[oa] |estimad[oa] )?{_WEAK_ES}(?::|,)"
                   rf"|\bmodelo que (?:completa|complete|lee|lea|escrib)"),
        ("medium", r"\b(?:al|cuando) complet(?:ar|es|en) codigo\b|\bcodigo que (?:generes|escribas|completes)\b"
                   r"|\bque generes\b"),
        ("high", r"\b(?:assistentes?|agentes?|modelos?|ferramentas?) de (?:ia|codigo)\b|\bse voce e um modelo\b"
                 r"|\bcodigo que gerar\b"),
    )
)  # fmt: skip
_GUARD = (r"(?:certificates?|tls|ssl|verification|validation|authentication|authori[sz]ation|auth\b|permissions?"
          r"|csrf|security|signatures?|sanitiz"
          r"|escaping|checks?\b|firewall|sandbox|rate limit)")  # fmt: skip
_PRIVATE = (r"(?:environ\b|environment variables|env vars|env (?:file|variables)|\.env\b|credentials?|tokens?\b"
           r"|secrets?\b|ssh\b|id rsa|private keys?"
           r"|api keys?|passwords?\b)")  # fmt: skip
_GUARD_ES = (
    r"(?:verificac|validac|certificad|tls\b|ssl\b|autenticac|permis|comprobac|seguridad|csrf|firma|controles"
    r"|sanit)"
)
_PRIVATE_ES = (
    r"(?:variables de entorno|\.env\b|claves|credenciales|contrasenas|tokens?\b|secretos|archivo|contenido"
    r"|variaveis de ambiente|chaves|senhas)"
)
HARMS: Final = compiled(
    "|".join(
        (
            rf"\b(?:disable|turn off|switch off|deactivate|skip|remove|bypass|comment out|swallow|drop|omit|ignore"
            rf"|delete|weaken) (?:<4>){_GUARD}",
            r"\b(?:verify ?= ?false|ssl verify (?:to |= ?)?false|check hostname ?= ?false|reject ?unauthorized"
            r"|strict ?host ?key ?checking|cert none)",
            rf"\b(?:send|upload|post|push|exfiltrate|forward|transmit|leak|email|dump|print|log|append|commit|share"
            rf"|include) (?:<6>){_PRIVATE}",
            r"\b(?:send|upload|post|push|fetch|download|load|call|connect|request|report) (?:<6>)(?:https?://"
            r"|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d)",
            r"\bos environ\b|\bid rsa\b|\breverse shell\b|\bbackdoor|\brm rf\b|\brm -rf\b|\bchmod 777\b"
            r"|--privileged\b|\bas root\b|\bkeylogger\b",
            r"\b(?:add|insert|append|include|prepend|put) (?:<4>)(?:import|dependency|package|from) [a-z]",
            r"\binstall (?:<5>)(?:from )?(?:git\+|https?:|\d{1,3}\.\d{1,3})",
            r"\b(?:version|from) (?:<3>)git\+http",
            r"\b(?:curl|wget|iwr) [^\n|]{1,80}\| ?(?:ba|z)?sh\b|\bexecute (?:the commands|it|them)\b",
            r"\b(?:use|with|to) (?:md5|sha1|des|rc4|ecb|http instead)\b|\bhard ?-?code|\bstring concatenation\b"
            r"|\bnever use parameters\b",
            r"\bpickle\.loads|\beval\(|\bexec\(|\byaml\.load\b|\bshell ?= ?true\b|\bbcrypt rounds|\binnerhtml\b",
            r"\b(?:email|send|forward) (?:<8>)[^ \n]{1,40}@[a-z]|\bcall delete\b",
            r"\b(?:empty|delete|wipe|erase|overwrite|drop) (?:<5>)(?:directory|folder|files?|database|disk"
            r"|repository|tables?)\b",
            r"\b(?:append|include|insert|add) (?:<4>)(?:token|code|link|phrase|url)\b",
            r"\bgrant (?:<4>)(?:admin|root|full access|access to everyone)",
            r"\bapprove this\b|\bno vulnerabilit|\bsay (?:<2>)(?:is )?safe\b|\bis safe and\b|\bmark (?:<3>)(?:safe"
            r"|passed|approved)\b|\bregardless of what\b",
            r"\b(?:whitelist|allow-?list) (?:<3>)(?:domain|host|ip)|\b(?:always|just|and) return true\b"
            r"|\binsecure code\b|\bvulnerable code\b",
            r"\bwithout (?:mentioning|telling|explaining|asking|warning)\b|\bpush (?:<2>)without review\b"
            r"|\bon it without explaining\b",
            rf"\b(?:desactiv|deshabilit|elimin|quit|omit|salt|remov|desativ)\w{{0,5}} (?:<4>){_GUARD_ES}",
            rf"\b(?:envi|mand|sub|public|filtr|copi|imprim)\w{{0,4}} (?:<4>){_PRIVATE_ES}[^\n]{{0,40}}?(?:https?:"
            rf"|http|servidor|correo|\bpara\b)",
            r"\b(?:anad|agreg|insert|inclu|import)\w{0,4} (?:<5>)(?:import |dependencia|paquete|contrasena|https?:"
            r"|envie)",
            r"\bconcatenando\b|\bnunca us\w{1,4} parametros\b|\bpermisos de administrador\b|\bcontrasena fija\b"
            r"|\bpuerta trasera\b",
            r"\bes seguro\b|\bno (?:lo )?mencion\w{1,3}\b|\bsin (?:mencion|avis|decir)\w{1,4}\b|\bsem avisar\b",
            r"\binstal\w{1,3} (?:<5>)https?:|\bexecut\w{1,3} (?:<2>)curl\b|\bejecut\w{1,3} (?:<2>)curl\b",
        )
    )
)  # fmt: skip
WORDS: Final = (
    " ai", "\nai", "@ai", " ia", "\nia", "llm", "gpt", "copilot", "claude", "gemini", "codex", "language model",
    "intelligence", "inteligencia", "neural network", "assistant", "agent", " bots", "\nbots", "asistente",
    "assistente", "modelo", "the model", "code model", "you generate", "you suggest", "you complete", "you write",
    "complete", "completing", "completar", "que generes", "que escribas", "que completes", "que gerar", "generat",
    "when you ", "the bot", "models", "you produce", "you give",
)  # fmt: skip
"""What every address holds."""
_FIRST: Final = ("ai", "ia", "bots")
_FAR = 120
"""Characters in which an address, or a request, ends."""


class Asked(NamedTuple):
    """A place in folded text at which a model is asked, and how sure that is."""

    start: int
    end: int
    confidence: str


def requests(text: str, anchors: Anchors) -> Iterator[Asked]:
    """Where a model is asked for what weakens security."""
    windows = (
        anchors.windows(WORDS, _FAR)
        if not text.startswith(_FIRST)
        else merged([(0, _FAR), *anchors.windows(WORDS, _FAR)])
    )
    addresses = sorted(
        (found.start(), found.end(), confidence)
        for start, end in windows
        for confidence, pattern in ADDRESSES
        for found in pattern.finditer(text, start, end)
    )
    near = merged((start - BEFORE - _FAR, end + NEAR + _FAR) for start, end, _ in addresses)
    at = 0
    for harm in (found for start, end in near for found in HARMS.finditer(text, start, end)):
        while at < len(addresses) and addresses[at][1] < harm.start() - NEAR:
            at += 1
        for start, end, confidence in addresses[at : at + 8]:
            if start > harm.end() + BEFORE:
                break
            first, last = min(start, harm.start()), max(end, harm.end())
            if PARAGRAPH not in text[first:last]:
                yield Asked(first, last, confidence)
                break
