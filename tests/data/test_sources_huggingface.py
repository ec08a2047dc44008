from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from buril.code.codefile import CodeFile, read_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.data.collect import Collect
from buril.data.source import Dropped
from buril.data.sources import _hub
from buril.data.sources.huggingface import Huggingface
from buril.testing import check_source
from tests.data.hub import COMMIT, Hub, serve

pytest.importorskip("huggingface_hub", reason="the client of the hub is an extra")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        monkeypatch.setattr(_hub, "WAIT_S", 0.01)
        _hub._resolved.cache_clear()
        yield made


def parquet(records: list[dict[str, Any]], **options: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), target, **options)
    return target.getvalue()


def lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(item) + "\n" for item in records).encode()


def source(dataset: str | Path, tmp_path: Path, **given: Any) -> Huggingface:
    place = {"folder": str(dataset)} if isinstance(dataset, Path) else {"dataset": dataset}
    settings = {**place, "cache": str(tmp_path / "cache"), **given}
    return Huggingface(Huggingface.Settings.model_validate(settings))


def rows(made: Huggingface) -> list[CodeFile | Dropped]:
    return [item for piece in made.pieces() for item in made.rows(piece, 1_000_000)]


def stack(number: int) -> dict[str, Any]:
    return {
        "hexsha": "a" * 40,
        "lang": "Python",
        "ext": "py",
        "max_stars_repo_path": f"src/m{number}.py",
        "max_stars_repo_name": f"acme/r{number % 3}",
        "max_stars_repo_head_hexsha": "c" * 40,
        "max_stars_repo_licenses": ["MIT"],
        "max_stars_count": number,
        "content": f"x = {number}\n",
    }


def test_the_stack_is_read_from_a_hub(tmp_path: Path, hub: Hub, make_artifact: Callable[..., Artifact]) -> None:
    hub.sets["bigcode/the-stack-dedup"] = {
        "README.md": b"hi",
        "data/python/train-00000-of-00002.parquet": parquet([stack(n) for n in range(10)], row_group_size=3),
        "data/python/train-00001-of-00002.parquet": parquet([stack(n) for n in range(10, 20)]),
        "data/c/train-00000-of-00001.parquet": parquet([stack(0)]),
    }
    given = {"dataset": "bigcode/the-stack-dedup", "files": ["data/python/**"], "cache": str(tmp_path / "cache")}
    made = source(**given, tmp_path=tmp_path)
    assert made.observe() == ["bigcode/the-stack-dedup", COMMIT]
    assert list(made.notes()) == [f"bigcode/the-stack-dedup: main is {COMMIT}"]
    assert not any("resolve" in item for item in hub.asked), "nothing is fetched to observe"
    stage = Collect(Collect.Settings.model_validate({"sources": [{"huggingface": given}], "workers": 1}))
    assert stage.work({}) > 0
    artifact = make_artifact(stage)
    found = [row for path in artifact.files("rows/*.parquet") for row in read_rows(path)]
    assert [row.path for row in found] == [f"src/m{n}.py" for n in range(20)]
    assert (found[4].repo, found[4].commit, found[4].license, found[4].signals) == (
        "acme/r1",
        "c" * 40,
        "MIT",
        {"stars": 4.0},
    )
    entry = artifact.json("repositories.json")[0]
    assert entry["url"] == f"https://huggingface.co/datasets/bigcode/the-stack-dedup/tree/{COMMIT}"
    asked = sum(hub.asked.values())
    pinned = source(**given, tmp_path=tmp_path, revision=COMMIT)
    assert len(rows(pinned)) == 20
    assert sum(hub.asked.values()) == asked, "a commit whose files are here needs no network"
    check_source(pinned)


def test_a_server_that_stumbles_is_asked_again(tmp_path: Path, hub: Hub) -> None:
    raw = parquet(
        [{**stack(n), "content": f"x = '{os.urandom(200_000).hex()}'\n"} for n in range(60)], compression="none"
    )
    hub.sets["a/b"] = {"x.parquet": raw}
    hub.faults = {
        "/api/datasets/a/b/revision": [(503, {}), (429, {"Retry-After": "0"})],
        "/api/datasets/a/b/tree": [(500, {})],
        "/resolve/": [(502, {})],
    }
    hub.cut = {"x.parquet": [12_000_000, 1_000]}
    assert len(rows(source("a/b", tmp_path))) == 60
    assert hub.ranges, "a download goes on where it broke off"


def test_a_server_that_stays_down_is_said(tmp_path: Path, hub: Hub) -> None:
    hub.sets["a/b"] = {"x.parquet": parquet([stack(0)])}
    hub.faults = {"/revision/": [(500, {})] * 50}
    with pytest.raises(BurilError) as refused:
        source("a/b", tmp_path).observe()
    assert refused.value.code == "D022"
    hub.faults = {"/tree/": [(404, {})] * 50}
    with pytest.raises(BurilError) as refused:
        list(source("a/b", tmp_path).pieces())
    assert refused.value.code == "D022"


def test_gated_sets_need_a_token_by_reference(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.sets["a/secret"] = {"x.jsonl": lines([{"code": "x = 1\n", "path": "a.py"}])}
    hub.gated["a/secret"] = "hf_good"
    with pytest.raises(BurilError) as refused:
        rows(source("a/secret", tmp_path))
    assert refused.value.code == "D021"
    assert "https://huggingface.co/datasets/a/secret" in str(refused.value)
    assert not hub.tokens, "without a reference no token is sent"
    monkeypatch.setenv("MY_HF", "hf_good")
    made = source("a/secret", tmp_path, token="env:MY_HF")
    assert [item.path for item in rows(made)] == ["a.py"]
    assert hub.tokens == {"hf_good"}
    assert "MY_HF" not in json.dumps(made.settings.identity())
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and b"hf_good" in path.read_bytes()]
    assert kept == []
    with pytest.raises(ValidationError, match="env:NAME"):
        source("a/b", tmp_path, token="hf_literal")


