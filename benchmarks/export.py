"""How near each exported format comes to the model, what it weighs, and how long it takes to write and to open.

    python benchmarks/export.py [--size small|full] [--model BASE] [--formats NAMES] [--peer FILE] [--threads N]

Every format is written from the same merged folder and read back by its engine, as the stage `export` does; the
reference is transformers in float32. `ours` is how much the perplexity of the fixed text changes, in percent of the
model's own, whichever way; it is `met` within the limit that the stage has for so many bits, two standard errors taken
off. The peer is a GGUF file that somebody published of the same model (`--peer`), opened by the same llama.cpp and
asked the same; without one the peer is the model itself. `small` takes two formats, `full` all. BASE is what
`train.base` may be: `smollm2-135m`, a model folder. A peer that the model was itself read from says nothing of
weights: its change is the engine's rounding.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _stages import after_split

from buril.code.codefile import CodeFile
from buril.core.plugins import PluginKind
from buril.export.exporters._exporter import Generated, Source
from buril.export.merge import folders, write_config, write_whole
from buril.export.parity import Answers, Limits, Questions, answers, compare, reference
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base

SIZES = {
    "small": "safetensors,gguf:q8_0",
    "full": "safetensors,gguf:f16,gguf:q8_0,gguf:q4_1,gguf:q4_0,onnx:fp32,onnx:int8,onnx:int4,openvino:fp16,"
    "openvino:int8",
}
TOKENS = 32

Known = tuple[Questions, Answers]


def exporter(text: str) -> Any:
    """`gguf:q8_0` → the exporter."""
    name, _colon, weights = text.partition(":")
    return PluginKind("exporter").parse([{name: weights} if weights else name])[0].make()


def measure(made: Any, source: Source, folder: Path, known: Known) -> dict[str, Any]:
    """Write, open, compare."""
    folder.mkdir()
    clock = time.monotonic()
    made.write(source, folder)
    written = time.monotonic()
    reader = made.open(source, folder)
    opened = time.monotonic()
    found = compare(*known, answers(reader, known[0], TOKENS))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "format": made.name(), "bits": made.bits(source), "mb": round(size / 1e6, 1),
        "write_s": round(written - clock, 1), "open_s": round(opened - written, 1),
        "compare_s": round(time.monotonic() - opened, 1), **found,
    }  # fmt: skip


def published(path: Path, source: Source, known: Known) -> dict[str, Any]:
    """The same of a file of others."""
    from buril.generators.llamacpp import Llamacpp

    generator = Llamacpp(Llamacpp.Settings(path=path, heal=False, threads=source.threads, batch_size=8))
    clock = time.monotonic()
    generator.open(source.config, source.config)
    opened = time.monotonic()
    found = compare(*known, answers(Generated(generator), known[0], TOKENS))
    return {"format": path.name, "mb": round(path.stat().st_size / 1e6, 1), "open_s": round(opened - clock, 1), **found}


def row(found: dict[str, Any], peer: dict[str, Any] | None) -> dict[str, Any]:
    """A line of the results."""
    from all import machine

    limit = Limits().of(found["bits"])
    ours, theirs = (100 * abs(item["perplexity_change"]) if item else 0.0 for item in (found, peer))
    beside = (
        {"peer_mb": peer["mb"], "peer_tokens": peer["tokens"], "peer_mean_logprob": peer["mean_logprob"]}
        if peer
        else {}
    )
    return {
        "name": f"export: {found['format']}", "ours": ours, "peer": theirs,
        "peer_name": peer["format"] if peer else "transformers, float32", "unit": "% change of perplexity",
        "ratio": round(theirs / ours, 2) if ours else 0.0, "target": 100 * limit.perplexity,
        "met": ours - 200 * found["perplexity_error"] <= 100 * limit.perplexity, **found, **beside,
        "machine": machine(),
    }  # fmt: skip


def measured(told: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """All formats, and the peer."""
    rows = [
        CodeFile("buril", path.name, path.read_text("utf-8")) for path in sorted(Path(__file__).parent.glob("*.py"))
    ]
    stages = (Base(Base.Settings(base=told.model)), Tokenizer(Tokenizer.Settings(fim=False)))
    made = after_split(folder, stages, train=rows[:2], valid=rows[2:3])
    model = folders(made["base"], made["tokenizer"], None)
    known = reference(model, folder / "reference.json", TOKENS)
    whole, config = folder / "bundle/whole", folder / "bundle/config"
    whole.mkdir(parents=True)
    exact = write_whole(whole, model)
    write_config(config, whole, {})
    shutil.copyfile(made["tokenizer"].path("fim.json"), folder / "bundle/fim.json")
    source = Source(whole, config, None, exact, told.threads)
    peer = published(told.peer, source, known) if told.peer else None
    found_rows = []
    for text in (told.formats or SIZES[told.size]).split(","):
        try:
            found = measure(exporter(text), source, folder / "bundle/format", known)
        finally:
            shutil.rmtree(folder / "bundle/format", ignore_errors=True)
        found_rows.append(row(found, peer))
        print(json.dumps(found), file=sys.stderr, flush=True)
    if peer:
        print(json.dumps(peer), file=sys.stderr)
    return found_rows


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--formats", help="such as gguf:q8_0,onnx:int4")
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measured(told, Path(name))))


if __name__ == "__main__":
    main()
