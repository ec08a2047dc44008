"""Small real stages for the tests of the store and the plan: they count, write, fail and resume."""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar

from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Output, Stage


class Words(Stage):
    """Writes the words it is told, one file each."""

    name = "words"

    class Settings(BaseSettings):
        """What to write."""

        words: tuple[str, ...] = ("a", "b")
        """The words."""
        workers: int = runtime(1)
        """Not identity."""

    def run(self, inputs: Inputs, out: Output) -> dict[str, Any]:
        for index, word in enumerate(self.settings.words):
            if not out.has(f"{index}.txt"):
                out.text(f"{index}.txt", word)
        return {"words": len(self.settings.words)}


class Count(Stage):
    """Counts letters, slowly if told; keeps its place in scratch."""

    name = "count"
    small: ClassVar[dict[str, Any]] = {"steps": 2}
    calls: ClassVar[int] = 0

    class Settings(BaseSettings):
        """How to count."""

        steps: int = 3
        """Steps."""
        sleep_s: float = runtime(0.0)
        """Seconds a step takes."""
        fail_at: int = runtime(-1)
        """Fail before this step (a crash in tests)."""
        rounded: bool = False
        """Write the same bytes whatever the count."""

    def needs(self) -> tuple[str, ...]:
        return ("words",)

    def run(self, inputs: Inputs, out: Output) -> dict[str, Any]:
        type(self).calls += 1
        state = out.scratch / "state.json"
        start = json.loads(state.read_text())["step"] if state.exists() else 0
        for step in range(start, self.settings.steps):
            if step == self.settings.fail_at:
                raise RuntimeError("crash")
            time.sleep(self.settings.sleep_s)
            with out.write(".scratch/state.json") as path:
                path.write_text(json.dumps({"step": step + 1}))
            out.progress(step + 1, self.settings.steps, "steps")
        letters = sum(len(path.read_text()) for path in inputs["words"].files("*.txt"))
        out.text("count.json", json.dumps({"letters": 0 if self.settings.rounded else letters}))
        return {"letters": letters, "resumed_from": start}


class Double(Stage):
    """Doubles the count."""

    name = "double"

    def needs(self) -> tuple[str, ...]:
        return ("count",)

    def run(self, inputs: Inputs, out: Output) -> dict[str, Any]:
        value = inputs["count"].json("count.json")["letters"] * 2
        out.text("double.json", json.dumps(value))
        return {"value": value}


def chain(*, words: tuple[str, ...] = ("a", "b"), version: int = 1, **count: Any) -> list[Stage]:
    """The three stages in order."""
    second = Count(Count.Settings(**count))
    second.version = version  # type: ignore[misc]  a changed stage, without a second class
    return [Words(Words.Settings(words=words)), second, Double(Double.Settings())]
