"""A tiny model with an adapter, the data that it would have read, and the stage run on them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from buril.core.artifact import Artifact
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.export.stage import Export
from buril.generators._load import load
from tests.conftest import as_artifact
from tests.generators.tiny import make, named_tokenizer

LICENSES = {"a": "MIT", "b": "MIT", "c": "GPL-2.0-only OR BSD-3-Clause", "d": "", "e": "Apache-2.0"}
READ = ("a", "b", "c", "d")


def inputs(root: Path, *, dtype: torch.dtype = torch.float32, adapter: bool = True) -> dict[str, Artifact]:
    """What the stage reads."""
    make("llama", max_position_embeddings=512).to(dtype).save_pretrained(root / "base/model")
    (root / "base/base.json").write_text(json.dumps({"name": "toy", "kind": "folder", "license": "MIT", "fim": False}))
    named_tokenizer(root / "tokenizer")
    (root / "split/train").mkdir(parents=True)
    table = pa.table({"row_id": list(LICENSES), "license": list(LICENSES.values())})
    pq.write_table(table, root / "split/train/00000.parquet")
    (root / "pack").mkdir()
    (root / "pack/summary.json").write_text("{}")
    pack = as_artifact(root / "pack", "pack")
    pack = replace(pack, manifest=replace(pack.manifest, identity={"settings": {"fim_rate": 0.5}}))
    found = {name: as_artifact(root / name, name) for name in ("base", "tokenizer", "split")}
    return {**found, "pack": pack, "train": trained(root / "train", root / "base", root / "tokenizer", adapter=adapter)}


def trained(folder: Path, base: Path, tokenizer: Path, *, adapter: bool) -> Artifact:
    """An adapter far from nothing, or whole weights far from the base's."""
    import peft

    torch.manual_seed(0)
    model = load(base, tokenizer, dtype="fp32").model
    if adapter:
        told = peft.LoraConfig(r=4, init_lora_weights=False, target_modules="all-linear")
        peft.get_peft_model(model, told).save_pretrained(folder / "adapter")
    else:
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.02)
        model.save_pretrained(folder / "model")
    pq.write_table(pa.table({"row_id": list(READ), "tokens": [7] * len(READ)}), folder / "seen.parquet")
    return as_artifact(folder, "train")


def output(folder: Path) -> Output:
    """Where the stage writes."""
    return Output(folder, EventLog(folder.with_suffix(".jsonl")), "export")


def export(made: dict[str, Artifact], folder: Path, *formats: Any, **told: Any) -> Path:
    """Run the stage; gives the bundle."""
    given = {"formats": formats or ("safetensors", "gguf"), "threads": 1, "tokens": 8, "called": "toy", **told}
    stage = Export(Export.Settings.model_validate(given))
    out = output(folder)
    stage.run({name: made[name] for name in stage.needs()}, out)
    out.finish()
    return folder / "bundle"
