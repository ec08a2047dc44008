"""Proof by behaviour: both texts of a pair are run in the sandbox, on ordinary inputs and on those of an attacker.

`behaviour` holds where what both did on ordinary inputs is the same: value, exceptions, output, files, changed
arguments, and calls to what is not there. `exploit` holds where an attack shows its sign in the vulnerable text and not
in the secure one. What can't be driven, or turns on something that is not there, is unproven and never called equal.

What is said is about the inputs that were tried. The texts report on themselves from within the jail: code that was
written to deceive could claim to do the same, and would still be behind the sandbox's walls.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from buril.core.errors import BurilError
from buril.core.plugins import PluginKind, Ref
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.data._pair_judged import Memory
from buril.data.behaviour._attacks import ATTACKS, EXECUTED, attacks
from buril.data.behaviour._inputs import ROOT, Maker
from buril.data.behaviour._judging import LOCKED, Word, compared
from buril.data.behaviour._reading import HALVES, Reading, read
from buril.data.pair import Pair
from buril.sandboxes._lazy import Lazy
from buril.sandboxes._sandbox import Limits, Program

VERSION = 1
"""Goes up whenever a pair may be judged in another way than before."""
LEAST_EQUAL = 3
"""Ordinary inputs on which both have to do the same, at least; one where there is nothing to vary."""
TURNS = 3
"""Ways to guess the kinds of arguments of which nothing is known: as texts, as bytes, as numbers."""
PYTHON = "/usr/bin/python3"
"""The Python of the jail, which shows what is below `/usr` and nothing of this one's packages."""
HASHES = frozenset({"CWE-326", "CWE-327", "CWE-328", "CWE-759", "CWE-760", "CWE-916"})
_START = "import sys; sys.path.insert(0, '/tmp'); from buril.sandboxes._witness.run import main; main()"
_LIMITS = Limits(cpu_s=20, wall_s=60.0, memory_mb=1024, disk_mb=64, processes=32, output_kb=8192)

Outcome = Literal["equal", "differs", "unproven"]


class Behaviour(BaseSettings):
    """How pairs are run, on what, and where."""

    shorthand: ClassVar[str | None] = "inputs"

    inputs: int = Field(12, ge=3, le=200)
    """Ordinary inputs that each function is called with."""
    seconds: int = Field(1, ge=1, le=30)
    """Processor seconds of one run; what takes longer on an attacker's input has the weakness CWE-1333."""
    sandbox: Annotated[Ref, PluginKind("sandbox")] = Field(default="namespaces", validate_default=True)
    """What the texts run in; they are code that nobody has read."""
    workers: int = runtime(2, ge=1, le=64)
    """Pairs at a time, each in a jail of its own."""


class Shown(NamedTuple):
    """What was found of a pair.

    Attributes:
        outcome: whether both do the same on ordinary inputs.
        exploit: `told_apart`, `still_open` (the secure text shows the sign too), or "" where no attack showed anything.
        reason: why it is unproven, or how the two differ.
        inputs: how many ordinary inputs both did the same on.
        example: the input (JSON) that shows a difference, or that an attack worked with.
    """

    outcome: Outcome
    exploit: str = ""
    reason: str = ""
    inputs: int = 0
    example: str = ""


def observed(told: Behaviour) -> Any:
    """A fingerprint of the Python that pairs run on."""
    path = Path(PYTHON)
    return [path.resolve().name, path.stat().st_size] if path.exists() else []


