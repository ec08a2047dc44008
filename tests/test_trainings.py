"""The benchmarks that train: what they ask, how they judge, and over which units their intervals are."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from buril.code.parse import parse
from buril.code.structure import blocks
from buril.tokens import bpe

from .conftest import as_artifact

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def adapt() -> ModuleType:
    import adapt

    return adapt


@pytest.fixture
def fim() -> ModuleType:
    import fim

    return fim


def test_perplexity_is_over_tokens_and_its_interval_over_packages(adapt: ModuleType, tmp_path: Path) -> None:
    files = {"base": {"a": (8.0, 8.0), "b": (2.0,)}, "tuned": {"a": (4.0, 4.0), "b": (2.0,)}}
    (tmp_path / "samples").mkdir()
    for model, found in files.items():
        lines = [
            json.dumps(
                {"repo": repo, "perplexity": value, "tokens": 10, "bits_per_byte": math.log2(value), "bytes": 10}
            )
            for repo, values in found.items()
            for value in values
        ]
        (tmp_path / f"samples/perplexity.{model}.jsonl").write_text("\n".join(lines))
    told = adapt.by_package(as_artifact(tmp_path, "evaluate"), "perplexity")
    assert told["values"] == pytest.approx([128 ** (1 / 3), 32 ** (1 / 3)])
    assert told["units"] == "2 packages"
    # a resampling may hold the first package alone, or the second alone
    assert told["difference"] == pytest.approx((32 ** (1 / 3) - 128 ** (1 / 3), -4.0, 0.0))
    bits = adapt.by_package(as_artifact(tmp_path, "evaluate"), "bits_per_byte")
    assert bits["values"] == pytest.approx([7 / 3, 5 / 3])


def test_a_share_that_falls_surely_is_lost(adapt: ModuleType) -> None:
    def row(name: str, values: list[float], difference: tuple[float, float, float]) -> bool:
        (made,) = adapt.rows("m", {name: {"values": values, "difference": difference, "units": "9 tasks"}})
        assert json.loads(json.dumps(made))["name"] == f"adapt m: {name}"
        return bool(made["met"])

    assert row("humaneval", [0.5, 0.4], (-0.1, -0.3, 0.1))
    assert not row("humaneval", [0.5, 0.1], (-0.4, -0.5, -0.3))
    assert row("bits_per_byte", [0.9, 0.8], (-0.1, -0.2, -0.05))
    assert not row("bits_per_byte", [0.9, 0.89], (-0.01, -0.2, 0.05))
    assert row("perplexity", [5.0, 3.9], (-1.1, -1.2, -1.0))


def test_a_prompt_ends_where_a_token_of_the_text_ends() -> None:
    import scratch

    tokenizer = bpe.train([Path(argparse.__file__).read_text("utf-8")], 1000)
    for prompt in scratch.PROMPTS:
        ids = tokenizer.encode(prompt).ids
        assert tokenizer.encode(f"{prompt.rstrip()} name").ids[: len(ids)] == ids


@pytest.mark.parametrize("kind", ["lines", "nodes", "anywhere"])
def test_a_hole_and_its_sides_are_text_of_a_file(fim: ModuleType, kind: str) -> None:
    texts = [file.content for file in fim.rows("test", 3_000_000)]
    found = fim.holes(kind, 12)
    assert fim.holes(kind, 12) == found
    for hole in found:
        text = next(text for text in texts if hole.prefix + hole.middle + hole.suffix in text)
        assert 0 < len(hole.middle.encode()) <= fim.MIDDLE_BYTES
        if kind == "lines":
            assert hole.prefix.endswith("\n")
            assert hole.middle.count("\n") == 1
        if kind == "nodes":
            begin = text.encode().find((hole.prefix + hole.middle + hole.suffix).encode()) + len(hole.prefix.encode())
            assert (begin, begin + len(hole.middle.encode())) in blocks(parse("python", text.encode()))
