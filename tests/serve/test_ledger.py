"""The ledger: what is in it is found again, and whatever is done to it is seen."""

from __future__ import annotations

import datetime
import json
import keyword
import multiprocessing
import os
import re
import shutil
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography", reason="cryptography is not installed")

from buril.core.errors import BurilError
from buril.serve import ledger as module
from buril.serve._ledger import index as index_module
from buril.serve._ledger import keys, log
from buril.serve._ledger.record import Record, chained, hash_of, line_of
from buril.serve.ledger import Entry, Ledger, Settings

SOURCE = Path(log.__file__).read_text("utf-8")
PIECE = SOURCE[SOURCE.index("    def _write(") : SOURCE.index("    def _put_head(")]
SEED = "11" * 32
KEPT = {*keyword.kwlist, "key", "kind", "public", "seq", "hash"}  # keywords, and what stands in strings


def entry(number: int, text: str = PIECE, **more: Any) -> Entry:
    return Entry(id=f"{number:012x}", text=f"value_{number} = {number}\n{text}", engine="test", **more)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Segments of a few records."""
    for name in (log, module, index_module):
        monkeypatch.setattr(name, "SEGMENT", 8)
    from buril.serve._ledger import check

    monkeypatch.setattr(check, "SEGMENT", 8)
    return 8


def filled(folder: Path, number: int = 20) -> Ledger:
    ledger = Ledger(folder / "ledger")
    ledger.append(*(entry(place) for place in range(number)))
    return ledger


def lines(ledger: Ledger, segment: int) -> list[bytes]:
    return ledger.log.segment(segment).read_bytes().splitlines(keepends=True)


def put(ledger: Ledger, segment: int, found: list[bytes]) -> None:
    ledger.log.segment(segment).write_bytes(b"".join(found))


# --- a record


def test_bytes_of_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written must be read, and its hash be the same, for years: another form needs another `v`."""
    monkeypatch.setenv("KEY", SEED)

    class Fixed(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return datetime.datetime(2026, 11, 30, 12, 0, 0, 123456, tz)

    monkeypatch.setattr(datetime, "datetime", Fixed)
    ledger = Ledger(tmp_path, Settings(key="env:KEY"))
    told = Entry(
        "3f9c00000001", "return [x for x in names if x is not None and x.strip()]\n", "openvino",
        {"base": "b" * 64, "train": "7" * 64}, "d" * 64, {"temperature": 0.0, "max_tokens": 32}, 17, "eos",
        [{"guard": "secrets", "action": "warned"}], [{"path": "a.py"}], {"key": "00112233"}, "e" * 64,
    )  # fmt: skip
    ledger.append(told)
    assert ledger.log.segment(0).read_bytes() == (Path(__file__).parent / "ledger_golden.jsonl").read_bytes()
    assert ledger.verify().problems == ()


def test_no_code_is_kept(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 1)
    whole = b"".join(path.read_bytes() for path in ledger.folder.iterdir() if path.is_file()).decode("utf-8", "replace")
    assert "divmod" in PIECE
    for word in set(re.findall(r"\w{6,}", PIECE)) - {"record", "public", "signature", "previous"}:
        assert word not in whole, word


def test_a_record_without_a_key_made_one_that_others_cant_read(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 1)
    assert stat.S_IMODE((ledger.folder / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(ledger.log.segment(0).stat().st_mode) == 0o600


# --- finding


def test_finds_the_whole_a_part_and_the_renamed(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 5)
    exact = ledger.find(f"value_3 = 3  # three\n{PIECE}")
    assert [match.id for match in exact.exact] == [f"{3:012x}"] and exact.covered == 1.0
    inside = ledger.find(SOURCE)
    assert inside.known and not inside.exact and 0.05 < inside.covered < 0.5
    assert inside.matches[0].how == "named" and inside.matches[0].share > 0.8
    half = "\n".join(PIECE.splitlines()[:10])
    assert ledger.find(half).known
    renamed = re.sub(r"[A-Za-z_]\w+", lambda found: found[0] if found[0] in KEPT else f"my_{found[0]}", PIECE)
    found = ledger.find(renamed)
    assert found.known and found.covered_nameless > 0.7 and found.covered < 0.2
    assert {match.how for match in found.matches} == {"nameless"}


def test_does_not_find_what_nobody_wrote(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 5)
    assert not ledger.find(Path(keys.__file__).read_text("utf-8")).known
    assert ledger.find("return self.name\n").too_short and not ledger.find("").known
    assert not Ledger(tmp_path / "nowhere").find(PIECE).known


def test_short_completions_are_found_whole_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    text = "return sorted(names, key=len)[0] if names else None\n"
    ledger.append(Entry("a" * 12, text), Entry("b" * 12, "return None\n"))
    assert ledger.find(text).exact
    assert not ledger.find("return None\n").known


def test_what_everybody_writes_proves_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append(*(entry(number) for number in range(index_module.COMMON + 2)))
    assert not ledger.find(SOURCE).known
    assert ledger.find(f"value_3 = 3\n{PIECE}").exact


def test_the_index_follows_what_others_append(tmp_path: Path, small: int) -> None:
    reader = Ledger(tmp_path / "ledger")
    assert not reader.find(PIECE).known
    for number in range(20):
        filled_by_another = Ledger(tmp_path / "ledger")
        filled_by_another.append(entry(number))
        assert reader.find(f"value_{number} = {number}\n{PIECE}").exact[0].id == f"{number:012x}"
    assert len(list((tmp_path / "ledger").glob("*.index"))) == 2
    for path in (tmp_path / "ledger").glob("*.index"):
        path.write_bytes(path.read_bytes()[:-5])
    assert Ledger(tmp_path / "ledger").find(f"value_3 = 3\n{PIECE}").exact


def test_events_stand_beside_their_completion(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 3)
    ledger.event(f"{1:012x}", "accepted", characters=40)
    found = ledger.of(f"{1:012x}")
    assert [record["kind"] for record in found] == ["completion", "event"]
    assert found[1]["detail"] == {"characters": 40}
    assert ledger.of("nothing") == [] and ledger.problem(found[0]) == ""


# --- tampering


def changed(field: str, value: Any) -> Callable[[Ledger], None]:
    def change(ledger: Ledger) -> None:
        found = lines(ledger, 0)
        found[3] = line_of({**json.loads(found[3]), field: value})
        put(ledger, 0, found)

    return change


def rehashed(ledger: Ledger) -> None:
    """A change whose hash is made to fit: the signature does not."""
    found = lines(ledger, 0)
    record = {**json.loads(found[3]), "engine": "other"}
    found[3] = line_of({**record, "hash": hash_of(record)})
    put(ledger, 0, found)


def without(ledger: Ledger) -> None:
    found = lines(ledger, 0)
    put(ledger, 0, found[:3] + found[4:])


def swapped(ledger: Ledger) -> None:
    found = lines(ledger, 0)
    put(ledger, 0, [*found[:3], found[4], found[3], *found[5:]])


def twice(ledger: Ledger) -> None:
    found = lines(ledger, 0)
    put(ledger, 0, found[:4] + found[3:])


def cut(ledger: Ledger) -> None:
    put(ledger, 2, lines(ledger, 2)[:-1])


def emptied(ledger: Ledger) -> None:
    from buril.serve._ledger.record import tombstone

    found = lines(ledger, 0)
    found[3] = line_of(tombstone(json.loads(found[3])))
    put(ledger, 0, found)


def no_segment(ledger: Ledger) -> None:
    ledger.log.segment(1).unlink()


def no_last_segment(ledger: Ledger) -> None:
    ledger.log.segment(2).unlink()


def no_head(ledger: Ledger) -> None:
    ledger.log.head.unlink()


def no_seal(ledger: Ledger) -> None:
    ledger.log.seal(0).unlink()


def other_seal(ledger: Ledger) -> None:
    ledger.log.seal(0).write_bytes(ledger.log.seal(0).read_bytes().replace(b'"first":0', b'"first":1'))


def cut_with_head(ledger: Ledger) -> None:
    """The last record is taken away, and the head says so, but is not signed by the key."""
    put(ledger, 2, lines(ledger, 2)[:-1])
    last = json.loads(lines(ledger, 2)[-1])
    head = json.loads(ledger.log.head.read_bytes())
    ledger.log.head.write_text(json.dumps({**head, "seq": last["seq"], "hash": last["hash"]}))


def by_another_key(ledger: Ledger) -> None:
    """A record put in at the end by who does not have the key."""
    last = json.loads(lines(ledger, 2)[-1])
    signer = keys.Signer(keys.new())
    record = chained(
        {"kind": "event", "id": "x", "event": "shown"}, seq=last["seq"] + 1, previous=last["hash"], signer=signer
    )
    put(ledger, 2, [*lines(ledger, 2), line_of(record)])


def key_of_another(ledger: Ledger) -> None:
    """The same, with a record before it that introduces the key by itself."""
    last = json.loads(lines(ledger, 2)[-1])
    signer = keys.Signer(keys.new())
    found = []
    for body in ({"kind": "key", "public": signer.public}, {"kind": "event", "id": "x", "event": "shown"}):
        last = chained(body, seq=last["seq"] + 1, previous=last["hash"], signer=signer)
        found.append(line_of(last))
    put(ledger, 2, [*lines(ledger, 2), *found])


def key_alone(ledger: Ledger) -> None:
    """A key that introduces itself behind the head, where a crash may leave one record."""
    last = json.loads(lines(ledger, 2)[-1])
    signer = keys.Signer(keys.new())
    body = {"kind": "key", "public": signer.public}
    record = chained(body, seq=last["seq"] + 1, previous=last["hash"], signer=signer)
    put(ledger, 2, [*lines(ledger, 2), line_of(record)])


TAMPERING: list[Callable[[Ledger], None]] = [
    changed("engine", "other"), changed("time", "2020-01-01T00:00:00.000000+00:00"), changed("id", "ffff"),
    changed("previous", "0" * 64), changed("hash", "0" * 64), changed("signature", "AAAA"), changed("seq", 7),
    changed("key", "0" * 16), changed("kind", "event"), changed("more", 1), changed("hash", "zz"), rehashed, without,
    swapped, twice, cut, emptied, no_segment, no_last_segment, no_head, no_seal, other_seal, cut_with_head,
    by_another_key, key_of_another, key_alone,
]  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda item: item.__qualname__.split(".")[0])
def test_tampering_is_seen(tmp_path: Path, small: int, tamper: Callable[[Ledger], None]) -> None:
    ledger = filled(tmp_path)
    assert ledger.verify().problems == () and ledger.verify().records == 21
    tamper(ledger)
    assert Ledger(ledger.folder).verify().problems


@pytest.mark.parametrize("place", range(0, 1600, 37))
def test_any_changed_byte_is_seen(tmp_path: Path, place: int) -> None:
    ledger = filled(tmp_path, 2)
    path = ledger.log.segment(0)
    raw = bytearray(path.read_bytes())
    raw[place % len(raw)] ^= 1
    path.write_bytes(bytes(raw))
    assert Ledger(ledger.folder).verify().problems


@pytest.mark.parametrize("name", ["public", "prints", "nameless", "tokens_sha256"])
@pytest.mark.parametrize("value", ["", "AAA", "<", "no digest", 7, None])
def test_a_field_that_can_not_be_read_is_told_and_breaks_nothing(tmp_path: Path, name: str, value: object) -> None:
    ledger = filled(tmp_path, 3)
    path = ledger.log.segment(0)
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    changed = next(record for record in records if name in record)
    changed[name] = value
    path.write_bytes(b"".join(line_of(record) for record in records))
    shutil.rmtree(ledger.folder / "index", ignore_errors=True)
    again = Ledger(ledger.folder)
    assert any(problem.seq == changed["seq"] for problem in again.verify().problems)
    assert [match.id for match in again.find(entry(2).text).exact] == [entry(2).id]
    again.append(entry(9))
    assert Ledger(ledger.folder).find(entry(9).text).exact


def test_a_chain_of_ones_own_is_seen_by_who_knows_the_key(tmp_path: Path) -> None:
    theirs, ours = filled(tmp_path / "theirs", 3), filled(tmp_path / "ours", 3)
    told = ours.verify()
    assert not ours.verify(key=told.keys[0], head=told.head).problems
    assert not theirs.verify().problems
    assert theirs.verify(key=told.keys[0]).problems and theirs.verify(head=told.head).problems


def test_a_record_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 3)
    changed("engine", "other")(ledger)
    (record,) = Ledger(ledger.folder).of(f"{2:012x}")
    assert "not what was signed" in ledger.problem(record)


# --- keys


def test_old_records_stay_good_after_a_new_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    monkeypatch.setenv("NEW", "22" * 32)
    ledger = filled(tmp_path, 3)
    first = ledger.verify().keys[0]
    ledger.rotate()
    ledger.append(entry(3))
    Ledger(ledger.folder).append(entry(4))  # the new key stands in the file
    Ledger(ledger.folder).rotate("env:NEW")
    with pytest.raises(BurilError) as problem:
        Ledger(ledger.folder).append(entry(5))
    assert problem.value.code == "V302"
    Ledger(ledger.folder, Settings(key="env:NEW")).append(*(entry(number) for number in range(5, 12)))
    told = Ledger(ledger.folder).verify(key=first)
    assert told.problems == () and len(told.keys) == 3 and told.kinds["key"] == 3
    records = list(ledger.records())
    assert len({record["key"] for record in records}) == 3
    assert all(ledger.problem(record) == "" for record in records)


@pytest.mark.parametrize(
    ("place", "content", "told"),
    [
        ("env:NOT_SET", "", "empty"), ("vault:x", "", "begins neither"), ("file:{}/none", "", "No such file"),
        ("file:{}/key", "zz", "of another form"), ("file:{}/key", "-----BEGIN RUBBISH", "PEM"),
        ("file:{}/open", SEED, "others may read it"),
    ],
)  # fmt: skip
def test_a_key_that_cant_be_used(tmp_path: Path, place: str, content: str, told: str) -> None:
    (tmp_path / "key").write_text(content)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "open").write_text(content)
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(BurilError, match=told) as problem:
        Ledger(tmp_path / "ledger", Settings(key=place.format(tmp_path))).append(entry(1))
    assert problem.value.code == "V301"