class Runner:
    """Runs pairs; what it found of one is kept in a folder, so that an interrupted run does nothing twice."""

    def __init__(self, told: Behaviour, seed: int, kept: Path | None = None) -> None:
        self._told, self._seed, self._memory = told, seed, Memory(kept)
        self._sandbox = Lazy(told.sandbox)
        self._files = _witness()

    def close(self) -> None:
        """End the jails."""
        self._sandbox.close()

    def shown(self, pair: Pair) -> Shown:
        """What both texts of a pair do.

        Raises:
            BurilError: D340 where the sandbox has no Python, E001 where there can be no sandbox.
        """
        return Shown(*self._memory.get(f"{pair.pair_id}-{pair.cwe}", lambda: self._judged(pair)))

    def _judged(self, pair: Pair) -> Shown:
        if pair.language != "python":
            return Shown("unproven", reason="language")
        texts = [textwrap.dedent(text.replace("\r\n", "\n")) for text in (pair.secure, pair.vulnerable)]
        readings = read(texts[0], texts[1], ROOT)
        if not readings:
            return Shown("unproven", reason="no_entry")
        found = [self._entry(reading, pair.cwe) for reading in readings]
        worst = [shown for shown in found if shown.outcome == "differs"]
        good = [shown for shown in found if shown.outcome == "equal"]
        chosen = worst or sorted(good, key=lambda shown: shown.exploit != "told_apart") or found
        return chosen[0]

    def _entry(self, reading: Reading, cwe: str) -> Shown:
        for turn in range(TURNS):
            shown, worked = self._turn(reading, cwe, turn)
            if worked:
                return shown
        return shown

    def _turn(self, reading: Reading, cwe: str, turn: int) -> tuple[Shown, bool]:
        """What one kind of guesses shows, and whether any input fitted."""
        maker = Maker(reading, cwe, self._seed, turn)
        number = self._told.inputs if reading.parameters or reading.keys else 1
        inputs = maker.make(number)
        plan: dict[str, Any] = {
            "texts": reading.texts,
            "entry": reading.entry,
            "tables": reading.tables,
            "words": maker.words,
            "unknown": reading.unknown,
            "modules": reading.modules,
            "changed": reading.changed,
            "files": maker.files(),
            "masked": cwe in HASHES,
            "seconds": self._told.seconds,
            "trials": [item.trial for item in inputs],
        }
        seen = self._run(plan)
        if seen is None:
            return Shown("unproven", reason="died"), True
        words = [compared(one, reading.texts, cwe, sure=item.sure) for one, item in zip(seen, inputs, strict=True)]
        shown = _concluded(cwe, words, seen, reading, plan["trials"])
        equal = [
            place for place, word in enumerate(words) if word.said == "equal" and "value" in seen[place]["vulnerable"]
        ]
        if shown.outcome != "equal" and not (shown.outcome == "unproven" and equal):
            equal = [
                place for place, one in enumerate(seen) if "value" in one["vulnerable"] and "value" in one["secure"]
            ]
        worked = any("value" in one["vulnerable"] for one in seen) or not reading.parameters
        if shown.outcome == "differs" or not equal or cwe not in ATTACKS:
            return shown, worked
        return self._attacked(shown, plan, plan["trials"][equal[0]], cwe, reading), worked

    def _attacked(self, shown: Shown, plan: dict[str, Any], trial: dict[str, Any], cwe: str, reading: Reading) -> Shown:
        hostile = list(attacks(cwe, trial, reading.constants))
        seen = self._run({**plan, "trials": [item for item, _payload in hostile]}) if hostile else None
        still = ""
        for one, (item, payload) in zip(seen or (), hostile, strict=bool(seen)):
            in_both = [_signs(cwe, one[half], payload) for half in ("vulnerable", "secure")]
            if in_both == [True, False]:
                return shown._replace(exploit="told_apart", example=_example(item))
            still = still or (_example(item) if in_both[1] and cwe in EXECUTED else "")
        return shown._replace(exploit="still_open", example=still) if still else shown

    def _run(self, plan: dict[str, Any]) -> list[dict[str, Any]] | None:
        """What the jail's report says; None where there is none."""
        if not Path(PYTHON).exists():
            raise BurilError("D340", path=PYTHON)
        command = (PYTHON, "-I", "-S", "-c", _START, "/tmp/plan.json", "/tmp/result.json")  # noqa: S108  the jail's
        tell = (PYTHON, "-I", "-S", "-c", "print(open('/tmp/result.json').read())")
        program = Program({**self._files, "plan.json": json.dumps(plan)}, (command, tell), limits=_LIMITS)
        outcome = self._sandbox.get().execute(program)
        try:
            found: list[dict[str, Any]] = json.loads(outcome.out[outcome.out.index("[") :])
        except ValueError:
            return None
        return found if len(found) == len(plan["trials"]) else None


def _witness() -> dict[str, str]:
    """The files that run in the jail, by their path there."""
    folder = files("buril.sandboxes").joinpath("_witness")
    found = {
        f"buril/sandboxes/_witness/{item.name}": item.read_text(encoding="utf-8")
        for item in folder.iterdir()
        if item.name.endswith(".py")
    }
    return {**found, "buril/__init__.py": "", "buril/sandboxes/__init__.py": ""}


def _signs(cwe: str, seen: dict[str, Any], payload: Any) -> bool:
    if seen["end"] != "done":
        return cwe == "CWE-1333" and seen["end"] == "timeout"
    return ATTACKS[cwe].sign(seen, payload)


def _concluded(
    cwe: str, words: Sequence[Word], seen: Sequence[dict[str, Any]], reading: Reading, trials: Sequence[dict[str, Any]]
) -> Shown:
    """The word on a pair, of the words on its inputs."""
    counts = Counter(word.said for word in words)
    for word, trial in zip(words, trials, strict=True):
        if word.said == "differs":
            return Shown("differs", reason=word.what, inputs=counts["equal"], example=_example(trial))
    if cwe not in LOCKED and counts["refused"] > counts["equal"] and counts["refused"] > counts["misfit"]:
        place = next(at for at, word in enumerate(words) if word.said == "refused")
        return Shown(
            "differs", reason=f"refused: {words[place].what}", inputs=counts["equal"], example=_example(trials[place])
        )
    hit = [one for one, word in zip(seen, words, strict=True) if word.said == "equal" and _hits(one, reading)]
    returned = [one for one in hit if "value" in one["vulnerable"]]
    if returned and len(hit) >= min(LEAST_EQUAL, len(words)):
        return Shown("equal", inputs=len(hit))
    if counts["equal"] and not hit:
        return Shown("unproven", reason="change_not_reached")
    why = Counter(f"{word.said}: {word.what.split(':')[0]}" for word in words if word.said != "equal")
    return Shown("unproven", reason=why.most_common(1)[0][0] if why else "too_few")


def _hits(seen: dict[str, Any], reading: Reading) -> bool:
    """Whether a run passed a line in which the texts differ, in each text that has such a line."""
    return all(seen[half]["hit"] or not reading.changed[half] for half in HALVES)


def _example(trial: dict[str, Any]) -> str:
    told = {name: spec.get("value", spec["kind"]) for name, spec in trial["arguments"].items()}
    return json.dumps({**told, **({"request": trial["values"]} if trial["values"] else {})}, ensure_ascii=False)[:400]
