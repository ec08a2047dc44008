"""What a training leaves: the finished model, the rows it has seen, what it came to, and the digest of all that."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from buril.core.artifact import SCRATCH, atomic, digest_of, sha256_file, sync_folder
from buril.core.stage import Output


def write_seen(out: Output, loop: Any) -> None:
    """`seen.parquet`: the rows, and how many tokens of each, that the weights which were kept had read."""
    import pyarrow as pa

    from buril.code.codefile import write_table

    seen = loop.seen()
    table = pa.table({"row_id": pa.array(list(seen), pa.string()), "tokens": pa.array(list(seen.values()), pa.int64())})
    write_table(out.path("seen.parquet"), table)
    out.rows["seen.parquet"] = len(seen)


def digest_so_far(folder: Path) -> str:
    """The digest that the artifact will have when nothing is written any more."""
    files = (path for path in folder.rglob("*") if path.is_file() and SCRATCH not in path.parts)
    return digest_of({path.relative_to(folder).as_posix(): sha256_file(path) for path in files})


def count(trainable: Any) -> dict[str, Any]:
    """Parameters in all (tied ones once), those that are trained, and their share."""
    from buril.train.methods._quantised import num_weights

    known = {id(parameter): num_weights(parameter) for parameter in trainable.base.parameters()}
    known |= {id(parameter): parameter.numel() for parameter in trainable.parameters.values()}
    trained = sum(parameter.numel() for parameter in trainable.parameters.values())
    total = sum(known.values())
    return {"parameters": total, "trainable": trained, "share": trained / total}


def summary(progress: Any, counts: dict[str, Any]) -> dict[str, Any]:
    """What a training came to, for `train.json` and the manifest."""
    losses = [point["loss"] for point in progress.curve if "loss" in point]
    return {
        "steps": progress.step, "tokens": progress.tokens, "best_valid_loss": progress.best_loss,
        "best_step": progress.best_step, "final_loss": losses[-1] if losses else None,
        "stopped_early": progress.stopped_early, "parameters": counts["parameters"],
        "trainable_parameters": counts["trainable"], "trainable_share": counts["share"],
    }  # fmt: skip


def median_of(folder: Path, name: str) -> float:
    """The median of a number in the speed log's lines, one of which is a step; 0 without any."""
    from statistics import median

    path, found = folder / "logs/speed.jsonl", []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError, KeyError):  # a line that a crash cut short
            found.append(float(json.loads(line)[name]))
    return median(found) if found else 0.0


def write_folder(out: Output, trainable: Any, state: Any = None) -> None:
    """Write the finished model into its folder of the artifact, file by file, each whole or not at all.

    Args:
        out: where to.
        trainable: the model.
        state: its tensors put together, where several processes hold them.
    """
    staging = out.scratch / "finished"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    trainable.save(staging, state)
    for source in sorted(staging.iterdir()):
        with atomic(out.path(f"{trainable.folder}/{source.name}")) as temporary:
            shutil.move(source, temporary)
    sync_folder(out.path(trainable.folder))
