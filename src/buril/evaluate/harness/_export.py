"""Our suites as tasks of lm-evaluation-harness: a folder that `lm_eval --include_path` reads.

What is asked is what the suite asks: prompt, stops, most tokens. What a model gave is judged by the suite as well, in
the sandbox: the folder holds the suite's settings and its file of tasks, and a few lines of Python that call back.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.plugins import Ref
from buril.core.text import _
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Coding, Problem
from buril.evaluate.suites.perplexity import Perplexity, files_of, head_of
from buril.generators._generator import Request

if TYPE_CHECKING:
    from buril.evaluate.suites.multipl_e import MultiplE

MODULE = "buril_tasks"
"""The Python file of an exported folder."""
PREFIX = "buril_"
"""What the names of exported tasks begin with: `humaneval` is one of the harness's own."""
PYTHON = '''"""What the tasks in this folder call: buril judges in its sandbox, no code of a model runs here."""

from pathlib import Path

from buril.evaluate.harness import judge

HERE = Path(__file__).resolve().parent


def documents(file, **told):
    return judge.documents(HERE / file)


def verdicts(answers, documents):
    return judge.verdicts(HERE, answers, documents)


def process_results(document, results):
    return judge.scores(HERE, document, results)
'''
ROLLING = {
    "word_perplexity": "weighted_perplexity", "byte_perplexity": "weighted_perplexity",
    "bits_per_byte": "bits_per_byte",
}  # fmt: skip
"""The harness's metrics of held-out text, and how it adds them up."""


@dataclass(frozen=True)
class Sentinels:
    """How a model's tokenizer spells what stands around a hole."""

    prefix: str
    suffix: str
    middle: str


class _Chat(tuple[int, ...]):
    """A chat that is not rendered: what the user says is kept."""

    ask: str


class _Reader:
    """Stands where a generator does and only keeps how chats are put; with `template` False it knows none."""

    def __init__(self, *, template: bool) -> None:
        self.template = template

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The chat, as it was said."""
        if not self.template:
            raise BurilError("T017")
        found = _Chat(())
        found.ask = messages[-1]["content"]
        return found


@dataclass(frozen=True)
class _Row:
    """One document: a problem in a form, and the task of the harness that it belongs to."""

    problem: Problem
    request: Request
    form: str
    part: str


def export(ref: Ref, context: SuiteContext, folder: Path, sentinels: Sentinels | None = None) -> list[str]:
    """Write a suite's tasks into a folder; the names that the harness knows them by.

    Args:
        ref: the suite with its settings.
        context: the bounds; for `perplexity` its generator encodes text, and its split has the files.
        folder: where; it may hold other suites' tasks.
        sentinels: of the tokenizer, for suites with holes.

    Raises:
        BurilError: E001, E006, E008, E009, E010 as the suite's own `check`, E013 for a suite that can't be a task.
    """
    suite = ref.make()
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(suite, Perplexity):
        names = [_export_perplexity(suite, context, folder)]
    elif isinstance(suite, Coding):
        names = _export_coding(ref, suite, context, folder, sentinels)
    else:
        raise _refused(ref.name, _("it is no suite of programming tasks"))
    (folder / f"{MODULE}.py").write_text(PYTHON, encoding="utf-8")
    return names


def _refused(name: str, problem: str) -> BurilError:
    return BurilError(
        "E013", name=name, problem=problem,
        remedy=_("suites of programming tasks from a file, `basics` and `perplexity` can be exported"),
    )  # fmt: skip


# --- programming tasks


def _export_coding(
    ref: Ref, suite: Coding, context: SuiteContext, folder: Path, sentinels: Sentinels | None
) -> list[str]:
    settings = _carried(ref, folder)
    suite.check(context)
    rows: dict[tuple[str, ...], list[_Row]] = {}
    for row in _rows(suite, context):
        if row.request.suffix is not None and sentinels is None:
            raise _refused(ref.name, _("the tokenizer has no tokens that say where a hole is"))
        language = row.problem.language if suite.by_language else ""
        rows.setdefault((row.form, row.part, language, *row.request.stop), []).append(row)
    names = []
    for key, found in rows.items():
        name = PREFIX + "_".join(_slug(part) for part in (ref.name, *key[1:3], "chat" * (key[0] == "chat")) if part)
        while name in names:  # the same form with other stops
            name += "_"
        names.append(name)
        _write(folder, name, [_document(ref.name, row, sentinels) for row in found], _coding_yaml(name, found[0], None))
        if suite.settings.samples:
            names.append(f"{name}_sampled")
            (folder / f"{names[-1]}.yaml").write_text(_yaml(_coding_yaml(name, found[0], suite)), encoding="utf-8")
    told = {"suite": ref.name, "settings": settings, "seed": context.seed}
    text = json.dumps(told, indent=1, ensure_ascii=False)
    (folder / f"{ref.name}.suite.json").write_text(f"{text}\n", encoding="utf-8")
    return names


def _slug(text: str) -> str:
    return re.sub(r"\W+", "_", text.strip()).strip("_")


def _rows(suite: Coding, context: SuiteContext) -> Iterator[_Row]:
    """All problems in all forms in which the suite puts them, to models with a chat template and without."""
    problems = suite.problems(context)
    forms: dict[str, list[Request]] = {}
    for template in (False, True):
        context.generator = _Reader(template=template)  # type: ignore[assignment]  # it is asked for chats alone
        try:
            forms.update(suite.forms(problems, context))
        except BurilError as refused:
            if refused.code != "T017" or template:
                raise
    for form, requests in forms.items():
        for problem, request in zip(problems, requests, strict=True):
            yield _Row(problem, request, form, suite.part(problem))


def _document(suite: str, row: _Row, sentinels: Sentinels | None) -> dict[str, Any]:
    """A row of the data. The harness's own models see `prompt` (and `prefill`) alone."""
    request = row.request
    head = request.prompt.ask if isinstance(request.prompt, _Chat) else str(request.prompt)
    told = {"suite": suite, "id": row.problem.name, "entry_point": getattr(row.problem.task, "entry", ""),
            "prompt": head, "prefill": request.prefill}  # fmt: skip
    if request.suffix is None or sentinels is None:
        return told
    text = f"{sentinels.prefix}{head}{sentinels.suffix}{request.suffix}{sentinels.middle}"
    return {**told, "prompt": text, "buril_prefix": head, "buril_suffix": request.suffix}