# --- forgetting


def test_what_is_forgotten_leaves_a_whole_chain(tmp_path: Path, small: int) -> None:
    ledger = filled(tmp_path, 12)
    ledger.event(f"{3:012x}", "accepted")
    limit = datetime.datetime.now(datetime.timezone.utc)
    ledger.append(*(entry(number) for number in range(12, 15)))
    assert ledger.forget(limit) == 13 and ledger.forget(limit) == 0
    again = Ledger(ledger.folder)
    told = again.verify()
    assert told.problems == () and told.kinds == {"key": 1, "tombstone": 13, "completion": 3, "forgotten": 1}
    assert not again.find(f"value_3 = 3\n{PIECE}").exact and again.of(f"{3:012x}") == []
    assert again.find(f"value_13 = 13\n{PIECE}").exact
    again.append(entry(20))
    emptied_one = lines(again, 0)[2]
    assert b"prints" not in emptied_one and b"tokens_sha256" not in emptied_one
    assert again.verify().problems == ()


def test_a_crash_while_forgetting_is_finished_later(
    tmp_path: Path, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = filled(tmp_path, 12)
    limit = datetime.datetime.now(datetime.timezone.utc)
    monkeypatch.setattr(log.Log, "rewrite", lambda *_more: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ledger.forget(limit)
    monkeypatch.undo()
    for name in (log, module, index_module):
        monkeypatch.setattr(name, "SEGMENT", 8)
    from buril.serve._ledger import check

    monkeypatch.setattr(check, "SEGMENT", 8)
    assert Ledger(ledger.folder).verify().problems == ()
    assert Ledger(ledger.folder).forget(limit) == 12
    assert Ledger(ledger.folder).verify().problems == ()


# --- crashes and others


def test_a_line_that_was_cut_short_is_taken_away(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 3)
    path = ledger.log.segment(0)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[-1][:200])
    assert Ledger(ledger.folder).verify().problems == ()  # it was never kept, so it is no record
    assert not Ledger(ledger.folder).find("nothing of it").known
    Ledger(ledger.folder).append(entry(9))
    assert path.read_bytes().startswith(whole)
    told = Ledger(ledger.folder).verify()
    assert told.problems == () and told.records == 5


def test_a_crash_before_the_seal_is_made_good(tmp_path: Path, small: int) -> None:
    ledger = filled(tmp_path, 7)
    assert ledger.verify().records == 8
    ledger.log.seal(0).unlink()
    assert Ledger(ledger.folder).verify().problems == ()
    Ledger(ledger.folder).append(entry(8))
    assert ledger.log.seal(0).exists() and Ledger(ledger.folder).verify().problems == ()


def writer(folder: str, first: int, number: int) -> None:
    ledger = Ledger(Path(folder))
    for place in range(first, first + number):
        ledger.append(entry(place))


def test_several_processes_append_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=writer, args=(str(tmp_path), 100 * place, 40)) for place in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    told = Ledger(tmp_path).verify()
    assert told.problems == () and told.records == 161
    ids = {record["id"] for record in Ledger(tmp_path).records() if record["kind"] == "completion"}
    assert ids == {f"{100 * place + number:012x}" for place in range(4) for number in range(40)}


