"""The same ids several times faster: a byte-level BPE of `tokenizers` run by `tiktoken`, where both provably agree.

tiktoken joins any two neighbours whose bytes together are a token, the lowest id first; `tokenizers` joins the pairs
that its list of merges names, in the order of that list. Both give the same ids for every text when

1. the merges' results have rising ids, and each merge joins single bytes or results of earlier merges, and
2. every token that a merge makes, given alone, is encoded to itself.

For then a stretch of text whose borders no merge has crossed goes through the same states as the same stretch alone.
A stretch that spells a token has become that token by the time of its merge (2), so two neighbours that spell it stand
there at that time only as the pair which the list names, and the step that tiktoken takes is the one of the list.

What cuts a text into words is a regular expression, and the two have different engines with tables of different
versions of Unicode. The classes that the expression names are compared over all code points; a text with a character
that they see differently, or of whose bytes one is not in the vocabulary, is left to `tokenizers`.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from buril.core.text import _

if TYPE_CHECKING:
    import tiktoken
    from tokenizers import Tokenizer

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What the ByteLevel pre-tokenizer of `tokenizers` cuts with (Radford et al. 2019)."""
GPT2_DIGITS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
"""The same after each digit was cut out by itself: spaces before a digit then stand at an end, and stay together."""
DIGITS = "Digits"
"""Name of the class of characters that the Digits pre-tokenizer cuts out, beside those that an expression names."""
LONGEST = 200_000
"""Characters of a text beyond which `tokenizers` does it: the engine for expressions in tiktoken panics on a run of
a million spaces, for which it keeps a place each to go back to."""
SURROGATES = range(0xD800, 0xE000)
_CLASS = re.compile(r"\\[pP]\{\^?\w+\}|\\[pP]\w|\\[swdhSWDH]")


class NotQuick(Exception):
    """Says why a tokenizer is left to `tokenizers`."""


class Quick:
    """Encodes text with tiktoken, and says which texts it can't.

    Args:
        raw: `tokenizer.json` without its control tokens.
        plain: the same, as `tokenizers` reads it: what the ids are compared with.

    Raises:
        NotQuick: when the ids are not known to be the same.
    """

    def __init__(self, raw: Mapping[str, Any], plain: Tokenizer) -> None:
        if importlib.util.find_spec("tiktoken") is None:
            raise NotQuick(_("tiktoken is not installed"))
        self._normalizer = plain.normalizer if _normalizes(raw.get("normalizer")) else None
        if raw.get("added_tokens"):
            raise NotQuick(_("it keeps pieces of text as added tokens"))
        self._pattern, digits = pattern_of(raw.get("pre_tokenizer"))
        _check_never_empty(self._pattern)
        self._classes = tuple(sorted({*_CLASS.findall(self._pattern), *([DIGITS] if digits else [])}))
        ranks = ranks_of(raw["model"])
        _check_alone(raw["model"], ranks, plain)
        self._tiktoken = _encoding(whole(self._pattern), ranks)
        missing = {byte for byte in range(256) if bytes([byte]) not in ranks}
        self._missing = set(characters_of(missing))
        odd_ascii = {letter for letter in self._missing if letter < 128}
        self._odd_ascii = re.compile(f"[{_ranges(odd_ascii)}]") if odd_ascii else None
        self._odd: re.Pattern[str] | None = None
        texts = [text for text in sample() if self.encode(text) is not None]
        theirs = [found.ids for found in plain.encode_batch_fast(texts, add_special_tokens=False)]
        if [self.encode(text) for text in texts] != theirs:
            raise NotQuick(_("its ids differ on a sample"))

    def encode(self, text: str) -> list[int] | None:
        """The ids of a text, or None where `tokenizers` must say."""
        if len(text) > LONGEST:
            return None
        if text.isascii():
            if self._odd_ascii and self._odd_ascii.search(text):
                return None
        else:
            if self._normalizer is not None and not _has_surrogates(text):
                text = str(self._normalizer.normalize_str(text))
            if self._odd is None:
                differing = {point for name in self._classes for point in seen_differently(name)}
                folded = folds_to_ascii() if "(?i" in self._pattern else set()
                self._odd = re.compile(f"[{_ranges({*differing, *folded, *self._missing, *SURROGATES})}]")
            if self._odd.search(text):
                return None
        found: list[int] = self._tiktoken.encode_ordinary(text)
        return found


