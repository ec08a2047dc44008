"""Teaching a base's vocabulary the words of a corpus: its byte-pair encoding goes on where it ended.

The text is cut into words and encoded as the base does it; then pairs of its tokens are joined, the most frequent
first, as if its own training had seen this text last. Every new token is one more merge at the end of the list, so a
text is encoded as before and then joined further: old ids keep their meaning, no new token is out of reach, and each
one saves a token wherever it stands.

Source: Sennrich et al. 2016 (BPE); Purason et al. 2025, "Teaching Old Tokenizers New Words" (continuing it beats adding
the words of a vocabulary trained apart, many of which no merge reaches).
"""

from __future__ import annotations

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from buril.generators._quick import alphabet

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Pair = tuple[int, int]
SAMPLE_BYTES = 50_000_000
"""Text to learn from at most: words that are worth a token show in it, and it is cut at some 3 MB a second."""
MIN_COUNT = 20
"""A new token saves at least so many in the sample: the embedding of one seen less often would learn nothing."""
TEXT_COUNT = 10
"""A word counts at most so often in one text: a table that repeats it a thousand times says nothing of other files."""
MAX_TOKEN_BYTES = 64
"""No new token is longer, so that banners and data do not take ids."""
UTF8_BYTES = frozenset(range(0xF5)) - {0xC0, 0xC1}
"""Bytes that occur in UTF-8."""


class Extended(NamedTuple):
    """A vocabulary with new tokens.

    `raw` is tokenizer.json; `added` are the new ids in order; `pieces` says of those that are joined from tokens of the
    base which ones, in order. A byte that the base had no token for is added without pieces.
    """

    raw: dict[str, Any]
    added: list[int]
    pieces: dict[int, list[int]]


def extend(
    raw: dict[str, Any], texts: Iterable[str], count: int, *, told: Callable[[int], None] | None = None
) -> Extended:
    """Add up to `count` tokens to a byte-level BPE.

    Args:
        raw: tokenizer.json. It is left as it is.
        texts: what to learn from.
        count: new tokens at most; fewer where the text has no more pairs that occur `MIN_COUNT` times. Bytes of UTF-8
            that the vocabulary lacks come first, so that the new one gives every text back.
        told: called with the number of bytes read so far.
    """
    from tokenizers import Tokenizer as Parser

    tokenizer = Parser.from_str(json.dumps(raw))
    model = raw["model"]
    vocabulary: dict[str, int] = {**model["vocab"], **{item["content"]: item["id"] for item in raw["added_tokens"]}}
    missing = [letter for letter, byte in alphabet().items() if byte in UTF8_BYTES and letter not in vocabulary][:count]
    first = max(vocabulary.values()) + 1
    vocabulary.update({letter: first + place for place, letter in enumerate(missing)})
    names = {number: name for name, number in vocabulary.items()}
    merges = join(words_of(tokenizer, texts, told), count - len(missing), first=first + len(missing), names=names)
    pieces: dict[int, list[int]] = {}
    for place, pair in enumerate(merges, start=first + len(missing)):
        pieces[place] = [piece for part in pair for piece in pieces.get(part, [part])]
        vocabulary[names[pair[0]] + names[pair[1]]] = place
    pairs = [(names[left], names[right]) for left, right in merges]
    as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)  # as files were written before 2024
    new = [" ".join(pair) if as_text else list(pair) for pair in pairs]
    extended = {**raw, "model": {**model, "vocab": vocabulary, "merges": [*model["merges"], *new]}}
    return Extended(extended, list(range(first, first + len(missing) + len(merges))), pieces)


def is_byte_level(raw: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json is a BPE whose words are spelt in bytes."""
    pre = raw.get("pre_tokenizer") or {}
    steps = pre.get("pretokenizers") or [pre]
    return bool(raw["model"].get("type") == "BPE" and steps[-1].get("type") == "ByteLevel")


def words_of(
    tokenizer: Tokenizer, texts: Iterable[str], told: Callable[[int], None] | None = None
) -> dict[tuple[int, ...], int]:
    """The words of some texts that take more than one token, as ids, and how often they occur (see `TEXT_COUNT`)."""
    from tokenizers import Tokenizer as Parser

    cutter, normalizer, done = tokenizer.pre_tokenizer, tokenizer.normalizer, 0
    counts: Counter[str] = Counter()
    for text in texts:
        clean = text if normalizer is None or text.isascii() else normalizer.normalize_str(text)
        here = Counter(word for word, _place in cutter.pre_tokenize_str(clean))
        counts.update({word: min(number, TEXT_COUNT) for word, number in here.items()})
        done += len(text.encode("utf-8", "replace"))
        if told:
            told(done)
    words = list(counts)
    found: dict[tuple[int, ...], int] = {}
    for word, encoding in zip(words, Parser(tokenizer.model).encode_batch_fast(words), strict=True):
        if len(encoding.ids) > 1:
            ids = tuple(encoding.ids)
            found[ids] = found.get(ids, 0) + counts[word]
    return found


def join(words: Mapping[tuple[int, ...], int], count: int, *, first: int, names: dict[int, str]) -> list[Pair]:
    """The pairs to join, the one that saves most tokens first; each makes the next id from `first` on.

    Args:
        words: ids of each word, and how often it occurs.
        count: pairs at most.
        first: the first new id.
        names: id → how the vocabulary spells it, a letter a byte; those of the new ids are put in.

    Among pairs of the same count the one with the lowest ids is joined, so the same words give the same pairs.
    """
    table = _Table(words)
    known, found = set(names.values()), list[Pair]()
    heap = [(-number, pair) for pair, number in table.counts.items()]
    heapq.heapify(heap)
    while heap and len(found) < count:
        number, pair = heapq.heappop(heap)
        now = table.counts.get(pair, 0)
        if now < MIN_COUNT:
            continue
        if now != -number:  # it was counted before other pairs were joined
            heapq.heappush(heap, (-now, pair))
            continue
        name = names[pair[0]] + names[pair[1]]
        if len(name) > MAX_TOKEN_BYTES or name in known:
            continue
        token = first + len(found)
        names[token] = name
        known.add(name)
        found.append(pair)
        for touched in sorted(table.join(pair, token)):
            heapq.heappush(heap, (-table.counts[touched], touched))
    return found


class _Table:
    """Words, how often each pair of neighbours occurs in them, and in which."""

    def __init__(self, words: Mapping[tuple[int, ...], int]) -> None:
        self._words = [list(word) for word in words]
        self._times = list(words.values())
        self.counts: dict[Pair, int] = defaultdict(int)
        self._places: dict[Pair, set[int]] = defaultdict(set)
        for place, word in enumerate(self._words):
            self._count(place, word, 1)

    def _count(self, place: int, word: Sequence[int], sign: int) -> set[Pair]:
        pairs = list(zip(word, word[1:], strict=False))
        for pair in pairs:
            self.counts[pair] += sign * self._times[place]
            self._places[pair].add(place)
        return set(pairs)

    def join(self, pair: Pair, token: int) -> set[Pair]:
        """Put `token` wherever `pair` stands; the pairs that are new by it."""
        new: set[Pair] = set()
        for place in self._places.pop(pair):
            word = self._words[place]
            self._count(place, word, -1)
            joined = _joined(word, pair, token)
            self._words[place] = joined
            new |= {found for found in self._count(place, joined, 1) if token in found}
        return new


def _joined(word: Sequence[int], pair: Pair, token: int) -> list[int]:
    found, place = list[int](), 0
    while place < len(word):
        if tuple(word[place : place + 2]) == pair:
            found.append(token)
            place += 2
        else:
            found.append(word[place])
            place += 1
    return found
