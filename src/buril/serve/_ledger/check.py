"""Whether a ledger is as it was written: every hash, link and signature, the seals, and the head.

What is seen: a record that was changed, taken out, put in, moved or emptied without a signed reason, and an end that
was cut off. What is not seen: what is done by who holds the private key, and a whole folder put back as it once was;
against that helps a head that was noted elsewhere (`Report.head`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from buril.core.artifact import canonical
from buril.core.text import _
from buril.serve._ledger import keys
from buril.serve._ledger.log import SEGMENT, START, Log
from buril.serve._ledger.record import Record, is_genuine, parsed

MOST = 100
"""Problems that are told; a broken chain has one a record."""


class Problem(NamedTuple):
    """What is wrong, and at which record (-1 for none)."""

    seq: int
    what: str


class Report(NamedTuple):
    """What a check found. `head` is the number and hash of the last record; `keys` are those introduced, in order."""

    problems: tuple[Problem, ...]
    records: int
    kinds: dict[str, int]
    keys: tuple[str, ...]
    head: str

    def record(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**self._asdict(), "ok": not self.problems, "problems": [item._asdict() for item in self.problems]}


class Checker:
    """Walks along the chain.

    Args:
        log: the files.
        key: name of the key that must have signed the first record; "" for whichever did.
        head: `SEQ:HASH` of a record that must be there, noted elsewhere; "" for none.
    """

    def __init__(self, log: Log, *, key: str = "", head: str = "") -> None:
        self.log, self.wanted_key, self.wanted_head = log, key, head
        self.problems: list[Problem] = []
        self.kinds: dict[str, int] = {}
        self.public: dict[str, str] = {}
        self.hashes: dict[int, str] = {}
        """Of the records that seals and heads name."""
        self._emptied: list[int] = []
        self._forgotten: list[tuple[int, int]] = []
        self._last = (-1, START)

    def run(self) -> Report:
        """Check everything."""
        ends = {number: _signed_file(self.log.seal(number)) for number in self.log.segments()}
        head = _signed_file(self.log.head)
        named = {int(told["seq"]) for told in (head,) if told} | {self._wanted()[0]}
        for seq, line in self._lines():
            self._take(seq, line, keep=seq in named or (seq + 1) % SEGMENT == 0)
        for seq in self._emptied:
            if not any(first <= seq <= last for first, last in self._forgotten):
                self._tell(seq, _("it was emptied, and no signed record says so"))
        self._check_seals(ends)
        self._check_head(head)
        found = f"{self._last[0]}:{self._last[1]}"
        return Report(tuple(self.problems[:MOST]), self._last[0] + 1, self.kinds, tuple(self.public), found)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        seq = 0
        for number in self.log.segments():
            if number * SEGMENT != seq:
                self._tell(seq, _("a segment is missing or short"))
                seq = number * SEGMENT
            for line in self.log.lines(number):
                yield seq, line
                seq += 1

    def _take(self, seq: int, line: bytes, *, keep: bool) -> None:
        record = parsed(line)
        if record is None:
            self._tell(seq, _("it is no record"))
            return
        if record["seq"] != seq:
            self._tell(seq, _("its number is {number}").format(number=record["seq"]))
        if record["previous"] != self._last[1]:
            self._tell(seq, _("it does not follow the record before it"))
        self._last = (seq, str(record["hash"]))
        self.kinds[record["kind"]] = self.kinds.get(record["kind"], 0) + 1
        if keep:
            self.hashes[seq] = str(record["hash"])
        if record["kind"] == "key":
            self._introduce(seq, record)
        if record["kind"] == "tombstone":
            self._emptied.append(seq)
        elif record["kind"] == "forgotten":
            self._forgotten += [(int(first), int(last)) for first, last in record["ranges"] if int(last) < seq]
        public = self.public.get(record["key"])
        if public is None:
            self._tell(seq, _("it is signed by the key {key}, which no record introduces").format(key=record["key"]))
        elif not is_genuine(record, public):
            self._tell(seq, _("it is not what was signed"))

    def _introduce(self, seq: int, record: Record) -> None:
        """A key is believed when it is the first, or when one that is believed signed the record."""
        if not self.public:
            name = keys.key_id(record["public"])
            self.public[name] = record["public"]
            if self.wanted_key and name != self.wanted_key:
                self._tell(seq, _("the chain begins with the key {key}, not with yours").format(key=name))
        elif (signed_by := self.public.get(record["key"])) and is_genuine(record, signed_by):
            self.public[keys.key_id(record["public"])] = record["public"]

    def _check_seals(self, ends: dict[int, dict[str, Any] | None]) -> None:
        for number, told in ends.items():
            last = (number + 1) * SEGMENT - 1
            if told is None:
                if last < self._last[0] or self.log.seal(number).exists():
                    self._tell(last, _("the seal of its segment is missing or can't be read"))
            elif not self._signed(told, "seal") or told["hash"] != self.hashes.get(last):
                self._tell(last, _("the seal of its segment does not fit"))

    def _check_head(self, told: dict[str, Any] | None) -> None:
        seq, digest = self._wanted()
        if seq >= 0 and self.hashes.get(seq) != digest:
            self._tell(seq, _("it is not the record that was noted elsewhere"))
        if self._last[0] < 0:
            return
        if told is None or not self._signed(told, "head"):
            self._tell(-1, _("the head is missing or not what was signed"))
        elif told["seq"] > self._last[0]:
            self._tell(
                self._last[0] + 1, _("records are missing at the end: the head names {seq}").format(seq=told["seq"])
            )
        elif told["hash"] != self.hashes.get(told["seq"]):
            self._tell(told["seq"], _("the head names another record"))
        elif told["seq"] < self._last[0] - 1:  # a crash can leave it one behind
            self._tell(told["seq"], _("the head is older than the records"))

    def _signed(self, told: dict[str, Any], what: str) -> bool:
        content = {name: value for name, value in told.items() if name != "signature"}
        public = self.public.get(str(told.get("key")))
        return bool(public and keys.signed(public, str(told.get("signature")), what, canonical(content)))

    def _wanted(self) -> tuple[int, str]:
        seq, _colon, digest = self.wanted_head.partition(":")
        return (int(seq), digest) if seq.isdigit() else (-1, "")

    def _tell(self, seq: int, what: str) -> None:
        self.problems.append(Problem(seq, what))


def _signed_file(path: Path) -> dict[str, Any] | None:
    """A head or a seal; None where there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and isinstance(found.get("hash"), str) and "signature" in found
    return found if whole and isinstance(found.get("seq", found.get("segment")), int) else None
