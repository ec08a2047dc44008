"""Contract checks of what trains: bases, methods, objectives. Torch is loaded when a check of one is called.

Tensor suffixes: T tokens of a row, D width, V words of the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.artifact import sha256_file
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.testing._common import check_plugin, class_of, expect, make, plain, same

if TYPE_CHECKING:
    from buril.train.batch import Batch, Packed

VOCABULARY, WIDTH = 48, 32
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


def check_base(base: Any, folder: Path | None = None, tokenizer: Path | None = None) -> None:
    """A base says what it needs and sees, and writes the same plain model folder each time.

    Args:
        base: a base with settings, whose model is there.
        folder: an empty folder to write into, twice; None leaves the writing out.
        tokenizer: the folder of a tokenizer artifact, for a base whose `needs()` asks for it.
    """
    check_plugin("base", base)
    base = make(base)
    expect(set(base.needs()) <= {"tokenizer"}, f"needs() asks for more than the tokenizer: {base.needs()}")
    observed = [plain(base.observe(), "observe() is no plain JSON") for _ in range(2)]
    same(observed[0], observed[1], "observe() changes from call to call")
    size = base.size()
    expect(isinstance(size, int) and size > 0, f"size() is {size!r}: bytes to read or to write, for the estimate")
    if folder is None:
        return
    expect(tokenizer or not base.needs(), "this base needs a tokenizer: give check_base the folder of one")
    first, second = (_written(base, folder / name, tokenizer) for name in ("first", "second"))
    same(first, second, "two writings differ")
    description, files = first
    for name in ("model/config.json", "model/model.safetensors"):
        expect(name in files or name.endswith("safetensors") and "safetensors" in str(files), f"{name} is missing")
    pickles = [name for name in files if name.endswith(_PICKLES)]
    expect(not pickles, f"files that may run code when they are loaded: {pickles}")
    expect(description["parameters"] > 0, "the description says that the model has no parameters")
    absolute = [name for name, value in description.items() if isinstance(value, str) and Path(value).is_absolute()]
    expect(
        not absolute, f"`{', '.join(absolute)}` holds a path of this machine: bytes must not depend on where it stands"
    )


def _written(base: Any, folder: Path, tokenizer: Path | None) -> tuple[dict[str, Any], dict[str, str]]:
    """The description that a base gives, and the SHA-256 of every file it writes."""
    out = Output(folder, EventLog(folder.with_name(f"{folder.name}.jsonl")), "base")
    description = base.write(out, tokenizer)
    out.finish()
    plain(asdict(description), "the description is no plain JSON")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return asdict(description), {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}


def tiny_model(*, seed: int = 0) -> Any:
    """A Llama of 20 thousand parameters with random weights: enough to train a step in a millisecond."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
        )
    )  # fmt: skip


def check_method(method: Any, folder: Path) -> None:
    """A method trains what it names and nothing else, begins the same for a seed, learns, and saves plain files.

    Args:
        method: the class, or a method with settings.
        folder: an empty folder to save into.
    """
    check_plugin("method", method)
    method = make(method)
    rate = getattr(class_of(method), "learning_rate", None)
    expect(isinstance(rate, float) and 0 < rate < 1, f"learning_rate is {rate!r}: the peak rate where none is given")
    expect(isinstance(getattr(method, "trains_weights", None), bool), "trains_weights must be True or False")
    trainable, twin = (_prepared(method, chance) for chance in (1, 2))
    _check_parameters(trainable, twin)
    batch = _batch(1)
    before = _loss(trainable, batch)
    trainable.train(True)
    trainable.begin(batch, seed=1, step=0)
    _summed(trainable, batch).backward()
    ours = {id(parameter) for parameter in trainable.parameters.values()}
    others = [
        name for name, item in trainable.base.named_parameters() if id(item) not in ours and item.grad is not None
    ]
    expect(not others, f"gradients reach what is not trained: {others[:3]}")
    lacking = [name for name, item in trainable.parameters.items() if item.grad is None]
    expect(not lacking, f"no gradient reaches {lacking[:3]}")
    _step(trainable)
    after = _loss(trainable, batch)
    expect(after < before, f"a small step against the gradient does not lower the loss: {before:.6f} → {after:.6f}")
    _check_saved(trainable, folder)