def test_what_is_not_there_is_said(tmp_path: Path, hub: Hub) -> None:
    hub.sets["a/script"] = {"script.py": b"import os", "data.zip": b"PK"}
    hub.sets["bigcode/the-stack-v2"] = {"x.parquet": parquet([{"blob_id": "a", "path": "b.py", "repo_name": "o/n"}])}
    for made, code in (
        (source("a/none", tmp_path), "D022"),
        (source("a/script", tmp_path, revision="no-such"), "D022"),
        (source("a/script", tmp_path), "D020"),
        (source("bigcode/the-stack-v2", tmp_path), "D016"),
    ):
        with pytest.raises(BurilError) as refused:
            rows(made)
        assert refused.value.code == code
    assert "script.py" not in "".join(hub.asked)


def test_files_may_be_let_go_once_they_are_read(tmp_path: Path, hub: Hub) -> None:
    hub.sets["a/b"] = {"x.jsonl.gz": gzip.compress(lines([{"code": "x = 1\n", "path": "a.py"}]))}
    assert len(rows(source("a/b", tmp_path, keep=False))) == 1
    assert not list((tmp_path / "cache" / "hub").rglob("*.gz"))


# --- what is known of public data sets


def test_code_search_net_gives_functions_at_their_lines(tmp_path: Path) -> None:
    url = "https://github.com/o/n/blob/7707f69a91caaa6cde037f0d0379f1d42500a68b/lib/a.rb"
    folder = tmp_path / "code_search_net"
    folder.mkdir()
    records = [
        {
            "repository_name": "o/n",
            "func_path_in_repository": "lib/a.rb",
            "func_name": "f",
            "whole_func_string": f"def f{n}\n  {n}\nend",
            "language": "ruby",
            "func_code_string": f"def f{n}\n  {n}\nend",
            "func_documentation_string": "",
            "func_code_url": f"{url}#L{n}-L{n + 2}",
        }
        for n in (3, 9)
    ]
    (folder / "train.parquet").write_bytes(parquet(records))
    found = rows(source(folder, tmp_path))
    assert [(item.path, item.repo) for item in found] == [("lib/a.rb/L3-L5.rb", "o/n"), ("lib/a.rb/L9-L11.rb", "o/n")]
    first = found[0]
    assert isinstance(first, CodeFile)
    assert (first.language, first.commit) == ("ruby", "7707f69a91caaa6cde037f0d0379f1d42500a68b")


def test_the_pile_gives_its_code_alone(tmp_path: Path) -> None:
    folder = tmp_path / "the_pile"
    folder.mkdir()
    records = [
        {"text": "int main(void) { return 0; }\n", "meta": {"pile_set_name": "Github"}},
        {"text": "Once upon a time.", "meta": {"pile_set_name": "Books3"}},
    ]
    text = lines(records)
    (folder / "00.jsonl.zst").write_bytes(pa.Codec("zstd").compress(text, asbytes=True))
    code, other = rows(source(folder, tmp_path))
    assert isinstance(code, CodeFile)
    assert (code.content, code.language) == ("int main(void) { return 0; }\n", "")
    assert isinstance(other, Dropped)
    assert other.reason == "where"


def test_github_code_and_a_stack_with_contents(tmp_path: Path) -> None:
    folder = tmp_path / "github-code"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(
        parquet(
            [
                {
                    "code": "x = 1\n",
                    "repo_name": "o/n",
                    "path": "a.py",
                    "language": "Python",
                    "license": "apache-2.0",
                    "size": 6,
                }
            ]
        )
    )
    (row,) = rows(source(folder, tmp_path))
    assert isinstance(row, CodeFile)
    assert (row.license, row.repo, row.language) == ("Apache-2.0", "o/n", "python")
    inline = tmp_path / "the-stack-v2-train-smol"
    inline.mkdir()
    record = {
        "blob_id": "a",
        "content": "x = 1\n",
        "path": "/a.py",
        "repo_name": "o/n",
        "detected_licenses": ["MIT"],
        "language": "Python",
        "revision_id": "r",
        "star_events_count": 2,
    }
    (inline / "a.parquet").write_bytes(parquet([record]))
    (row,) = rows(source(inline, tmp_path))
    assert isinstance(row, CodeFile)
    assert (row.path, row.license, row.commit, row.signals) == ("a.py", "MIT", "r", {"stars": 2.0})
    (tmp_path / "empty").mkdir()
    for wrong in ({}, {"dataset": "a/b", "folder": "x"}):
        with pytest.raises(BurilError) as refused:
            Huggingface(Huggingface.Settings.model_validate(wrong))
        assert refused.value.code == "D023"
    for name in ("../x", "a b", "a/b/c"):
        with pytest.raises(ValidationError):
            Huggingface.Settings.model_validate({"dataset": name})
    with pytest.raises(BurilError) as refused:
        rows(source(tmp_path / "none", tmp_path))
    assert refused.value.code == "D001"
    with pytest.raises(BurilError) as refused:
        rows(source(tmp_path / "empty", tmp_path))
    assert refused.value.code == "D020"
