"""What belongs to a Python function that a model completed."""

from __future__ import annotations

from buril.generators._generator import Completion

STOPS = (
    "\ndef ",
    "\nclass ",
    "\nif ",
    "\nprint",
    "\nassert ",
    "\n@",
    "\n#",
    "\nfor ",
    "\nwhile ",
    "\n```",
    "\nimport ",
    "\nfrom ",
)
"""A line that starts with one of these is no longer the body. A line break must come before it."""


def body_of(completion: Completion) -> str:
    """What belongs to the function: the lines up to the first that is neither blank nor indented."""
    lines = ("\n" + completion.text.lstrip("\r\n")).split("\n")
    kept = 1
    while kept < len(lines) and (not lines[kept].strip() or lines[kept][0] in " \t"):
        kept += 1
    return "\n".join(lines[:kept]).rstrip() + "\n"
