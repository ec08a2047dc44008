"""Load a model in use: base weights, tokenizer, and an adapter where there is one. Training and evaluation share it.

Only safetensors are read, no code that comes with a model is run, and nothing is downloaded.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.plugins import require
from buril.generators._encoder import Encoder, Fim, read_fim, read_tokenizer
from buril.generators._heal import Healer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from buril.generators._guide import Guide

NEW_ROW_SPREAD = 0.3
"""Spread of a new embedding row around the mean row, in standard deviations of the old rows: enough to tell the new
tokens apart (adapters may leave embeddings frozen), too little for an untrained token to be likely."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to run. `fim` is `fim.json`.

    Its tokenizer is read when it is first used: training seldom uses it, and each reading of a vocabulary of 150,000
    takes 0.1 to 0.2 GB.
    """

    model: PreTrainedModel
    tokenizer_dir: Path
    fim: Fim

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """What renders chats.

        Raises:
            BurilError: T016 when transformers can't read it.
        """
        return _tokenizer(self.tokenizer_dir)

    @cached_property
    def encoder(self) -> Encoder:
        """What turns text into ids."""
        return Encoder(self.tokenizer_dir)

    @cached_property
    def healer(self) -> Healer:
        """What lets a prompt end within a token."""
        return Healer(self.encoder)

    @cached_property
    def guide(self) -> Guide:
        """What holds texts to grammars."""
        from buril.generators._guide import Guide
        from buril.generators._writer import end_ids

        return Guide(self.encoder, end_ids(self))


def load(
    base_dir: Path,
    tokenizer_dir: Path,
    *,
    adapter_dir: Path | None = None,
    model_dir: Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    convert: Callable[[Any, torch.device], None] | None = None,
) -> Loaded:
    """Load a model, its tokenizer and its adapter, in evaluation mode.

    Args:
        base_dir: the base artifact, or its `model/`.
        tokenizer_dir: the tokenizer artifact, or its `tokenizer/`.
        adapter_dir: a PEFT adapter; it is put on the base unmerged, so that the base's numbers stay what they are.
        model_dir: the weights of a full training, in the base's place.
        dtype: `auto`, `bf16`, `fp16` or `fp32`; see `choose_dtype`.
        device: `auto` (the first GPU where there is one), `cpu`, `cuda`, `cuda:1`, …
        convert: given the model and the device while the weights still lie in the pages of their file, in the file's
            format (`dtype` is then not asked) and before rows are added: what gives each weight the format it shall
            have before it takes memory.

    Raises:
        BurilError: P002 without torch or transformers, T012 without a tokenizer, T013 when tokenizer and weights do
            not belong together, T016 when the weights can't be loaded.
    """
    for package in ("torch", "transformers", *(["peft"] if adapter_dir else [])):
        require(package, kind="generator", name="transformers")
    tokenizer_dir = inside(tokenizer_dir, "tokenizer")
    weights_dir = inside(model_dir or base_dir, "model")
    read_tokenizer(tokenizer_dir)  # that there is none is said now
    fim = read_fim(tokenizer_dir)
    if model_dir is None:
        _check_same_vocabulary(weights_dir, tokenizer_dir, fim)
    place = choose_device(device)
    model = _weights(weights_dir, dtype="auto" if convert else choose_dtype(dtype, place))
    if convert:
        convert(model, place)
    if model_dir is None:
        grow(model, fim)
    if adapter_dir is not None:
        model = _adapted(model, adapter_dir)
    return Loaded(model.to(place).eval(), tokenizer_dir, fim)


def outline(folder: Path, tokenizer_dir: Path) -> Loaded:
    """A model without its weights, for what runs them from a file of its own: what it says of itself, its tokenizer.

    Args:
        folder: where its `config.json` is, and `generation_config.json` where there is one.
        tokenizer_dir: the tokenizer artifact, or its `tokenizer/`.

    Raises:
        BurilError: P002 without torch or transformers, T012 without a tokenizer, T016 without a model's configuration.
    """
    for package in ("torch", "transformers"):
        require(package, kind="generator", name="transformers")
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    folder, tokenizer_dir = inside(folder, "model"), inside(tokenizer_dir, "tokenizer")
    read_tokenizer(tokenizer_dir)
    fim = read_fim(tokenizer_dir)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        if (folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        raise BurilError("T016", path=folder, problem=_first_line(problem)) from problem
    return Loaded(model.eval(), tokenizer_dir, fim)


def has_weights(folder: Path) -> bool:
    """Whether a model's folder, or its `model/`, holds weights."""
    return any(inside(folder, "model").glob("*.safetensors"))


def inside(folder: Path, name: str) -> Path:
    """The part `name` of an artifact, or the folder itself where it is that part already."""
    return folder / name if (folder / name).is_dir() else folder