def _prepared(method: Any, chance: int) -> Any:
    """A model as the method prepares it from the same seed, whatever torch drew before."""
    import torch

    model = tiny_model()
    torch.manual_seed(chance)
    return method.prepare(model, bf16=False, new_tokens=[3], seed=1)


def _check_parameters(trainable: Any, twin: Any) -> None:
    import torch

    parameters = trainable.parameters
    expect(parameters, "nothing is trained")
    same([*parameters], [*twin.parameters], "the names of what is trained change")
    for name, item in parameters.items():
        expect(item.requires_grad, f"{name} takes no gradient")
        same(str(item.dtype), "torch.float32", f"{name} is not in fp32: small updates would be lost")
        expect(torch.equal(item, twin.parameters[name]), f"the same seed begins {name} with other values")


def _check_saved(trainable: Any, folder: Path) -> None:
    name = getattr(type(trainable), "folder", "")
    expect(name in ("adapter", "model"), f"files go to {name!r}, which nothing reads: `adapter` or `model`")
    folder.mkdir(parents=True, exist_ok=True)
    trainable.save(folder)
    files = sorted(path.name for path in folder.rglob("*") if path.is_file())
    expect(any(item.endswith(".safetensors") for item in files), f"save() writes no safetensors: {files}")
    expect(not any(item.endswith(_PICKLES) for item in files), f"save() writes pickles: {files}")


def check_objective(objective: Any) -> None:
    """An objective is a sum over tokens: what two batches give together is the sum of what each gives alone."""
    import torch

    check_plugin("objective", objective)
    objective = make(objective)
    random = torch.Generator().manual_seed(0)
    hidden_TD = torch.randn(24, WIDTH, generator=random)
    head = _head(torch.randn(VOCABULARY, WIDTH, generator=random))
    whole, first, second = _batch(1, 2), _batch(1), _batch(2)
    half = len(first.input_ids_T)
    parts = ((hidden_TD[:half], first), (hidden_TD[half:], second))
    weights = [objective.weight(batch) for batch in (whole, first, second)]
    expect(all(math.isfinite(item) and item > 0 for item in weights), f"a weight is not positive: {weights}")
    expect(math.isclose(weights[0], weights[1] + weights[2]), f"weights of two batches do not add up: {weights}")
    sums = [float(objective.loss_sum(hidden, head, batch)) for hidden, batch in ((hidden_TD, whole), *parts)]
    expect(all(math.isfinite(item) for item in sums), f"a loss is not finite: {sums}")
    expect(math.isclose(sums[0], sums[1] + sums[2], rel_tol=1e-4), f"losses of two batches do not add up: {sums}")
    given = hidden_TD.clone().requires_grad_(True)
    objective.loss_sum(given, head, whole).backward()
    expect(given.grad is not None and bool(given.grad.abs().sum() > 0), "no gradient reaches the hidden states")


def _packed(seed: int) -> Packed:
    """A sequence of two documents, 12 tokens in all."""
    import numpy as np

    from buril.train.batch import Packed

    ids = np.random.default_rng(seed).integers(0, VOCABULARY, 12)
    return Packed(seed, ids, (7, 5), (f"row-{seed}-a", f"row-{seed}-b"))


def _batch(*seeds: int) -> Batch:
    from buril.train.batch import lay_out

    return lay_out([_packed(seed) for seed in seeds])


def _head(weight_VD: Any) -> Any:
    from buril.train.objectives._head import Head

    return Head(weight_VD)


def _summed(trainable: Any, batch: Batch) -> Any:
    from buril.train.objectives.cross_entropy import CrossEntropy

    return CrossEntropy(CrossEntropy.Settings()).loss_sum(trainable.hidden(batch), trainable.head(), batch)


def _loss(trainable: Any, batch: Batch) -> float:
    """The loss as an evaluation sees it."""
    import torch

    trainable.train(False)
    with torch.no_grad():
        return float(_summed(trainable, batch))


def _step(trainable: Any) -> None:
    """A step of fixed length against the gradient, so short that the loss is a plane there."""
    import torch

    gradients = [item.grad for item in trainable.parameters.values()]
    norm = torch.sqrt(sum((gradient.square().sum() for gradient in gradients), torch.zeros(())))
    with torch.no_grad():
        for item in trainable.parameters.values():
            item.sub_(0.01 * item.grad / norm)
