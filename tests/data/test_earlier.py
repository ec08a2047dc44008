"""A file that an earlier run of `prepare` saw is not parsed again, and comes out as if it had been."""

from __future__ import annotations

from pathlib import Path

import pytest

from buril.code.codefile import CodeFile
from buril.core.artifact import Artifact
from buril.core.events import EventLog
from buril.core.store import Store
from buril.data.dedup import Dedup
from buril.data.prepare import Prepare
from tests.data.made import collected, contents, stdlib
from tests.data.test_prepare import TOKENS

COUNT = 30


def corpus(count: int = COUNT, signals: dict[str, float] | None = None) -> list[CodeFile]:
    """Real files over three repositories, every third with a token and an address."""
    files = []
    for number, (name, text) in enumerate(stdlib(count, most=12_000)):
        planted = f'\nKEY = "{TOKENS[number % 3]}"  # ask user{number % 5}@acme-corp.com\n' if number % 3 == 0 else ""
        repo = f"repo{number % 3}"
        files.append(CodeFile(repo, name, text + planted, language="python", license="MIT", signals=signals or {}))
    return files


def made(
    folder: Path, store: Path, files: list[CodeFile], *, shard_files: int = 7, workers: int = 1, comments: str = "noise"
) -> Artifact:
    events = EventLog(folder / "events.jsonl")
    files = [
        CodeFile(
            f.repo, f.path, f.content, language=f.language, license=f.license, commit=f.commit, signals=dict(f.signals)
        )
        for f in files
    ]
    collect = collected(folder / "collect", files, shard_files=shard_files)
    kept = Store(folder / "kept")
    dedup, _ = kept.make(Dedup(Dedup.Settings(method="exact", workers=1)), {"collect": collect}, events)
    stage = Prepare(Prepare.Settings.model_validate({"workers": workers, "comments": comments}))
    artifact, _ = Store(store).make(stage, {"collect": collect, "dedup": dedup}, events)
    return artifact


def reused(artifact: Artifact) -> int:
    import json

    lines = artifact.path("logs/speed.jsonl").read_text().splitlines()
    return sum(json.loads(line)["reused"] for line in lines)


def both(tmp_path: Path, first: list[CodeFile], second: list[CodeFile], **how: int) -> tuple[Artifact, Artifact]:
    """What a store makes of `second` that made `first` before, and what a new one does."""
    made(tmp_path / "one", tmp_path / "store", first)
    again = made(tmp_path / "two", tmp_path / "store", second, **how)  # type: ignore[arg-type]  # plain settings
    fresh = made(tmp_path / "three", tmp_path / "new", second, **how)  # type: ignore[arg-type]  # plain settings
    assert again.digest == fresh.digest
    assert reused(fresh) == 0
    return again, fresh


@pytest.mark.slow
@pytest.mark.parametrize(("shard_files", "workers"), [(7, 1), (11, 2), (100, 1)])
def test_only_new_content_is_parsed(tmp_path: Path, shard_files: int, workers: int) -> None:
    before = corpus()
    after = [*before, CodeFile("repo9", "new.py", "def new():\n    return 1\n", language="python", license="MIT")]
    after[4] = CodeFile(after[4].repo, after[4].path, after[4].content + "\nx = 1\n", language="python", license="MIT")
    again, _fresh = both(tmp_path, before, after, shard_files=shard_files, workers=workers)
    assert reused(again) == COUNT - 1


def test_a_parse_is_really_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from buril.data import step

    files = corpus()
    made(tmp_path / "one", tmp_path / "store", files)
    parsed: list[str] = []
    honest = step.parse

    def counting(language: str, source: bytes, *, bounded: bool) -> object:
        parsed.append(language)
        return honest(language, source, bounded=bounded)

    monkeypatch.setattr(step, "parse", counting)
    made(
        tmp_path / "two", tmp_path / "store", [*files, CodeFile("z", "z.py", "value = other\n" * 9, language="python")]
    )
    assert len(parsed) == 1


def test_a_placeholder_that_gets_another_number_is_not_taken_over(tmp_path: Path) -> None:
    before = corpus()
    first = min((file for file in before if file.repo == "repo0"), key=lambda file: file.path)
    text = 'MAIL = "somebody-new@other-corp.com"\n'
    new = CodeFile("repo0", "__a" + first.path, text, language="python", license="MIT")
    again, fresh = both(tmp_path, before, [new, *before])
    rows = contents(again, "rows/*.parquet")
    assert rows == contents(fresh, "rows/*.parquet")
    assert next(row for row in rows if row.row_id == new.row_id).content == 'MAIL = "<EMAIL_1>"\n'
    assert 0 < reused(again) < COUNT


def test_what_collect_says_of_a_file_is_of_now(tmp_path: Path) -> None:
    before = corpus(signals={"stars": 1.0, "coverage": 0.5})
    after = corpus(signals={"stars": 7.0})
    for file in after:
        file.commit = "c" * 40
    after[0].license = "GPL-3.0-only"
    again, _fresh = both(tmp_path, before, after)
    assert reused(again) == COUNT - 1
    for row in contents(again, "rows/*.parquet"):
        assert row.signals["stars"] == 7.0
        assert "coverage" not in row.signals
        assert row.commit == "c" * 40


def test_other_settings_take_nothing_over(tmp_path: Path) -> None:
    files = corpus()
    made(tmp_path / "one", tmp_path / "store", files)
    other = made(tmp_path / "two", tmp_path / "store", files[:-1], comments="none")
    assert reused(other) == 0
