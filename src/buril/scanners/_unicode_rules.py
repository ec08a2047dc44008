"""The rules of the scanner `unicode`: how bad, how sure, which weakness, and a sample that each must find.

MITRE files the trick with look-alikes under CWE-1007 and its parent CWE-451, misrepresentation of critical information;
hidden and reordered text is the latter. Escape sequences are CWE-150.
"""

from __future__ import annotations

from typing import Final, NamedTuple

HIDES, LOOKS, ESCAPES = "CWE-451", "CWE-1007", "CWE-150"


class UnicodeRule(NamedTuple):
    """One rule. `sample` is a text of `language` that it must find."""

    severity: str
    confidence: str
    cwe: str
    message: str
    sample: str
    language: str = "python"


RULES: Final[dict[str, UnicodeRule]] = {
    "bidi-unbalanced": UnicodeRule(
        "high", "high", HIDES, "a bidirectional control is not closed: the line runs otherwise than it reads",
        "if a != 'x\u202e \u2066# only admins\u2069 \u2066':\n    pass\n"),
    "bidi-in-code": UnicodeRule(
        "high", "high", HIDES, "a bidirectional control between statements: they run otherwise than they read",
        "a = 1 \u2067+ b\u2069\n"),
    "bidi-balanced": UnicodeRule(
        "medium", "medium", HIDES, "bidirectional controls where no text runs from right to left",
        "# a \u202eb\u202c c\n"),
    "bidi-right-to-left": UnicodeRule(
        "low", "low", HIDES, "bidirectional controls around text that runs from right to left",
        "# \u2067\u05e9\u05dc\u05d5\u05dd\u2069\n"),
    "bidi-mark": UnicodeRule(
        "medium", "medium", HIDES, "a mark of direction between the parts of a statement", "a\u200f = 1\n"),
    "hidden-text": UnicodeRule(
        "high", "high", HIDES, "a row of invisible characters: it carries text that no one sees",
        "x = 1  # a\U000e0069\U000e0067\U000e006e\n"),
    "invisible-in-code": UnicodeRule(
        "high", "high", HIDES, "an invisible character in code: two names that read alike differ", "ad\u200bmin = 1\n"),
    "invisible-in-word": UnicodeRule(
        "medium", "medium", HIDES, "an invisible character in a word of a string: it is not what it reads as",
        "role = 'ad\u200bmin'\n"),
    "confusable-identifier": UnicodeRule(
        "high", "high", LOOKS, "a name with letters that look like those of another alphabet", "\u0430dmin = 1\n"),
    "confusable-word": UnicodeRule(
        "medium", "medium", LOOKS, "a word with letters of another alphabet that the text also has in ASCII",
        "admin = 1\nrole = '\u0430dmin'\n"),
    "mixed-script-identifier": UnicodeRule(
        "medium", "medium", LOOKS, "a name in which a letter may be taken for one of another alphabet",
        "p\u03b1ssword = 1\n"),
    "lookalike-symbol": UnicodeRule(
        "medium", "medium", LOOKS, "a sign that looks like an operator, a quote or a bracket of the language",
        "int a = 1\u037e\n", "c"),
    "unusual-space": UnicodeRule(
        "low", "medium", HIDES, "a space that the language may read as part of a name or refuse", "a =\u00a01\n"),
    "hidden-line": UnicodeRule(
        "high", "high", HIDES, "what follows ends the line for the language but not for who reads it, or the reverse",
        "# harmless\rimport os\nx = 1\n"),
    "terminal-hides": UnicodeRule(
        "high", "high", ESCAPES, "a control that overwrites or hides text in a terminal", "x = 1  # a\x1b[8mb\n"),
    "escape-sequence": UnicodeRule(
        "medium", "medium", ESCAPES, "a raw escape sequence: it tells a terminal to do something",
        "# a\x1b]0;b\x07\n"),
    "control-character": UnicodeRule(
        "low", "medium", HIDES, "a control character between the parts of a statement", "a = \x01 1\n"),
}  # fmt: skip
RANK: Final = {"high": 0, "medium": 1, "low": 2}
