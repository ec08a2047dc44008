"""Pairs: an instruction with its response as one text, as the stages that make training texts write it."""

from __future__ import annotations

INSTRUCTION, RESPONSE = "### Instruction\n", "### Response\n"
"""What opens the two halves of a pair. They are plain text: no tokenizer reads a control token out of them."""


def pair(instruction: str, response: str) -> str | None:
    """The text of an instruction with its response; None where one of them spells what opens a half."""
    if any(mark.strip() in text for mark in (INSTRUCTION, RESPONSE) for text in (instruction, response)):
        return None
    return f"{INSTRUCTION}{instruction.rstrip()}\n{RESPONSE}{response.rstrip()}\n"


def unpair(text: str) -> tuple[str, str] | None:
    """The instruction and the response of a text that `pair` made; None for any other.

    Example:
        `unpair(pair("Add.", "a + b"))` → `("Add.", "a + b")`.
    """
    instruction, found, response = text.removeprefix(INSTRUCTION).partition("\n" + RESPONSE)
    if not found or not text.startswith(INSTRUCTION) or pair(instruction, response) != text:
        return None
    return instruction, response.rstrip()
