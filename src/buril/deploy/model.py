"""What is deployed: a bundle as its `bundle.json` tells it, and the one digest that stands for all of its files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.deploy.contract import MANIFEST

FORMATS = {".safetensors": "safetensors", ".gguf": "gguf", ".onnx": "onnx", ".data": "onnx", ".bin": "openvino"}
"""What a file of weights is, by the end of its name."""


@dataclass(frozen=True)
class Model:
    """A bundle. `digest` is the SHA-256 of `bundle.json`, which names every file with its own."""

    name: str
    digest: str
    weights: Mapping[str, int]
    """Bytes of the weights in each folder of one format, by `FORMAT:FOLDER`."""

    @property
    def largest(self) -> int:
        """Bytes of the largest weights: those that the server may be told to load."""
        return max(self.weights.values(), default=0)

    def folder(self, wanted: str) -> str | None:
        """The folder of a format inside the bundle, the one with most bytes: an adapter may stand beside the whole."""
        found = {name.partition(":")[2]: size for name, size in self.weights.items() if name.startswith(f"{wanted}:")}
        return max(found, key=lambda name: found[name], default=None)


def read(folder: Path) -> Model:
    """The bundle in a folder. Its files are looked at by `buril export check`, here and in every pod; not here.

    Raises:
        BurilError: V500 where it is no bundle.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        found = json.loads(data)
        weights = _weights(dict(_files(found["files"])))
        name = str(found["name"])
    except OSError as problem:
        raise BurilError("V500", path=folder, problem=f"{path.name}: {problem.strerror}") from problem
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BurilError(
            "V500", path=folder, problem=_("`{name}` is not of its form").format(name=MANIFEST)
        ) from problem
    if not weights:
        raise BurilError("V500", path=folder, problem=_("it holds no weights"))
    return Model(name, hashlib.sha256(data).hexdigest(), weights)


def _files(found: Any) -> Iterator[tuple[str, int]]:
    """Path and bytes of every file."""
    for item in found:
        yield str(item["path"]), int(item["bytes"])


def _weights(files: Mapping[str, int]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for name, size in files.items():
        path = PurePosixPath(name)
        if path.suffix in FORMATS:
            found[f"{FORMATS[path.suffix]}:{path.parent}"] += size
    return dict(sorted(found.items()))
