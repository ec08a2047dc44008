"""Champion: which set of artifacts is served, and which was before it, as one small file of the store.

`refs/NAME@champion.json` holds both, so that one rename puts a new model in place, or the old one back: a server that
reads the reference at any moment finds one of the two, never a half.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from buril.core.artifact import Link, atomic
from buril.core.errors import BurilError
from buril.core.store import ALIASES, Store

NAME = ALIASES[0]
MODELS = ("align", "train")
"""Stages whose artifacts are models, the last one of a run first."""


class Served(NamedTuple):
    """What is or was served: the run that made it, its artifacts by stage, since when (seconds since the epoch)."""

    run: str
    stages: dict[str, Link]
    since: float


def champion(store: Store, name: str) -> tuple[Served | None, Served | None]:
    """What is served under a name, and what was before it; None for what there is not."""
    path = store.root / "refs" / f"{name}{NAME}.json"
    if not path.is_file():
        return None, None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return _served(raw), _served(raw["previous"]) if raw.get("previous") else None
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise BurilError("S002", path=path, problem=problem) from problem


def promote(store: Store, name: str, run: str, links: Mapping[str, Link]) -> Served:
    """Serve these artifacts from now on; what is served now becomes `NAME@previous`.

    Where the model is the one that is served already, what was before it stays what was before.
    """
    now, before = champion(store, name)
    new = Served(run, dict(links), time.time())
    same = now is not None and model_of(now.stages) == model_of(links)
    _write(store, name, new, before if same else now)
    return new


def model_of(links: Mapping[str, Link]) -> str:
    """The digest of the model among the artifacts of a run; "" where it made none."""
    return next((links[stage].digest for stage in MODELS if stage in links), "")


def roll_back(store: Store, name: str) -> Served:
    """Serve again what was served before; the two change places, so that twice is as if nothing had been.

    Raises:
        BurilError: V407 where nothing was served before.
    """
    now, before = champion(store, name)
    if now is None or before is None:
        raise BurilError("V407", name=name)
    back = before._replace(since=time.time())
    _write(store, name, back, now)
    return back


def _served(raw: Mapping[str, Any]) -> Served:
    return Served(str(raw["run"]), {stage: Link(**link) for stage, link in raw["stages"].items()}, float(raw["since"]))


def _write(store: Store, name: str, now: Served, before: Served | None) -> None:
    told = {"name": name, **_plain(now), "previous": _plain(before) if before else None}
    with atomic(store.root / "refs" / f"{name}{NAME}.json") as path:
        path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _plain(served: Served) -> dict[str, Any]:
    stages = {stage: asdict(link) for stage, link in served.stages.items()}
    return {"run": served.run, "stages": stages, "since": round(served.since, 3)}
