"""One of the processes of a test: it takes part in several trainings, one after the other, with one start of torch.

RANK and WORLD_SIZE are set; each folder holds a `job.json`.
"""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path

from buril.core.errors import BurilError
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.train.parallel import sums
from buril.train.parallel.job import Job
from buril.train.parallel.rank import take_part


def main(folders: list[str]) -> None:
    """Take part in each."""
    rank = int(os.environ["RANK"])
    sums.BUCKET_NUMBERS = 2_000  # the models are small: of the real size there would be one bucket
    for folder in folders:
        job = Job.parse((Path(folder) / "job.json").read_text(encoding="utf-8"))
        out = Output(Path(job.folder), EventLog(Path(job.events)), "train", shared=True) if rank == 0 else None
        try:
            told = {"metrics": take_part(job, out)}
        except BurilError as problem:
            told = {"code": problem.code, "values": {name: str(value) for name, value in problem.values.items()}}
        except Exception:  # noqa: BLE001  the test shows it
            told = {"trace": traceback.format_exc()}
        (Path(folder) / f"told-{rank}.json").write_text(json.dumps(told), encoding="utf-8")
        if "metrics" not in told:
            import torch.distributed as dist

            dist.destroy_process_group()
