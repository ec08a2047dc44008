"""The judge of `synthesise`: what a candidate has to stand before it becomes a row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from buril.code.codefile import Verdict, read_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.data._seeds import Seed
from buril.data._tasks import Candidate
from buril.sandboxes._sandbox import Job, Sandbox

if TYPE_CHECKING:
    from buril.data.synthesise import Question
    from buril.scanners import Scanner

WINDOW = 13
"""Words in a row that no candidate shares with a held-out file (the window of Brown et al. 2020, GPT-3, appendix C)."""
TOO_CLOSE = 0.5
"""Share of a new solution's five-word windows that may stand in its seed."""
_SHORT = 5
_WORD = re.compile(r"\w+|[^\w\s]")
_DETAIL = 200


class Judge:
    """Runs, scans and compares candidates; remembers those it let pass."""

    def __init__(self, sandbox: Sandbox, scanners: list[Scanner], split: Artifact) -> None:
        self._sandbox, self._scanners = sandbox, scanners
        self._seen: set[frozenset[int]] = set()
        self._held_out: set[int] = set()
        for part in ("valid", "test"):
            for shard in split.files(f"{part}/*.parquet"):
                for file in read_rows(shard):
                    if file.language == "python":
                        self._held_out |= windows(file.content, WINDOW)

    def verdict(self, candidate: Candidate, asked: Question) -> Verdict | None:
        """Why a candidate is dropped; None when it is not. What costs least comes first."""
        close = self._copies(candidate, asked.seed)
        return close or self._scan(candidate) or self._run(candidate)

    def _copies(self, candidate: Candidate, seed: Seed) -> Verdict | None:
        """Whether it is in the held-out parts, repeats a row, or, where it should be new, its seed."""
        if windows(candidate.source + "\n" + candidate.written, WINDOW) & self._held_out:
            return Verdict("", "in_held_out")
        found = windows(candidate.written, _SHORT)
        if not candidate.own:
            share = len(found & windows(seed.code, _SHORT)) / max(1, len(found))
            if share > TOO_CLOSE:
                return Verdict("", "copies_seed", f"{share:.2f} > {TOO_CLOSE:.2f}")
        if _key(candidate) in self._seen:
            return Verdict("", "duplicate")
        return None

    def keep(self, candidate: Candidate) -> None:
        """Remember a candidate that became a row."""
        self._seen.add(_key(candidate))

    def _scan(self, candidate: Candidate) -> Verdict | None:
        for scanner in self._scanners:
            for finding in scanner.scan(candidate.content, "python"):
                if finding.severity == "high":
                    return Verdict("", "finding", f"{finding.scanner} {finding.rule}"[:_DETAIL])
        return None

    def _run(self, candidate: Candidate) -> Verdict | None:
        """Whether the tests pass on the code and fail on a function that does nothing."""
        outcome = self._sandbox.run(Job(candidate.source, candidate.entry, candidate.calls))
        if outcome.status == "harness_error":
            raise BurilError("E007", task=candidate.entry, detail=outcome.detail)
        if not outcome.passed:
            return Verdict("", f"tests_{_slug(outcome.status)}", outcome.detail[:_DETAIL])
        for body in ("return None", "return args[0] if args else None"):
            stub = f"def {candidate.entry}(*args):\n    {body}\n"
            if self._sandbox.run(Job(stub, candidate.entry, candidate.calls)).passed:
                return Verdict("", "tests_pass_on_stub", body)
        return None


def _key(candidate: Candidate) -> frozenset[int]:
    """What two candidates that say the same have in common."""
    return frozenset(windows(candidate.written, _SHORT) or windows(candidate.written, 1))


def _slug(status: str) -> str:
    return "fail" if status == "wrong" else status


def windows(text: str, size: int) -> set[int]:
    """Digests of every run of `size` words and marks of a text."""
    from xxhash import xxh3_64_intdigest

    words = _WORD.findall(text)
    runs = (" ".join(words[at : at + size]) for at in range(len(words) - size + 1))
    return {xxh3_64_intdigest(run.encode("utf-8", "surrogatepass")) for run in runs}
