"""`buril provenance`, and what `complete` keeps and `trace` shows of where a completion is from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_complete import made, records, stages, store
from tests.serve.provenance.small import build, file, function, split_of

from buril.cli import tracing
from buril.core import plan
from buril.core.errors import BurilError
from buril.core.store import Store
from buril.serve.provenance.stage import Index

__all__ = ["made", "store"]  # fixtures
GPL, MIT = function(1, statements=20), function(2, statements=20)
SHORT = ("--max-tokens", "3")


@pytest.fixture
def index(tmp_path: Path) -> str:
    files = [file(1, GPL, license="GPL-3.0-only"), file(2, MIT), *(file(at, function(at)) for at in range(3, 9))]
    build(tmp_path / "index", {"split": split_of(tmp_path / "split", files)})
    return "index"


# --- buril provenance


def test_a_file_is_traced_to_where_it_was_learnt(call: Callable[..., Any], index: str, tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("import os\n\n" + MIT.replace("    ", "\t") + "# end\n")
    answer = call("provenance", "new.py", "--index", index)
    assert answer.code == 0, answer.err
    assert "verbatim in acme/r2@000000000000/src/m2.py:1–" in answer.out and "(MIT)" in answer.out
    assert "tokens stand verbatim in the training set" in answer.err and "next: buril why " in answer.err
    found = call("provenance", "new.py", "--index", index, "--json").json
    assert found["matches"][0]["path"] == "src/m2.py" and found["policy"] is None and found["covered"] > 0.9


def test_the_standard_input_and_a_text_from_nowhere(call: Callable[..., Any], index: str) -> None:
    assert "src/m2.py" in call("provenance", "-", "--index", index, stdin=MIT).out
    answer = call("provenance", "-", "--index", index, stdin=function(77))
    assert answer.code == 0 and answer.out == "" and "0 matches" in answer.err


def test_a_policy_blocks_with_exit_code_3(call: Callable[..., Any], index: str) -> None:
    answer = call("provenance", "-", "--index", index, "--licenses", "mit", stdin=GPL)
    assert answer.code == 3 and "error[V204]" in answer.err and "src/m1.py:1–" in answer.err
    assert call("provenance", "-", "--index", index, "--licenses", "mit", stdin=MIT).code == 0
    assert call("provenance", "-", "--index", index, "--licenses", "mit, gpl-3.0-only", stdin=GPL).code == 0
    long = ("--verbatim-tokens", "5000")
    assert call("provenance", "-", "--index", index, "--licenses", "mit", *long, stdin=GPL).code == 0
    judged = call("provenance", "-", "--index", index, "--licenses", "mit", "--json", stdin=GPL)
    assert judged.code == 3 and judged.json["policy"]["action"] == "block"
    assert judged.json["policy"]["citations"][0].startswith("acme/r1@")


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("nowhere.py", "--index", "index"), "V205", 2),
        (("-", "--index", "index", "--licenses", "no such"), "V206", 2),
        (("-", "--index", "."), "V201", 4),
        (("-",), "S010", 4),
    ],
)
def test_mistakes_are_told(
    call: Callable[..., Any], index: str, words: tuple[str, ...], code: str, exit_code: int
) -> None:
    answer = call("provenance", *words)
    assert f"error[{code}]" in answer.err and answer.code in (exit_code, 2)


def test_a_store_without_an_index_says_so(call: Callable[..., Any], store: Store) -> None:
    answer = call("provenance", "-", stdin="x = 1\n")
    assert answer.code == 4 and "error[V200]" in answer.err


# --- complete and trace


def with_index(store: Store, **told: Any) -> None:
    plan.run([*stages(fim_rate=0.5), Index(Index.Settings(**told))], store, name="acme")


def test_what_is_from_nowhere_is_told_as_well(call: Callable[..., Any], store: Store) -> None:
    with_index(store)
    answer = call("complete", "--prompt", "y = 1\n", *SHORT)
    (record,) = records(store)
    assert record["provenance"]["matches"] == []
    assert "provenance: no part of it is told from what the model has learnt" in answer.err
    assert "no training file was found for it" in call("trace", record["id"]).out


def test_provenance_can_be_left_out_or_asked_for(call: Callable[..., Any], store: Store) -> None:
    assert call("complete", "--prompt", "y = 1\n", *SHORT).code == 0
    answer = call("complete", "--prompt", "y = 1\n", *SHORT, "--provenance")
    assert answer.code == 4 and "error[V200]" in answer.err
    with_index(store)
    assert call("complete", "--prompt", "y = 1\n", *SHORT, "--no-provenance").code == 0
    (record,) = records(store)
    assert "provenance" not in record
    assert "its record holds no matches" in call("trace", record["id"]).out
    before = record["id"]
    assert call("complete", "--prompt", "y = 1\n", *SHORT).code == 0
    (record,) = records(store)
    assert record["id"] == before and "provenance" in record


def test_only_an_index_of_this_model_is_asked(store: Store, tmp_path: Path) -> None:
    with_index(store)
    chain = store.chain()
    found = tracing.index_of_model(store, chain["train"], wanted=None)
    assert found is not None and found.artifact.key == chain["index"].key
    assert tracing.index_of_model(store, None, wanted=None) is None
    other = Store(tmp_path / "other")
    split, *_rest = stages(fim_rate=0.5)
    plan.run([split], other, name="acme")
    assert tracing.index_of_model(other, chain["train"], wanted=None) is None
    with pytest.raises(BurilError, match="V200"):
        tracing.index_of_model(other, chain["train"], wanted=True)
