"""Writes the table of what a 7B model takes on A100s into the guides, by the counts that `buril plan` makes.

    python scripts/recipes.py [--check]

The sizes are those that Qwen2.5-Coder-7B's `config.json` tells. The speed and the price of a GPU stand here, for the
reader to put their own in.
"""

from __future__ import annotations

import sys
from pathlib import Path

from buril.train.memory import NF4_BYTES, Load, Method, Model, operations
from buril.train.parallel.cost import each, gain, num_processes
from buril.train.parallel.settings import Parallel

GUIDES = Path(__file__).resolve().parent.parent / "docs/guides"
HEADS = {
    "parallel-training.md": (
        "One pass over a billion tokens in sequences of 2,048; a GPU reaches 125·10¹² operations a second, draws 400 W "
        "and costs 2 USD an hour.",
        ("method", "GPUs", "`parallel`", "memory of each", "tokens/s", "hours", "USD", "kWh"),
    ),
    "entrenar-en-paralelo.md": (
        "Una pasada por mil millones de tokens en secuencias de 2048; una GPU alcanza 125·10¹² operaciones por "
        "segundo, gasta 400 W y cuesta 2 USD por hora.",
        ("método", "GPU", "`parallel`", "memoria de cada una", "tokens/s", "horas", "USD", "kWh"),
    ),
}
MODEL = Model(152_064, 3584, 28, 28, 4, 128, 18_944, tied=False, biases=True, file_bytes=2)
TOKENS, LENGTH, OPERATIONS_PER_S, WATTS, USD_PER_HOUR = 1e9, 2048, 125e12, 400, 2.0
QLORA, LORA, FULL = Method(whole=False, four_bit=NF4_BYTES), Method(whole=False), Method(whole=True)
ROWS = (
    ("qlora", QLORA, Parallel()),
    ("lora", LORA, Parallel()),
    ("lora", LORA, Parallel(processes=8)),
    ("full", FULL, Parallel(processes=8, shard="weights")),
    ("full", FULL, Parallel(processes=8, shard="weights", tensor=2)),
    ("full", FULL, Parallel(processes=8, machines=2, shard="weights")),
)


def lines() -> list[str]:
    """The rows of the table."""
    found = []
    for name, method, told in ROWS:
        load = Load(2 * LENGTH, LENGTH, bf16=True, gpu=True)
        memory = each(MODEL, method, load, told).total / 1e9
        speed = OPERATIONS_PER_S * gain(told, gpu=True) / operations(MODEL, method, load)
        hours, gpus = TOKENS / speed / 3600, num_processes(told)
        shown = ", ".join(f"{key}: {value}" for key, value in told.model_dump(exclude_defaults=True).items()) or "1"
        usd, kwh = hours * gpus * USD_PER_HOUR, hours * gpus * WATTS / 1000
        numbers = (f"{memory:.0f} GB", f"{speed:,.0f}", f"{hours:,.0f}", f"{usd:,.0f}", f"{kwh:,.0f}")
        cells = (name, gpus, f"`{{{shown}}}`" if ":" in shown else "", *numbers)
        found.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return found


def table(guide: str) -> str:
    """The part of a guide between its marks."""
    said, names = HEADS[guide]
    head = ["| " + " | ".join(names) + " |", "|---|" + "---:|" + "---|" + "---:|" * 5]
    return "\n".join(["<!-- recipes: scripts/recipes.py -->", said, "", *head, *lines(), "<!-- /recipes -->"])


def main() -> int:
    """Write, or say what is not as it would be written."""
    stale = []
    for guide in HEADS:
        path = GUIDES / guide
        text = path.read_text(encoding="utf-8")
        before, _begin, rest = text.partition("<!-- recipes")
        wanted = before + table(guide) + rest.partition("/recipes -->")[2]
        if wanted != text:
            stale.append(guide)
            if "--check" not in sys.argv:
                path.write_text(wanted, encoding="utf-8")
    print("stale: " + ", ".join(stale) if stale else "as counted")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
