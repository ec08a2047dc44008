"""What keys have used outlives the server: it is kept in a file, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buril.serve import usage
from buril.serve.keys import Keys, Refused, add


def made(folder: Path, clock: list[float], **told: Any) -> tuple[Keys, str]:
    path = folder / "keys.json"
    header = "Bearer " + add(path, "ana", **told) if not path.exists() else ""
    keys = Keys(path, now=lambda: clock[0])
    keys.keep_at(folder / "state" / usage.FILE)
    return keys, header


def status(keys: Keys, header: str) -> int:
    try:
        keys.admit(header, "complete")
    except Refused as refused:
        return refused.status
    return 200


def save(keys: Keys) -> None:
    write = keys.save(now=True)
    if write:
        write()


def test_a_quota_goes_on_where_it_was(tmp_path: Path) -> None:
    clock = [1.8e9]
    keys, header = made(tmp_path, clock, tokens_per_day=100, requests_per_minute=3)
    assert [status(keys, header) for _n in range(2)] == [200, 200]
    keys.use(keys.admit(header, "complete"), 60)
    save(keys)
    again, _none = made(tmp_path, clock)
    assert status(again, header) == 429, "three requests were there within this minute"
    clock[0] += 60
    again.use(again.admit(header, "complete"), 50)
    assert status(again, header) == 429, "60 tokens of before and 50 of now are more than 100"
    save(again)
    clock[0] += 86400
    tomorrow, _none = made(tmp_path, clock)
    assert status(tomorrow, header) == 200
    save(tomorrow)
    kept = json.loads((tmp_path / "state" / usage.FILE).read_text())
    assert len(kept["keys"]) == 1 and header[7:] not in json.dumps(kept), "a hash of the key, never the key"
    assert (tmp_path / "state" / usage.FILE).stat().st_mode & 0o077 == 0


def test_it_is_written_now_and_then_and_only_where_something_was_used(tmp_path: Path) -> None:
    clock = [1.8e9]
    keys, header = made(tmp_path, clock)
    assert keys.save() is None and keys.save(now=True) is None, "nothing was used"
    assert status(keys, header) == 200
    first = keys.save()
    assert first is not None
    first()
    keys.use(keys.admit(header, "complete"), 1)
    assert keys.save() is None, f"it was written less than {usage.SAVE_S} s ago"
    assert keys.save(now=True) is not None
    assert Keys(None).save(now=True) is None


@pytest.mark.parametrize("text", [
    "", "[]", "{}", '{"format": 9, "keys": {}}', '{"format": 1, "keys": []}', '{"format": 1, "keys": {"a": 1}}',
    '{"format": 1, "keys": {"a": {"requests": -1, "at": 0, "day": "2026-01-01", "tokens": 0}}}',
    '{"format": 1, "keys": {"a": {"requests": NaN, "at": 0, "day": "2026-01-01", "tokens": 0}}}', '{"format": 1, "ke',
])  # fmt: skip
def test_a_damaged_file_is_said_and_keeps_nobody_out(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "state" / usage.FILE
    path.parent.mkdir()
    path.write_text(text)
    keys, header = made(tmp_path, [1.8e9], tokens_per_day=5)
    assert json.loads(capsys.readouterr().err)["event"] == "usage_lost"
    assert status(keys, header) == 200
    save(keys)
    assert len(usage.read(path)) == 1


def test_what_can_not_be_written_is_said_and_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert not usage.write(tmp_path / "file" / usage.FILE, {})
    assert json.loads(capsys.readouterr().err)["event"] == "usage_not_kept"
    clock = [1.8e9]
    keys, header = made(tmp_path, clock)
    assert status(keys, header) == 200
    kept_at, keys.kept_at = keys.kept_at, tmp_path / "file" / usage.FILE
    save(keys)
    keys.kept_at = kept_at
    save(keys)
    before = (tmp_path / "state" / usage.FILE).read_text()
    (tmp_path / "state" / ".usage.json.1.aa.tmp").write_text("{half")  # of a server that was killed while it wrote
    assert usage.read(tmp_path / "state" / usage.FILE) and before
