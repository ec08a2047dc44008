"""Counts of served traffic: what is written, what is not, and that nothing more than a period is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.code import traffic
from buril.code.tokenbag import BINS, MOST, bag, from_text, to_text
from buril.code.traffic import Counts, Key, Served, Shown, TrafficWriter, compact, read_traffic

MODEL = "a1b2c3d4" * 8
SOURCE = (Path(traffic.__file__)).read_text(encoding="utf-8")


def served(place: int = 0, **changes: object) -> Served:
    told = {
        "language": "python", "model": MODEL, "prompt": SOURCE[place : place + 2000],
        "completion": SOURCE[place + 2000 : place + 2200], "latency_s": 0.2, "tokens_in": 500, "tokens_out": 40,
        "parse_errors": 1, "logprob": -12.0, "findings": 2, "guards": ("secrets.warn",),
    }  # fmt: skip
    return Served(**{**told, **changes})  # type: ignore[arg-type]


class Clock:
    """The time, as far as the writer knows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        monkeypatch.setattr(traffic.time, "time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def total(folder: Path) -> Counts:
    counts = Counts()
    for line in read_traffic(folder):
        counts.add(line.counts)
    return counts


# --- bags


def test_a_bag_counts_tokens_and_no_text_more_than_it_may() -> None:
    assert bag("a = a + 1").sum() == 5
    assert bag("x\n" * 50).sum() == MOST, "one word over and over counts four times"
    assert (bag("f(1, 22, 333)") == bag("f(7, 8, 9)")).all(), "all numbers are one token"
    assert not (bag("alpha") == bag("beta")).all()
    assert bag("").sum() == 0 and bag("\ud800 é 漢字").sum() == 3
    assert (bag("old_name " * 900 + "z = 1") == bag(("old_name " * 900 + "z = 1")[-2000:])).all()


def test_a_bag_comes_back_from_its_text() -> None:
    bins = bag(SOURCE)
    assert (from_text(to_text(bins)) == bins).all()
    for wrong in ("", "%%%", "aGVsbG8=", to_text(bins)[:40]):
        with pytest.raises(ValueError):
            from_text(wrong)


# --- what is written


def test_what_was_served_is_added_up(tmp_path: Path, clock: Clock) -> None:
    writer = TrafficWriter(tmp_path)
    for place in range(25):
        writer.request(served(place, cached=place % 5 == 0))
    for kind in ("shown", "shown", "accepted", "partial", "rejected", "persisted", "invented"):
        writer.event(Shown("python", MODEL, kind, chars=30, lines=2, findings=1))
    assert not list(tmp_path.iterdir()), "nothing is written within the period"
    clock.now += 300
    writer.tick()
    (line,) = read_traffic(tmp_path)
    assert line.key == Key("python", MODEL) and line.start % 300 == 0
    numbers = line.counts.numbers
    assert numbers["requests"] == 25 and numbers["tokens_in"] == 12_500 and numbers["cache_hits"] == 5
    assert numbers["finish.stop"] == 25 and numbers["guard.secrets.warn"] == 25 and numbers["parse_errors"] == 25
    assert numbers["logprob_milli"] == -300 * 25 and numbers["logprob_milli2"] == 300 * 300 * 25
    assert (numbers["shown"], numbers["accepted"], numbers["partial"], numbers["persisted"]) == (2, 1, 1, 1)
    assert (numbers["accepted_lines"], numbers["accepted_chars"], numbers["accepted_findings"]) == (4, 60, 2)
    assert sum(line.counts.histograms["latency_ms"].values()) == 25 and "invented" not in numbers
    assert (line.counts.bags["prompt"] == sum(bag(SOURCE[place : place + 2000]) for place in range(25))).all()
    assert numbers["bag.prompt"] == 25 and numbers["bag.completion"] == 20, "the cache's answers were counted before"


def test_no_word_of_the_code_is_in_the_files(tmp_path: Path) -> None:
    writer = TrafficWriter(tmp_path, least=1)
    words = ("zanzibar_ledger", "QuetzalInvoice", "hush_token_9", "montevideo")
    code = "".join(f"{word} = {word}({number})\n" for number, word in enumerate(words))
    told = {"prompt": code, "completion": code, "finish": "my_secret_project finished", "language": "../../etc"}
    writer.request(served(**told, guards=("Password: hunter2",)))
    writer.request(served(**told | {"model": "people@example.com", "language": "C++ of Ana"}))
    writer.close()
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert total(tmp_path).bags["prompt"].sum() == 2 * bag(code).sum() > 0
    assert not any(word in text for word in words)
    for told in ("hunter2", "my_secret", "example.com", "etc", "Ana"):
        assert told not in re.sub(r'"bags":\{[^}]*\}', "", text)
    assert {line.key for line in read_traffic(tmp_path)} == {Key("other", MODEL), Key("other", "other")}
    assert total(tmp_path).numbers["finish.other"] == 2 and total(tmp_path).numbers["guard.other"] == 1
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())


