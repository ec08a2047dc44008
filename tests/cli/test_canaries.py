"""Canaries: what a model really knows by heart is traced to the file it was learnt from, by the commands people use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_complete import records
from tests.serve.provenance.canaries import CANARIES, prompt_of, train

from buril.core.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a model that was trained on 20 functions until it knows them."""
    for package in ("torch", "transformers", "tokenizers"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    root = tmp_path_factory.mktemp("canaries") / ".buril"
    train(root)
    return root


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Store:
    """The store in the test's folder."""
    shutil.copytree(trained, tmp_path / ".buril")
    return Store(tmp_path / ".buril")


def test_nineteen_of_twenty_are_traced_to_their_files(store: Store) -> None:
    from buril.cli import in_use, tracing
    from buril.generators._generator import Request

    model = in_use.model_in_use(store, None)
    looked = tracing.index_of_model(store, model.tuned, wanted=True)
    assert looked is not None
    generator = in_use.open_model(model)
    asked = [Request(prompt_of(canary), None, max_tokens=200, temperature=0.0) for canary in CANARIES]
    traced = 0
    for canary, written in zip(CANARIES, generator.complete(asked), strict=True):
        found = looked.reader.look_up(written[0].text, "python", before=prompt_of(canary))
        traced += bool(found.matches) and found.matches[0].row_id == canary.row_id
    assert traced >= 19


def test_a_completion_keeps_its_matches_and_trace_shows_them(call: Callable[..., Any], store: Store) -> None:
    answer = call("complete", "--prompt", prompt_of(CANARIES[4]), "--max-tokens", "200")
    assert answer.code == 0, answer.err
    (record,) = records(store)
    kept, place = record["provenance"], "canary/4@000000000000/src/m4.py:2–"
    assert kept["index"]["stage"] == "index" and kept["matches"][0]["row_id"] == CANARIES[4].row_id
    assert "verbatim" in answer.err and place in answer.err
    written = [line.strip() for line in CANARIES[4].content.splitlines()[1:]]
    assert not any(line in json.dumps(record) for line in written)
    shown = call("trace", record["id"])
    assert f"in {place}" in shown.out and "split@" in shown.out and "learnt from 20 files" in shown.out
    assert call("trace", record["id"], "--json").json["completion"]["provenance"] == kept


def test_the_guard_stops_a_copy_of_a_licence_that_is_not_allowed(call: Callable[..., Any], store: Store) -> None:
    folder = store.chain()["index"].folder
    told = f"[{{license: {{index: {folder}, licenses: [mit], verbatim_tokens: 20, action: block}}}}]"
    long = ("--max-tokens", "200", "--guards", told)
    answer = call("complete", "--prompt", prompt_of(CANARIES[5]), *long)
    assert answer.code == 3 and "error[W242]" in answer.err and "src/m5.py" in answer.err and answer.out == ""
    assert call("complete", "--prompt", prompt_of(CANARIES[4]), *long).code == 0
    cited = call("complete", "--prompt", prompt_of(CANARIES[5]), *long[:3], told.replace("block", "cite"))
    assert cited.code == 0 and "license: warns:" in cited.err
