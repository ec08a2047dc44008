"""Evaluate: examines the base and the tuned model with the same suites and says how sure the difference is."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from buril.core.artifact import Artifact, atomic
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.plugins import PluginKind, Ref
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.evaluate._kept import Kept
from buril.evaluate._seen import seen
from buril.evaluate.gates import Gate, parse_gates
from buril.evaluate.suite import Measure, Suite, SuiteContext, SuiteResult
from buril.sandboxes._sandbox import Sandbox

MODELS = ("base", "tuned")


def _refs(names: str | tuple[str, ...]) -> Any:
    """A default that names plugins as the YAML would; it is read like one."""
    return Field(default=names)


class Evaluate(Stage):
    """Writes `results.json`, and `samples/SUITE.MODEL.jsonl` with every prompt, completion and verdict.

    After an interruption no suite that is finished for a model is done again, and nothing that it has written is
    written again. Gates are judged and recorded, not enforced: `buril.evaluate.gates.check` does that on the results.
    """

    name: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 3
    small: ClassVar[dict[str, Any]] = {
        "max_items": 12,
        "max_tokens": 40,
        "max_file_tokens": 256,
        "max_prompt_bytes": 512,
    }

    class Settings(BaseSettings):
        """What is examined, and how much of it."""

        shorthand: ClassVar[str | None] = "suites"

        suites: Annotated[tuple[Ref, ...], PluginKind("suite")] = _refs(("perplexity", "completion", "basics"))
        """The examinations, each a plugin."""
        gate: dict[str, str] = {}
        """Conditions on the scores by `[suite.]metric[.model]`: `perplexity: "<= 10"`, `pass@1: ">= base - 0.02"`."""
        generator: Annotated[Ref, PluginKind("generator")] = _refs("transformers")
        """What runs the models."""
        sandbox: Annotated[Ref, PluginKind("sandbox")] = _refs("namespaces")
        """What runs the code that they write."""
        max_items: int = Field(200, ge=1)
        """Most files, functions or tasks a suite takes; 200 keep a share's 95 % interval within 7 points."""
        max_tokens: int = Field(192, ge=1)
        """Tokens of one completion, at most."""
        max_file_tokens: int = Field(4096, ge=2)
        """Tokens of one file that are scored, at most, so that no file rules the perplexity."""
        max_prompt_bytes: int = Field(4096, ge=1)
        """Bytes of a file that a model sees before what it completes, cut at a line; the far end is left out."""
        seed: int = 0
        """Chooses the items, the samples and the resamplings of the intervals."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        names = [item.name for item in settings.suites]
        if len(set(names)) < len(names):
            raise BurilError("E005", name=next(name for name in names if names.count(name) > 1))
        self._suites: dict[str, Suite] = {item.name: item.make() for item in settings.suites}
        self._gates: list[Gate] = parse_gates(
            settings.gate, {name: suite.metrics() for name, suite in self._suites.items()}
        )

    def needs(self) -> tuple[str, ...]:
        """The two models' parts, and the held-out data."""
        return ("base", "tokenizer", "train", "split")

    def work(self, inputs: Inputs) -> float:
        """Tokens to write and to read, for both models, weighted by what they cost: reading is ten times cheaper."""
        limits = self.settings
        return float(
            len(MODELS) * len(self._suites) * limits.max_items * (limits.max_tokens + limits.max_file_tokens / 10)
        )

    def assume(self, work: float) -> Estimate:
        """100 tokens a second, as a model of 135 million parameters writes on two cores."""
        return Estimate(seconds=10 + work / 100, ram_mb=2500, disk_mb=5)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Run each suite on each model, then compare."""
        found: dict[str, dict[str, SuiteResult]] = {}
        with contextlib.ExitStack() as stack:
            sandbox = _once(self.settings.sandbox, stack)
            for model in MODELS:
                found[model] = self._examine(model, inputs, out, sandbox)
            results: dict[str, Any] = {
                "suites": {name: self._summary(name, found) for name in self._suites},
                "models": _models(inputs),
            }
            for name, suite in self._suites.items():
                if hasattr(suite, "texts"):
                    context = self._context(None, inputs, sandbox)
                    results["suites"][name]["seen"] = self._seen(name, suite.texts(context), found, inputs, out)
        results["gates"] = [gate.judge(results["suites"]) for gate in self._gates]
        out.text("results.json", json.dumps(results, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
        for outcome in results["gates"]:
            if not outcome["held"]:
                out.warn(_("gate {gate} {wanted} does not hold: {value}").format(**outcome))
        return _metrics(results)

    def _examine(
        self, model: str, inputs: Inputs, out: Output, sandbox: Callable[[], Sandbox]
    ) -> dict[str, SuiteResult]:
        """All suites on one model; it is loaded only when a suite is left to do."""
        generator = Kept(self.settings.generator.make(), out.scratch / f"completions.{model}.jsonl")
        context = self._context(generator, inputs, sandbox)
        left = [name for name in self._suites if not _part(out, name, model).exists()]
        for name in left:
            self._suites[name].check(context)
        if left:
            generator.open(**_folders(inputs, model))
        for name in left:
            unit = f"{name} ({model})"
            context.progress = lambda done, total, unit=unit: out.progress(done, total, unit)  # type: ignore[misc]  # mypy knows no default arguments of lambdas
            started = time.monotonic()
            result = self._suites[name].run(context)
            _write(out, name, model, result)
            out.metric(suite=name, model=model, seconds=round(time.monotonic() - started, 2))
        return {name: _read(_part(out, name, model)) for name in self._suites}

    def _context(self, generator: Any, inputs: Inputs, sandbox: Callable[[], Sandbox]) -> SuiteContext:
        told = self.settings
        return SuiteContext(
            generator, inputs["split"], sandbox, told.seed, told.max_items, told.max_tokens, told.max_file_tokens,
            told.max_prompt_bytes,
        )  # fmt: skip

    def _summary(self, name: str, found: dict[str, dict[str, SuiteResult]]) -> dict[str, Any]:
        base, tuned = (found[model][name] for model in MODELS)
        ref = next(item for item in self.settings.suites if item.name == name)
        told = {
            **{key: ref.identity()[key] for key in ("version", "settings")},
            "metrics": self._table(base.measures, tuned.measures),
            "by_language": self._split(base.by_language, tuned.by_language),
        }
        categories = self._split(base.by_category, tuned.by_category)
        return {**told, "by_category": categories} if categories else told

    def _seen(
        self,
        name: str,
        texts: dict[str, list[str]],
        found: dict[str, dict[str, SuiteResult]],
        inputs: Inputs,
        out: Output,
    ) -> dict[str, Any]:
        """Which tasks stand in the training data, and the scores without them.

        A task that is told in several ways is one: `HumanEval/0:half` is seen where `HumanEval/0` is.
        """
        sightings = seen(texts, inputs["split"])
        bare = {unit.partition(":")[0] for unit in sightings}
        told: dict[str, Any] = {
            "tasks": {unit: asdict(sighting) for unit, sighting in sorted(sightings.items())},
            "asked": len({unit.partition(":")[0] for unit in texts}), "seen": len(bare),
        }  # fmt: skip
        if bare:
            out.warn(
                _("{suite}: {seen} of {asked} tasks stand in the training data; see the scores without them").format(
                    suite=name, seen=len(bare), asked=told["asked"]
                )
            )
            kept = {
                model: {metric: measure.without(bare) for metric, measure in found[model][name].measures.items()}
                for model in MODELS
            }
            told["metrics_without"] = self._table(kept["base"], kept["tuned"])
        return told

    def _split(self, base: dict[str, dict[str, Measure]], tuned: dict[str, dict[str, Measure]]) -> dict[str, Any]:
        """A table for each language or category that either model has."""
        return {part: self._table(base.get(part, {}), tuned.get(part, {})) for part in sorted({*base, *tuned})}

    def _table(self, base: dict[str, Measure], tuned: dict[str, Measure]) -> dict[str, Any]:
        seed = self.settings.seed
        table: dict[str, Any] = {}
        for metric in sorted({*base, *tuned}):
            pair = {"base": base.get(metric), "tuned": tuned.get(metric)}
            row: dict[str, Any] = {}
            for model, measure in pair.items():
                interval = measure.interval(seed) if measure else None
                row[model] = _rounded(interval._asdict()) if interval else None
            first, second = pair["base"], pair["tuned"]
            difference = first.difference(second, seed) if first and second else None
            row["difference"] = _rounded(difference._asdict()) if difference else None
            row["better"] = next(measure.better for measure in pair.values() if measure)
            table[metric] = row
        return table


def _once(ref: Ref, stack: contextlib.ExitStack) -> Callable[[], Sandbox]:
    """Makes the sandbox when it is first asked for, and closes it at the end."""
    made: list[Sandbox] = []

    def get() -> Sandbox:
        if not made:
            made.append(ref.make())
            stack.callback(made[0].close)
        return made[0]

    return get


def _folders(inputs: Inputs, model: str) -> dict[str, Any]:
    """The arguments of `Generator.open` for a model."""
    folders: dict[str, Any] = {
        "base_dir": inputs["base"].path("model"),
        "tokenizer_dir": inputs["tokenizer"].path("tokenizer"),
    }
    if model == "tuned":
        train: Artifact = inputs["train"]
        kind = "adapter" if train.path("adapter").is_dir() else "model"
        folders[f"{kind}_dir"] = train.path(kind)
    return folders


def _models(inputs: Inputs) -> dict[str, Any]:
    """What the two models are, by what they were made from."""
    base, train = inputs["base"], inputs["train"]
    told = base.json("base.json") if base.path("base.json").is_file() else {}
    made = {"base": base.digest, "tokenizer": inputs["tokenizer"].digest}
    kind = "adapter" if train.path("adapter").is_dir() else "model"
    return {"base": {**made, "name": told.get("name", "")}, "tuned": {**made, "train": train.digest, "kind": kind}}


def _part(out: Output, suite: str, model: str) -> Path:
    return out.scratch / f"{suite}.{model}.json"


def _write(out: Output, suite: str, model: str, result: SuiteResult) -> None:
    """The samples first: the part file says that both are there."""
    lines = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in result.samples)
    with out.write(f"samples/{suite}.{model}.jsonl") as path:
        path.write_text(lines, encoding="utf-8", errors="backslashreplace")
    with atomic(_part(out, suite, model)) as path:
        path.write_text(json.dumps(result.to_json(), sort_keys=True), encoding="utf-8")


def _read(path: Path) -> SuiteResult:
    return SuiteResult.from_json(json.loads(path.read_text(encoding="utf-8")))


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Six significant digits, which is far more than any interval allows and hides the last bits of floating point."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in values.items()}


def _metrics(results: dict[str, Any]) -> Metrics:
    """The scores for the manifest: `suite.metric.model`."""
    return {
        f"{suite}.{metric}.{model}": row[model]["value"] for suite, metric, model, row in _rows(results) if row[model]
    } | {"gates_held": sum(outcome["held"] for outcome in results["gates"]), "gates": len(results["gates"])}


def _rows(results: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for suite, found in results["suites"].items():
        for metric, row in found["metrics"].items():
            for model in MODELS:
                yield suite, metric, model, row
