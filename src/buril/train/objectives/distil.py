"""Objective distil: next-token likelihood, and nearness to what a larger teacher of the same vocabulary predicts.

    L = (1 − share) · −log p(x_t)  +  share · T² · KL( q_T ‖ p_T )

with q_T and p_T the teacher's and the student's distributions at temperature T (Hinton, Vinyals and Dean 2015,
"Distilling the Knowledge in a Neural Network"). The divergence is over the teacher's likeliest `top_k` words and, as
one more, all others together: what is left out is what neither knows much about. `synthesise` is the other way to learn
from a larger model, by what it writes; that one asks for no common vocabulary.

Tensor suffixes: T tokens, D width, V words, C tokens of a chunk, K the teacher's likeliest words.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    import torch

    from buril.train.batch import Batch
    from buril.train.objectives._head import Head
    from buril.train.objectives._objective import Scene


class Teacher(NamedTuple):
    """A model that is only asked. Its forward takes `lengths`, as the student's does."""

    model: Any
    weight_VD: torch.Tensor


class Distil:
    """Learns from the text and from a larger model's view of it; the teacher is asked as training goes on.

    An evaluation, which takes no gradients, measures plain cross-entropy, so that losses compare between objectives.
    """

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("torch", "transformers")

    class Settings(BaseSettings):
        """Which teacher, and how much of it."""

        shorthand: ClassVar[str | None] = "teacher"

        teacher: str = ""
        """A model folder, as `save_pretrained` writes it; its token ids must be those of the base."""
        teacher_license: str = ""
        """Under which licence its answers may be learnt from (SPDX); "" means what its model card says."""
        share: float = Field(0.5, ge=0, le=1)
        """How much of the loss is nearness to the teacher; 0 is cross_entropy."""
        temperature: float = Field(2.0, gt=0, le=100)
        """How far the distributions are flattened before they are compared: the less likely words say more then."""
        top_k: int = Field(64, ge=1)
        """Words of the teacher that are compared one by one; all others count as one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._teacher: Teacher | None = None

    @property
    def folder(self) -> Path:
        """The teacher's folder."""
        return Path(self.settings.teacher).expanduser()

    def observe(self) -> Any:
        """Name, size and time of the teacher's files.

        Raises:
            BurilError: T002 when the folder does not exist, T003, T004, T005 and T012 when it is no model folder.
        """
        from buril.train.bases._base import stamp
        from buril.train.bases._folder import model_files

        if not self.settings.teacher or not self.folder.is_dir():
            raise BurilError("T002", path=self.settings.teacher or "''", suggestion="")
        return {name: stamp(path) for name, path in model_files(self.folder).items()}

    def open(self, scene: Scene) -> dict[str, Any]:
        """Load the teacher, beside the model that is trained.

        Raises:
            BurilError: T131 when its vocabulary is another, T132 when its licence is unknown, T106 when its attention
                is, and T002 to T016 when it can't be loaded.
        """
        from buril.train.bases._base import listing_sha256
        from buril.train.bases._folder import card_license, model_files

        self.observe()
        terms = self.settings.teacher_license or card_license(self.folder)
        if not terms:
            raise BurilError("T132", teacher=self.folder.name)
        check_vocabulary(self.folder, scene.inputs["tokenizer"].folder)
        self._teacher = load_teacher(self.folder, scene)
        student = scene.trainable.head().weight_VD.shape[0]
        if self._teacher.weight_VD.shape[0] < student:
            problem = f"{self._teacher.weight_VD.shape[0]} < {student}"
            raise BurilError("T131", teacher=self.folder.name, problem=problem)
        return {"teacher": self.folder.name, "teacher_license": terms, "teacher_sha256": listing_sha256(
            model_files(self.folder)
        )}  # fmt: skip

    def weight(self, batch: Batch) -> float:
        """The number of target tokens."""
        return float(batch.num_targets)

    def loss_sum(self, hidden_TD: torch.Tensor, head: Head, batch: Batch) -> torch.Tensor:
        """The sum over target tokens; without gradients, or a teacher, of the likelihood alone."""
        import torch

        from buril.train.batch import IGNORE
        from buril.train.objectives._head import head_loss, linear_cross_entropy
        from buril.train.objectives._nearness import Nearness

        kept_T = batch.targets_T != IGNORE
        targets_T = batch.targets_T[kept_T]
        if self._teacher is None or not self.settings.share or not torch.is_grad_enabled():
            return linear_cross_entropy(hidden_TD[kept_T], head, targets_T)
        told = self.settings
        seen_TD = hidden_of(self._teacher, batch)[kept_T]
        loss = Nearness(targets_T, seen_TD, self._teacher.weight_VD, told.share, told.temperature, told.top_k)
        return head_loss(hidden_TD[kept_T], head, loss)


def load_teacher(folder: Path, scene: Scene) -> Teacher:
    """A teacher from a model folder, with attention within documents, without gradients.

    Tokens that the base was given beyond its own vocabulary it gets too, untaught: what it says there is not much.
    """
    from buril.generators._load import load
    from buril.train.attention import use_document_attention

    dtype, device = "bf16" if scene.bf16 else "fp32", str(scene.trainable.device)
    model: Any = load(folder, scene.inputs["tokenizer"].folder, dtype=dtype, device=device).model
    use_document_attention(model)
    model.requires_grad_(False)
    return Teacher(model, model.get_output_embeddings().weight)


def hidden_of(teacher: Teacher, batch: Batch) -> torch.Tensor:
    """The teacher's last hidden states of a batch."""
    import torch

    with torch.no_grad():
        found: torch.Tensor = teacher.model.base_model(
            input_ids=batch.input_ids_T[None], position_ids=batch.position_ids_T[None], lengths=batch.lengths,
            use_cache=False,
        ).last_hidden_state[0]  # fmt: skip
    return found


def check_vocabulary(teacher: Path, tokenizer: Path) -> None:
    """Refuse a teacher whose ids mean other tokens than the student's; tokens added to the student's base may be new.

    Raises:
        BurilError: T131.
    """
    from buril.generators._encoder import Encoder, read_fim

    theirs, ours, added = Encoder(teacher).vocabulary, Encoder(tokenizer).vocabulary, read_fim(tokenizer)["added"]
    for token, number in sorted(ours.items(), key=lambda item: item[1]):
        if theirs.get(token, -1) != number and number not in added:
            problem = f"{token!r}: {theirs.get(token, '–')} ≠ {number}"
            raise BurilError("T131", teacher=teacher.name, problem=problem)
