"""Tasks of lm-evaluation-harness: found, checked, and run on a model."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from buril.evaluate.harness._lm import BurilLM

RANDOM_SEED, OTHER_SEED = 0, 1234
"""What the harness seeds Python's random numbers with, and NumPy's and those of its examples: scores then compare."""


@dataclass(frozen=True)
class Asked:
    """Which tasks are asked, and how.

    Attributes:
        names: of tasks, groups or tags.
        include_path: a folder with further tasks.
        metadata: what tasks that make their own data are told.
        num_fewshot: solved examples before each question; None for what each task says.
        chat: whether prompts are put as chats.
        download: whether data may come from the hub.
    """

    names: tuple[str, ...]
    include_path: Path | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    num_fewshot: int | None = None
    chat: bool = False
    download: bool = False


def load(asked: Asked) -> dict[str, Any]:
    """The tasks and groups of the names, with their data.

    Raises:
        BurilError: E011 for a name that is none, E013 for a task that can't be asked.
    """
    with _quiet(download=asked.download), _seeded():
        manager = _manager(asked)
        loaded: dict[str, Any] = {"tasks": {}, "groups": {}, "group_map": {}}
        for name in asked.names:
            for part, found in _load_one(manager, name).items():
                loaded[part].update(found)
    for name, task in loaded["tasks"].items():
        _check(name, task)
        if asked.num_fewshot is not None and task.config.num_fewshot != 0:
            task.set_config(key="num_fewshot", value=asked.num_fewshot)
        elif task.config.num_fewshot is None:
            task.set_config(key="num_fewshot", value=0)
    return loaded


def run(loaded: Mapping[str, Any], lm: BurilLM, drawn: Mapping[str, Sequence[int]], *, chat: bool) -> dict[str, Any]:
    """What the harness finds of a model over the documents that were drawn of each task, with its samples."""
    from lm_eval.evaluator import evaluate

    for task in loaded["tasks"].values():
        task.set_fewshot_seed(seed=OTHER_SEED)
    with _quiet(download=False), _seeded():
        found: dict[str, Any] = evaluate(
            lm, loaded, samples={name: list(places) for name, places in drawn.items()}, bootstrap_iters=0,
            log_samples=True, apply_chat_template=chat, fewshot_as_multiturn=chat,
        )  # fmt: skip
    return found


def metrics_of(loaded: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the measures of loaded tasks; those of a task whose metrics are code are known by their beginning.

    Those of groups are told by the samples, so they are known by their beginning as well.
    """
    from buril.evaluate.harness._results import name_of

    found: list[str] = []
    for name, task in loaded["tasks"].items():
        told = task.config.metric_list
        if told is not None and not all(isinstance(item["metric"], str) for item in told):
            found.append(f"{name} *")
            continue
        chosen = [item.name for item in task._filters]
        parts = chosen if len(chosen) > 1 else [""]
        found += [name_of(name, metric, part) for metric in task.aggregation() for part in parts]
    return (*found, *(f"{name} *" for name in loaded["groups"]))


def greedy_of(loaded: Mapping[str, Any]) -> set[str]:
    """The tasks for which it matters whether a continuation is what the model would write."""
    return {
        name
        for name, task in loaded["tasks"].items()
        if task.OUTPUT_TYPE == "loglikelihood" or "exact_match" in task.aggregation() or task.config.process_results
    }


def _manager(asked: Asked) -> Any:
    """The harness's index; its own 14,000 tasks are left out where the folder has all that are asked."""
    from lm_eval.tasks import TaskManager

    told = {"metadata": dict(asked.metadata)}
    if asked.include_path:
        own = TaskManager(include_path=str(asked.include_path), include_defaults=False, **told)
        if set(asked.names) <= set(own.all_tasks):
            return own
    manager = TaskManager(include_path=str(asked.include_path) if asked.include_path else None, **told)
    for name in asked.names:
        if name not in manager.task_index:
            raise BurilError("E011", task=name, suggestion=_suggestion(name, manager.all_tasks))
    return manager


def _suggestion(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return _("did you mean `{name}`?").format(name=close[0])
    return _("`lm-eval ls tasks` lists them; tasks of your own are found with `include_path`")


def _load_one(manager: Any, name: str) -> dict[str, Any]:
    from datasets.exceptions import DatasetsError
    from jinja2.exceptions import TemplateError
    from yaml import YAMLError

    wrong = (
        OSError, ValueError, TypeError, LookupError, AttributeError, ImportError, RuntimeError, AssertionError,
        DatasetsError, TemplateError, YAMLError,
    )  # fmt: skip
    try:
        found: dict[str, Any] = manager.load(name)
    except wrong as problem:
        first = (str(problem).strip().splitlines() or [""])[0][:300]
        raise BurilError(
            "E013",
            name=name,
            problem=f"{type(problem).__name__}: {first}",
            remedy=_(
                "where its data are not on this machine, `download: true` (`--download`) fetches them from the hub; or "
                "write a task that includes it and names a local file"
            ),
        ) from problem
    return found


def _check(name: str, task: Any) -> None:
    """Refuse a task that would run a model's code unprotected, or that a text model can't be asked."""
    from buril.evaluate.harness._lm import check_generation

    if getattr(task, "UNSAFE_CODE", False):
        raise BurilError(
            "E013",
            name=name,
            problem=_("it runs what the model writes without protection"),
            remedy=_("buril's own suites judge programs in the sandbox: `humaneval`, `mbpp`, `multipl-e`, …"),
        )
    if getattr(task, "MULTIMODAL", False):
        raise BurilError("E013", name=name, problem=_("it shows images or sounds"), remedy=_("ask text alone"))
    if task.OUTPUT_TYPE == "generate_until":
        check_generation(name, task.config.generation_kwargs)


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Chance as the harness seeds it, and afterwards as it was."""
    import numpy as np

    before, others = random.getstate(), np.random.get_state()
    random.seed(RANDOM_SEED)
    np.random.seed(OTHER_SEED)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(others)


@contextlib.contextmanager
def _quiet(*, download: bool) -> Iterator[None]:
    """Without the harness's own talk, and off the network unless `download` or the environment says otherwise."""
    import datasets
    import huggingface_hub.constants
    import lm_eval.api.task

    logger, level = logging.getLogger("lm_eval"), logging.getLogger("lm_eval").level
    places = [(datasets.config, "HF_HUB_OFFLINE"), (huggingface_hub.constants, "HF_HUB_OFFLINE")]
    before = [getattr(place, name) for place, name in places]
    bar, drawing = lm_eval.api.task.tqdm, datasets.are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    lm_eval.api.task.tqdm = partial(bar, disable=True)  # progress goes through events, never straight to the terminal
    for place, name in places:
        setattr(place, name, getattr(place, name) or not download)
    try:
        yield
    finally:
        logger.setLevel(level)
        lm_eval.api.task.tqdm = bar
        if not drawing:
            datasets.enable_progress_bars()
        for (place, name), value in zip(places, before, strict=True):
            setattr(place, name, value)
