"""Jobs as JSON: what goes in comes out, and nothing that is not buril's is made or called."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buril.code.minhash import Texts
from buril.core.plugins import Ref, settings_of
from buril.data._pass import Done
from buril.data._plan import Planned
from buril.data._shards import sketch_shard
from buril.data.source import Repository, SourceFile
from buril.engines._plain import dumps, loads

VALUES: list[Any] = [
    None, True, 3, 2.5, "x", "a\udcffb", b"\x00\xff", Path("a/b"), [1, [2]], (1, (2, "x")), {("r", b"k"): 1, 3: None},
    frozenset({"b", "a"}), {1, 2}, Done("00001.parquet", 3, 1.5, 0.25), Planned(3, SourceFile("a.py", 3, "MIT", "ab")),
    Ref(kind="step", name="syntax", settings=settings_of("step", "syntax")()), sketch_shard,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_come_back(value: Any) -> None:
    line = dumps(value)
    assert "\n" not in line
    found = loads(line)
    assert found == value
    assert type(found) is type(value)
    assert dumps(found) == line


def test_arrays_dataclasses_and_partials_come_back() -> None:
    texts = Texts(np.arange(5, dtype=np.uint8), np.arange(5, dtype=np.int64)[::-1])
    again = loads(dumps(texts))
    assert (again.data.dtype, again.offsets.dtype) == (np.uint8, np.int64)
    assert again.offsets.tolist() == [4, 3, 2, 1, 0]
    repository = Repository("r", "u", "c", Path("/x"), "MIT", "git")
    assert loads(dumps({1: repository})) == {1: repository}
    again = loads(dumps(partial(sketch_shard, 1, two=frozenset({2}))))
    assert (again.func, again.args, again.keywords) == (sketch_shard, (1,), {"two": frozenset({2})})


def test_equal_sets_have_one_line() -> None:
    words = [f"w{number}" for number in range(50)]
    assert dumps(frozenset(words)) == dumps(frozenset(reversed(words)))


@pytest.mark.parametrize("value", [object(), lambda: 1, print, Path.exists, 1j, np.array([object()], dtype=object)])
def test_what_has_no_plain_form_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        dumps(value)


@pytest.mark.parametrize(
    "line",
    [
        '{"function":"os:system"}',
        '{"named":["subprocess:Popen",["true"]]}',
        '{"record":"pathlib:Path","of":{}}',
        '{"named":["buril.core.store:Store",[{"path":"x"}]]}',
        '{"function":"buril.data.prepare:Prepare"}',
        '{"function":"buril.engines.array:os.system"}',
        '{"unknown":1}',
    ],
)
def test_a_line_makes_and_calls_nothing_but_jobs(line: str) -> None:
    with pytest.raises((TypeError, ValueError, LookupError)):
        loads(line)