def test_a_bag_of_few_requests_waits_and_is_forgotten_at_the_end(tmp_path: Path, clock: Clock) -> None:
    writer = TrafficWriter(tmp_path, least=20)
    for _request in range(12):
        writer.request(served())
    clock.now += 300
    writer.tick()
    assert not total(tmp_path).bags and total(tmp_path).numbers["requests"] == 12
    for _request in range(8):
        writer.request(served())
    clock.now += 300
    writer.tick()
    found = total(tmp_path)
    assert found.numbers["bag.prompt"] == 20 and (found.bags["prompt"] == 20 * bag(SOURCE[:2000])).all()
    writer.request(served())
    writer.close()
    assert total(tmp_path).numbers["bag.prompt"] == 20 and total(tmp_path).numbers["requests"] == 21


def test_it_is_bounded(tmp_path: Path) -> None:
    writer = TrafficWriter(tmp_path)
    for number in range(300):
        writer.request(served(model=f"{number:06x}", finish=f"f{number}"))
        writer.request(served(finish=f"f{number}"))
    writer.close()
    lines = list(read_traffic(tmp_path))
    assert len(lines) <= traffic.MAX_KEYS + 1
    assert sum(line.counts.numbers["requests"] for line in lines) == 600
    assert all(len(line.counts.numbers) <= traffic.MAX_NAMES + 4 for line in lines)


# --- crashes and company


def _serve(folder: str, number: int, die: bool) -> None:
    writer = TrafficWriter(Path(folder), period_s=1, least=1)
    for place in range(number):
        writer.request(served(place))
        if die and place == number // 2:
            time.sleep(1.1)
            writer.tick()
            if place:
                writer.request(served())
                os.kill(os.getpid(), signal.SIGKILL)
    writer.close()


