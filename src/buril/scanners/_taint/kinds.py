"""The kinds of harm that input does, for every language: weakness, how bad, how sure, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from buril.scanners._taint.rules import Kind

KINDS: Final[Mapping[str, Kind]] = {
    "command": Kind(78, "high", "untrusted text becomes a command"),
    "code": Kind(94, "high", "untrusted text is run as code"),
    "sql": Kind(89, "high", "untrusted text is put into SQL"),
    "path": Kind(22, "high", "untrusted text names a file", "medium"),
    "xss": Kind(79, "medium", "untrusted text is put into a page"),
    "template": Kind(1336, "high", "untrusted text is run as a template"),
    "redirect": Kind(601, "medium", "untrusted text says where the browser goes"),
    "ssrf": Kind(918, "high", "untrusted text says whom the server asks"),
    "deserialisation": Kind(502, "high", "untrusted bytes are turned into objects"),
    "xxe": Kind(611, "high", "untrusted XML is read by a parser that follows entities"),
    "ldap": Kind(90, "high", "untrusted text is put into an LDAP filter"),
    "xpath": Kind(643, "high", "untrusted text is put into XPath"),
    "nosql": Kind(943, "high", "an untrusted object is a query"),
    "database-code": Kind(943, "high", "untrusted text is run by the database"),
    "header": Kind(113, "medium", "untrusted text is put into a header", "low"),
    "log": Kind(117, "low", "untrusted text is put into a log", "low"),
    "session": Kind(501, "low", "untrusted text is put where trusted data lie", "low"),
    "regex": Kind(1333, "medium", "untrusted text is a regular expression"),
    "format": Kind(134, "medium", "untrusted text is a format"),
    "upload": Kind(434, "medium", "a file is kept under the name that its sender chose", "medium"),
    "origin": Kind(942, "medium", "whoever asks is let in"),
    "attribute": Kind(915, "medium", "untrusted names decide what is set", "medium"),
    "expression": Kind(917, "high", "untrusted text is run as an expression"),
    "reflection": Kind(470, "high", "untrusted text chooses the class that is loaded"),
    "lookup": Kind(74, "high", "untrusted text says which object is looked up"),
    "query": Kind(943, "high", "untrusted text is put into a query"),
    "entities": Kind(776, "medium", "untrusted XML may grow without a limit"),
    "weak-random": Kind(338, "medium", "a secret from a generator that can be guessed", "high"),
    "include": Kind(98, "high", "untrusted text says which file is run"),
    "mail": Kind(93, "medium", "untrusted text is put into a header of mail", "low"),
}