def test_what_was_appended_outlives_a_kill(tmp_path: Path) -> None:
    """Processes are killed in the middle of appending; what they were told is kept is there, and the chain is whole."""
    context = multiprocessing.get_context("fork")
    for turn in range(4):
        worker = context.Process(target=writer, args=(str(tmp_path), 10_000 * turn, 9_999))
        worker.start()
        before = len(list(Ledger(tmp_path).records()))
        end = time.monotonic() + 60
        while len(list(Ledger(tmp_path).records())) < before + 20 and time.monotonic() < end:
            time.sleep(0.01)
        assert worker.pid
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        kept = len(list(Ledger(tmp_path).records()))
        assert Ledger(tmp_path).verify().problems == ()
        Ledger(tmp_path).append(entry(turn))
        assert Ledger(tmp_path).verify().problems == () and len(list(Ledger(tmp_path).records())) == kept + 1


def test_threads_share_a_ledger(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    ledger = Ledger(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ledger.append(entry(number)), range(60)))
    assert ledger.verify().problems == () and ledger.verify().records == 61


def test_a_folder_that_cant_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BurilError) as problem:
        Ledger(tmp_path / "file").append(entry(1))
    assert problem.value.code == "V304"


def test_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = filled(tmp_path, 2)
    whole = ledger.log.segment(0).read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:100]))
    with pytest.raises(BurilError) as problem:
        ledger.append(entry(3))
    assert problem.value.code == "V304"
    monkeypatch.undo()
    assert ledger.log.segment(0).read_bytes() == whole
    ledger.append(entry(4))
    assert ledger.verify().problems == ()


def test_export_gives_every_record(tmp_path: Path) -> None:
    ledger = filled(tmp_path, 4)
    told: list[str] = []
    assert ledger.export(told.append) == 5
    records: list[Record] = [json.loads(line) for line in told]
    assert [record["seq"] for record in records] == [0, 1, 2, 3, 4]
    assert all(hash_of(record) == record["hash"] for record in records)
