"""The rules of the guard `misuse` as data: who asks for what, in English and Spanish.

A request counts where it asks for something to be made, and what is asked for does harm by its name (`NAMED`) or by
what it does (`DONE`). Words of who defends, teaches or learns take it back. All is written for folded text.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from buril.scanners._injection.rules import compiled


class Harm(NamedTuple):
    """One way to ask for a kind of harm. `sure`: it harms whatever is meant; else somebody must be asked to make it."""

    category: str
    sure: bool
    pattern: re.Pattern[str]


def _harm(category: str, pattern: str, *, sure: bool = False) -> Harm:
    return Harm(category, sure, compiled(pattern))


MAKES: Final = compiled(
    r"\b(?:write|create|make|build|code|develop|implement|generate|program|produce|give (?:me|detailed|advice|step"
    r"|instructions)|provide (?:steps|instructions|code)|determine|show me (?:code|a script)"
    r"|i need|i want|help me"
    r"|script|clone|send mass|turn this|weaponi[sz]e|obfuscate|pack my|inject|hide a|extract other|program that"
    r"|malware that"
    r"|escrib\w{1,4}|crea|crear|haz|hacer|desarroll\w{1,4}|programa|programar|implementa|genera|dame|necesito|quiero"
    r"|ayudame|redacta|clona"
    r"|inserta|convierte|codigo (?:para|que)|disen\w{1,3})\b"
)  # fmt: skip
HARMS: Final = (
    # by its name
    _harm("ransomware", r"\bransomware\b|\bsecuestrador de archivos\b"),
    _harm("keylogger", r"\bkey ?-?loggers?\b|\bregistrador de teclas\b"),
    _harm("stealer", r"\b(?:info|credential|password|cookie|token|wallet) ?-?stealers?\b|\bclipboard hijack\w{0,3}"),
    _harm("worm", r"\b(?:network |computer |email )?worms?\b|\bgusano\b|\bself-?replicating\b|\bautorreplicante\b"),
    _harm("botnet", r"\bbotnets?\b|\bremote access trojans?\b|\btroyano\b|\ba rat\b|\bun rat\b|\bc2 (?:framework"
                    r"|server)|\bcommand and control\b"
          r"|\bcomando y control\b|\breverse shell\b"),
    _harm("rootkit", r"\b(?:root|boot)kits?\b"),
    _harm("evasion", r"\bcrypter\b|\bdropper\b|\bpolymorphic malware\b|\bfully undetectable\b|\bundetectable\b"
                     r"|\bindetectable\b|\bbypass\w{0,3} amsi\b"),
    _harm("phishing", r"\bphishing (?:kit|page|site|campaign|mail)|\bkit de phishing\b|\bpagina de phishing\b"),
    _harm("ddos", r"\bddos (?:tool|script|attack|bot)|\bstresser\b|\bbooter\b|\b(?:syn|udp|http) flood\b"
                  r"|\bslowloris\b|\bherramienta de ddos\b"
          r"|\bdenegacion de servicio\b|\binundacion udp\b"),
    _harm("cryptojacking", r"\bcryptojack\w{0,4}|\b(?:hidden|silent|secret) (?:crypto )?miner\b|\bminero oculto\b"),
    _harm("exploit", r"\b(?:working |functional |reliable )?exploit (?:for|chain|against)\b|\bshellcode\b"
                     r"|\bexploit (?:para|funcional)\b|\bmalicious (?:pdf|npm|package|macro|document)"
          r"|\bpaquete malicioso\b|\bmy malware\b|\bmi malware\b|\beste malware\b|\bcarga maliciosa\b"),
    _harm("exploit", r"\bexploit(?:ing|s)? (?:the |a |an )?(?:<4>)vulnerabilit|\busing the (?:<4>)vulnerability\b"
                     r"|\bsoftware exploit\b"
          r"|\bsql injection (?:<2>)(?:payload|attack)|\bsqli payloads?\b|\bvulnerable to (?:<3>)injection\b"
          r"|\bhack(?:ing)? (?:into )?(?:<5>)(?:database|machine|drone|system|server|website|account|network|phone"
          r"|wifi)\b"
          r"|\bhacke(?:a|ar|e) (?:<4>)(?:base de datos|sistema|servidor|sitio|cuenta|red|telefono|wifi)\b"),
    _harm("phishing", r"\bphishing (?:e-?mail|message|sms)|\bcorreo de phishing\b"),
    _harm("evasion", r"\bevad(?:e|es|ing|ir) (?:<3>)(?:wafs?|antivirus|detection|edr|deteccion)\b"),
    # by what it does
    _harm("ransomware", r"\b(?:encrypt|scramble|lock|cifr|bloque)\w{0,4} (?:<6>)(?:files|documents|archivos"
                        r"|documentos|datos)\b[^\n]{0,120}?\b(?:ransom|payment|victim|rescate"
          r"|pago|pague|victima)", sure=True),
    _harm("keylogger", r"\b(?:record|captur|log|registr|espi)\w{0,4} (?:<6>)(?:keystrokes?|keys pressed"
                       r"|what (?:\w{1,12} ){1,3}types?|pulsaciones|teclea|lo que escribe)", sure=False),
    _harm("keylogger", r"\b(?:secretly|hidden|stealth\w{0,3}|en secreto|ocult[oa])\b[^\n]{0,60}?\b(?:types|keystroke"
                       r"|keys|teclea|escribe|pulsaciones)", sure=True),
    _harm("stealer", r"\b(?:steal|grab|harvest|dump|drain|hijack|exfiltrat|rob|roba"
                     r"|robar)\w{0,4} (?:<6>)(?:passwords?|credentials?|cookies|tokens?|logins?|wallets?|memory|hashes"
          r"|environment variables|contrasenas|claves|datos|variables de entorno)", sure=True),
    _harm("stealer", r"\bcookies\b[^\n]{0,60}?\btake over\b|\bother peoples? (?:<1>)(?:passwords|accounts)"
                     r"|\bdrains? (?:<2>)wallets?\b|\btarjetas de credito de (?:los )?clientes"
          r"|\breplaces? (?:<3>)address\w{0,2} with mine", sure=True),
    _harm("worm", r"\b(?:spreads?|propagat\w{1,3}|propague|replique|infects?|infecte) (?:<8>)(?:machine|network|usb"
                  r"|exe\b|executable|ejecutables|red local|computers|itself|contactos)", sure=False),
    _harm("worm", r"\b(?:virus|gusano)\b[^\n]{0,60}?\b(?:copies itself|replique|infecte|infects"
                  r"|se envie a todos)", sure=True),
    _harm("botnet", r"\binfected (?:hosts|pcs|machines|computers)\b|\bequipos infectados\b|\bvictims? (?:phone"
                    r"|computer|machine|pc)\b|\bmy attacker machine\b", sure=False),
    _harm("rootkit", r"\b(?:hide|conceal|ocult|escond)\w{0,3} (?:<4>)(?:my (?:network )?(?:backdoor|connections"
                     r"|process)|puerta trasera|backdoor)", sure=True),
    _harm("evasion", r"\b(?:disable|bypass|evade|turns? off|kill|desactiv|evit|salt)\w{0,4} (?:<4>)(?:antivirus"
                     r"|defender|edr|amsi|deteccion)\b[^\n]{0,80}?\b(?:payload|malware|victim|trojan|carga"
          r"|victima|troyano)", sure=True),
    _harm("evasion", r"\b(?:malware|payload|trojan|troyano|virus)\b[^\n]{0,60}?\b(?:not (?:be )?detect"
                     r"|does not detect|undetect|zero detections|evite la deteccion|indetectable|bypass"
                     r"|changes its signature)", sure=True),
    _harm("evasion", r"\b(?:desactiv\w{1,3}|saltarse) (?:<2>)(?:antivirus|edr|defender)\b[^\n]{0,60}?\b(?:victima"
                     r"|carga|malware)", sure=True),
    _harm("phishing", r"\b(?:fake|clones?|clona|falsa?|imite|imita|replica of) (?:<6>)(?:login|sign-?in|page|form"
                      r"|pagina|acceso|inicio de sesion)\b[^\n]{0,100}?\b(?:saves?|log|forward|credential"
          r"|passwords?|captur|guarde|contrasenas|claves)", sure=True),
    _harm("phishing", r"\b(?:pretends? to be|impersonat\w{1,3}|suplante|spoofing)\b[^\n]{0,100}?\b(?:harvest"
                      r"|collects?|logins?|card numbers|passwords?|robar|credentials)", sure=True),
    _harm("ddos", r"\b(?:take down|knock|tumbar|crash\w{0,2}|sature|floods?)\b (?:<8>)(?:server|site|website|offline"
                  r"|sitio|servidor|rival)\b", sure=False),
    _harm("ddos", r"\buntil it goes down\b|\bhasta que caiga\b|\bfuera de linea a\b|\bnot mine\b[^\n]{0,20}"
                  r"|\bdejar fuera de linea\b", sure=False),
    _harm("cryptojacking", r"\b(?:mines?|miner|minero|minen|xmrig)\b[^\n]{0,100}?\b(?:without (?:them|the user"
                           r"|consent|permission)|secretly|infected|hacked|sin permiso|sin saberlo"
                           r"|sin que)", sure=True),
    _harm("exploit", r"\b(?:exploit|vulnerability|fallo|vulnerabilidad|overflow"
                     r"|proof of concept)\b[^\n]{0,100}?\b(?:get a shell|reverse shell|remote code execution on"
                     r"|shell (?:inversa|en el servidor)"
          r"|company server|on a target|servidor (?:ajeno|de la empresa))", sure=False),
    _harm("exploit", r"\b(?:downloads? and runs?|descargue y ejecute|runs? code when)\b[^\n]{0,60}?\b(?:malware"
                     r"|victim|payload|victima)", sure=True),
    _harm("exploit", r"\bbrute ?-?force\b[^\n]{0,80}?\b(?:blocked|this server|account)|\bhacks? into\b"
                     r"|\bcrack\w{0,3} the (?:wpa|wifi|wi-fi)", sure=False),
    _harm("evasion", r"\bbackdoor\b[^\n]{0,80}?\b(?:do not notice|not notice|without (?:anyone|reviewers)"
                     r"|unnoticed)", sure=True),
)  # fmt: skip
HIDES: Final = compiled(
    r"\b(?:without being detected|(?:not|never) (?:be )?detect\w{0,3}|undetect\w{0,4}|avoids? detection"
    r"|evit\w{1,3} la deteccion|indetectable\w{0,1}|zero detections|not notice|no lo note"
    r"|without (?:them|anyone|the user) knowing|sin que lo note|sin saberlo|bypass\w{0,3})\b"
)  # fmt: skip
"""What no one who defends asks for."""
DEFENDS: Final = compiled(
    r"\b(?:detect(?:s|ed|ing|ion|or|a|ar|e|en|arlo|arla)?|analy[sz]\w{1,3}|analiz\w{1,4}|yara|sigma|suricata|snort"
    r"|protect\w{0,3}|proteg\w{1,5}|prevent\w{0,3}|preven\w{1,4}|mitigat\w{1,3}|mitig\w{1,3}"
    r"|defen[dsc]\w{1,4}|remove|removes|elimina|eliminar|quita|clean up|block|blocks|bloquea|recover\w{0,3}"
    r"|recuper\w{1,5}|restore|restaur\w{1,3}|explains?(?! how to (?:use|exploit|hack))|explica|explicame|how (?:does"
    r"|do|did)"
    r"|como (?:funciona|se|actua)|what is|que es|summari[sz]e|resume|history|historia|lesson|training|awareness"
    r"|concienciacion|class\b|for students|classify|clasific\w{1,4}|scan\w{0,4}|audit\w{0,3}"
    r"|revis\w{1,3}|alert|warn|check whether|verif\w{1,4}|honeypot|patch|fix|corrige|rate limit|limita|resist\w{0,2}"
    r"|false positive|unpack|desempaquet\w{1,4}|sandbox|entorno aislado|simulat\w{1,3}|simula"
    r"|ctf|capture the flag|guide|guia|exception for|root cause|paper|busque|busca|find hidden|tell if"
    r"|keep (?:<1>)out)\b"
)  # fmt: skip
