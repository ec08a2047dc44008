"""The ledger: a signed record of every completion, by which written code is known again, without any code in it.

A record holds who wrote (digests of model and data), how (engine, parameters, guards that fired) and of the text hashes
alone: of its lexical tokens, and fingerprints by winnowing. Records are chained by hashes and signed with Ed25519, so a
change, a gap or a cut end is seen by who has the public key.

Fingerprints are hashes of six to twelve tokens in a row: who has the ledger can test whether a text that they have or
guess was written, and can't read out one that they don't.

Example:
    ledger = Ledger(store.root / "ledger")
    ledger.append(Entry(id="3f9c", text="return a + b", engine="openvino", model={"train": "9d2e…"}))
    ledger.find(open("app.py").read()).known
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from buril.code import winnow
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.text import _
from buril.serve._ledger import keys
from buril.serve._ledger.check import Checker, Report
from buril.serve._ledger.log import SEGMENT, Log, Sync
from buril.serve._ledger.record import (
    Entry,
    Record,
    is_genuine,
    of_name,
    of_tokens,
    parsed,
    tombstone,
    unpacked,
)

if TYPE_CHECKING:
    from buril.code.attribution import Attributed
    from buril.code.fingerprints import Fingerprints
    from buril.serve._ledger.index import Index
    from buril.serve._ledger.lines import Indexed

__all__ = ["Entry", "Found", "Ledger", "Match", "Record", "Report", "Settings"]
FOLDER = "ledger"
MIN_TOKENS = 12
"""Lexical tokens below which a text is everybody's: `return self.name` proves nothing."""
MIN_HITS = 3
PART, PART_NAMELESS = 0.3, 0.5
"""Share of a completion's fingerprints that must be in a text for it to count as its source, with names and without."""
LOOKED_AT = 50
"""Completions that are looked at closer, those with the most hits."""


class Settings(BaseSettings):
    """What a ledger can be told."""

    key: str | None = runtime(None)
    """`env:NAME` or `file:PATH` of the private key (32 bytes as hexadecimal or base64, or PEM). By default the ledger
    makes its own, `key.pem` in its folder, which its owner alone may read."""
    sync: Sync = runtime("seal")
    """`seal` waits for the disk at the end of each segment: what was appended stands a crash of the process, not of the
    machine. `always` waits at every append, which takes milliseconds."""


class Match(NamedTuple):
    """A completion of which a text has a part: `share` of its fingerprints; `how`: `exact`, `named` or `nameless`."""

    id: str
    seq: int
    how: str
    share: float
    model: Mapping[str, str]


class Found(NamedTuple):
    """What the ledger knows of a text.

    `covered` is the share of its lexical tokens that stand in fingerprints of known completions, `covered_nameless` the
    same where names do not count. `too_short`: fewer tokens than can prove anything.
    """

    tokens: int
    exact: tuple[Match, ...]
    matches: tuple[Match, ...]
    covered: float
    covered_nameless: float
    too_short: bool

    @property
    def known(self) -> bool:
        """Whether the text, or a part of it, was written by a model that this ledger belongs to."""
        return bool(self.exact or self.matches)

    def record(self) -> dict[str, Any]:
        """As plain JSON."""
        told = {**self._asdict(), "known": self.known}
        listed = {
            name: [{**m._asdict(), "share": round(m.share, 3)} for m in told[name]] for name in ("exact", "matches")
        }
        return {**told, **listed, **{name: round(told[name], 3) for name in ("covered", "covered_nameless")}}


NOTHING = Found(0, (), (), 0.0, 0.0, too_short=True)
"""What is known of a text that is not looked at."""


