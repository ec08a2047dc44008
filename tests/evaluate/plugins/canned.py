"""A generator without weights: what it writes and how well it scores depends on whether an adapter was given."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.evaluate.suites._basics_tasks import TASKS
from buril.generators._generator import Completion, Request

SOLUTIONS = {task.prompt.rstrip(): task.solution for task in TASKS}


class Canned:
    """Tokens are bytes. The base solves every third task, the tuned model all but every fifth."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """It can be told to break off."""

        stop_before: str = ""
        """A file: while it exists the tuned model refuses to open, as a killed run would end there."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tuned = False

    def open(
        self, base_dir: Path, tokenizer_dir: Path, *, adapter_dir: Path | None = None, model_dir: Path | None = None
    ) -> None:
        assert (base_dir / "config.json").is_file() and (tokenizer_dir / "tokenizer.json").is_file()
        self.tuned = adapter_dir is not None or model_dir is not None
        if self.tuned and self.settings.stop_before and os.path.exists(self.settings.stop_before):  # noqa: PTH110
            raise KeyboardInterrupt

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        raise BurilError("T017")

    def score(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray[tuple[int], np.dtype[np.float32]]]:
        nats = math.log(4) if self.tuned else math.log(16)
        return [np.array([-nats * (1 + token % 3 / 10) for token in ids[1:]], dtype=np.float32) for ids in sequences]

    def complete(self, requests: Sequence[Request]) -> Iterator[list[Completion]]:
        for index, request in enumerate(requests):
            prompt = str(request.prompt).rpartition("\n\n\n")[2].rstrip()
            good = index % 5 != 0 if self.tuned else index % 3 == 0
            if prompt in SOLUTIONS:
                text = SOLUTIONS[prompt] + "\nprint('after')\n" if good else "    return object()\n"
            else:
                text = (
                    "\n    value = math.pi * radius ** 2\n    return value * scale\n\n\ndef other():\n    pass\n"
                    if good
                    else "\n    return 0\n"
                )
            yield [Completion(text, (), "eos", 0.0)] * request.num_samples