def pattern_of(pre: Mapping[str, Any] | None) -> tuple[str, bool]:
    """The expression that cuts as a pre-tokenizer of tokenizer.json does, and whether it cuts digits out by itself.

    Raises:
        NotQuick: for one of another kind.
    """
    steps = list(pre["pretokenizers"]) if pre and pre["type"] == "Sequence" else [pre or {"type": "none"}]
    kinds = [step["type"] for step in steps]
    last = steps[-1]
    plain = last["type"] == "ByteLevel" and not last.get("add_prefix_space")
    if plain and last.get("use_regex", True):
        if kinds == ["ByteLevel"]:
            return GPT2, False
        if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
            return GPT2_DIGITS, True
    elif plain and kinds == ["Split", "ByteLevel"]:
        split = steps[0]
        if split.get("behavior") == "Isolated" and not split.get("invert") and "Regex" in split["pattern"]:
            return str(split["pattern"]["Regex"]), False
    raise NotQuick(_("its way to cut words is of another kind ({kind})").format(kind=", ".join(kinds)))


def whole(pattern: str) -> str:
    """An expression that leaves nothing out: what `pattern` does not match is a word of its own, as in `tokenizers`."""
    return f"{pattern}|(?:(?!{pattern})[\\s\\S])+"


def _check_never_empty(pattern: str) -> None:
    """An expression that matches nothing somewhere gives tiktoken an empty word, on which it panics.

    Python's engine tells, with a letter for each class; what it does not read is not taken either.
    """
    try:
        shape = re.compile(_CLASS.sub("a", pattern))
    except re.error as problem:
        raise NotQuick(_("tiktoken does not take its expression ({problem})").format(problem=problem)) from problem
    if any(not found.group() for probe in ("", "a", "1 ~", "\n") for found in shape.finditer(probe)):
        raise NotQuick(_("tiktoken does not take its expression ({problem})").format(problem=_("it matches nothing")))


