"""What GGUF calls things: its names of weights, token types and pre-tokenizers. The reader and the writer share it.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

from typing import Any

BLOCK = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Parts of a layer: GGUF's name, and Hugging Face's."""
WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
"""What stands once in a model."""
_OF_BLOCK = {theirs: ours for ours, theirs in BLOCK.items()}
_OF_WHOLE = {theirs: ours for ours, theirs in WHOLE.items()}

NORMAL, CONTROL, USER, UNUSED, BYTE = 1, 3, 4, 5, 6
"""Token types of the format; unused ids are rows that fill the embedding up."""

_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def _split(pattern: str) -> list[dict[str, Any]]:
    return [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}, BYTE_LEVEL]


_GPT2 = [{**BYTE_LEVEL, "use_regex": True}]
_DIGITS = [{"type": "Digits", "individual_digits": True}, *_GPT2]
_QWEN2 = _split(f"{_CONTRACTIONS}|{_WORDS}|\\p{{N}}|{_REST}")
_LLAMA3 = _split(f"{_CONTRACTIONS}|{_WORDS}|\\p{{N}}{{1,3}}|{_REST}")
PRE_TOKENIZERS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": _GPT2,
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "refact": _DIGITS,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
}
"""How text is cut before it is merged, by the names that the format has for it. Of several the first is written."""
NFC = {"qwen2", "deepseek-r1-qwen"}
"""Those that bring text to the composed form first."""
WHOLE_WORDS = {"llama-bpe", "llama3", "llama-v3"}
"""Those that take a word which is in the vocabulary as it is, whatever the merges would make of it."""


def place_of(name: str) -> str | None:
    """The Hugging Face name of a tensor, or None for one that has no place.

    Example:
        `place_of("blk.3.ffn_up.weight")` → `model.layers.3.mlp.up_proj.weight`.
    """
    if name in WHOLE:
        return WHOLE[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in BLOCK and parts[3] in ("weight", "bias"):
        return f"model.layers.{parts[1]}.{BLOCK[parts[2]]}.{parts[3]}"
    return None


def name_of(place: str) -> str | None:
    """The GGUF name of a tensor of Hugging Face, or None for one that has none: `place_of` the other way."""
    if place in _OF_WHOLE:
        return _OF_WHOLE[place]
    parts = place.split(".")
    part = ".".join(parts[3:-1])
    if parts[:2] == ["model", "layers"] and part in _OF_BLOCK and parts[-1] in ("weight", "bias"):
        return f"blk.{parts[2]}.{_OF_BLOCK[part]}.{parts[-1]}"
    return None
