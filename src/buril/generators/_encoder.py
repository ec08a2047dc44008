"""Encoder: text to token ids, never reading control tokens out of the text.

Source code may contain `<|endoftext|>` or `<|fim_middle|>` as plain characters. An ordinary tokenizer turns those
into the control token, which lets a file end a document or open a hole. Here they are encoded like any other text;
control tokens enter a sequence only by their ids.

`tokenizers` says what the ids are. Where there is much to encode, tiktoken is fed the same merges and gives the same
ids several times faster (`_quick.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from buril.core.errors import BurilError
from buril.core.plugins import require
from buril.core.text import _
from buril.generators._quick import NotQuick, Quick, alphabet

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
"""What a tokenizer may consist of beside `tokenizer.json`, as models are published."""
QUICK_AFTER = 2_000_000
"""Characters that `tokenizers` encodes before tiktoken is set up: that takes as long, and a prompt never needs it."""
EVIDENCE = "logs/encoding.json"
"""Where the tokenizer stage says whether both gave the same ids on the corpus."""
_BYTE = re.compile(r"^<0x([0-9A-F]{2})>$")
_MARKED = re.compile(r"^[▁ ]?[<\[].*[>\]]$", re.DOTALL)


class _Always(TypedDict):
    prefix: int | None
    suffix: int | None
    middle: int | None
    eos: int
    pad: int | None
    bos: int | None
    added: list[int]
    vocab_size: int


class Fim(_Always, total=False):
    """What `fim.json` holds: ids of the sentinels (None where there are none), of the end of a document and of padding.

    `bos` is the id that every sequence must begin with, None for most code models; `added` are the ids that the
    vocabulary has and its base model had not; `vocab_size` is how many embedding rows the model must have. `pieces`
    says of an added token that was learnt from text (id, as text) which of the base's ids it stands for, in order.
    """

    pieces: dict[str, list[int]]


def read_fim(folder: Path) -> Fim:
    """`fim.json` of a tokenizer: in its folder, or beside it as the tokenizer stage writes it.

    Raises:
        BurilError: T012 when there is none.
    """
    path = next((place / "fim.json" for place in (folder, folder.parent) if (place / "fim.json").is_file()), None)
    if path is None:
        raise BurilError("T012", path=folder, missing="fim.json")
    found: Fim = json.loads(path.read_text(encoding="utf-8"))
    return found


class Encoder:
    """A tokenizer for data: no control tokens are read or added, no truncation, no padding.

    Args:
        folder: a tokenizer artifact, or a folder with `tokenizer.json`.
        quick_after: characters after which tiktoken takes over where it is installed and gives the same ids; 0 for from
            the start, None for never.

    Example:
        `Encoder(folder).encode("x = '<|endoftext|>'")` has no id of a control token.

    Lone surrogates, which no UTF-8 holds, become U+FFFD first. A tokenizer that normalizes text, or has no token for
    some byte, does not give such text back (`Stage tokenizer` counts how many texts it changes).

    It does not render chat templates and adds no beginning-of-text token. It encodes on all cores until
    tiktoken takes over, from then on in the calling thread alone; the ids are the same.
    """

    def __init__(self, folder: Path, *, quick_after: int | None = QUICK_AFTER) -> None:
        require("tokenizers", kind="generator", name="tokenizer")
        from tokenizers import Tokenizer

        self.folder = folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
        self._text = read_tokenizer(self.folder)
        raw = json.loads(self._text)
        self._plain = Tokenizer.from_str(json.dumps(_without_control(raw, self.folder), ensure_ascii=False))
        self._quick: Quick | None = None
        self._slow_because: str | None = None
        self._quick_after = quick_after
        self.control_ids = frozenset(int(token["id"]) for token in raw.get("added_tokens") or [] if is_control(token))
        """Ids that no text ever encodes to."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts."""
        if self._quick_after is not None:
            self._quick_after -= sum(map(len, texts))
            if self._quick_after <= 0:
                self.quicken()
        if self._quick is None:
            return self.encode_plainly(texts)
        found = [self._quick.encode(text) for text in texts]
        left = [text for text, ids in zip(texts, found, strict=True) if ids is None]
        others = iter(self.encode_plainly(left) if left else ())
        return [next(others) if ids is None else ids for ids in found]

    def encode_plainly(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts by `tokenizers` alone, which says what they are."""
        try:
            found = self._plain.encode_batch_fast(list(texts), add_special_tokens=False)
        except (UnicodeEncodeError, TypeError):
            found = self._plain.encode_batch_fast([well_formed(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def quicken(self) -> str | None:
        """Set tiktoken up now; why it is not used where it is not."""
        self._quick_after = None
        if self._quick is not None or self._slow_because is not None:
            return self._slow_because
        evidence = self.folder.parent / EVIDENCE
        if evidence.is_file() and json.loads(evidence.read_text(encoding="utf-8"))["same_ids"] is False:
            self._slow_because = _("its ids differ on the corpus")
            return self._slow_because
        try:
            self._quick = Quick(_without_control(json.loads(self._text), self.folder), self._plain)
        except NotQuick as reason:
            self._slow_because = str(reason)
        return self._slow_because

    def decode(self, ids: Sequence[int], *, special: bool = False, spelt: Sequence[int] = ()) -> str:
        """The text of some ids; control tokens are left out but those `spelt`, or are all spelt out with `special`."""
        kept = [token for token in ids if special or token not in self.control_ids or token in spelt]
        return str(self._all.decode(kept, skip_special_tokens=False))

    def normalize(self, text: str) -> str:
        """What the tokenizer makes of a text before it cuts it; for most code models, the text."""
        return str(self._plain.normalizer.normalize_str(text)) if self._plain.normalizer else text

    def continuation(self, last: int | None, ids: Sequence[int], *, spelt: Sequence[int] = ()) -> str:
        """The text that `ids` add after a token `last`; control tokens are left out of it but those `spelt`.

        Decoders of the SentencePiece kind drop the first space of what they are given, so it is decoded with the
        token before it, whose own text is taken off again.
        """
        if last is None or last in self.control_ids:
            return self.decode(ids, spelt=spelt)
        head, whole = self.decode([last]), self.decode([last, *ids], spelt=spelt)
        return whole[len(head) :] if whole.startswith(head) and "�" not in head else self.decode(ids, spelt=spelt)

    def token_bytes(self) -> dict[int, bytes]:
        """The bytes that each token stands for, control tokens left out; empty where the file does not say.

        Two ways of spelling are known: a letter for each byte (GPT-2), and pieces with `▁` for a space and `<0x0A>` for
        a byte (SentencePiece).
        """
        raw = json.loads(self._text)
        decoder = raw.get("decoder") or {}
        kinds = {step["type"] for step in (decoder.get("decoders") or [decoder]) if step}
        added = {int(token["id"]): str(token["content"]).encode() for token in raw.get("added_tokens") or []}
        if "ByteLevel" in kinds:
            letters = alphabet()
            found = {
                token: bytes(map(letters.__getitem__, piece))
                for piece, token in self.vocabulary.items()
                if token not in added and all(map(letters.__contains__, piece))
            }
        elif kinds & {"ByteFallback", "Metaspace"}:
            found = {token: _piece_bytes(piece) for piece, token in self.vocabulary.items() if token not in added}
        else:
            return {}
        return {token: spelt for token, spelt in (found | added).items() if token not in self.control_ids}

    @cached_property
    def spellings(self) -> dict[int, bytes]:
        """`token_bytes`, kept: of a vocabulary of 150,000 it takes 20 MB, once."""
        return self.token_bytes()

    def last_word(self, text: str) -> str:
        """The last of the words into which a text is cut before its tokens are found; nothing where it is not cut."""
        pieces = self._plain.pre_tokenizer.pre_tokenize_str(text) if self._plain.pre_tokenizer else []
        return text[pieces[-1][1][0] :] if pieces else ""

    @cached_property
    def _all(self) -> Tokenizer:
        """The tokenizer with its control tokens, to decode."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self._text)

    @cached_property
    def num_ids(self) -> int:
        """One more than the highest id."""
        return max(self.vocabulary.values()) + 1

    def id_of(self, token: str) -> int | None:
        """The id of a token by its name, control tokens included; None where there is none."""
        found: int | None = self._all.token_to_id(token)
        return found

    @property
    def vocabulary(self) -> dict[str, int]:
        """Token → id, control tokens included."""
        found: dict[str, int] = self._all.get_vocab(with_added_tokens=True)
        return found

    def __len__(self) -> int:
        return int(self._all.get_vocab_size(with_added_tokens=True))


def read_tokenizer(folder: Path) -> str:
    """The text of `tokenizer.json`.

    Raises:
        BurilError: T012 when the folder has none.
    """
    try:
        return (folder / "tokenizer.json").read_text(encoding="utf-8")
    except FileNotFoundError as missing:
        raise BurilError("T012", path=folder, missing="tokenizer.json") from missing


def well_formed(text: str) -> str:
    """A text with U+FFFD for each lone surrogate."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _without_control(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same tokenizer without control tokens.

    An added token that is not in the model's vocabulary is numbered by its place among the added ones when the file
    is read, so what stays is put into the vocabulary with its id; no merge leads there. Where whole words are looked up
    in the vocabulary before any merge, control tokens leave it.
    """
    added = list(raw.get("added_tokens") or [])
    model = raw["model"]
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict):
        raise BurilError("T014", path=folder, problem=str(model.get("type")))
    kept = [token for token in added if not is_control(token)]
    vocabulary = {**vocabulary, **{token["content"]: token["id"] for token in kept}}
    if model.get("ignore_merges"):
        control = {token["content"] for token in added if is_control(token)} - {model.get("unk_token")}
        vocabulary = {token: number for token, number in vocabulary.items() if token not in control}
    plain = {"truncation": None, "padding": None, "post_processor": None, "added_tokens": kept}
    return {**raw, **plain, "model": {**model, "vocab": vocabulary}}


def _piece_bytes(piece: str) -> bytes:
    """The bytes of a piece of SentencePiece's."""
    byte = _BYTE.match(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()


def is_control(token: dict[str, Any]) -> bool:
    """Whether an entry of `added_tokens` is a control token, not a piece of text kept whole (such as a run of spaces).

    Some families do not mark all control tokens as special (Qwen's sentinels); those are told by their brackets.
    """
    return bool(token["special"]) or bool(_MARKED.match(token["content"]))
