"""Tasks of EleutherAI's lm-evaluation-harness, on the model and the generator of this evaluation.

Each document is a unit, so their scores have intervals, paired differences and gates like all others. See
`evaluate/harness` for how a generator answers the harness's requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from buril.core.artifact import sha256_file
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.evaluate.suite import SuiteContext, SuiteResult, drawn

if TYPE_CHECKING:
    from buril.evaluate.harness._tasks import Asked

SHOWN = 2000
"""Characters of a prompt or an answer that a sample keeps."""


class LmEval:
    """The scores that the harness gives, as measures `TASK METRIC`; those that no document has a part of are left out.

    No code of a model is run: tasks that would run it unprotected are refused.
    """

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("lm_eval",)

    class Settings(BaseSettings):
        """Which tasks, and how they are put. The names are the harness's own."""

        shorthand: ClassVar[str | None] = "tasks"

        tasks: tuple[str, ...] = Field(("arc_easy",), min_length=1)
        """Names of tasks, groups or tags, as `lm-eval ls tasks` lists them."""
        include_path: Path | None = None
        """A folder with further tasks, such as `buril lm-eval export` writes. The bytes of its files are part of the
        identity, its place is not."""
        num_fewshot: int | None = Field(None, ge=0)
        """Solved examples before each question; none for what each task says."""
        apply_chat_template: bool = False
        """Whether prompts are put as chats, by the model's own template."""
        metadata: dict[str, Any] = {}
        """What tasks that make their own data are told, as with the harness's `--metadata`."""
        download: bool = runtime(False)
        """Whether data sets may be fetched from the hub; else they must be on this machine already."""

        def identity(self) -> dict[str, Any]:
            """The settings, the version of the harness, and the digests of the folder's files instead of its place.

            What the hub holds under a data set's name is not part of it.
            """
            folder = self.include_path
            files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder else []
            kept = [path for path in files if "__pycache__" not in path.parts]
            digests = {path.relative_to(folder).as_posix(): sha256_file(path) for path in kept if folder}
            return {**super().identity(), "include_path": digests, "lm_eval": metadata.version("lm_eval")}

        def asked(self) -> Asked:
            """Which tasks are asked, and how."""
            from buril.evaluate.harness._tasks import Asked

            return Asked(
                self.tasks, self.include_path, self.metadata, self.num_fewshot, self.apply_chat_template, self.download
            )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loaded: dict[str, Any] | None = None

    def metrics(self) -> tuple[str, ...]:
        """Their names: until the tasks are read, how those of each task begin."""
        from buril.evaluate.harness._tasks import metrics_of

        return metrics_of(self._loaded) if self._loaded else tuple(f"{name}*" for name in self.settings.tasks)

    def check(self, context: SuiteContext) -> None:
        """Read the tasks and their data.

        Raises:
            BurilError: E011 for an unknown task, E013 for one that can't be asked.
        """
        self._tasks()

    def run(self, context: SuiteContext) -> SuiteResult:
        """Ask at most `max_items` documents of each task, no answer longer than `max_tokens`.

        Raises:
            BurilError: E011, E013, T017 when the model has no chat template.
        """
        from buril.evaluate.harness._results import measures_of

        found, finished = self.ask(context)
        measures, _left = measures_of(found, found["samples"])
        samples = [_row(name, row, finished) for name, rows in sorted(found["samples"].items()) for row in rows]
        return SuiteResult(measures, samples=samples)

    def ask(self, context: SuiteContext) -> tuple[dict[str, Any], dict[tuple[str, int], str]]:
        """What the harness finds, in its own form, and why the answer to each document ended."""
        from buril.evaluate.harness._lm import BurilLM
        from buril.evaluate.harness._tasks import greedy_of, run

        loaded = self._tasks()
        lm = BurilLM(
            context.generator, max_tokens=context.max_tokens, greedy=greedy_of(loaded), seed=context.seed,
            progress=context.progress,
        )  # fmt: skip
        taken = {name: self._taken(name, task, context) for name, task in loaded["tasks"].items()}
        found = run(loaded, lm, taken, chat=self.settings.apply_chat_template)
        for rows in found["samples"].values():
            rows.sort(key=lambda row: row["doc_id"])
        return found, lm.finished

    def texts(self, context: SuiteContext) -> dict[str, list[str]]:
        """What of each document must not have been learnt: its question, and the answer where that is a text."""
        from buril.evaluate.harness._results import unit_of

        found = {}
        for name, task in self._tasks()["tasks"].items():
            documents = task.eval_docs
            for place in self._taken(name, task, context):
                told = (task.doc_to_text(documents[place]), task.doc_to_target(documents[place]))
                texts = [text for text in told if isinstance(text, str) and text.strip()]
                if texts:
                    found[unit_of(name, place)] = texts
        return found

    def _tasks(self) -> dict[str, Any]:
        from buril.evaluate.harness._tasks import load

        if self._loaded is None:
            self._loaded = load(self.settings.asked())
        return self._loaded

    def _taken(self, name: str, task: Any, context: SuiteContext) -> list[int]:
        """The places of the documents that are asked, chosen by a hash, in their order."""
        places = sorted(range(len(task.eval_docs)), key=lambda place: drawn(f"{name}/{place}", context.seed))
        return sorted(places[: context.max_items])


def _row(task: str, row: Mapping[str, Any], finished: Mapping[tuple[str, int], str]) -> dict[str, Any]:
    """A row of the samples."""
    from buril.evaluate.harness._results import unit_of

    contexts = [str(arguments[0]) for arguments in row["arguments"]]
    answers = [answer for answers in row["resps"] for answer in answers]
    told = {
        "id": unit_of(task, row["doc_id"]), "task": task, "prompt": contexts[0][-SHOWN:],
        "completion": "\n".join(item[:SHOWN] for item in answers if isinstance(item, str)),
        "reference": str(row["target"])[:SHOWN], "filter": row["filter"],
        "finish": finished.get((task, row["doc_id"]), ""),
        **{name: _plain(row[name]) for name in row["metrics"]},
    }  # fmt: skip
    scored = [round(float(item[0]), 4) for item in answers if isinstance(item, tuple | list)]
    return {**told, "logprobs": scored} if scored else told


def _plain(value: Any) -> Any:
    """A value of a metric as JSON has it."""
    if isinstance(value, bool | int | float | str):
        return round(value, 6) if isinstance(value, float) else value
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else str(value)
