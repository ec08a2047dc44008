"""A person scans a project: opens what is printed, mends it, keeps what was known, and takes in what another tool says."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.journeys.person import buril, repository

CODE = (
    "import os\n\n\ndef show(name):\n    title = '\N{EARTH GLOBE AMERICAS} ñ'; os.system('ls ' + name)\n"
    "    return title, eval(\n        name,\n    )\n"
)
SCAN = ("scan", "--no-config", "--scanner", "ruff", "--scanner", "bandit")


def test_what_is_printed_can_be_opened_and_leads_to_the_very_characters(tmp_path: Path) -> None:
    folder = repository(tmp_path / "project", {"src/a.py": CODE})
    done = buril(*SCAN, "--sarif", "../x.sarif", cwd=folder)
    assert done.code == 3, done.err
    places = [re.match(r"(\S+):(\d+):(\d+)  ", line) for line in done.out.splitlines()]
    opened = []
    for place in places:
        assert place is not None, done.out
        lines = (folder / place[1]).read_text(encoding="utf-8").split("\n")
        opened.append(lines[int(place[2]) - 1][int(place[3]) - 1 :])
    assert [text.partition("(")[0] for text in opened] == ["os.system", "eval"]
    told = {item["rule"]: item for item in json.loads(buril(*SCAN, "--json", cwd=folder).out)["findings"]}
    assert (told["S605"]["line"], told["S605"]["column"], told["S605"]["end_column"]) == (5, 20, 29)
    log = json.loads((tmp_path / "x.sarif").read_text(encoding="utf-8"))
    assert {run["columnKind"] for run in log["runs"]} == {"unicodeCodePoints"}
    eval_ = next(item for run in log["runs"] for item in run["results"] if item["ruleId"] == "B307")
    assert eval_["locations"][0]["physicalLocation"]["region"] == {
        "startLine": 6, "startColumn": 19, "endLine": 8, "endColumn": 6
    }  # fmt: skip


def test_a_log_of_another_tool_points_there_too(tmp_path: Path) -> None:
    """It counts in units of UTF-16, as the standard supposes: the globe is two."""
    folder = repository(tmp_path / "project", {"src/a.py": CODE})
    region = {"startLine": 5, "startColumn": 21, "endColumn": 30}
    place = {"physicalLocation": {"artifactLocation": {"uri": "src/a.py"}, "region": region}}
    result = {"ruleId": "R1", "level": "error", "message": {"text": "a shell"}, "locations": [place]}
    run = {"tool": {"driver": {"name": "Other"}}, "results": [result]}
    (tmp_path / "other.sarif").write_text(json.dumps({"version": "2.1.0", "runs": [run]}))
    done = buril("scan", "--no-config", "--scanner", "secrets", "--import", "../other.sarif", cwd=folder)
    assert done.code == 3 and done.out.startswith("src/a.py:5:20  R1"), done.out


def test_a_baseline_from_before_there_were_columns_still_knows(tmp_path: Path) -> None:
    folder = repository(tmp_path / "project", {"src/a.py": CODE})
    known = [
        {"path": "src/a.py", "scanner": "ruff", "rule": "S605", "fingerprint": "5a2f13667289b710:1"},
        {"path": "src/a.py", "scanner": "ruff", "rule": "S307", "fingerprint": "54633a6bde434f21:1"},
        {"path": "src/a.py", "scanner": "bandit", "rule": "B605", "fingerprint": "16ac2b3c62207230:1"},
        {"path": "src/a.py", "scanner": "bandit", "rule": "B307", "fingerprint": "6126a60d3b2d108b:1"},
    ]
    (folder / "known.json").write_text(json.dumps({"version": 1, "findings": known}))
    done = buril(*SCAN, "--baseline", "known.json", cwd=folder)
    assert done.code == 0 and "known before: 4" in done.err, done.err
