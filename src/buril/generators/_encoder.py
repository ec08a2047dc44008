"""Encoder: text to token ids with `tokenizers` alone, never reading control tokens out of the text.

Source code may contain `<|endoftext|>` or `<|fim_middle|>` as plain characters. An ordinary tokenizer turns those
into the control token, which lets a file end a document or open a hole. Here they are encoded like any other text;
control tokens enter a sequence only by their ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from buril.core.errors import BurilError
from buril.core.plugins import require

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
_MARKED = re.compile(r"^[▁ ]?[<\[].*[>\]]$", re.DOTALL)


class Fim(TypedDict):
    """What `fim.json` holds: ids of the sentinels (None where there are none), of the end of a document and of padding.

    `bos` is the id that every sequence must begin with, None for most code models; `added` are the ids that the
    vocabulary has and its base model had not; `vocab_size` is how many embedding rows the model must have.
    """

    prefix: int | None
    suffix: int | None
    middle: int | None
    eos: int
    pad: int | None
    bos: int | None
    added: list[int]
    vocab_size: int


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

    Example:
        `Encoder(folder).encode("x = '<|endoftext|>'")` has no id of a control token.

    It does not render chat templates and adds no beginning-of-text token.
    """

    def __init__(self, folder: Path) -> None:
        require("tokenizers", kind="generator", name="tokenizer")
        from tokenizers import Tokenizer

        self.folder = folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
        text = read_tokenizer(self.folder)
        self._all = Tokenizer.from_str(text)
        self._plain = Tokenizer.from_str(_without_control(text, self.folder))
        self.control_ids = frozenset(int(token["id"]) for token in _added(text) if is_control(token))
        """Ids that no text ever encodes to."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts, on all cores; lone surrogates, which UTF-8 can't hold, become U+FFFD."""
        try:
            found = self._plain.encode_batch_fast(list(texts), add_special_tokens=False)
        except (UnicodeEncodeError, TypeError):
            clean = [text.encode("utf-8", "replace").decode() for text in texts]
            found = self._plain.encode_batch_fast(clean, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of some ids; control tokens are left out, or spelt out with `special`."""
        kept = list(ids) if special else [token for token in ids if token not in self.control_ids]
        return str(self._all.decode(kept, skip_special_tokens=False))

    def continuation(self, last: int | None, ids: Sequence[int]) -> str:
        """The text that `ids` add after a token `last`.

        Decoders of the SentencePiece kind drop the first space of what they are given, so it is decoded with the
        token before it, whose own text is taken off again.
        """
        if last is None or last in self.control_ids:
            return self.decode(ids)
        head, whole = self.decode([last]), self.decode([last, *ids])
        return whole[len(head) :] if whole.startswith(head) and "�" not in head else self.decode(ids)

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


def _added(text: str) -> list[dict[str, Any]]:
    return list(json.loads(text).get("added_tokens") or [])


def _without_control(text: str, folder: Path) -> str:
    """The same tokenizer without control tokens.

    An added token that is not in the model's vocabulary is numbered by its place among the added ones when the file
    is read, so what stays is put into the vocabulary with its id; no merge leads there.
    """
    raw = json.loads(text)
    kept = [token for token in _added(text) if not is_control(token)]
    vocabulary = raw["model"].get("vocab")
    if not isinstance(vocabulary, dict):
        raise BurilError("T014", path=folder, problem=str(raw["model"].get("type")))
    vocabulary.update({token["content"]: token["id"] for token in kept})
    raw.update(truncation=None, padding=None, post_processor=None, added_tokens=kept)
    return json.dumps(raw, ensure_ascii=False)


def is_control(token: dict[str, Any]) -> bool:
    """Whether an entry of `added_tokens` is a control token, not a piece of text kept whole (such as a run of spaces).

    Some families do not mark all control tokens as special (Qwen's sentinels); those are told by their brackets.
    """
    return bool(token["special"]) or bool(_MARKED.match(token["content"]))
