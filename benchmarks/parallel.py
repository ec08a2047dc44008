"""Training by two processes: buril beside transformers' Trainer under torchrun, on the same packed sequences.

    python benchmarks/parallel.py [--size small|full] [--model FOLDER_OR_HUB_ID]

Both train every weight in fp32 with AdamW on sequences of one length, whole models with summed gradients (`data`) and
pieces by FSDP2 (`weights`); on two processes over gloo, one thread each. The gain over one process with as many threads
is shown besides: on one machine's cores it is about 1, and on GPUs it is what processes are for. Wall time of the
steps after the first; sides take turns, so what else runs on the machine meets both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from _stages import packed_stdlib

from buril.core.artifact import Artifact
from buril.core.events import EventLog, read_events
from buril.core.stage import Output
from buril.train.parallel.launch import launch
from buril.train.stage import Train

SIZES = {"small": (256, 4, 3, 1), "full": (512, 8, 6, 2)}
"""Tokens of a sequence, sequences of a step, steps, processes of a side in turns."""
PROCESSES = 2
WAYS = ("data", "weights")
TARGET = 1.0


def ours(inputs: dict[str, Artifact], shape: tuple[int, int, int, int], way: str, processes: int) -> float:
    """Tokens a second of buril."""
    length, batch, steps, _turns = shape
    settings = Train.Settings(
        method="full", batch_size=batch, max_steps=steps, eval_tokens=1, eval_every=1000, precision="fp32",
        device="cpu", threads=PROCESSES, micro_batch_tokens=length, checkpoint_every_s=1e9, checkpoint_layers=0,
        parallel={"processes": processes, "shard": "weights" if way == "weights" else "none"},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        launch(settings, inputs, Output(Path(folder) / "out", EventLog(events), "train"))
        speeds = [event["tokens_per_s"] for event in read_events(events) if "tokens_per_s" in event and "lr" in event]
    return statistics.median(speeds[1:])


PEER = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
import pyarrow.parquet as pq, torch
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging
logging.set_verbosity_error(); logging.disable_progress_bar()
told = json.loads(sys.argv[1])
torch.set_num_threads(1)
model = AutoModelForCausalLM.from_pretrained(told["model"], dtype=torch.float32)
rows = [row[: told["length"]] for row in pq.read_table(told["pack"], columns=["input_ids"])["input_ids"].to_pylist()]
rows = [{"input_ids": row, "labels": row} for row in rows if len(row) == told["length"]]
each = told["batch"] // told["processes"]
times = []
class Clock(TrainerCallback):
    def on_step_end(self, *_given, **_told): times.append(time.perf_counter())
fsdp = {} if told["way"] == "data" else {"fsdp": True, "fsdp_config": {
    "fsdp_version": 2, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "transformer_layer_cls_to_wrap": told["layer"]}}
arguments = TrainingArguments(
    output_dir=told["out"], per_device_train_batch_size=1, gradient_accumulation_steps=each, max_steps=told["steps"],
    learning_rate=5e-5, weight_decay=0.01, max_grad_norm=1.0, report_to=[], save_strategy="no", logging_strategy="no",
    use_cpu=True, gradient_checkpointing=False, ddp_backend="gloo", disable_tqdm=True, **fsdp)
Trainer(model, arguments, train_dataset=rows, callbacks=[Clock()]).train()
if int(os.environ["RANK"]) == 0:
    print(json.dumps([after - before for before, after in zip(times, times[1:])]), file=open(told["times"], "w"))
"""


def peer(inputs: dict[str, Artifact], shape: tuple[int, int, int, int], way: str) -> float:
    """Tokens a second of the peer."""
    length, batch, steps, _turns = shape
    config = inputs["base"].json("model/config.json")
    with tempfile.TemporaryDirectory() as folder:
        told = {
            "model": str(inputs["base"].path("model")), "pack": str(inputs["pack"].path("train.parquet")), "way": way,
            "length": length, "batch": batch, "steps": steps, "processes": PROCESSES, "out": folder,
            "times": f"{folder}/times.json", "layer": config["architectures"][0].replace("ForCausalLM", "DecoderLayer"),
        }  # fmt: skip
        script = Path(folder) / "peer.py"
        script.write_text(PEER)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        done = subprocess.run(
            [*command, str(script), json.dumps(told)], env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr[-4000:])
        seconds = json.loads(Path(told["times"]).read_text())
    return length * batch / statistics.median(seconds)


def main() -> None:
    """Measure and print."""
    from all import machine

    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--model", default="smollm2-135m")
    given = parser.parse_args()
    shape, began = SIZES[given.size], time.monotonic()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        inputs = packed_stdlib(Path(folder), given.model, shape[0], train=40, valid=1)
        alone = statistics.median(ours(inputs, shape, "data", 1) for _turn in range(shape[3]))
        for way in WAYS:
            found: dict[str, list[float]] = {"ours": [], "peer": []}
            for _turn in range(shape[3]):
                found["ours"].append(ours(inputs, shape, way, PROCESSES))
                found["peer"].append(peer(inputs, shape, way))
            mine, theirs = statistics.median(found["ours"]), statistics.median(found["peer"])
            spent = time.monotonic() - began
            print(f"{way}: {mine:.0f} tokens/s beside {theirs:.0f}; one process {alone:.0f}; {spent:.0f} s")
            rows.append({
                "name": f"parallel {way}", "ours": round(mine, 1), "peer": round(theirs, 1),
                "peer_name": "transformers Trainer, torchrun" + (", FSDP2" if way == "weights" else ""),
                "unit": "tokens/s", "ratio": round(mine / theirs, 3), "target": TARGET, "met": mine >= TARGET * theirs,
                "gain": round(mine / alone, 3), "machine": machine(), "size": given.size,
            })  # fmt: skip
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