def choose_device(device: str) -> torch.device:
    """The device to run on."""
    import torch

    if device != "auto":
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The number format. `auto`: bf16 where the hardware multiplies it natively, else fp32 on a CPU, fp16 on a GPU.

    Without such instructions a CPU emulates bf16, several times slower than fp32.
    """
    import torch

    named = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    if dtype in named:
        return named[dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if cpu_has_bf16() else torch.float32


@lru_cache(maxsize=1)
def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions that multiply bf16 (AVX512-BF16 or AMX), by what Linux says of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    return bool({"avx512_bf16", "amx_bf16"} & set(flags))


def grow(model: PreTrainedModel, fim: Fim) -> None:
    """Give a model the embedding rows of the tokens that its tokenizer has and it had not.

    The row of a token that was learnt from text is the mean of its pieces' rows: the model begins by reading it as it
    read them, and expecting it as it expected them. That of a control token is the mean of the old rows, moved a little
    by its own id so that no two are alike. The same tokenizer always gives the same rows. Where input and output
    embeddings are tied, they stay tied.

    Source: Gee et al. 2022, Fast Vocabulary Transfer for Language Model Compression (the mean of the pieces).
    """
    old = model.get_input_embeddings().weight.shape[0]
    if fim["vocab_size"] > old:
        model.resize_token_embeddings(fim["vocab_size"], mean_resizing=False)
    new = sorted(fim["added"])
    if not new:
        return
    tables = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight.data_ptr() != tables[0].weight.data_ptr():
        tables.append(head)
    pieces = {int(token): ids for token, ids in fim.get("pieces", {}).items()}
    for table in tables:
        _fill(table.weight, [token for token in new if token not in pieces], known=min(old, new[0]))
        _fill_from_pieces(table.weight, pieces)


def _fill(weight_VD: torch.Tensor, new: list[int], *, known: int) -> None:
    import numpy as np
    import torch

    old_VD = weight_VD.detach()[:known].float()
    mean_D, spread_D = old_VD.mean(dim=0), old_VD.std(dim=0, correction=0)
    with torch.no_grad():
        for row in new:
            noise_D = np.random.default_rng([row]).standard_normal(weight_VD.shape[1], dtype=np.float32)
            moved_D = mean_D + NEW_ROW_SPREAD * spread_D * torch.from_numpy(noise_D).to(mean_D.device)
            weight_VD[row] = moved_D.to(weight_VD.dtype)


def _fill_from_pieces(weight_VD: torch.Tensor, pieces: dict[int, list[int]]) -> None:
    import torch

    with torch.no_grad():
        for row, ids in pieces.items():
            weight_VD[row] = weight_VD[ids].float().mean(dim=0).to(weight_VD.dtype)


def _weights(folder: Path, *, dtype: torch.dtype | str) -> PreTrainedModel:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    drawing = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # progress goes through events, never straight to the terminal
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as problem:
        raise BurilError("T016", path=folder, problem=_first_line(problem)) from problem
    finally:
        if drawing:
            logging.enable_progress_bar()


def hush_bitsandbytes() -> None:
    """Keep off the terminal that it regrets a kernel for inference, which it can't fetch, on AVX512-BF16.

    PEFT imports it wherever it is installed.
    """
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def _adapted(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    hush_bitsandbytes()
    from peft import PeftModel
    from safetensors import SafetensorError

    if not (folder / "adapter_model.safetensors").is_file():
        raise BurilError("T016", path=folder, problem="adapter_model.safetensors: ?")
    try:
        return PeftModel.from_pretrained(model, str(folder), is_trainable=False, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as problem:
        raise BurilError("T016", path=folder, problem=_first_line(problem)) from problem


def merged(model: Any) -> Any:
    """The model with its adapter in its weights, where it has one. It is added in float32, layer by layer."""
    if not hasattr(model, "merge_and_unload"):
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.get_base_layer().float()
    return model.merge_and_unload()


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as problem:
        raise BurilError("T016", path=folder, problem=_first_line(problem)) from problem


def _first_line(problem: BaseException) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


def _check_same_vocabulary(weights_dir: Path, tokenizer_dir: Path, fim: Fim) -> None:
    """A pretrained base knows its own ids only: a tokenizer that numbers tokens otherwise would feed it noise.

    An extended vocabulary has more, all of them after the base's own, and `fim.json` says which.
    """
    own = weights_dir / "tokenizer.json"
    if not own.is_file():
        return
    base, found = vocabulary(own), vocabulary(tokenizer_dir / "tokenizer.json")
    known, added = set(base.values()), set(fim["added"])
    if not base.items() <= found.items() or not set(found.values()) <= known | added:
        raise BurilError("T013", tokenizer=tokenizer_dir, base=weights_dir)


def vocabulary(path: Path) -> dict[str, int]:
    """Token → id of a `tokenizer.json`, added tokens included."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    added = {token["content"]: token["id"] for token in raw.get("added_tokens") or []}
    return {**raw["model"]["vocab"], **added}
