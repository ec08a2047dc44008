"""Graphs of ONNX Runtime: those made from models are kept; a given one is looked at before it stands for a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from buril.core.artifact import digest_of, sha256_file
from buril.core.errors import BurilError
from buril.core.plugins import require
from buril.core.text import _
from buril.generators import _kept
from buril.generators._load import vocabulary
from buril.generators._onnx import CONFIG, Graph, installed
from buril.generators._onnx_builder import PACKAGES, Weights, build
from buril.generators._whole import quietly

if TYPE_CHECKING:
    from buril.generators._load import Loaded

VERSION = 1
"""Of what is written; another does not take a graph of this one for its own."""
SUFFIX = ".onnx"
GRAPH = (".onnx", ".data")
"""Files of a folder that say what is computed, beside the builder's configuration."""
TOKENIZER = "tokenizer.json"
TEXT = (
    'def total(prices, rate=0.21):\n    """Sum of prices with tax."""\n    net = sum(price for price in prices)\n'
    "    return round(net * (1 + rate), 2)\n\n\nclass Basket:\n    def __init__(self):\n        self.items = []\n"
)
"""What a graph is compared on."""
LIMITS: dict[Weights, float] = {"fp32": 0.01, "int8": 1.0, "int4": 3.0}
"""Nats that a graph's scores may be off on average: more is not rounding, but another model."""
CHECK_MB = 1024


@contextmanager
def kept(whole: Callable[[], Loaded], source: str, weights: Weights) -> Iterator[Path]:
    """The graph of a model, written where there is none yet. It may go once the block has ended; what is mapped stays.

    Args:
        whole: loads the model; it is only called where it must be written.
        source: digest of what it is made from.
        weights: format of its matrices.

    Raises:
        BurilError: P002, T030, T031 when it can't be written, and what `whole` raises.
    """

    def failed(path: Path, problem: OSError) -> BurilError:
        return BurilError("T031", version=installed(), path=path, problem=problem.strerror or str(problem))

    name = f"{source[:24]}-{weights}-{VERSION}{SUFFIX}"
    with _kept.kept("onnx", name, lambda path: write(whole(), path, weights), failed) as path:
        yield path


def write(loaded: Loaded, path: Path, weights: Weights) -> None:
    """Write the graph of a model, whose own weights are used up by it, into a folder that is not there yet.

    The builder reads the model from a folder: that lies beside it meanwhile, in float32.

    Raises:
        BurilError: P002 without the packages for it, T030 for a model that the builder does not know.
    """
    import torch

    from buril.generators import _whole

    for package in PACKAGES:
        require(package, kind="generator", name="onnx")
    with TemporaryDirectory(dir=path.parent, prefix=".writing-") as place:
        folder, made = Path(place) / "whole", Path(place) / "made"
        made.mkdir()
        _whole.write(loaded, folder, torch.float32)
        problem = build(folder, made, weights)
        problem = problem or _another(folder, made, loaded.encoder.encode(TEXT), weights)
        if problem is not None:
            kind = (loaded.model.config.architectures or [loaded.model.config.model_type])[0]
            raise BurilError("T030", architecture=kind, problem=problem)
        made.rename(path)


def _another(whole: Path, made: Path, ids: Sequence[int], weights: Weights) -> str | None:
    """What is wrong with a graph that can't be run or scores a text otherwise than the model; None where nothing is."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    from buril.generators._ragged import score

    try:
        graph = Graph(made, threads=torch.get_num_threads())
    except BurilError as refused:
        return refused.cause
    ids = ids[: graph.window]
    told = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}
    with quietly(), torch.inference_mode():
        model = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32, **told)
        log_TV = model(torch.tensor([ids])).logits[0, :-1].log_softmax(dim=1)
    wanted = log_TV.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()
    apart = float(np.abs(score(graph, [ids], cache_mb=CHECK_MB)[0] - wanted).mean())
    if apart <= LIMITS[weights]:
        return None
    return _("a token's log-probability is {found:.3g} nats off on average, the limit is {limit:.3g}").format(
        found=apart, limit=LIMITS[weights]
    )


def digest_of_folder(folder: Path) -> str:
    """Digest of what a graph computes, or its place where there is none."""
    there = sorted(folder.expanduser().glob("*"))
    files = [path for path in there if path.is_file() and (path.suffix in GRAPH or path.name == CONFIG)]
    return digest_of({path.name: sha256_file(path) for path in files}) if files else str(folder)


def check(graph: Graph, model: Loaded) -> None:
    """Refuse a graph of another model, as far as it says: of other measures, or whose tokens have other numbers.

    Raises:
        BurilError: T033.
    """
    tokens, config = graph.folder / TOKENIZER, model.model.config
    known = model.encoder.vocabulary
    if graph.layers != config.num_hidden_layers or graph.vocabulary <= max(known.values()):
        raise BurilError("T033", path=graph.folder, problem=_("it has other measures"))
    found = vocabulary(tokens) if tokens.is_file() else {}
    other = {token: number for token, number in known.items() if found.get(token) != number}
    if other:
        token, number = min(other.items(), key=lambda item: item[1])
        problem = _("its token {number} is not `{token}`").format(number=number, token=token)
        raise BurilError("T033", path=graph.folder, problem=problem)