class Ledger:
    """The ledger of a folder; any number of threads and processes may use one.

    Args:
        folder: is made at the first append.
        settings: the key, and when to wait for the disk.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.folder, self.settings = folder, settings or Settings()
        self.log = Log(folder, key=self.settings.key, sync=self.settings.sync)
        self._index: Index | None = None
        self._lines: Indexed | None = None

    @property
    def index(self) -> Index:
        """What finds records by hashes."""
        if self._index is None:
            from buril.serve._ledger.index import Index

            self._index = Index(self.log)
        return self._index

    # --- writing

    def append(self, *entries: Entry) -> list[Record]:
        """Keep completions; gives their records once they are written.

        Raises:
            BurilError: V301 and V302 for the key, V304 when the folder can't be written, P002, S020.
        """
        return self.log.append([entry.body() for entry in entries])

    def event(self, id_: str, event: str, **detail: Any) -> Record:
        """Keep what became of a completion: `shown`, `accepted`, `rejected`, `edited`, …; no code in the detail.

        Raises:
            BurilError: as `append`.
        """
        body = {"kind": "event", "id": id_, "event": event, **({"detail": detail} if detail else {})}
        return self.log.append([body])[0]

    def forget(self, before: datetime.datetime) -> int:
        """Empty the completions and events from before a time; the chain stays whole. Gives how many.

        That they are emptied is signed and kept first, so that a crash in between leaves a sound ledger, and another
        call finishes the work.

        Raises:
            BurilError: as `append`.
        """
        limit = before.astimezone(datetime.timezone.utc).isoformat(timespec="microseconds")

        def is_old(record: Record) -> bool:
            return record["kind"] in ("completion", "event") and str(record["time"]) < limit

        with self.log.locked() as signer:
            old = [record["seq"] for record in self.records() if is_old(record)]
            if not old:
                return 0
            ranges = _ranges(old)
            self.log.append_locked([{"kind": "forgotten", "before": limit, "ranges": ranges}], signer)
            for number in sorted({seq // SEGMENT for seq in old}):
                self.log.rewrite(number, lambda record: tombstone(record) if is_old(record) else record)
            self._index = self._lines = None
        return len(old)

    def rotate(self, new: str | None = None) -> Record:
        """Introduce another key, signed by the one in force; what was signed before stays good.

        Args:
            new: `env:NAME` or `file:PATH`; None makes a new one in the ledger's folder, in the place of the old.

        Raises:
            BurilError: as `append`.
        """
        own = self.folder / "key.pem"
        with self.log.locked() as signer:
            private = keys.new()
            other = keys.Signer(private) if new is None else keys.signer(new, own)
            (record,) = self.log.append_locked([{"kind": "key", "public": other.public}], signer)
            if new is None:
                keys.write_own(own, private)
            self.log.use_key(other)
        return record

    # --- reading

    def records(self) -> Iterator[Record]:
        """All records in their order."""
        for number in self.log.segments():
            yield from filter(None, map(parsed, self.log.lines(number)))

    def export(self, write: Callable[[str], object]) -> int:
        """Hand every record over as a line of JSON; gives how many."""
        count = 0
        for record in self.records():
            write(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n")
            count += 1
        return count

    def fingerprints(self, *, since: datetime.datetime | None = None, accepted: bool = False) -> Fingerprints:
        """What a CI needs to know lines of completions again: their fingerprints, each text once, and nothing else.

        Args:
            since: leave out completions from before.
            accepted: only those of which an editor has told that something was taken over.
        """
        from buril.serve._ledger.lines import fingerprints

        return fingerprints(self.records(), since=since, accepted=accepted)

    def lines(self, text: str, added: Sequence[range] | None = None) -> Attributed:
        """Which lines of a file were written as completions of this ledger; see `buril.code.attribution`."""
        from buril.code.attribution import attributed
        from buril.serve._ledger.lines import Indexed

        if self._lines is None:
            self._lines = Indexed(self.index)
        return attributed(text, self._lines, added)

    def of(self, id_: str) -> list[Record]:
        """The records of a completion, the first first: itself, as often as it was written, and its events."""
        return [record for record in self._by_name(id_) if record.get("id") == id_]

    def problem(self, record: Record) -> str:
        """Why a record is not to be believed, "" where it is genuine and stands in the chain."""
        public = {keys.key_id(item["public"]): item["public"] for item in self._believed()}
        if record["key"] not in public:
            return _("it is signed by the key {key}, which no record introduces").format(key=record["key"])
        if not is_genuine(record, public[record["key"]]):
            return _("it is not what was signed")
        after = self.index.record(record["seq"] + 1)
        if after is not None and after["previous"] != record["hash"]:
            return _("the record after it names another")
        return ""

    def _believed(self) -> list[Record]:
        """The records that introduce keys, each signed by one before it."""
        found: dict[str, str] = {}
        believed = []
        for record in self._by_name("key"):
            name = keys.key_id(record["public"]) if not found else str(record["key"])
            public = str(record["public"]) if not found else found.get(name, "")
            if public and is_genuine(record, public):
                found[keys.key_id(record["public"])] = str(record["public"])
                believed.append(record)
        return believed

    def _by_name(self, name: str) -> list[Record]:
        import numpy as np

        seqs = sorted({int(seq) for seq in self.index.hits(np.array([of_name(name)], np.uint64)).seq_M})
        return [record for seq in seqs if (record := self.index.record(seq)) and record["kind"] != "tombstone"]

    def verify(self, *, key: str = "", head: str = "") -> Report:
        """Check every record, the seals and the head; see `buril.serve._ledger.check`.

        Args:
            key: name of the key that must have begun the chain.
            head: `SEQ:HASH`, noted elsewhere, that must be in it.
        """
        return Checker(self.log, key=key, head=head).run()

    # --- finding

    def find(self, text: str) -> Found:
        """What the ledger knows of a text. It reads no key."""
        tokens = winnow.lexical(text)
        digest = winnow.digest(tokens)
        named = winnow.prints(tokens, winnow.NAMED)
        nameless = winnow.prints(winnow.nameless(tokens), winnow.NAMELESS)
        if len(tokens) < MIN_TOKENS:
            return Found(len(tokens), (), (), 0.0, 0.0, too_short=True)
        exact = self._exact(digest)
        found, covered = self._parts(named, "named", PART)
        others, covered_nameless = self._parts(nameless, "nameless", PART_NAMELESS)
        known = {match.seq for match in (*exact, *found)}
        matches = (*exact, *found, *(match for match in others if match.seq not in known))
        shares = [_share(places, len(tokens), shape[0]) for places, shape in
                  ((covered, winnow.NAMED), (covered_nameless, winnow.NAMELESS))]  # fmt: skip
        whole = 1.0 if exact else 0.0
        return Found(len(tokens), exact, matches, max(whole, shares[0]), max(whole, *shares), too_short=False)

    def _exact(self, digest: str) -> tuple[Match, ...]:
        import numpy as np

        hits = self.index.hits(np.array([of_tokens(digest)], np.uint64))
        records = filter(None, (self.index.record(int(seq)) for seq in hits.seq_M))
        return tuple(_match(record, "exact", 1.0) for record in records if record.get("tokens_sha256") == digest)

    def _parts(self, asked: winnow.Prints, how: str, least: float) -> tuple[list[Match], set[int]]:
        """The completions of which a text has a part, and the places in the text that they cover."""
        import numpy as np

        hits = self.index.hits(asked.hashes)
        found: list[Match] = []
        places: set[int] = set()
        seqs, counts = np.unique(hits.seq_M, return_counts=True)
        for place in np.argsort(-counts, kind="stable")[:LOOKED_AT]:
            record = self.index.record(int(seqs[place]))
            if record is None or record["kind"] != "completion":
                continue
            mine = asked.hashes[hits.asked_M[hits.seq_M == seqs[place]]]
            whole = np.unique(unpacked(record.get("prints" if how == "named" else "nameless")))
            common = np.intersect1d(mine, whole)
            share = len(common) / max(1, len(whole))
            enough = min(MIN_HITS, len(whole)) if record["num_lexical"] >= MIN_TOKENS else MIN_HITS
            if share >= least and len(common) >= enough:
                found.append(_match(record, how, share))
                places.update(asked.places[np.isin(asked.hashes, common)].tolist())
        return sorted(found, key=lambda match: -match.share), places


def _match(record: Record, how: str, share: float) -> Match:
    return Match(record["id"], record["seq"], how, share, record.get("model", {}))


def _share(places: set[int], tokens: int, length: int) -> float:
    """The share of tokens that stand in a fingerprint which begins at one of the places."""
    covered = {token for place in places for token in range(place, place + length)}
    return len(covered) / max(1, tokens)


def _ranges(numbers: list[int]) -> list[list[int]]:
    """Ascending numbers as pairs of the first and the last of each run."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
