from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buril.code.codefile import CodeFile, write_rows
from buril.core import plugins
from buril.core.artifact import Artifact
from buril.evaluate.suite import SuiteContext
from buril.sandboxes.namespaces import Namespaces
from tests.conftest import as_artifact

PYTHON = '''"""Module {n}."""

import math


def area_{n}(radius, scale={n}):
    """The area of a circle, scaled."""
    value = math.pi * radius ** 2
    return value * scale


class Thing:
    def double(self, amount):
        total = amount + amount
        return total + {n}
'''
SCRIPT = "function add{n}(a, b) {{\n  const total = a + b + {n};\n  return total;\n}}\n"


@pytest.fixture
def canned() -> Iterator[str]:
    """The generator of `canned.py`, offered as a third party would: by an entry point."""
    folder = str(Path(__file__).parent / "plugins")
    sys.path.insert(0, folder)
    plugins.names.cache_clear()
    plugins.plugin.cache_clear()
    yield "canned"
    sys.path.remove(folder)
    plugins.names.cache_clear()
    plugins.plugin.cache_clear()


@pytest.fixture
def inputs(tmp_path: Path) -> Callable[[], dict[str, Artifact]]:
    """Artifacts of base, tokenizer, train and split, small and without weights."""

    def make() -> dict[str, Artifact]:
        for name, files in {
            "base": {"model/config.json": "{}", "base.json": json.dumps({"name": "tiny"})},
            "tokenizer": {"tokenizer/tokenizer.json": "{}"},
            "train": {"adapter/adapter_config.json": "{}", "train.json": "{}"},
        }.items():
            for path, text in files.items():
                (tmp_path / "in" / name / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "in" / name / path).write_text(text)
        rows = [CodeFile("acme/a", f"m{n}.py", PYTHON.format(n=n), language="python", license="MIT") for n in range(6)]
        rows += [
            CodeFile("acme/b", f"s{n}.js", SCRIPT.format(n=n), language="javascript", license="MIT") for n in range(3)
        ]
        write_rows(tmp_path / "in" / "split" / "test" / "00000.parquet", rows)
        return {name: as_artifact(tmp_path / "in" / name, name) for name in ("base", "tokenizer", "train", "split")}

    return make


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Namespaces]:
    """A sandbox that the tests of a file share."""
    with Namespaces(Namespaces.Settings()) as made:
        yield made


@pytest.fixture
def told(sandbox: Namespaces, inputs: Callable[[], dict[str, Artifact]]) -> Callable[..., SuiteContext]:
    """Makes the context of a suite: of a generator, with other bounds."""
    split = inputs()["split"]
    return lambda writer=None, **more: SuiteContext(writer, split, lambda: sandbox, **more)