def ranks_of(model: Mapping[str, Any]) -> dict[bytes, int]:
    """Bytes → id of the single bytes and of what merges make.

    Raises:
        NotQuick: when it is no plain BPE over bytes, or condition 1 does not hold.
    """
    odd = [key for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix") if model.get(key)]
    if model.get("type") != "BPE" or odd or model.get("byte_fallback"):
        raise NotQuick(_("it is not a plain byte-level BPE"))
    vocabulary: Mapping[str, int] = model["vocab"]
    letters = alphabet()
    ranks = {bytes([byte]): vocabulary[letter] for letter, byte in letters.items() if letter in vocabulary}
    made: dict[str, int] = dict.fromkeys(letters, -1)
    last = -1
    for merge in model["merges"]:
        left, right = merge if not isinstance(merge, str) else merge.split(" ")
        token = left + right
        number = vocabulary[token]
        if number < last or left not in made or right not in made or (number == last) != (token in made):
            raise NotQuick(_("its merges do not stand in the order of their ids"))
        made[token] = last = number
        ranks[bytes(map(letters.__getitem__, token))] = number
    if model.get("ignore_merges") and len(ranks) != len(vocabulary):
        raise NotQuick(_("it has tokens that no merge makes"))
    return ranks


def _check_alone(model: Mapping[str, Any], ranks: Mapping[bytes, int], plain: Tokenizer) -> None:
    """Condition 2."""
    import json

    from tokenizers import Tokenizer as Parser

    if model.get("ignore_merges"):  # whole words would be looked up, and the merges not be tried
        bare = Parser.from_str(json.dumps({"version": "1.0", "model": {**model, "ignore_merges": False}}))
    else:
        bare = Parser(plain.model)
    names = {byte: letter for letter, byte in alphabet().items()}
    tokens = ["".join(map(names.__getitem__, token)) for token in ranks]
    found = bare.encode_batch_fast(tokens, add_special_tokens=False)
    if any(item.ids != [number] for item, number in zip(found, ranks.values(), strict=True)):
        raise NotQuick(_("it has tokens that its merges do not reach"))


def _normalizes(normalizer: Mapping[str, Any] | None) -> bool:
    """Whether text is brought into NFC first, which leaves ASCII alone.

    Raises:
        NotQuick: for other normalizers.
    """
    steps = normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else [normalizer]
    kinds = {step["type"] for step in steps if step}
    if kinds - {"NFC"}:
        raise NotQuick(_("it changes text first ({kind})").format(kind=", ".join(sorted(kinds))))
    return bool(kinds)


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


@lru_cache(maxsize=1)
def alphabet() -> dict[str, int]:
    """Letter → byte: how byte-level vocabularies spell the 256 bytes (Radford et al. 2019).

    Printable bytes of Latin-1 stand for themselves, the others in order for the characters from U+0100.
    """
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def characters_of(missing: Iterable[int]) -> Iterable[int]:
    """Code points whose UTF-8 holds one of some bytes."""
    lost = set(missing)
    if lost & set(range(0x80, 0xC0)):  # bytes of the second place and on are in all of them
        return [*(byte for byte in lost if byte < 0x80), *range(0x80, sys.maxunicode + 1)]
    found: list[int] = [byte for byte in lost if byte < 0x80]
    for byte in lost:
        if 0xC2 <= byte < 0xE0:
            found += range((byte & 0x1F) << 6, ((byte & 0x1F) + 1) << 6)
        elif 0xE0 <= byte < 0xF0:
            found += range(max(0x800, (byte & 0x0F) << 12), ((byte & 0x0F) + 1) << 12)
        elif 0xF0 <= byte < 0xF5:
            found += range(max(0x10000, (byte & 7) << 18), min(sys.maxunicode + 1, ((byte & 7) + 1) << 18))
    return found


@lru_cache(maxsize=1)
def _everything() -> tuple[str, ...]:
    """All code points in short texts: `tokenizers` takes more than linear time on one long one."""
    text = "".join(map(chr, range(SURROGATES.start))) + "".join(map(chr, range(SURROGATES.stop, sys.maxunicode + 1)))
    return tuple(text[begin : begin + 4096] for begin in range(0, len(text), 4096))


@lru_cache(maxsize=64)
def seen_differently(name: str) -> frozenset[int]:
    r"""Code points that `tokenizers` puts into a class (such as `\p{L}`) and tiktoken does not, or the reverse."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    taken_out = normalizers.Replace(Regex(f"(?:{name})+"), "")
    digits = pre_tokenizers.Digits(individual_digits=False)
    of_class = "\\p{N}" if name == DIGITS else name
    single = _encoding(f"(?:{of_class})+", {bytes([byte]): byte for byte in range(256)})
    found: set[str] = set()
    for text in _everything():
        if name == DIGITS:  # runs of others and of digits take turns
            theirs = set("".join(run for run, _place in digits.pre_tokenize_str(f"x{text}")[1::2]))
        else:
            theirs = set(text).difference(taken_out.normalize_str(text))
        found |= theirs.symmetric_difference(bytes(single.encode_ordinary(text)).decode())
    return frozenset(map(ord, found))


@lru_cache(maxsize=1)
def folds_to_ascii() -> set[int]:
    """Code points beyond ASCII that an ASCII letter stands for when case does not count, such as the long s."""
    cased = {
        letter for text in _everything() for letter in text if letter.lower() != letter or letter.upper() != letter
    }
    plain = {letter for letter in cased if any(map(str.isascii, letter.casefold() + letter.lower()))}
    return {ord(letter) for letter in plain if not letter.isascii()}


def _ranges(points: Iterable[int]) -> str:
    """The inside of a character class of `re`."""
    ordered = sorted(points)
    starts = [p for place, p in enumerate(ordered) if place == 0 or ordered[place - 1] != p - 1]
    ends = [p for place, p in enumerate(ordered) if place + 1 == len(ordered) or ordered[place + 1] != p + 1]
    return "".join(f"\\U{start:08x}-\\U{end:08x}" for start, end in zip(starts, ends, strict=True))


def _encoding(pattern: str, ranks: Mapping[bytes, int]) -> tiktoken.Encoding:
    import tiktoken

    try:
        return tiktoken.Encoding("buril", pat_str=pattern, mergeable_ranks=dict(ranks), special_tokens={})
    except ValueError as problem:
        raise NotQuick(_("tiktoken does not take its expression ({problem})").format(problem=problem)) from problem


@lru_cache(maxsize=1)
def sample() -> Sequence[str]:
    """Texts on which two tokenizers are most likely to differ."""
    ends = ("\n", "\r\n", "\r", "\u2028", "\x0b", "\x85", "\t", "\u00a0", "\u3000", " ")
    words = ("x", "ñ", "日本", "_", "'s", "'S", "'LL", "7", "٣", "²", "Ⅻ", "🙂", "e\u0301", "\u200d", "{", "\ufeff")
    mixed = ["".join((a, end * n, b)) for end in ends for n in (1, 2, 5) for a in words for b in words[::3]]
    runs = [unit * 3000 for unit in ("a", " ", "\n", "=", "ab", "0", "\t\n", "日", " x", "'s", "/* */\n", "\r\n  ")]
    planes = ["".join(map(chr, range(first, first + 256))) for first in (*range(0, 0x3000, 256), 0xAC00, 0x1F300)]
    code = "if (a<=b) {\n\treturn  x_1 + camelCaseName*0x1F2e;  // don't it's\n}\n\n\n    def f(self):\n        "
    return (*mixed, *runs, *planes, code, code.replace("\n", "\r\n"), "<|endoftext|><|fim_middle|>", "")
