"""A tokenizer as fields of a GGUF file: tokens and their types, merges, the name of its pre-tokenizer, a chat template.

The format names pre-tokenizers without holding them, so a tokenizer that cuts text in a way without a name has no place
in a file. Text that is not in composed form is another matter: no field says that a tokenizer composes it first (as
Qwen's does), and other programs than buril may leave that out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.text import _
from buril.generators._encoder import is_control, read_tokenizer
from buril.generators._gguf_format import CONTROL, NFC, NORMAL, PRE_TOKENIZERS, UNUSED, USER, WHOLE_WORDS

if TYPE_CHECKING:
    from buril.generators._load import Loaded


class NoPlace(Exception):
    """Why a tokenizer can't be said in GGUF."""


@dataclass(frozen=True)
class Vocabulary:
    """What a file says of its tokens; `types` are numbers of the format."""

    tokens: list[str]
    types: list[int]
    merges: list[str]
    pre: str


def vocabulary(folder: Path, rows: int) -> Vocabulary:
    """The tokens of a tokenizer's folder, filled up to the rows of the embedding.

    Raises:
        NoPlace: when it is no byte-level BPE, or one whose pre-tokenizer has no name.
    """
    raw = json.loads(read_tokenizer(folder))
    pre = pre_tokenizer(raw)
    tokens = [f"[PAD{number}]" for number in range(rows)]
    types = [UNUSED] * rows
    for content, number in raw["model"]["vocab"].items():
        tokens[number], types[number] = content, NORMAL
    for token in raw.get("added_tokens") or []:
        tokens[token["id"]] = token["content"]
        types[token["id"]] = CONTROL if is_control(token) else USER
    pairs = (merge if isinstance(merge, str) else " ".join(merge) for merge in raw["model"]["merges"])
    return Vocabulary(tokens, types, list(pairs), pre)


def pre_tokenizer(raw: dict[str, Any]) -> str:
    """The format's name for how a `tokenizer.json` cuts text.

    Raises:
        NoPlace: when it has none.
    """
    model = raw["model"]
    kind, decoder = model.get("type"), (raw.get("decoder") or {}).get("type")
    if kind != "BPE" or decoder != "ByteLevel" or model.get("byte_fallback"):
        raise NoPlace(_("its tokenizer is of the kind `{name}`, not byte-level BPE").format(name=f"{kind} {decoder}"))
    steps = raw.get("pre_tokenizer") or {}
    if not model["merges"]:
        raise NoPlace(_("its tokenizer merges nothing"))
    told = _plain(steps.get("pretokenizers") or [steps])
    composed = raw.get("normalizer")
    if composed not in (None, {"type": "NFC"}):
        raise NoPlace(_("its tokenizer changes text first (`{name}`)").format(name=composed.get("type")))
    for name, known in PRE_TOKENIZERS.items():
        traits = (name in NFC, name in WHOLE_WORDS)
        if told == _plain(known) and traits == (composed is not None, bool(model.get("ignore_merges"))):
            return name
    raise NoPlace(_("GGUF has no name for the way in which its tokenizer cuts text"))


def _plain(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Steps without what changes offsets only."""
    return [{name: value for name, value in step.items() if name != "trim_offsets"} for step in steps]


def special_ids(loaded: Loaded) -> dict[str, int]:
    """Ids of the tokens that the format knows by what they do, by the names of their fields."""
    fim, model = loaded.fim, loaded.model
    ends = model.generation_config.eos_token_id if model.generation_config else None
    listed = [end for end in (ends if isinstance(ends, list) else [ends]) if end is not None] or [fim["eos"]]
    named = {
        "bos": model.config.bos_token_id if fim["bos"] is None else fim["bos"],
        "eos": listed[0],
        "eot": listed[1] if len(listed) > 1 else None,
        "padding": model.config.pad_token_id if fim["pad"] is None else fim["pad"],
        "fim_pre": fim["prefix"],
        "fim_suf": fim["suffix"],
        "fim_mid": fim["middle"],
    }
    return {f"tokenizer.ggml.{name}_token_id": int(token) for name, token in named.items() if token is not None}


def chat_template(folder: Path) -> str | None:
    """The chat template of a tokenizer's folder, where it has one."""
    apart, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if apart.is_file():
        return apart.read_text(encoding="utf-8")
    found = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.is_file() else None
    if isinstance(found, list):  # several by name, as some models have for tools
        found = next((item["template"] for item in found if item.get("name") == "default"), None)
    return found if isinstance(found, str) else None
