"""The tokenizer of a GGUF file as tokenizer.json: vocabulary, merges, control tokens at their ids, chat template.

A GGUF file names its pre-tokenizer (`tokenizer.ggml.pre`) without holding it. Those known (`_gguf_format.py`) are
written from the tokenizers that the models were published with; another name is refused, as a near guess gives other
tokens than the model was trained on.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._gguf_format import BYTE_LEVEL, CONTROL, NFC, PRE_TOKENIZERS, UNUSED, USER, WHOLE_WORDS
from buril.generators._sentinels import END_OF_TEXT, FAMILIES, PAD

if TYPE_CHECKING:
    from buril.train.bases._gguf import Gguf


def tokenizer_json(file: Gguf) -> str:
    """The text of `tokenizer.json`.

    Raises:
        BurilError: T007 for an unknown pre-tokenizer.
    """
    pre = str(file.get("tokenizer.ggml.pre", "gpt-2"))
    if pre not in PRE_TOKENIZERS:
        problem = _("its pre-tokenizer `{name}` is not known (known: {known})").format(
            name=pre, known=", ".join(PRE_TOKENIZERS)
        )
        raise BurilError("T007", path=file.path, problem=problem)
    tokens, types = file.need("tokenizer.ggml.tokens"), file.need("tokenizer.ggml.token_type")
    raw = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            entry(token, content, special=_is_special(content, types[token]))
            for token, content in _added(tokens, types)
        ],
        "normalizer": {"type": "NFC"} if pre in NFC else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": PRE_TOKENIZERS[pre]},
        "post_processor": _post_processor(file, tokens),
        "decoder": BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre in WHOLE_WORDS,
            "vocab": {content: token for token, content in enumerate(tokens) if types[token] != UNUSED},
            "merges": [merge.split(" ", 1) for merge in file.need("tokenizer.ggml.merges")],
        },
    }
    return json.dumps(raw, indent=1, ensure_ascii=False) + "\n"


def entry(token: int, content: str, *, special: bool) -> dict[str, Any]:
    """One of `added_tokens`."""
    return {
        "id": token,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def _added(tokens: list[str], types: list[int]) -> list[tuple[int, str]]:
    return [(token, content) for token, content in enumerate(tokens) if types[token] in (CONTROL, USER)]


def _is_special(content: str, kind: int) -> bool:
    """Whether a decoder leaves the token out: not those that a program wants to see (sentinels, tool calls)."""
    sentinels = {name for family in FAMILIES[:1] for name in (family.prefix, family.suffix, family.middle)}
    seen = sentinels | set(PAD[:1]) | {"<|repo_name|>", "<|file_sep|>", "<tool_call>", "</tool_call>"}
    return kind == CONTROL and content not in seen


def _post_processor(file: Gguf, tokens: list[str]) -> dict[str, Any]:
    """Offsets only, or a beginning-of-text token in front where the model was trained with one."""
    plain = {**BYTE_LEVEL, "trim_offsets": False}
    bos = file.get("tokenizer.ggml.bos_token_id")
    if bos is None or not file.get("tokenizer.ggml.add_bos_token", str(file.get("tokenizer.ggml.pre")) in WHOLE_WORDS):
        return plain
    first = {"SpecialToken": {"id": tokens[bos], "type_id": 0}}
    text, pair = ({"Sequence": {"id": name, "type_id": number}} for number, name in enumerate("AB"))
    template = {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text, {"SpecialToken": {"id": tokens[bos], "type_id": 1}}, pair],
        "special_tokens": {tokens[bos]: {"id": tokens[bos], "ids": [bos], "tokens": [tokens[bos]]}},
    }
    return {"type": "Sequence", "processors": [plain, template]}


def end_ids(file: Gguf) -> list[int]:
    """Tokens that end what the model writes: its own end of a turn, and the end of a document."""
    tokens, types = file.need("tokenizer.ggml.tokens"), file.need("tokenizer.ggml.token_type")
    named = [file.get("tokenizer.ggml.eos_token_id"), file.get("tokenizer.ggml.eot_token_id")]
    documents = [token for token, content in _added(tokens, types) if content in END_OF_TEXT]
    return list(dict.fromkeys(int(token) for token in (*named, *documents) if token is not None))


def tokenizer_config(file: Gguf) -> str:
    """The text of `tokenizer_config.json`; the chat template stands in it word for word."""
    tokens = file.need("tokenizer.ggml.tokens")
    ids = {
        "bos_token": file.get("tokenizer.ggml.bos_token_id"),
        "eos_token": file.get("tokenizer.ggml.eos_token_id"),
        "unk_token": file.get("tokenizer.ggml.unknown_token_id"),
        "pad_token": file.get("tokenizer.ggml.padding_token_id"),
    }
    found: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": int(file.shaped("context_length")),
        "clean_up_tokenization_spaces": False,
        **{name: tokens[token] for name, token in ids.items() if token is not None},
    }
    template = file.get("tokenizer.chat_template")
    if template is not None:
        found["chat_template"] = template
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
