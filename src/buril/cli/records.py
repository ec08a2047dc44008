"""Records of completions: which model wrote them and how, without their text; `buril trace` walks from them."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from buril.cli.completing import Shown
from buril.core.artifact import atomic, canonical
from buril.core.errors import BurilError

if TYPE_CHECKING:
    from buril.core.artifact import Link
    from buril.core.store import Store
    from buril.generators._generator import Completion

ID_CHARS = 12


@dataclass(frozen=True)
class Hole:
    """Where code is wanted: after `prefix` and, where there is one, before `suffix`."""

    prefix: str
    suffix: str | None = None

    @property
    def texts(self) -> tuple[str, str]:
        """What stands before and after."""
        return self.prefix, self.suffix or ""


@dataclass(frozen=True)
class Parameters:
    """What the model was asked for; `finish`: whether its text was finished, `context`: places of what else it saw."""

    max_tokens: int
    temperature: float
    samples: int
    seed: int
    fim: bool
    finish: bool = False
    context: tuple[str, ...] = ()


class Linked(Protocol):
    """A model that says what it is made of."""

    def links(self) -> dict[str, Link]:
        """How a record names it."""


def record_of(model: Linked, hole: Hole, *, told: Parameters, sample: int, found: Completion) -> dict[str, Any]:
    """What is kept of a completion: which model wrote it and how, and of the texts their SHA-256s alone.

    The id is a hash of all that but the time, so the same completion has the same id.
    """
    content: dict[str, Any] = {
        "model": {name: asdict(link) for name, link in model.links().items()},
        "parameters": {**asdict(told), "sample": sample, **strength_of(model)},
        "prompt_sha256": _sha256(hole.prefix),
        "suffix_sha256": _sha256(hole.suffix) if hole.suffix else None,
        "text_sha256": _sha256(found.text),
        "num_tokens": len(found.tokens),
        "finish_reason": found.finish_reason,
        **(found.record() if isinstance(found, Shown) else {}),
    }
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"id": hashlib.sha256(canonical(content)).hexdigest()[:ID_CHARS], "created": now, **content}


def strength_of(model: Linked) -> dict[str, float]:
    """The strength of a model's adapter, where it is another than that of its training."""
    strength = getattr(model, "strength", 1.0)
    return {"strength": strength} if strength != 1.0 else {}


def write_records(store: Store, records: Sequence[dict[str, Any]], asked: Hole | None) -> None:
    """Write some records, with the text around the hole where that is to be kept.

    Raises:
        BurilError: S003 when the store can't be written.
    """
    kept = {"prompt": asked.prefix, "suffix": asked.suffix} if asked else {}
    for record in records:
        write_record(store, {**record, **kept})


def write_record(store: Store, record: dict[str, Any]) -> None:
    """Write `completions/<id>.json`.

    Raises:
        BurilError: S003 when the store can't be written.
    """
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    try:
        with atomic(store.root / "completions" / f"{record['id']}.json") as path:
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
    except OSError as problem:
        raise BurilError("S003", path=store.root, problem=problem.strerror or str(problem)) from problem


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
