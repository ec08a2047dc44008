"""What a server keeps of each answer: its record, where it is from, the ledger, and counts. No code, but in none."""

from __future__ import annotations

import json
import math
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.cli import tracing
from buril.cli.bundle import model_among
from buril.cli.guarding import logged
from buril.cli.marking import entry_of, ledger_of
from buril.cli.records import Hole, Parameters, record_of, write_record
from buril.core.artifact import Link
from buril.core.errors import BurilError

if TYPE_CHECKING:
    from buril.cli.records import Linked
    from buril.core.store import Store
    from buril.serve.answer import Answered, Kept
    from buril.serve.ledger import Ledger
    from buril.serve.watermark import Watermark

SHOWN_MATCHES = 5
"""Matches that an answer names; its record has all."""


class Keeper:
    """Keeps answers; any thread may call it.

    Args:
        store: where records, ledger and counts are written.
        model: that answers.
        engine: its name.
        looked: the index of what the model has learnt from, where there is one.
        mark: what is on all that the model writes, where there is one.
    """

    def __init__(
        self, store: Store, model: Linked, *, engine: str, looked: tracing.Looked | None = None,
        mark: Watermark | None = None,
    ) -> None:  # fmt: skip
        from buril.code.traffic import TrafficWriter

        self._store, self._model, self._engine, self._looked = store, model, engine, looked
        self._mark = mark
        link = model_among(model.links())
        assert link is not None, "every model is made of something"
        self.digest = link.digest
        self.traffic = TrafficWriter(store.root / "traffic")
        self.ledger: Ledger | None = ledger_of(store) if find_spec("cryptography") else None

    def __call__(self, answered: Answered) -> Kept:
        """Keep an answer; what can't be kept is said in the log, the answer is there all the same."""
        from buril.serve.answer import Kept
        from buril.serve.log import line

        record = self._record(answered)
        try:
            write_record(self._store, record)
            if self.ledger is not None:
                tuned = getattr(self._model, "tuned", None)
                self.ledger.append(entry_of(self._store, record, answered.text, tuned=tuned, engine=self._engine))
        except (BurilError, OSError) as problem:
            line("record_lost", id=record["id"], problem=str(problem).splitlines()[0])
        self._count(answered)
        matches = record.get("provenance", {}).get("matches", [])
        return Kept(str(record["id"]), tuple(match for match in matches if not match["common"])[:SHOWN_MATCHES])

    def of(self, model: Linked, looked: tracing.Looked | None) -> Keeper:
        """One for a model beside, into the same files."""
        other = copy(self)
        other._model, other._looked = model, looked
        link = model_among(model.links())
        assert link is not None, "every model has a base"
        other.digest = link.digest
        return other

    def event(self, id_: str, event: str, **told: Any) -> None:
        """Keep what became of an answer in an editor."""
        from buril.code.traffic import Shown

        digest = self._digest_of(id_)
        self.traffic.event(Shown(told.get("language") or "other", digest, event, told["chars"], told["lines"]))
        if self.ledger is not None:
            self.ledger.event(id_, event, chars=told["chars"], lines=told["lines"])

    def _digest_of(self, id_: str) -> str:
        """Whose answer it was: of several models that are served beside each other its record knows."""
        try:
            raw = json.loads((self._store.root / "completions" / f"{id_}.json").read_text(encoding="utf-8"))
            link = model_among({name: Link(**link) for name, link in raw["model"].items()})
        except (OSError, ValueError, KeyError, TypeError):
            return self.digest
        return link.digest if link else self.digest

    def close(self) -> None:
        """Write what is counted so far."""
        self.traffic.close()

    def _record(self, answered: Answered) -> dict[str, Any]:
        from buril.generators._generator import Completion

        asked, request, given = answered.asked, answered.request, answered.given
        told = Parameters(
            request.max_tokens, request.temperature, request.num_samples, request.seed, asked.fim, asked.finish,
            answered.context,
        )  # fmt: skip
        hole = Hole("\0".join(given) if asked.chat else given[0], given[1] if asked.fim else None)
        found = Completion(answered.text, (0,) * answered.num_tokens, "eos", math.nan)
        record = record_of(self._model, hole, told=told, sample=answered.sample, found=found)
        before = "" if asked.chat else given[0]
        traced = tracing.record_of(self._looked, answered.text, asked.language, before)
        return {**record, "finish_reason": answered.finish_reason, **logged(answered.fired, self._mark), **traced}

    def _count(self, answered: Answered) -> None:
        from buril.code.traffic import Served

        self.traffic.request(Served(
            answered.asked.language or "other", self.digest, "".join(answered.given), answered.text, answered.seconds,
            first_s=answered.first_s, tokens_in=answered.prompt_tokens, tokens_out=answered.num_tokens,
            finish=answered.finish_reason, logprob=answered.logprob,
            guards=tuple(f"{item.guard}.{item.action}" for item in answered.fired),
        ))  # fmt: skip


def store_at(store: Store | None, folder: Path | None) -> Store:
    """Where a server writes: the folder of `--state`, else the store, else `.buril` here."""
    from buril.core.store import Store as Made

    if folder is None:
        return store or Made(Path(".buril"))
    folder.mkdir(parents=True, exist_ok=True)
    return Made(folder)