def _coding_yaml(name: str, row: _Row, sampled: Coding | None) -> dict[str, Any]:
    """The task of the likeliest answers, or with a suite that of its samples."""
    writing: dict[str, Any] = {"until": list(row.request.stop), "max_gen_toks": row.request.max_tokens}
    metrics = ["pass@1"]
    if sampled:
        told = sampled.settings
        writing |= {"do_sample": True, "temperature": told.temperature, "top_p": told.top_p}
        metrics = [f"pass@{k}" for k in sampled._ks()]
    else:
        writing["do_sample"] = False
    return {
        "task": f"{name}_sampled" if sampled else name,
        **_common(f"{name}.jsonl"),
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "entry_point",
        "target_delimiter": "",
        **({"gen_prefix": "prefill"} if row.form == "chat" else {}),
        "generation_kwargs": writing,
        "repeats": sampled.settings.samples if sampled else 1,
        "filter_list": [{"name": "none", "filter": [{"function": "custom", "filter_fn": _Function("verdicts")}]}],
        "process_results": _Function("process_results"),
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in metrics],
    }


def _common(file: str) -> dict[str, Any]:
    return {
        "custom_dataset": _Function("documents"), "dataset_kwargs": {"file": file}, "test_split": "test",
        "num_fewshot": 0, "metadata": {"version": 1.0},
    }  # fmt: skip


def _carried(ref: Ref, folder: Path) -> dict[str, Any]:
    """The suite's settings as JSON, their file of tasks copied into the folder.

    Raises:
        BurilError: E008 without the file, E013 for a suite whose tasks are in no file.
    """
    settings = ref.settings
    told = settings.model_dump(mode="json")
    if hasattr(settings, "asked"):
        return {**told, "path": _copied_languages(ref, settings, folder)}
    if not hasattr(settings, "file"):
        if ref.name != "basics":
            raise _refused(ref.name, _("its tasks are those of the split, in no file"))
        return told
    path: Path = settings.file()
    if not path.is_file():
        raise BurilError("E008", suite=ref.name, path=path)
    copy = f"{ref.name}.tasks{''.join(path.suffixes[-2:]) if path.suffix == '.gz' else path.suffix}"
    shutil.copyfile(path, folder / copy)
    return {**told, "path": copy}


def _copied_languages(ref: Ref, settings: MultiplE.Settings | Any, folder: Path) -> str:
    name = f"{ref.name}_tasks"
    (folder / name).mkdir(exist_ok=True)
    for path in settings.asked().values():
        if not path.is_file():
            raise BurilError("E008", suite=ref.name, path=path)
        shutil.copyfile(path, folder / name / path.name)
    return name


# --- perplexity


def _export_perplexity(suite: Perplexity, context: SuiteContext, folder: Path) -> str:
    """The held-out files, each up to where the suite scores it."""
    name, size = f"{PREFIX}perplexity", suite.settings.context
    rows = [
        {"id": file.row_id, "language": file.language, "text": head_of(file.content, context)[0], "buril_window": size}
        for file in files_of(context)
    ]
    metrics = [{"metric": metric, "aggregation": way, "higher_is_better": False} for metric, way in ROLLING.items()]
    told = {
        "task": name, **_common(f"{name}.jsonl"), "output_type": "loglikelihood_rolling", "doc_to_text": "",
        "doc_to_target": "text", "metric_list": metrics,
    }  # fmt: skip
    _write(folder, name, rows, told)
    return name


# --- writing


class _Function(str):
    """A function of the folder's Python file."""


def _write(folder: Path, name: str, rows: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8", errors="backslashreplace")
    (folder / f"{name}.yaml").write_text(_yaml(told), encoding="utf-8")


def _yaml(told: Mapping[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes functions as the harness reads them, and nothing by reference."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(_Function, lambda dumper, value: dumper.represent_scalar("!function", f"{MODULE}.{value}"))

    def quoted(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if "\n" in value else None)

    Dumper.add_representer(str, quoted)
    return yaml.dump(dict(told), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
