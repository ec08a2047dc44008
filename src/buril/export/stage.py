"""Stage export: the model in the formats of several engines as one bundle, each compared with the model itself."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.plugins import PluginKind, Ref, plugin
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.export.exporters._exporter import Exporter, Source
from buril.export.learnt import learnt_from
from buril.export.parity import Limits, answers, compare, judge, reference
from buril.export.record import README, card, made_from, part_of, write_record
from buril.generators._bundle import CONFIG

MODEL = ("base", "tokenizer", "train", "align")
"""Stages that a model is made from."""
FOLDER = "bundle"


def _named(names: tuple[str, ...]) -> Any:
    """A default that names plugins as the YAML would; it is read like one."""
    return Field(default=names, min_length=1)


class Export(Stage):
    """Writes `bundle/`: a folder for each format, `config/`, `fim.json`, `README.md` and, last, `bundle.json`.

    After an interruption no format that was written and compared is written again. One that fails its comparison is
    removed, and the stage fails with it.
    """

    name: ClassVar[str] = "export"
    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """In which formats, and how near they must come."""

        shorthand: ClassVar[str | None] = "formats"

        formats: Annotated[tuple[Ref, ...], PluginKind("exporter")] = _named(("safetensors",))
        """The formats: `safetensors`, `gguf`, `onnx`, `openvino`. One may stand there again with other weights."""
        parity: Literal["check", "report"] = "check"
        """Whether a format that is beyond a limit fails the stage, or is only told of."""
        limits: Limits = Limits()
        """How far a format may be from the model, by the bits of a weight."""
        tokens: int = Field(32, ge=1)
        """Tokens that are written after each prompt of the comparison; completions in an editor are about as long."""
        called: str = "model"
        """What the model is called; the chain says its own name."""
        model: Literal["base", "train", "align"] = "train"
        """Whose model it is; the chain says `align` where there is one, `base` where nothing is trained."""
        data: tuple[str, ...] = ("split", "pack")
        """Stages that the model came from, for the summary of licences and what it was taught; the chain names them."""
        threads: int = runtime(2, ge=1)
        """Threads that the engines compare with."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._formats: list[tuple[Ref, Exporter]] = [(ref, ref.make()) for ref in settings.formats]
        names = [exporter.name() for _ref, exporter in self._formats]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise BurilError("V107", name=twice)

    def needs(self) -> tuple[str, ...]:
        """The model's parts, and the data whose licences are counted."""
        told: Export.Settings = self.settings
        tuned = () if told.model == "base" else (told.model,)
        return tuple(dict.fromkeys(("base", "tokenizer", *told.data, *tuned)))

    def parts(self) -> dict[str, int]:
        """The versions of the exporters."""
        return {f"exporter:{ref.name}": plugin("exporter", ref.name).version for ref, _exporter in self._formats}

    def work(self, inputs: Inputs) -> float:
        """Bytes of the model, once for each format and once for the reference."""
        model = (entry.bytes for name in ("base", self.settings.model) if name in inputs
                 for entry in inputs[name].manifest.files)  # fmt: skip
        return float(sum(model)) * (1 + len(self._formats))

    def assume(self, work: float) -> Estimate:
        """About 20 MB a second, with the model in float32 in memory once."""
        once = work / (1 + len(self._formats)) / 1e6
        return Estimate(seconds=20 + work / 20e6, ram_mb=1000 + 3 * once, disk_mb=2 * work / 1e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write and compare one format after the other.

        Raises:
            BurilError: V105 for a format beyond its limit, and what exporters raise.
        """
        from buril.export.merge import folders

        told: Export.Settings = self.settings
        tuned = inputs.get(told.model) if told.model != "base" else None
        model = folders(inputs["base"], inputs["tokenizer"], tuned)
        made = made_from({name: inputs[name] for name in MODEL if name in inputs})
        asked, wanted = reference(model, out.scratch / "reference.json", told.tokens)
        source = self._source(model, made, out)
        parts: list[dict[str, Any]] = []
        for number, (ref, exporter) in enumerate(self._formats):
            out.progress(number, len(self._formats), _("formats"))
            parity = self._one(exporter, source, (asked, wanted), out)
            version = plugin("exporter", ref.name).version
            parts.append(part_of(exporter, source, kind=ref.name, version=version, parity=parity))
        out.progress(len(self._formats), len(self._formats), _("formats"))
        return self._finish(inputs, out, {"made_from": made, "formats": parts})

    def _source(self, model: Mapping[str, Path], made: Mapping[str, Any], out: Output) -> Source:
        """The merged model, which an interrupted attempt may have left."""
        from buril.export.merge import write_config, write_whole

        whole, done, config = out.scratch / "whole", out.scratch / "whole.json", out.path(f"{FOLDER}/{CONFIG}")
        if not done.is_file():
            for left in (whole, config):
                shutil.rmtree(left, ignore_errors=True)
            whole.mkdir()
            exact = write_whole(whole, model)
            write_config(config, whole, made)
            shutil.copyfile(_fim(model["tokenizer_dir"]), out.path(f"{FOLDER}/fim.json"))
            with atomic(done) as path:
                path.write_text(json.dumps({"exact": exact}), encoding="utf-8")
        # beside the model, where readers of a bundle find it too
        shutil.copyfile(out.path(f"{FOLDER}/fim.json"), out.scratch / "fim.json")
        exact = json.loads(done.read_text(encoding="utf-8"))["exact"]
        return Source(whole, config, model.get("adapter_dir"), exact, self.settings.threads)

    def _one(self, exporter: Exporter, source: Source, known: Any, out: Output) -> dict[str, Any]:
        """Write a format, compare it, and put it into the bundle; gives how near it came."""
        name = exporter.name()
        final, kept, writing = out.path(f"{FOLDER}/{name}"), out.scratch / f"{name}.json", out.scratch / name
        if not (kept.is_file() and final.is_dir()):
            for left in (final, writing):
                shutil.rmtree(left, ignore_errors=True)
            writing.mkdir()
            try:
                parity = self._compared(exporter, source, writing, known)
                with atomic(kept) as path:
                    path.write_text(json.dumps(parity), encoding="utf-8")
                writing.rename(final)
            finally:
                shutil.rmtree(writing, ignore_errors=True)  # half-written, or not the model
        parity = dict(json.loads(kept.read_text(encoding="utf-8")))
        if not parity["held"]:
            out.warn(_("{format} is beyond its limit: {problem}").format(format=name, problem=parity["problem"]))
        shown = ("tokens", "mean_logprob", "perplexity_change")
        out.metric(format=name, **{key: parity[key] for key in shown})
        return parity

    def _compared(self, exporter: Exporter, source: Source, folder: Path, known: Any) -> dict[str, Any]:
        """Write a format and compare it.

        Raises:
            BurilError: V105.
        """
        told: Export.Settings = self.settings
        asked, wanted = known
        exporter.write(source, folder)
        reader = exporter.open(source, folder)
        found = compare(asked, wanted, answers(reader, asked, told.tokens))
        problems = judge(found, told.limits.of(exporter.bits(source)))
        if problems and told.parity == "check":
            raise BurilError("V105", format=exporter.name(), problem="; ".join(problems))
        return {**found, "held": not problems, "problem": "; ".join(problems)}

    def _finish(self, inputs: Inputs, out: Output, told: dict[str, Any]) -> Metrics:
        """`README.md` and `bundle.json`."""
        base = inputs["base"].json("base.json")
        content = {
            "name": self.settings.called, **told, "data": learnt_from(inputs),
            "base": {key: base.get(key) for key in ("name", "kind", "license", "parameters")},
            "fills_in": fills_in(inputs),
        }  # fmt: skip
        folder = out.path(FOLDER)
        out.text(f"{FOLDER}/{README}", card(content))
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        digest = write_record(folder, content, now)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        parity = [part["parity"] for part in content["formats"]]
        worst = max((abs(item["perplexity_change"] or 0) for item in parity), default=0.0)
        return {
            "formats": ", ".join(part["name"] for part in content["formats"]), "bytes": size,
            "parity": f"{sum(item['held'] for item in parity)}/{len(parity)}", "worst_perplexity_change": worst,
            "bundle": digest[:12],
        }  # fmt: skip


def fills_in(inputs: Inputs) -> bool:
    """Whether the model was taught to fill in the middle: it has the sentinels, and has seen them used."""
    base = inputs["base"].json("base.json")
    if inputs["tokenizer"].json("fim.json").get("prefix") is None:
        return False
    known = bool(base.get("fim")) and base.get("kind") != "scratch"
    return known or ("pack" in inputs and bool(inputs["pack"].manifest.settings.get("fim_rate")))


def _fim(tokenizer: Path) -> Path:
    return next(place / "fim.json" for place in (tokenizer, tokenizer.parent) if (place / "fim.json").is_file())
