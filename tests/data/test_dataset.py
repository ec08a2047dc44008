"""The data set to publish: read by `datasets` and by Croissant's own tools as it is, counted right, no machine's path."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from buril.code.codefile import SCHEMA, CodeFile, Finding, Redaction, Verdict, write_dropped, write_rows
from buril.core.artifact import Artifact
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.data.card import hub_licenses
from buril.data.dataset import Dataset
from buril.data.mixture import mixture, summed
from tests.conftest import as_artifact

COUNTS = {"train": 30, "valid": 5, "test": 4}


def rows(part: str, count: int) -> list[CodeFile]:
    languages, licenses = ("python", "solidity", "go"), ("MIT", "GPL-3.0-or-later", "")
    return [
        CodeFile(
            f"acme/{part}{at % 4}", f"src/{at}.py", f"x_{at} = '{part} año 世界'\n" * (at + 1), commit="c0ffee",
            language=languages[at % 3], license=licenses[at % 3], signals={"lines": float(at + 1)},
            redactions=[Redaction("email", 1, "<EMAIL_1>")] if at % 2 else [],
            findings=[Finding("bandit", "B101", 1, "low", "assert")] if at % 5 == 0 else [],
        )
        for at in range(count)
    ]  # fmt: skip


def inputs(folder: Path, counts: dict[str, int] = COUNTS) -> dict[str, Artifact]:
    for part, count in counts.items():
        found = rows(part, count)
        half = max(1, len(found) // 2)
        for number, start in enumerate(range(0, max(1, len(found)), half)):
            write_rows(folder / f"split/{part}/{number:05d}.parquet", found[start : start + half])
    dropped = [CodeFile("acme/x", "min.js", "x").dropped("prepare", Verdict("quality", "minified"))]
    write_dropped(folder / "select/dropped.parquet", dropped)
    return {name: as_artifact(folder / name, name) for name in ("select", "split")}


def make(folder: Path, given: dict[str, Artifact], name: str = "dataset", **told: Any) -> Artifact:
    out = Output(folder / name, EventLog(folder / "events.jsonl"), "dataset")
    metrics = Dataset(Dataset.Settings(**told)).run(given, out)
    out.finish()
    return as_artifact(folder / name, "dataset", metrics, rows=out.rows)


def test_datasets_reads_the_folder_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "1")
    datasets = pytest.importorskip("datasets", reason="needs the package `datasets`")
    artifact = make(tmp_path, inputs(tmp_path), title="Acme code", description="What Acme wrote.")
    for source in (str(artifact.folder), str(tmp_path / "split")):  # with its card, and the split without any
        found = datasets.load_dataset(source, cache_dir=str(tmp_path / "cache"))
        assert {name: len(part) for name, part in found.items()} == {"train": 30, "validation": 5, "test": 4}
        first = found["test"][0]
        assert first["content"] == "x_0 = 'test año 世界'\n" and first["repo"] == "acme/test0"
        assert first["findings"][0]["rule"] == "B101" and first["signals"] == [{"name": "lines", "value": 1.0}]
    files = {"train": str(tmp_path / "split/train/*.parquet")}
    assert len(datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))["train"]) == 30


def test_croissants_own_tools_accept_it_and_read_the_rows(tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="needs the package `mlcroissant`")
    told = {"url": "https://example.org/acme", "creator": "Acme", "published": "2026-01-31", "citation": "Acme 2026"}
    artifact = make(tmp_path, inputs(tmp_path), title="Acme code", **told)
    found = mlcroissant.Dataset(jsonld=artifact.path("croissant.json"))
    assert not found.metadata.ctx.issues.errors and not found.metadata.ctx.issues.warnings
    for part, count in {"train": 30, "validation": 5, "test": 4}.items():
        records = list(found.records(part))
        assert len(records) == count
        assert records[0][f"{part}/content"].decode().startswith("x_0 = ")


def test_croissant_has_what_the_standard_asks_for(tmp_path: Path) -> None:
    artifact = make(tmp_path, inputs(tmp_path), url="https://example.org", creator="Acme", published="2026-01-31")
    found = artifact.json("croissant.json")
    assert found["@type"] == "sc:Dataset" and found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert {"name", "description", "license", "url", "creator", "datePublished", "version"} <= found.keys()
    assert found["license"] == [
        "unknown", "https://spdx.org/licenses/GPL-3.0-or-later.html", "https://spdx.org/licenses/MIT.html"
    ]  # fmt: skip
    files = [item for item in found["distribution"] if item["@type"] == "cr:FileObject"]
    assert len(files) == 7
    for item in files:
        data = artifact.path(item["contentUrl"]).read_bytes()
        assert item["sha256"] == hashlib.sha256(data).hexdigest() and item["contentSize"] == f"{len(data)} B"
    assert [item["@id"] for item in found["recordSet"]] == ["train", "validation", "test"]
    names = [field["name"] for field in found["recordSet"][0]["field"]]
    assert names == [name for name in SCHEMA.names if not pa.types.is_nested(SCHEMA.field(name).type)]


def test_the_card_says_what_is_inside(tmp_path: Path) -> None:
    artifact = make(tmp_path, inputs(tmp_path), title="Acme code", description="What Acme wrote.")
    _empty, header, text = artifact.path("README.md").read_text(encoding="utf-8").split("---\n", 2)
    told = yaml.safe_load(header)
    assert told["license"] == ["gpl-3.0", "mit", "other"] and told["size_categories"] == ["n<1K"]
    assert {"python", "solidity", "go"} <= set(told["tags"])
    assert told["configs"][0]["data_files"][1] == {"split": "validation", "path": "valid/*.parquet"}
    assert [part["num_examples"] for part in told["dataset_info"]["splits"]] == [30, 5, 4]
    assert "# Acme code" in text and "What Acme wrote." in text
    assert "| prepare: minified | 1 |" in text and "| GPL-3.0-or-later | 13 |" in text and "| unknown | 12 |" in text


def test_no_path_of_the_machine_and_the_same_bytes_again(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    first, second = make(tmp_path, given), make(tmp_path, given, "again")
    assert first.digest == second.digest
    for path in first.folder.iterdir():
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes() and b"/home/" not in path.read_bytes()


def test_files_are_linked_or_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs(tmp_path)
    linked = make(tmp_path, given)
    assert linked.path("train/00000.parquet").samefile(given["split"].path("train/00000.parquet"))

    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    assert make(tmp_path, given, "copied").digest == linked.digest
    assert not (tmp_path / "copied/train/00000.parquet").samefile(given["split"].path("train/00000.parquet"))


def test_a_part_without_rows_is_left_out(tmp_path: Path) -> None:
    artifact = make(tmp_path, inputs(tmp_path, {"train": 8, "valid": 0, "test": 2}))
    header = yaml.safe_load(artifact.path("README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert [item["split"] for item in header["configs"][0]["data_files"]] == ["train", "test"]
    assert not artifact.path("valid").exists()


def test_the_mixture_by_bytes_and_by_tokens(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    table = pq.read_table(make(tmp_path, given).path("mixture.parquet"))
    every = {part: rows(part, count) for part, count in COUNTS.items()}
    assert sum(table["files"].to_pylist()) == 39 and table["tokens"].null_count == len(table)
    total = sum(file.bytes for files in every.values() for file in files)
    by = {row["name"]: row for row in summed(table, "language")}
    python = [file for files in every.values() for file in files if file.language == "python"]
    assert by["python"]["files"] == len(python) and by["python"]["bytes"] == sum(file.bytes for file in python)
    assert by["python"]["share"] == pytest.approx(by["python"]["bytes"] / total, abs=1e-6)
    assert sum(row["share"] for row in summed(table, "repo")) == pytest.approx(1, abs=1e-4)
    parts = {part: given["split"].files(f"{part}/*.parquet") for part in COUNTS}
    counted = mixture(parts, lambda texts: [len(text.split()) for text in texts])
    words = sum(len(file.content.split()) for files in every.values() for file in files)
    assert sum(counted["tokens"].to_pylist()) == words and sum(counted["share"].to_pylist()) == pytest.approx(1)
    assert mixture({}).num_rows == 0


def test_hub_licenses() -> None:
    assert hub_licenses(["MIT", "GPL-3.0-or-later", "MIT OR Apache-2.0", ""]) == ["gpl-3.0", "mit", "other"]


def test_json_has_every_column_summed(tmp_path: Path) -> None:
    found = json.loads(make(tmp_path, inputs(tmp_path)).path("mixture.json").read_text())
    assert list(found) == ["part", "language", "license", "repo"]
    assert [row["name"] for row in found["part"]] == ["train", "valid", "test"]


def test_tokens_are_counted_with_the_chains_tokenizer(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="needs the package `tokenizers`")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=None))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    texts = [file.content for part, count in COUNTS.items() for file in rows(part, count)]
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(texts, trainer)
    (tmp_path / "tokenizer/tokenizer").mkdir(parents=True)
    made.save(str(tmp_path / "tokenizer/tokenizer/tokenizer.json"))
    given = {**inputs(tmp_path), "tokenizer": as_artifact(tmp_path / "tokenizer", "tokenizer")}
    artifact = make(tmp_path, given, tokens=True)
    expected = sum(len(made.encode(text, add_special_tokens=False).ids) for text in texts)
    assert artifact.manifest.metrics["tokens"] == expected
    table = pq.read_table(artifact.path("mixture.parquet"))
    assert sum(table["tokens"].to_pylist()) == expected and sum(table["share"].to_pylist()) == pytest.approx(1)
    assert "| name | files | MB | tokens | share |" in artifact.path("README.md").read_text(encoding="utf-8")
    assert Dataset(Dataset.Settings(tokens=True)).needs() == ("select", "split", "tokenizer")