def test_several_processes_write_to_one_folder(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("spawn")
    workers = [fork.Process(target=_serve, args=(str(tmp_path), 40, False)) for _worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert total(tmp_path).numbers["requests"] == 120
    assert (total(tmp_path).bags["prompt"] == 3 * sum(bag(SOURCE[p : p + 2000]) for p in range(40))).all()


def test_a_crash_loses_the_unfinished_period_and_no_other(tmp_path: Path) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=_serve, args=(str(tmp_path), 20, True))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    assert total(tmp_path).numbers["requests"] == 11, "ten before, one at the half, and the last one is lost"


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_line_that_was_cut_short_costs_no_other(tmp_path: Path, cut: int) -> None:
    for _period in range(3):
        writer = TrafficWriter(tmp_path)
        writer.request(served())
        writer.close()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    first = whole.index(b"\n", 1) + 1
    path.write_bytes(whole[: first + 1 + cut] + whole[2 * first :])  # the second ends in its middle, the third follows
    assert total(tmp_path).numbers["requests"] == 2
    path.write_bytes(whole[:-cut])
    assert total(tmp_path).numbers["requests"] == 2
    path.write_bytes(whole + b'\n{"format": 1}\n\n[]\n\nnull\n\n\xff\xfe\n')
    assert total(tmp_path).numbers["requests"] == 3
    raw = json.loads(whole[:first])
    path.write_text(json.dumps({**raw, "bag": 99}) + "\n")
    assert not list(read_traffic(tmp_path)), "bags of another version don't compare"


def test_only_the_asked_for_time_is_read(tmp_path: Path, clock: Clock) -> None:
    writer = TrafficWriter(tmp_path)
    for _day in range(3):
        writer.request(served())
        clock.now += 86_400
    writer.close()
    (tmp_path / "not-a-day!.jsonl").write_text("x")
    starts = [line.start for line in read_traffic(tmp_path)]
    assert len(starts) == 3
    assert [line.start for line in read_traffic(tmp_path, since=starts[1])] == starts[1:]
    assert [line.start for line in read_traffic(tmp_path, until=starts[1])] == starts[:1]


def test_days_that_are_over_can_be_merged(tmp_path: Path, clock: Clock) -> None:
    writer = TrafficWriter(tmp_path, least=2)
    for period in range(60):
        for _request in range(1 + period % 3):
            writer.request(served(period, model=MODEL if period % 4 else "beef00"))
        clock.now += 300
    writer.close()
    clock.now += 86_400
    writer.request(served())
    writer.close()
    first, last = sorted(tmp_path.iterdir())
    before, kept, size = total(tmp_path).plain(), last.read_bytes(), first.stat().st_size
    start = {line.start for line in read_traffic(tmp_path)}
    assert compact(tmp_path, before=clock.now - 40_000) == 1
    assert total(tmp_path).plain() == before and last.read_bytes() == kept
    lines = list(read_traffic(tmp_path, until=max(start)))
    assert len(lines) == len({(line.key, line.start) for line in lines}) <= 2 * 7
    assert sum("prompt" in line.counts.bags for line in lines) == 2 and all(line.start % 3600 == 0 for line in lines)
    assert first.stat().st_size < size / 2 and stat.S_IMODE(first.stat().st_mode) == 0o600
    assert compact(tmp_path, before=clock.now - 40_000) == 0, "it is done already"


# --- sums

numbers = st.dictionaries(st.sampled_from("abc"), st.integers(0, 10**6))
histograms = st.dictionaries(st.sampled_from("xy"), st.dictionaries(st.integers(0, 9), st.integers(0, 99)))


@st.composite
def counted(draw: st.DrawFn) -> Counts:
    bags = {}
    if draw(st.booleans()):
        bins = np.zeros(BINS, np.int64)
        bins[draw(st.integers(0, BINS - 1))] = draw(st.integers(0, 9))
        bags["prompt"] = bins
    plain = {"numbers": draw(numbers), "histograms": draw(histograms), "bags": {}}
    made = Counts.of(plain)
    made.bags = bags
    return made


def merged(*parts: Counts) -> dict[str, object]:
    found = Counts()
    for part in parts:
        found.add(part)
    return found.plain()


@settings(max_examples=60, deadline=None)
@given(counted(), counted(), counted())
def test_sums_do_not_depend_on_the_order(first: Counts, second: Counts, third: Counts) -> None:
    left, right = Counts(), Counts()
    left.add(first)
    left.add(second)
    right.add(second)
    right.add(third)
    assert merged(left, third) == merged(first, right) == merged(third, first, second)
    assert merged(Counts.of(first.plain())) == merged(first)


def test_a_request_costs_little(tmp_path: Path) -> None:
    writer = TrafficWriter(tmp_path)
    requests = [served(place) for place in range(300)]
    writer.request(requests[0])
    spent = []
    for request in requests:
        clock = time.process_time_ns()
        writer.request(request)
        spent.append(time.process_time_ns() - clock)
    assert sorted(spent)[150] < 1_500_000, "0.1 ms on a quiet machine"
