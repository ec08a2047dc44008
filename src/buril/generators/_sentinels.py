"""Fill-in-the-middle sentinels and structural tokens of the known model families, as data.

A model that was trained to fill in the middle has three tokens for it; each family spells them its own way. What is
said here is read from the published vocabularies; a new family is one more line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Family(NamedTuple):
    """One spelling: the tokens before the prefix, before the suffix and before the middle that is to be written."""

    name: str
    prefix: str
    suffix: str
    middle: str
    end: str = ""
    """The token that ends the middle where that is not the model's own end of text."""


OWN = Family("buril", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
"""What is added to a vocabulary that has none, and what a vocabulary trained here has."""

FAMILIES = (
    Family("qwen2.5-coder, codegemma", OWN.prefix, OWN.suffix, OWN.middle),
    Family("starcoder, starcoder2, granite", "<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    Family("santacoder", "<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    Family("deepseek-coder", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    Family("codellama", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"),
    Family("seed-coder", "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"),
)

END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "</s>", "<eos>")
"""Tokens that end a document in pre-training, which is not always what ends a turn of a chat (`<|im_end|>`)."""

PAD = ("<|fim_pad|>", "<fim_pad>", "<fim-pad>")
"""Tokens that fill up a fill-in-the-middle example, never part of a text."""

STRUCTURE = (
    "<|repo_name|>",
    "<|file_sep|>",
    "<repo_name>",
    "<reponame>",
    "<file_sep>",
    "<filename>",
    "<gh_stars>",
    "<issue_start>",
    "<jupyter_start>",
    "<|file_separator|>",
    "<empty_output>",
)
"""Tokens that begin another file or record: where a model writes one, the file it was asked for has ended."""


def family_of(vocabulary: Mapping[str, int]) -> Family | None:
    """The family whose three sentinels are all in a vocabulary (token → id), or None."""
    return next((item for item in FAMILIES if {item.prefix, item.suffix, item.middle} <= vocabulary.keys()), None)
