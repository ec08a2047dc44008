"""The two sources in a chain, as a person runs it: a plan that fetches nothing, a run, and the thresholds of select."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.data.github_api import MIT, Github, Repo, serving
from tests.data.made import event, stdlib
from tests.journeys.person import Answer, buril

YAML = """
name: acme
collect:
  - github:
      org: acme
      token: env:GH_TEST
      api: {api}
      cache: cache
      as_of: 2026-07-01
  - gharchive:
      since: 2026-01-01-9
      base: {dumps}
      token: env:GH_TEST
      api: {api}
      cache: cache
      as_of: 2026-07-01
select:
  licenses: [mit]
  min_coverage: 0.8
  max_open_issue_age: 180d
  unknown: {{coverage: drop, open_issue_age_days: keep}}
"""


@pytest.fixture
def server() -> Iterator[Github]:
    def lcov(share: int) -> str:
        return f"SF:a\nLF:100\nLH:{share}\nend_of_record\n"

    texts = ["", *(text for _name, text in stdlib(7))]
    with serving() as found:
        found.add(
            Repo("acme/tested", {"a.py": texts[1], "LICENSE": MIT, "lcov.info": lcov(80)}),
            Repo("acme/untested", {"b.py": texts[2], "LICENSE": MIT, "lcov.info": lcov(79)}),
            Repo("acme/unknown", {"c.py": texts[3], "LICENSE": MIT}),
            Repo("acme/forgotten", {"d.py": texts[4], "LICENSE": MIT, "lcov.info": lcov(99)}, issues=[("2025-01-01T00:00:00Z", False)]),
            Repo("acme/quiet", {"e.py": texts[5], "LICENSE": MIT, "lcov.info": lcov(99)}, has_issues=False),
            Repo("acme/gpl", {"f.py": texts[6], "lcov.info": lcov(99)}, license="GPL-3.0"),
            Repo("acme/blocked", status=451),
            Repo("loved/one", {"g.py": texts[7], "LICENSE": MIT, "lcov.info": lcov(100)}),
        )  # fmt: skip
        found.static["/2026-01-01-9.json.gz"] = gzip.compress(b"\n".join([event("WatchEvent", "loved/one")] * 9))
        yield found


@pytest.mark.slow
def test_from_github_to_a_selection(server: Github, tmp_path: Path) -> None:
    (tmp_path / "buril.yaml").write_text(YAML.format(api=server.api, dumps=server.codeload))

    def run(*words: str) -> Answer:
        answer = buril(
            *words, cwd=tmp_path, GH_TEST=server.token, NO_PROXY="127.0.0.1,127.0.0.2", no_proxy="127.0.0.1,127.0.0.2"
        )
        assert answer.code == 0, answer.err
        return answer

    run("plan")
    assert not server.asked("tarball|legacy"), "a plan fetches no archive"
    asked = len(server.requests)
    run("plan")
    assert len(server.requests) == asked, "a second plan asks nothing"
    answer = run("run", "--until", "select")
    assert "9 events in 1 hours" in answer.err
    assert len(server.asked("legacy")) == 7
    (selected,) = (tmp_path / ".buril").glob("**/selected.parquet")
    assert sorted(pq.read_table(selected)["path"].to_pylist()) == ["a.py", "e.py", "g.py"]
    dropped = pq.read_table(selected.with_name("dropped.parquet")).to_pylist()
    why = {(row["repo"][11:], row["path"]): (row["step"], row["reason"], row["detail"]) for row in dropped}
    assert why["acme/untested", "b.py"] == ("coverage", "below_minimum", "0.79 < 0.8")
    assert why["acme/unknown", "c.py"] == ("coverage", "unknown_signal", "")
    assert why["acme/forgotten", "d.py"] == ("open_issue_age_days", "above_maximum", "546 > 180")
    assert why["acme/gpl", "f.py"] == ("licenses", "license", "GPL-3.0-only")
    assert why["acme/blocked", ""][:2] == ("fetch", "blocked")
    (repositories,) = (tmp_path / ".buril").glob("**/repositories.json")
    told = {item["repo"]: item for item in json.loads(repositories.read_text())}
    assert told["github.com/loved/one"]["signals"]["stars_window"] == 9
    assert told["github.com/acme/tested"]["commit"] == server.repos["acme/tested"].commit
    asked = len(server.requests)
    assert "reuse" in run("plan").out + run("plan").err
    assert len(server.requests) == asked


def test_a_cache_that_was_emptied_is_filled_again(server: Github, tmp_path: Path) -> None:
    """What an interrupted run planned is worth nothing without the files it names."""
    import shutil

    from buril.core.errors import BurilError
    from buril.core.events import EventLog
    from buril.core.store import Store
    from buril.data import collect
    from buril.data.collect import Collect

    settings = {
        "sources": [{"github": {"org": "acme", "api": server.api, "cache": str(tmp_path / "cache")}}],
        "workers": 1,
    }
    stage = Collect(Collect.Settings.model_validate(settings))
    events, store = EventLog(tmp_path / "events.jsonl"), Store(tmp_path / "store")

    def dies(*_args: object, **_more: object) -> object:
        raise BurilError("S009", stage="collect", exit_code=9)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(BurilError):
        patch.setattr(collect, "each", dies)
        store.make(stage, {}, events)
    shutil.rmtree(tmp_path / "cache" / "repositories")
    artifact, _there = store.make(stage, {}, events)
    assert artifact.manifest.metrics["files"] == 6


def test_the_samples_of_the_guide_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from buril.config import Document, validate
    from buril.data.collect import Collect
    from buril.data.select import Select

    monkeypatch.setenv("GITHUB_TOKEN", "x")
    page = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "github.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        told = yaml.load(block, yaml.BaseLoader)
        for name, stage in (("collect", Collect), ("select", Select)):
            if name in told:
                validate(stage.Settings, told[name], Document(told), (name,))
