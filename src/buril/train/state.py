"""Checkpoints: everything a training needs to go on as if it had never stopped. Safetensors and JSON, never pickle.

The tensors are written first, then the JSON that names them, each whole or not at all; two generations are kept, so
whatever moment the power fails at, one whole checkpoint is there. Data order, dropout and learning rate are functions
of the step, so the step is all there is to say of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from buril.core.artifact import atomic
from buril.train.machine import forget_pages
from buril.train.parallel.team import ALONE, Team, fill

GENERATIONS = 2
Tensors = dict[str, torch.Tensor]


@dataclass
class Progress:
    """Where a training stands. `step` counts the updates made, `tokens` those seen; `curve` is what `curve.json` gets.

    `best_file` holds the weights of the lowest validation loss; `bad_evals` counts the evaluations since it.
    `scale` and `growth` are those of the scaled loss (fp16). `wall_s`, `cpu_s` and `joules` are what it took so far,
    earlier attempts included, `eval_s` what evaluations did; they are told and, in a training by time, end it.
    """

    step: int = 0
    tokens: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    best_loss: float | None = None
    best_step: int = 0
    best_file: str | None = None
    bad_evals: int = 0
    num_evals: int = 0
    scale: float = 0.0
    growth: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    eval_s: float = 0.0
    joules: float = 0.0
    stopped_early: bool = False
    machine: dict[str, Any] = field(default_factory=dict)

    @property
    def kept_step(self) -> int:
        """The step of the weights that are kept: where the loss was lowest, or the last."""
        return self.best_step if self.best_file is not None else self.step

    def improves(self, loss: float) -> bool:
        """Whether a validation loss is the lowest so far."""
        return self.best_loss is None or loss < self.best_loss

    def evaluated(self, loss: float, file: str | None, *, patience: int, ended: bool = False) -> None:
        """Take in an evaluation.

        Args:
            loss: of the validation sample.
            file: that of the weights where it `improves`, else None.
            patience: evaluations in a row that may not improve before training stops; 0 means any number.
            ended: whether there is nothing left to stop.
        """
        self.curve.append({"step": self.step, "tokens": self.tokens, "valid_loss": loss})
        self.num_evals += 1
        if file is not None:
            self.best_loss, self.best_step, self.best_file, self.bad_evals = loss, self.step, file, 0
        else:
            self.bad_evals += 1
            self.stopped_early = 0 < patience <= self.bad_evals and not ended


class Checkpoints:
    """The checkpoints in a folder: whole tensors, so that another number of processes can go on from them.

    Args:
        folder: one that all processes of the training see.
        team: these processes; the leader alone writes.
    """

    def __init__(self, folder: Path, team: Team = ALONE) -> None:
        self.folder, self._team = folder, team
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, progress: Progress, tensors: Tensors) -> None:
        """Write a checkpoint, then forget those older than the last two."""
        whole = self._team.whole(tensors)
        if not self._team.leads:
            return
        name = f"state-{progress.step:09d}"
        write_tensors(self.folder / f"{name}.safetensors", whole)
        with atomic(self.folder / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(asdict(progress)), encoding="utf-8")
        self._forget()

    def load(self) -> tuple[Progress, Mapping[str, torch.Tensor]] | None:
        """The newest checkpoint that is whole, or None; the leader chooses."""
        names = sorted((path.name for path in self.folder.glob("state-*.json")), reverse=True)
        whole = (name for name in names if self._team.leads and self._read(self.folder / name))
        name = self._team.tell(next(whole, ""))
        return self._read(self.folder / name) if name else None

    def save_best(self, step: int, tensors: Tensors) -> str:
        """Write the best weights so far; returns the file's name for `Progress.best_file`."""
        name = f"best-{step:09d}.safetensors"
        whole = self._team.whole(tensors)
        if self._team.leads:
            write_tensors(self.folder / name, whole)
        return name

    def load_best(self, name: str) -> Mapping[str, torch.Tensor]:
        """The weights that `save_best` wrote."""
        self._team.wait()
        return Stored(self.folder / name)

    def _read(self, path: Path) -> tuple[Progress, Mapping[str, torch.Tensor]] | None:
        from safetensors import SafetensorError

        try:
            progress = Progress(**json.loads(path.read_text(encoding="utf-8")))
            tensors = Stored(path.with_suffix(".safetensors"))
        except (OSError, ValueError, TypeError, SafetensorError):  # a disk lost a write: the generation before serves
            return None
        whole = progress.best_file is None or (self.folder / progress.best_file).is_file()
        return (progress, tensors) if whole else None

    def _forget(self) -> None:
        states = sorted(self.folder.glob("state-*.json"))
        kept = states[-GENERATIONS:]
        for path in states[:-GENERATIONS]:
            path.unlink()
            path.with_suffix(".safetensors").unlink(missing_ok=True)
        wanted = {json.loads(path.read_text(encoding="utf-8"))["best_file"] for path in kept}
        for path in self.folder.glob("best-*.safetensors"):
            if path.name not in wanted:
                path.unlink()


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)


class Stored(Mapping[str, torch.Tensor]):
    """The tensors of a safetensors file, each read when it is asked for, into memory of its own.

    Raises:
        OSError, SafetensorError: where the file is not there or not whole.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        opened: Any = safe_open(path, framework="pt")
        self._file = opened
        self._names: list[str] = sorted(opened.keys())

    def __getitem__(self, name: str) -> torch.Tensor:
        mapped: torch.Tensor = self._file.get_tensor(name)
        found = mapped.clone()
        forget_pages(mapped)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def named(kind: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Tensors under the names that a checkpoint keeps them by: `KIND.NAME`."""
    return {f"{kind}.{name}": tensor for name, tensor in tensors.items()}


@torch.no_grad()
def put_back(kind: str, targets: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy what `named` kept into the tensors that it was taken from, or into the pieces of them that lie here."""
    for name, target in targets.items():
        fill(target, tensors[f"{kind}.{name}"])
