"""`buril export`: the latest model of the store as a bundle; `buril export check FOLDER`: whether a bundle is whole."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli import common
from buril.core.errors import BurilError
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.cli.in_use import InUse
    from buril.core.artifact import Artifact
    from buril.core.store import Store


@click.command()
@click.argument("words", nargs=-1, metavar="[FORMAT]... | check FOLDER")
@click.option(
    "--model", "ref", metavar="REF", help=N_("`base`, a name or run, or a `train` artifact (default: the latest).")
)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    help=N_("Also copy the bundle to this folder, which must be new."),
)
@click.option("--report", is_flag=True, help=N_("Tell of a format beyond its limit, and keep it."))
@click.option("--quick", is_flag=True, help=N_("With `check`: look at names and sizes only, not at every byte."))
@common.config_option
@common.store_option
@common.json_option
def command(
    words: tuple[str, ...],
    *,
    ref: str | None,
    target: Path | None,
    report: bool,
    quick: bool,
    config_path: Path,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Write the latest model of the store as a bundle: each FORMAT, `gguf:q4_0` for one with other weights."""
    if words[:1] == ("check",):
        if len(words) != 2:
            raise click.UsageError(_("`check` takes one FOLDER"), click.get_current_context())
        check(Path(words[1]), quick=quick, as_json=as_json)
        return
    if target and target.exists():
        raise BurilError("V108", path=target, problem=_("it exists already"))
    store = common.open_store(config_path, store_path)
    artifact = exported(store, ref, told_formats(words), config_path, report=report)
    bundle = artifact.path("bundle")
    if target:
        bundle = copied(bundle, target)
    _tell(bundle, as_json=as_json)
    if not as_json:
        common.following(f"buril export check {bundle}")


def check(folder: Path, *, quick: bool, as_json: bool) -> None:
    """Check every file of a bundle, and say what it is.

    Raises:
        BurilError: V100 to V103.
    """
    from buril.cli.bundle import bundle_at
    from buril.generators._bundle import read_bundle

    folder = bundle_at(str(folder)) or folder
    read_bundle(folder, check="sizes" if quick else "sha256")
    _tell(folder, as_json=as_json)
    if not as_json:
        common.following(f"buril complete --model {folder} --prompt 'def fibonacci(n):'")


def told_formats(words: tuple[str, ...]) -> list[Any]:
    """Formats as the YAML would name them: `gguf:q4_0` → `{gguf: q4_0}`."""
    found: list[Any] = []
    for word in ",".join(words).split(",") if words else ():
        name, colon, weights = word.partition(":")
        found.append({name: weights} if colon else name)
    return found


def exported(store: Store, ref: str | None, formats: list[Any], config_path: Path, *, report: bool = False) -> Artifact:
    """Run the stage on a model of the store, and put it into the reference that has the model.

    Nothing before it runs, whatever has changed since.
    """
    from buril.cli.in_use import model_in_use
    from buril.cli.terminal import watch
    from buril.core.events import EventLog

    model = model_in_use(store, ref)
    name, links = _reference(store, model)
    stage, inputs = _stage(store, model, _given(name, formats, config_path, report=report))
    identifier = time.strftime("%Y%m%d-%H%M%S") + f"-{time.time_ns() % 10**6:06d}"
    events = EventLog(store.root / "runs" / identifier / "events.jsonl")
    events.emit("run_start", name=name, run=identifier, command="buril export", stages=["export"])
    display, outcome, clock = watch(events), "failed", time.monotonic()
    try:
        events.emit("stage_start", "export")
        artifact, there = store.make(stage, inputs, events)
        manifest = artifact.manifest
        events.emit(
            "stage_reuse" if there else "stage_end", "export", key=artifact.key, digest=artifact.digest,
            seconds=manifest.seconds, metrics=manifest.metrics, resumed=manifest.resumed,
        )  # fmt: skip
        outcome = "ok"
    finally:
        events.emit("run_end", outcome=outcome, seconds=round(time.monotonic() - clock, 3))
        display.close()
        events.close()
    if links:
        store.set_ref(name, {**links, "export": artifact.link}, identifier, finished=True)
    return artifact


def _reference(store: Store, model: InUse) -> tuple[str, dict[str, Any]]:
    """The latest reference that has the model, and its links; a name alone where none has."""
    wanted = (model.tuned or model.base).link
    for ref, links in store.refs().items():
        if wanted in links.values():
            return ref.rpartition("@")[0], links
    return "model", {}


def _given(name: str, formats: list[Any], config_path: Path, *, report: bool) -> dict[str, Any]:
    """The settings of the YAML, where there is one, with what was asked for here."""
    given: dict[str, Any] = {"called": name}
    if config_path.is_file():
        settings = common.load_chain(config_path).settings("export")
        given = {field: getattr(settings, field) for field in settings.model_fields_set}
    if formats:
        given["formats"] = formats
    if report:
        given["parity"] = "report"
    return given


def _stage(store: Store, model: InUse, given: dict[str, Any]) -> tuple[Any, dict[str, Artifact]]:
    """The stage for a model, and its inputs."""
    from buril.chain import BEHIND, stage_class

    kind = stage_class("export")
    whose = model.tuned.manifest.stage if model.tuned else "base"
    found = _ancestors(store, model.tuned) if model.tuned else {}
    found |= {"base": model.base, "tokenizer": model.tokenizer, **({whose: model.tuned} if model.tuned else {})}
    data = [stage for stage in BEHIND if stage in found and stage != whose]
    stage = kind(kind.Settings.model_validate({**given, "model": whose, "data": data}))
    return stage, {need: found[need] for need in stage.needs()}


def _ancestors(store: Store, artifact: Artifact) -> dict[str, Artifact]:
    from buril.audit.lineage import ancestors

    return ancestors(store, artifact)


def copied(bundle: Path, target: Path) -> Path:
    """A bundle at another place: there whole or not at all.

    Raises:
        BurilError: V108.
    """
    import shutil

    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(bundle, partial)
        partial.rename(target)
    except OSError as problem:
        shutil.rmtree(partial, ignore_errors=True)
        raise BurilError("V108", path=target, problem=problem.strerror or str(problem)) from problem
    return target


def _tell(folder: Path, *, as_json: bool) -> None:
    """What a bundle is: on stdout."""
    from buril.generators._bundle import read_bundle

    bundle = read_bundle(folder, check="sizes")
    if as_json:
        common.put({"folder": str(folder), "openable_with": bundle.engines(), **bundle.content})
        return
    click.echo(_("bundle {name}  digest {digest}").format(name=bundle.name, digest=bundle.digest[:12]) + f"  {folder}")
    for part in bundle.parts:
        parity = part.parity
        size = sum(entry["bytes"] for entry in bundle.content["files"] if entry["path"].startswith(f"{part.name}/"))
        change = parity["perplexity_change"]
        line = _("{tokens:.0%} of greedy tokens the same, perplexity {change}").format(
            tokens=parity["tokens"], change="?" if change is None else f"{change:+.2%}"
        )
        held = "" if parity["held"] else "  " + _("BEYOND ITS LIMIT")
        click.echo(f"  {part.name:<16} {common.size(size):>9}  {line}{held}  ({', '.join(part.engines)})")
    data = bundle.content["data"]
    licenses = data["expression"] or _("unknown")
    click.echo(
        _("learnt from {files} files, licences: {licenses}").format(files=f"{data['files']:,}", licenses=licenses)
    )
    click.echo(_("opens with: {engines}").format(engines=", ".join(bundle.engines()) or "—"))
