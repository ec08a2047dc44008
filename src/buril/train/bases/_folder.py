"""Taking over a Hugging Face model folder: checked, then copied file by file."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.core.text import _
from buril.generators._encoder import TOKENIZER_FILES
from buril.train.bases._base import MODEL, spdx

INDEX = "model.safetensors.index.json"
PLAIN = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    *TOKENIZER_FILES,
)
"""Files taken over as they are, where they exist. No `.py` and no pickle is ever among them."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")


def model_files(folder: Path) -> dict[str, Path]:
    """The files of a model folder that are taken over, by the name they get.

    Raises:
        BurilError: T003 when it is not a model folder, T004 when its weights are pickles, T005 when it needs its own
            code, T012 when it has no tokenizer.json.
    """
    config = _json(folder, "config.json")
    _refuse_code(folder, config)
    weights = _weights(folder)
    if not (folder / "tokenizer.json").is_file():
        raise BurilError("T012", path=folder, missing="tokenizer.json")
    names = [name for name in PLAIN if (folder / name).is_file()]
    return {name: folder / name for name in sorted({*names, *weights})}


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise BurilError("T003", path=folder, missing=name) from missing
    except (OSError, ValueError) as problem:
        raise BurilError("T003", path=folder, missing=f"{name} ({problem})") from problem
    if not isinstance(found, dict):
        raise BurilError("T003", path=folder, missing=name)
    return found


def _weights(folder: Path) -> list[str]:
    """Names of the weight files: those the index lists, else the one safetensors file."""
    if (folder / INDEX).is_file():
        shards = sorted({str(name) for name in _json(folder, INDEX).get("weight_map", {}).values()})
        missing = [name for name in shards if "/" in name or not (folder / name).is_file()]
        if missing or not shards:
            raise BurilError("T003", path=folder, missing=missing[0] if missing else INDEX)
        return [INDEX, *shards]
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        raise BurilError("T004", path=folder, found=pickles[0])
    raise BurilError("T003", path=folder, missing="model.safetensors")


def _refuse_code(folder: Path, config: dict[str, Any]) -> None:
    """A model that names its own Python classes is refused, unless transformers knows its architecture itself."""
    if not config.get("auto_map"):
        return
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if config.get("model_type") not in CONFIG_MAPPING_NAMES:
        raise BurilError("T005", path=folder, model_type=config.get("model_type", "?"))


def copy_files(files: dict[str, Path], out: Output) -> None:
    """Copy files into `model/`; those an earlier attempt finished are left."""
    total = sum(path.stat().st_size for path in files.values())
    done = 0
    for name, path in files.items():
        if not out.has(f"{MODEL}/{name}"):
            with out.write(f"{MODEL}/{name}") as temporary:
                shutil.copyfile(path, temporary)
        done += path.stat().st_size
        out.progress(done, total, _("bytes"))


def card_license(folder: Path) -> str:
    """The licence that a model card (the YAML head of README.md) names, as SPDX; "" where it names none."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    head = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", card, re.DOTALL)
    line = re.search(r"^license:\s*[\"']?([^\s\"'#]+)", head[1], re.MULTILINE) if head else None
    return spdx(line[1]) if line else ""
