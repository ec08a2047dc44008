"""The page's table of an alignment: what the margins of the pairs say, by part and by weakness."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import as_artifact

from buril.core.artifact import Artifact
from buril.web.alignment import gather_alignment
from buril.web.report import gather, render


@pytest.fixture
def align(tmp_path: Path) -> Artifact:
    folder = tmp_path / "align"
    folder.mkdir()
    told = {"objective": "dpo", "method": "lora", "steps": 12, "form": "mixed"}
    (folder / "align.json").write_text(json.dumps(told))
    rows = [
        {"part": part, "cwe": cwe, "before": before, "after": after}
        for part, cwe, before, after in (
            ("train", "CWE-89", -1.0, 2.0), ("test", "CWE-89", -0.5, 0.5), ("test", "CWE-78", 0.25, -0.75),
            ("valid", "CWE-89", 0.5, 1.5),
        )
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "margins.parquet")
    return as_artifact(folder, "align")


def test_shares_and_means_by_part_and_by_weakness_of_the_held_out(align: Artifact) -> None:
    found = gather_alignment(align)
    assert found is not None and found.steps == 12
    assert [(part.name, part.pairs) for part in found.parts] == [("train", 1), ("valid", 1), ("test", 2)]
    test = found.parts[2]
    assert (test.preferred_before, test.preferred_after) == (0.5, 0.5)
    assert (test.mean_before, test.mean_after) == (-0.125, -0.125)
    assert [(part.name, part.pairs, part.preferred_after) for part in found.by_cwe] == [
        ("CWE-78", 1, 0.0),
        ("CWE-89", 2, 1.0),
    ]
    assert gather_alignment(None) is None


def test_the_page_shows_it(align: Artifact) -> None:
    page = render(gather({"align": align}, name="safer"))
    assert "Preference" in page and "CWE-78" in page and "Pairs that were held out" in page
    assert "The stage train has not been run" not in page
