"""Letters that look like Latin ones, and the identifiers that make use of it (UTS #39, sections 4 and 5).

The table is short and our own: letters that most fonts for code draw like an ASCII letter. An identifier is judged by
its runs of letters (`user_имя` has two), because joining a Latin and a Cyrillic word is no trick, while one Cyrillic
letter inside of a Latin word is. Letters that resemble a Latin one and are everyday names in formulas (`ρ`, `ν`) are
weak: they count only inside of a longer Latin word.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

STRONG, WEAK = "confusable-identifier", "mixed-script-identifier"
_TWINS: Final = {
    "cyrillic": (
        "0430a 0435e 043Eo 0440p 0441c 0443y 0445x 0455s 0456i 0458j 04BBh 0501d 051Bq 051Dw 04CFl 0475v 04AFy "
        "0410A 0412B 0415E 041AK 041CM 041DH 041EO 0420P 0421C 0422T 0425X 0405S 0406I 0408J 04AEY 04C0I 051AQ 051CW "
        "0474V 050CG"
    ),
    "greek": (
        "0391A 0392B 0395E 0396Z 0397H 0399I 039AK 039CM 039DN 039FO 03A1P 03A4T 03A5Y 03A7X 037FJ 03F9C 03F2c 03F3j "
        "03BFo"
    ),
    "armenian": "0585o 057Du 0578n 0570h 0566q 0581g 0555O 054DU 054FS 056Cl 0575j",
    "cherokee": (
        "13A0D 13A1R 13A2T 13A9Y 13AAA 13ABJ 13ACE 13B3W 13B7M 13BBH 13C0G 13C2h 13C3Z 13CFb 13D2R 13D4W 13D5S 13D9V "
        "13DAS 13DEL 13DFC 13E2P 13E6K 13E7d 13F4B"
    ),
    "lisu": (
        "A4D0B A4D1P A4D2d A4D3D A4D4T A4D6G A4D7K A4D9J A4DAC A4DCZ A4DDF A4DFM A4E0N A4E1L A4E2S A4E3R A4E6V A4E7H "
        "A4EAW A4EBX A4ECY A4EEA A4F0E A4F2I A4F3O A4F4U"
    ),
    "coptic": "2C8EH 2C92I 2C94K 2C98M 2C9AN 2C9EO 2C9Fo 2CA2P 2CA3p 2CA4C 2CA5c 2CA6T 2CA8Y 2CACX",
    "latin": "0251a 0261g 017Fs 1D04c 1D0Fo 1D20v 1D21w 1D22z",
}
_WEAK_TWINS: Final = "03B1a 03B3y 03B7n 03B9i 03BAk 03BDv 03C1p 03C3o 03C5u 03C7x 03C9w 0423Y 0131i"
_CLICKS: Final = {"\u01c3": "!", "\u01c0": "|", "\ua789": ":", "\u02d0": ":"}
"""Letters that look like operators: `a\u01c3=b` assigns to a variable of two letters."""


def _table(text: str) -> dict[str, str]:
    return {chr(int(item[:4], 16)): item[4:] for item in text.split()}


TWINS: Final[dict[str, str]] = {sign: twin for text in _TWINS.values() for sign, twin in _table(text).items()}
"""Letter → the ASCII letter that it looks like."""
WEAK_TWINS: Final[dict[str, str]] = _table(_WEAK_TWINS)
OPERATORS: Final[dict[str, str]] = _CLICKS
_SKELETON = str.maketrans({**TWINS, **WEAK_TWINS, **_CLICKS})
_RUNS = re.compile(r"[^\W\d_]+")
_COMPATIBLE = "\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d6a5"
SUSPECT = re.compile("[" + "".join(map(re.escape, (*TWINS, *WEAK_TWINS, *_CLICKS))) + _COMPATIBLE + "]")
"""Letters that may be mistaken; a text without one has no confusable identifier."""
_COMPATIBLE_LETTER = re.compile(f"[{_COMPATIBLE}]")
_LATIN_LOOKALIKE = frozenset((*TWINS.values(), *WEAK_TWINS.values()))
MIN_WORD = 4
"""Letters of a run from which on one weak letter inside is suspicious: `dα` and `νmax` are formulas."""


def skeleton(word: str) -> str:
    r"""What a reader takes a word for, as far as the table goes.

    Example:
        `skeleton("\u0430dmin")` → "admin"
    """
    return unicodedata.normalize("NFKC", word).translate(_SKELETON)


def judged(word: str, words: frozenset[str], others: bool) -> str:
    """The rule that an identifier breaks, or "".

    Args:
        word: an identifier that holds a suspect letter.
        words: the ASCII words of the same text.
        others: whether the text has letters of the same scripts that nobody takes for Latin ones.
    """
    if any(sign in word for sign in _CLICKS):
        return STRONG
    runs = _RUNS.findall(word)
    rules = {_mixed(run) for run in runs}
    if STRONG in rules or any(_compatible(run) for run in runs):
        return STRONG
    strong = [sign for sign in word if sign in TWINS]
    letters = [sign for sign in word if sign.isalpha()]
    if strong and len(strong) == sum(not sign.isascii() for sign in letters) and skeleton(word) in words:
        return STRONG
    if WEAK in rules:
        return WEAK
    whole = strong and len(strong) == len(letters) and len(letters) >= MIN_WORD
    return WEAK if whole and not others else ""


def disguised(word: str, words: frozenset[str]) -> bool:
    """Whether a word of a string is Latin but for letters that look so, and stands in the text in plain ASCII too."""
    strangers = [sign for sign in word if not sign.isascii()]
    latin = any(sign.isascii() and sign.isalpha() for sign in word)
    return latin and all(sign in TWINS for sign in strangers) and len(word) >= 3 and skeleton(word) in words


def _compatible(run: str) -> bool:
    """Whether a run is written in full-width or mathematical letters; Python reads both as ASCII.

    One such letter alone (`\U0001d4aa`) is a symbol.
    """
    return len(run) > 1 and _COMPATIBLE_LETTER.search(run) is not None


@lru_cache(maxsize=4096)
def _mixed(run: str) -> str:
    """What one run of letters is: Latin with strangers that look Latin, or the other way around."""
    latin = [sign for sign in run if _script(sign) == "LATIN" and sign not in TWINS]
    strangers = [sign for sign in run if not (_script(sign) == "LATIN" and sign not in TWINS)]
    if not latin or not strangers:
        return ""
    if all(sign in TWINS for sign in strangers):
        return STRONG
    inside = all(sign in WEAK_TWINS or sign in TWINS for sign in run[1:-1] if sign in strangers)
    ends = run[0] in latin and run[-1] in latin
    if inside and ends and len(latin) >= MIN_WORD - 1 and len(strangers) == 1:
        return WEAK
    hidden = len(latin) == 1 and len(strangers) >= MIN_WORD - 1 and latin[0] in _LATIN_LOOKALIKE
    return WEAK if hidden and {_script(sign) for sign in strangers} == {"CYRILLIC"} else ""


@lru_cache(maxsize=4096)
def _script(sign: str) -> str:
    """The script of a letter, by the first word of its name."""
    return unicodedata.name(sign, "").split(" ", 1)[0]


def foreign(text: str) -> bool:
    """Whether a text holds a letter of the scripts of the table that no one takes for a Latin one."""
    return any(
        sign not in TWINS and sign not in WEAK_TWINS for sign in set(_TABLE_SCRIPTS.findall(text)) if sign.isalpha()
    )


_TABLE_SCRIPTS = re.compile("[\u0370-\u03ff\u0400-\u058f\u13a0-\u13ff\u2c80-\u2cff\ua4d0-\ua4ff]")
