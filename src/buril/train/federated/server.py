"""The server's side of a federated training: rounds, what is taken of them, and what of it is written down.

After each round the common vector and the list of contributions are saved: a server that is killed goes on from the
last whole round, whoever is there then. It keeps the common weights whose validation loss on its own text was lowest,
as a training at one place does.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.core.text import _
from buril.train.batch import sample, step_sequences
from buril.train.federated.adapter import Shared, Vector, digest
from buril.train.federated.client import Order
from buril.train.federated.members import Answers, Members
from buril.train.federated.privacy import epsilon
from buril.train.federated.settings import Federated
from buril.train.federated.updates import Contribution, Update, judge, norm_of, weights_of
from buril.train.loop import valid_loss
from buril.train.monitor import Monitor
from buril.train.parallel.team import Pulse
from buril.train.recipe import Clock, Recipe, Task
from buril.train.state import Checkpoints, Progress

SLACK = 1.01
"""How far above its bound the norm of a secure sum may be, for rounding."""


@dataclass(frozen=True)
class Scene:
    """What a server needs beside its settings."""

    task: Task
    shared: Shared
    recipe: Recipe
    out: Output
    monitor: Monitor


class Federation:
    """A federated training; the stage uses it as it uses `Loop`.

    Args:
        told: the settings of the federation.
        scene: the model, the validation text, the numbers and where events go.
        members: the clients.
        steps: steps of a client in all rounds together; None leaves it to each client's epochs.
    """

    num_steps: int | None

    def __init__(self, told: Federated, scene: Scene, members: Members, steps: int | None) -> None:
        self.told, self.members, self._scene = told, members, scene
        self.task, self.recipe, self.out = scene.task, scene.recipe, scene.out
        self.num_steps = steps
        self.progress = Progress()
        self.contributions: list[Contribution] = []
        self._shared, self._monitor = scene.shared, scene.monitor
        self._checkpoints = Checkpoints(scene.out.scratch / "federated")
        self._path = scene.out.scratch / "federated/contributions.json"
        self._valid = sample(scene.task.valid, num_tokens=scene.recipe.eval_tokens, seed=scene.recipe.seed)
        self._common = scene.shared.vector()
        self._clock = Clock(self.progress)

    @property
    def round(self) -> int:
        """Rounds that are done."""
        return sum("round" in point for point in self.progress.curve)

    def run(self) -> Progress:
        """Train to the end and put the best common weights in place.

        Raises:
            BurilError: T177 when too few clients come, T178 when too few updates of a round can be taken.
        """
        self._resume()
        self._clock = Clock(self.progress)
        done = False
        try:
            if not self.progress.curve:
                self._evaluate()
                self._save()
            while self.round < self.told.rounds and not self.progress.stopped_early:
                self._round()
            done = True
        finally:
            self.members.finish(home=done)
        best = self.progress.best_file
        self._shared.put(self._checkpoints.load_best(best)["vector"].numpy() if best else self._common)
        self.task = replace(self.task, told={**self.task.told, "federated": self.summary()})
        return self.progress

    def _round(self) -> None:
        number = self.round
        self.members.gather()
        answers = self.members.ask(self._order(number), self._common)
        reasons = judge(
            answers.replies, size=self._shared.size, usual=self._usual(number),
            outlier=0.0 if self.told.secure or self.told.privacy else self.told.outlier,
        )  # fmt: skip
        taken = [reply for reply in answers.replies if reply.client not in reasons]
        updates = {reply.client: reply.update for reply in taken if reply.update is not None}
        self._enough(number, len(updates), reasons)
        self._sound(answers)
        private = self.told.privacy is not None
        weights = weights_of(list(updates.values()), equal=self.told.clients if private else None)
        self._common = self._average(answers, list(updates.values()), weights)
        self._note(number, answers, reasons, dict(zip(updates, weights, strict=True)))
        self._point(number, list(updates.values()), weights)
        self._evaluate()
        self._save()

    def _order(self, number: int) -> Order:
        clip = self.told.privacy.clip if self.told.privacy else None
        closed = self.told.secure or self.told.privacy is not None
        return Order(number, self.told.rounds, self.num_steps, self.told.pull, clip, closed, asdict(self.recipe))

    def _usual(self, number: int) -> list[float]:
        return [item.norm for item in self.contributions if item.round == number - 1 and item.accepted and item.norm]

    def _enough(self, number: int, given: int, reasons: dict[str, str]) -> None:
        if given < self.told.least:
            shown = "; ".join(f"{client}: {reason}" for client, reason in reasons.items()) or "–"
            raise BurilError("T178", round=number + 1, given=given, least=self.told.least, reasons=shown)

    def _sound(self, answers: Answers) -> None:
        """What can be known of a secure sum: its numbers are some, and it is no larger than clipped updates make it.

        Raises:
            BurilError: T179.
        """
        if answers.total is None:
            return
        limit = self.told.privacy.clip if self.told.privacy else None
        norm = norm_of(answers.total)
        if not np.isfinite(norm) or (limit is not None and norm > SLACK * limit):
            raise BurilError("T179", norm=norm)

    def _average(self, answers: Answers, updates: Sequence[Update], weights: Sequence[float]) -> Vector:
        """The common numbers after a round, with noise where there is to be some."""
        if answers.total is not None:
            deltas, shares = [answers.total], [sum(weights)]  # less than 1 where noise is for more clients than came
        else:
            deltas, shares = [item.delta for item in updates if item.delta is not None], list(weights)
        mean = self._shared.mean(self._common, deltas, shares)
        told = self.told.privacy
        if told is None or told.noise is None or told.clip is None:
            return mean
        # of the system's own entropy: from a seed that is written down anybody could take the noise away again
        random = np.random.Generator(np.random.Philox(key=secrets.randbits(128)))
        noised: Vector = mean + random.normal(0.0, told.noise * told.clip / self.told.clients, mean.shape)
        return noised.astype(np.float32)

    def _note(self, number: int, answers: Answers, reasons: dict[str, str], weights: dict[str, float]) -> None:
        """Write down what came from each client, and tell who was left out."""
        for reply in answers.replies:
            member, update = answers.members[reply.client], reply.update
            reason = reasons.get(reply.client, "")
            found = Contribution(number, member.name, member.dataset, member.sequences, member.tokens, reason=reason)
            found.received_bytes = self._common.nbytes
            if update is not None:
                found.first_step, found.steps = update.first, update.steps
                found.loss, found.sent_bytes = update.loss, update.sent
                if update.delta is not None and not self.told.privacy:
                    found.norm, found.sha256 = norm_of(update.delta), digest(update.delta)
            found.accepted, found.weight = not reason, weights.get(reply.client, 0.0)
            self.contributions.append(found)
            if reason:
                text = _("round {round}: client `{client}` is left out: {reason}")
                self.out.warn(text.format(round=number + 1, client=member.name, reason=reason))

    def _point(self, number: int, updates: Sequence[Update], weights: Sequence[float]) -> None:
        progress = self.progress
        progress.step += max(update.steps for update in updates)
        losses = [(weight, item.loss) for weight, item in zip(weights, updates, strict=True) if item.loss is not None]
        total = sum(weight for weight, _loss in losses)
        progress.tokens += sum(item.read for item in updates)
        point: dict[str, float] = {"step": progress.step, "tokens": progress.tokens, "round": number + 1}
        if total:
            point["loss"] = sum(weight * loss for weight, loss in losses) / total
        progress.curve.append(point)
        sent = sum(item.sent_bytes + item.received_bytes for item in self.contributions if item.round == number)
        told = {"clients": len(updates), "bytes": sent, **self._spent()}
        self.out.metric(**point, **told)
        self.out.progress(number + 1, self.told.rounds, "rounds")

    def _evaluate(self) -> None:
        """Measure the common weights on the server's validation text, and keep them when they are the best so far."""
        progress = self.progress
        self._shared.put(self._common)
        if not self._valid:
            return
        loss = valid_loss(self.task, self._valid, num_tokens=self.recipe.micro_batch_tokens)
        self._read_clock()
        self._monitor.evaluation(progress.step, loss, progress)
        vector = {"vector": torch.from_numpy(self._common)}
        file = self._checkpoints.save_best(progress.step, vector) if progress.improves(loss) else None
        progress.evaluated(loss, file, patience=self.recipe.patience)

    def _read_clock(self) -> None:
        self._clock.add(self.progress, Pulse(*self._clock.passed(), self._monitor.spent()))

    def _save(self) -> None:
        self._read_clock()
        with atomic(self._path) as temporary:
            temporary.write_text(json.dumps([asdict(item) for item in self.contributions]), encoding="utf-8")
        self._checkpoints.save(self.progress, {"vector": torch.from_numpy(self._common)})

    def _resume(self) -> None:
        found = self._checkpoints.load()
        if found is None:
            return
        self.progress, tensors = found
        self._common = tensors["vector"].numpy()
        known = [Contribution(**item) for item in json.loads(self._path.read_text(encoding="utf-8"))]
        self.contributions = [item for item in known if item.round < self.round]  # the list is written first
        self.out.note(_("the federation goes on after round {round} of {rounds}").format(
            round=self.round, rounds=self.told.rounds))  # fmt: skip

    def _spent(self) -> dict[str, float | None]:
        told = self.told.privacy
        if told is None or told.noise is None:
            return {}
        found = epsilon(told.noise, rounds=self.round, delta=told.delta)
        return {"epsilon": found if math.isfinite(found) else None, "delta": told.delta}

    def seen(self) -> dict[str, int]:
        """Rows of this machine that the weights have read, with their tokens: those of simulated clients."""
        found: dict[str, int] = {}
        for item in self.kept():
            file = self.members.file(item.client)
            if file is None:
                continue
            for step in range(item.first_step, item.first_step + item.steps):
                for sequence in step_sequences(file, step, batch_size=self.recipe.batch_size, seed=self.recipe.seed):
                    for row_id, length in sequence.rows():
                        found[row_id] = found.get(row_id, 0) + length
        return dict(sorted(found.items()))

    def kept(self) -> list[Contribution]:
        """What went into the weights that are kept: accepted, and of a round before they were evaluated."""
        return [item for item in self.contributions if item.accepted and item.round < self.kept_rounds]

    @property
    def kept_rounds(self) -> int:
        """Rounds that the weights which are kept have behind them."""
        return sum("round" in point and point["step"] <= self.progress.kept_step for point in self.progress.curve)

    def summary(self) -> dict[str, Any]:
        """What `train.json` says of the federation."""
        told = self.told
        clients = sorted({item.client for item in self.kept()})
        sent = sum(item.sent_bytes + item.received_bytes for item in self.contributions)
        return {
            "rounds": self.round, "kept_rounds": self.kept_rounds, "clients": clients,
            "strategy": told.strategy, "average": told.average,
            "secure": told.secure, "simulated": told.listen is None, "bytes": sent,
            "left_out": sum(not item.accepted for item in self.contributions),
            "privacy": {
                "clip": told.privacy.clip, "noise": told.privacy.noise, "sampling_rate": 1.0, **self._spent(),
                "accountant": "exact Gaussian composition, one client more or less",
            } if told.privacy else None,
        }  # fmt: skip
