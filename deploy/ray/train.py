"""Training as a Ray Train job: `ray job submit -- python deploy/ray/train.py /shared/buril.yaml --workers 16 --gpu`.

The YAML, the store and the base model lie in folders that all nodes see. The first worker runs the whole chain, the
others take part in its training; a worker that is lost starts all again, from the last checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def work(told: dict[str, Any]) -> None:
    """What every worker does."""
    from buril import Chain, Store

    chain = Chain.from_yaml(told["config"])
    if told["small"]:
        chain = chain.small()
    chain.run(Store(Path(told["store"])), told["until"])


def main() -> None:
    """Start the workers and wait for them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the YAML")
    parser.add_argument("--store", type=Path, help="the store; beside the YAML unless it is given")
    parser.add_argument("--until", help="the last stage")
    parser.add_argument("--workers", type=int, default=2, help="processes that train together")
    parser.add_argument("--gpu", action="store_true", help="one GPU for each")
    parser.add_argument("--cpus", type=float, default=1, help="processors for each")
    parser.add_argument("--failures", type=int, default=3, help="how often to start again")
    parser.add_argument("--small", action="store_true", help="a run of minutes")
    given = parser.parse_args()

    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    config = given.config.resolve()
    store = (given.store or config.parent / ".buril").resolve()
    told = {"config": str(config), "store": str(store), "until": given.until, "small": given.small}
    scaling = ScalingConfig(
        num_workers=given.workers, use_gpu=given.gpu, resources_per_worker={"CPU": given.cpus, "GPU": int(given.gpu)}
    )
    run = RunConfig(storage_path=str(store / "ray"), failure_config=FailureConfig(max_failures=given.failures))
    backend = TorchConfig(backend="cpu:gloo,cuda:nccl" if given.gpu else "gloo")
    TorchTrainer(work, train_loop_config=told, scaling_config=scaling, torch_config=backend, run_config=run).fit()


if __name__ == "__main__":
    main()
