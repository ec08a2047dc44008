"""The chain from Python: plan it, run it, read what came out.

python examples/python_api.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

from buril import Chain, Store


def main(folder: Path) -> None:
    """Collect and clean this checkout, then say what was kept."""
    chain = Chain.from_yaml(Path(__file__).with_name("from-scratch.yaml")).small()
    store = Store(folder / ".buril")
    for step in chain.plan(store, until="split"):
        print(f"{step.stage.name:<10} {step.action:<6} {step.reason}")
    done = chain.run(store, until="split")
    summary = done.artifacts["split"].json("summary.json")
    print(f"{len(done.artifacts)} stages in {done.seconds:.1f} s; split: {summary}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
