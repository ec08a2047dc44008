"""What a base plugin is, and what all of them share: the description of a model folder and its licence."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, Protocol

from buril.core.artifact import sha256_file
from buril.core.settings import Json
from buril.core.stage import Output
from buril.generators._sentinels import family_of

MODEL = "model"


@dataclass(frozen=True)
class Description:
    """`base.json`. `source` is what was named, `sha256` of its bytes ("" for scratch), `license` as SPDX or ""."""

    name: str
    kind: Literal["scratch", "folder", "hub", "gguf", "wheel"]
    source: str
    sha256: str
    license: str
    parameters: int
    fim: bool

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


class Base(Protocol):
    """A plugin of the kind `base`: where a model comes from.

    Its `Settings.shorthand` names the field that takes what `train.base` says (a path, a hub id); fields that the
    stage's settings have too (`depth`, `revision`, `max_length`, `seed`) are handed on.
    """

    def needs(self) -> tuple[str, ...]:
        """Stages it needs: a model from nothing needs the tokenizer, a pretrained one nothing."""

    def observe(self) -> Json:
        """A cheap fingerprint of the source: sizes and times, or a version.

        Raises:
            BurilError: T0xx when the source is not there; so a plan says so, not a run.
        """

    def size(self) -> int:
        """Bytes to read, for the estimate."""

    def write(self, out: Output, tokenizer: Path | None) -> Description:
        """Write `model/`: config.json, safetensors and, for a pretrained model, its tokenizer and chat template."""


def stamp(path: Path) -> dict[str, Json]:
    """Size and time of a file: enough to see that it changed."""
    found = path.stat()
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns}


def listing_sha256(files: Mapping[str, Path]) -> str:
    """One SHA-256 for several files, by their names and their own SHA-256s."""
    from buril.core.artifact import digest_of

    return digest_of({name: sha256_file(path) for name, path in files.items()})


def spdx(license_name: str) -> str:
    """The SPDX expression for a name as model cards write it; what SPDX does not know becomes a LicenseRef, "" stays.

    Example:
        `spdx("apache-2.0")` → `Apache-2.0`; `spdx("bigcode-openrail-m")` → `LicenseRef-bigcode-openrail-m`.
    """
    from license_expression import get_spdx_licensing

    name = license_name.strip()
    if not name:
        return ""
    found = get_spdx_licensing().validate(name)
    if not found.errors and found.normalized_expression:
        return str(found.normalized_expression)
    return "LicenseRef-" + "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in name)


def count_parameters(folder: Path) -> int:
    """Numbers in the safetensors of a folder, read from their headers; a tied matrix is stored, and counted, once."""
    return sum(
        prod(entry["shape"])
        for path in sorted(folder.glob("*.safetensors"))
        for name, entry in read_header(path).items()
        if name != "__metadata__"
    )


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: name → dtype, shape, offsets."""
    with path.open("rb") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
        found: dict[str, Any] = json.loads(stream.read(size))
    return found


def has_fim(folder: Path) -> bool:
    """Whether a model folder's tokenizer has the sentinels of a known family."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return False
    raw = json.loads(path.read_text(encoding="utf-8"))
    names = {token["content"]: token["id"] for token in raw.get("added_tokens") or []}
    vocabulary = raw["model"].get("vocab")
    return family_of({**(vocabulary if isinstance(vocabulary, dict) else {}), **names}) is not None
