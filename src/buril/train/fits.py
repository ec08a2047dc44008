"""Whether a model and what it is to read go together: asked before the first step, not found out in the middle."""

from __future__ import annotations

from typing import Any

from buril.core.artifact import Artifact
from buril.core.errors import BurilError

CHECKED_TOKENS = 48


def check_fits(model: Any, pack: Artifact, *, largest: int) -> None:
    """Refuse sequences and tokens that the model can't read.

    Raises:
        BurilError: T103, T108.
    """
    limit = getattr(model.config, "max_position_embeddings", None)
    length = pack.json("summary.json")["max_length"]
    if limit and length > limit:
        raise BurilError("T103", length=length, limit=limit)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    if largest >= vocabulary:
        raise BurilError("T108", token=largest, vocabulary=vocabulary)


def check_same_output(trainable: Any, train: Any) -> None:
    """Compare the loss's own output layer with the model's on a few tokens: a scaled or capped output would be missed.

    Raises:
        BurilError: T106 when they differ by more than rounding.
    """
    import torch

    from buril.train.batch import Packed, lay_out

    few = train[0].input_ids[:CHECKED_TOKENS]
    batch = lay_out([Packed(0, few, (len(few),), ("",))], device=str(trainable.device))
    trainable.train(False)
    with torch.no_grad():
        hidden_td, head = trainable.hidden(batch), trainable.head()
        ours_tv = (hidden_td @ head.weight_VD.to(hidden_td.dtype).T).float()
        with torch.autocast(trainable.device.type, dtype=trainable.autocast, enabled=trainable.autocast is not None):
            theirs_tv = trainable.base(
                input_ids=batch.input_ids_T[None], position_ids=batch.position_ids_T[None], lengths=batch.lengths
            ).logits[0].float()  # fmt: skip
    if (ours_tv - theirs_tv).norm() > 0.02 * theirs_tv.norm():
        raise BurilError("T106", model=type(trainable.base).__name__, feature="an output layer of its own kind")
