"""Evaluate: examines the base and the tuned model with the same suites and says how sure the difference is."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from buril.core.artifact import Artifact, atomic
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.plugins import PluginKind, Ref, plugin
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.evaluate._kept import Kept
from buril.evaluate._once import once
from buril.evaluate._seen import seen
from buril.evaluate._table import table
from buril.evaluate.gates import Gate, judge_target, parse_gates, parse_targets
from buril.evaluate.suite import Measure, Suite, SuiteContext, SuiteResult
from buril.sandboxes._sandbox import Sandbox

MODELS = ("base", "tuned")
Split = dict[str, dict[str, Measure]]


def _refs(names: str | tuple[str, ...]) -> Any:
    """A default that names plugins as the YAML would; it is read like one."""
    return Field(default=names)


class Evaluate(Stage):
    """Writes `results.json`, and `samples/SUITE.MODEL.jsonl` with every prompt, completion and verdict.

    `logs/resources/SUITE.MODEL.jsonl` says what time and memory each judged program took.

    After an interruption no suite that is finished for a model is done again, and nothing that it has written is
    written again. Gates are judged and recorded, not enforced: `buril.evaluate.gates.check` does that on the results.
    """

    name: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 4
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
        targets: dict[str, str] | None = None
        """Scores to work towards, named and written as gates are; the results tell which are reached, and no run fails
        by them. Without any: perplexity below 4, pass@10 above 60 %, BLEU above 0.45, where they are measured."""
        tuned: Literal["train", "align"] = "train"
        """Whose model is the tuned one; the chain says `align` where there is such a stage."""
        generator: Annotated[Ref, PluginKind("generator")] = _refs("transformers")
        """What runs the models."""
        base_generator: Annotated[Ref | None, PluginKind("generator")] = None
        """What runs the base, where that is another: of generators that answer from elsewhere each has one model."""
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
        remote = getattr(plugin("generator", settings.generator.name), "remote", False)
        if remote and settings.base_generator is None:
            raise BurilError("E023", generator=settings.generator.name)
        names = [item.name for item in settings.suites]
        if len(set(names)) < len(names):
            raise BurilError("E005", name=next(name for name in names if names.count(name) > 1))
        self._suites: dict[str, Suite] = {item.name: item.make() for item in settings.suites}
        self._gates, self._targets = self._read_gates()

    def _read_gates(self) -> tuple[list[Gate], list[Gate]]:
        metrics = {name: suite.metrics() for name, suite in self._suites.items()}
        return parse_gates(self.settings.gate, metrics), parse_targets(self.settings.targets, metrics)

    def needs(self) -> tuple[str, ...]:
        """The two models' parts, and the held-out data."""
        also = [need for suite in self._suites.values() for need in getattr(suite, "needs", ())]
        return tuple(dict.fromkeys(("base", "tokenizer", self.settings.tuned, "split", *also)))

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
            sandbox = once(self.settings.sandbox, stack)
            for model in MODELS:
                found[model] = self._examine(model, inputs, out, sandbox)
            results: dict[str, Any] = {
                "suites": {name: self._summary(name, found) for name in self._suites},
                "models": _models(inputs),
                "generators": {model: self._generator(model).identity() for model in MODELS},
            }
            for name, suite in self._suites.items():
                if hasattr(suite, "texts"):
                    context = self._context(None, inputs, sandbox)
                    results["suites"][name]["seen"] = self._seen(name, suite.texts(context), found, inputs, out)
        results["gates"] = [gate.judge(results["suites"]) for gate in self._gates]
        results["targets"] = [judge_target(target, results["suites"]) for target in self._targets]
        out.text("results.json", json.dumps(results, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
        for outcome in results["gates"]:
            if not outcome["held"]:
                out.warn(_("gate {gate} {wanted} does not hold: {value}").format(**outcome))
        return _metrics(results)

    def _examine(
        self, model: str, inputs: Inputs, out: Output, sandbox: Callable[[], Sandbox]
    ) -> dict[str, SuiteResult]:
        """All suites on one model; it is loaded only when a suite is left to do."""
        ref = self._generator(model)
        generator = Kept(ref.make(), out.scratch / f"completions.{model}.jsonl")
        context = self._context(generator, inputs, sandbox)
        left = [name for name in self._suites if not _part(out, name, model).exists()]
        for name in left:
            self._suites[name].check(context)
        self._gates, self._targets = self._read_gates()  # a suite may know only now what its measures are called
        if left and not getattr(plugin("generator", ref.name), "remote", False):
            generator.open(**_folders(inputs, model))
        for name in left:
            unit = f"{name} ({model})"
            context.progress = lambda done, total, unit=unit: out.progress(done, total, unit)  # type: ignore[misc]  # mypy knows no default arguments of lambdas
            started = time.monotonic()
            result = self._suites[name].run(context)
            _write(out, name, model, result, ref.name)
            out.metric(suite=name, model=model, seconds=round(time.monotonic() - started, 2))
        return {name: _read(_part(out, name, model)) for name in self._suites}

    def _generator(self, model: str) -> Ref:
        told: Evaluate.Settings = self.settings
        return (told.base_generator if model == "base" else None) or told.generator

    def _context(self, generator: Any, inputs: Inputs, sandbox: Callable[[], Sandbox]) -> SuiteContext:
        told = self.settings
        return SuiteContext(
            generator, inputs["split"], sandbox, told.seed, told.max_items, told.max_tokens, told.max_file_tokens,
            told.max_prompt_bytes, also=inputs,
        )  # fmt: skip

    def _summary(self, name: str, found: dict[str, dict[str, SuiteResult]]) -> dict[str, Any]:
        base, tuned = (found[model][name] for model in MODELS)
        ref = next(item for item in self.settings.suites if item.name == name)
        groups = sorted({*base.by, *tuned.by})
        return {
            **{key: ref.identity()[key] for key in ("version", "settings")},
            "metrics": self._table(base.measures, tuned.measures),
            "by_language": self._split(base.by_language, tuned.by_language),
            **({"by": {group: self._split(*(one.by.get(group, {}) for one in (base, tuned))) for group in groups}}
               if groups else {}),
        }  # fmt: skip

    def _table(self, base: dict[str, Measure], tuned: dict[str, Measure]) -> dict[str, Any]:
        return table({"base": base, "tuned": tuned}, self.settings.seed)

    def _split(self, base: Split, tuned: Split) -> dict[str, Any]:
        """A table for each language, repository or other group that one of the models has measures of."""
        return {name: self._table(base.get(name, {}), tuned.get(name, {})) for name in sorted({*base, *tuned})}

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
            told["metrics_without"] = table(kept, self.settings.seed)
        return told


def _folders(inputs: Inputs, model: str) -> dict[str, Any]:
    """The arguments of `Generator.open` for a model."""
    folders: dict[str, Any] = {
        "base_dir": inputs["base"].path("model"),
        "tokenizer_dir": inputs["tokenizer"].path("tokenizer"),
    }
    if model == "tuned":
        train = tuned_of(inputs)
        kind = "adapter" if train.path("adapter").is_dir() else "model"
        folders[f"{kind}_dir"] = train.path(kind)
    return folders


def _models(inputs: Inputs) -> dict[str, Any]:
    """What the two models are, by what they were made from."""
    base, train = inputs["base"], tuned_of(inputs)
    told = base.json("base.json") if base.path("base.json").is_file() else {}
    made = {"base": base.digest, "tokenizer": inputs["tokenizer"].digest}
    kind = "adapter" if train.path("adapter").is_dir() else "model"
    tuned = {**made, train.manifest.stage: train.digest, "kind": kind}
    return {"base": {**made, "name": told.get("name", "")}, "tuned": tuned}


def tuned_of(inputs: Inputs) -> Artifact:
    """What made the tuned model: `align` where it is read, else `train`."""
    return inputs.get("align") or inputs["train"]


def _part(out: Output, suite: str, model: str) -> Path:
    return out.scratch / f"{suite}.{model}.json"


def _write(out: Output, suite: str, model: str, result: SuiteResult, engine: str) -> None:
    """The rows first: the part file says that all are there. What samples took is evidence, not identity."""
    samples = [{**row, "engine": engine} for row in result.samples]
    for folder, rows in (("samples", samples), ("logs/resources", result.resources)):
        if folder == "samples" or rows:
            lines = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
            with out.write(f"{folder}/{suite}.{model}.jsonl") as path:
                path.write_text(lines, encoding="utf-8", errors="backslashreplace")
    with atomic(_part(out, suite, model)) as path:
        path.write_text(json.dumps(result.to_json(), sort_keys=True), encoding="utf-8")


def _read(path: Path) -> SuiteResult:
    return SuiteResult.from_json(json.loads(path.read_text(encoding="utf-8")))


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
