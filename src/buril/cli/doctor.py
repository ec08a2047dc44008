"""`buril doctor`: what this machine has and lacks; each problem with the command that mends it.

Exit code 4 when something required is missing; what only some configurations need is a warning, unless the
configuration here needs it.
"""

from __future__ import annotations

import operator
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from buril.cli.common import config_option, following, json_option, put, say, size, store_folder, store_option
from buril.core.errors import EXIT_PREREQUISITE, BurilError
from buril.core.text import LANGUAGES, N_, _

if TYPE_CHECKING:
    from buril.sandboxes._sandbox import Protection

State = Literal["ok", "warn", "fix"]
OLDEST_PYTHON = (3, 10)
MEMORY_MB = 4000
"""Below this, training even a small model is likely to be killed: a 135-million LoRA peaks at about 2 GB."""
DISK_MB, DISK_LOW_MB = 500, 5000
"""Required and advisable free space: a small run takes some 100 MB, a base model as safetensors 270 MB and more."""
COMPARISONS = {"==": operator.eq, ">=": operator.ge, "<=": operator.le, "<": operator.lt, ">": operator.gt}
MODEL_STAGES = ("tokenizer", "pack", "train", "align", "evaluate")


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it stands, and the command that mends it (empty where nothing is to mend)."""

    name: str
    state: State
    text: str
    mend: str = ""


@dataclass(frozen=True)
class Scene:
    """What the checks look at: the configuration's keys (empty where there is none), and where the store would be."""

    config_path: Path
    store: Path
    keys: dict[str, Any]

    def needed(self, *stages: str) -> State:
        """How bad a lack is: `fix` where the configuration here has such a stage, else `warn`."""
        return "fix" if any(stage in self.keys for stage in stages) else "warn"


@click.command()
@click.option("--languages", is_flag=True, help=N_("Try every language in which the written code can be judged."))
@config_option
@store_option
@json_option
@click.pass_context
def command(ctx: click.Context, *, languages: bool, config_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Check this machine."""
    checks = []
    for check in chain(look(_scene(config_path, store_path)), _runtimes() if languages else ()):
        checks.append(check)
        if not as_json:
            click.echo(f"{check.state:<5} {check.name:<13} {check.text}")
            if check.mend:
                click.echo(f"{'':<19} -> {check.mend}")
    bad = [check for check in checks if check.state == "fix"]
    if as_json:
        put({"ok": not bad, "checks": [asdict(check) for check in checks]})
    else:
        say(_("{fix} to fix, {warn} to note").format(fix=len(bad), warn=sum(check.state == "warn" for check in checks)))
        first = next((check.mend for check in bad if check.mend), "")
        following(first or ("buril plan" if config_path.exists() else "buril init"))
    if bad:
        ctx.exit(EXIT_PREREQUISITE)


def _scene(config_path: Path, store_path: Path | None) -> Scene:
    from buril import config

    try:
        keys = config.read(config_path).values if config_path.exists() else {}
    except BurilError:
        keys = {}  # the check of the configuration says what is wrong with it
    return Scene(config_path, store_folder(config_path, store_path), keys)


def look(scene: Scene) -> Iterator[Check]:
    """All checks, in the order they are shown."""
    looks: tuple[Callable[[Scene], Iterator[Check]], ...] = (
        _python,
        _packages,
        _torch,
        _hardware,
        _memory,
        _disk,
        _git,
        _grammars,
        _store,
        _base,
        _sandbox,
        _catalogues,
        _plugins,
        _configuration,
    )
    for one in looks:
        yield from one(scene)


def _python(scene: Scene) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] >= OLDEST_PYTHON
    oldest = ".".join(map(str, OLDEST_PYTHON))
    yield Check(
        "python",
        "ok" if good else "fix",
        version,
        "" if good else _("install Python {version} or later").format(version=oldest),
    )


# --- packages


def _packages(scene: Scene) -> Iterator[Check]:
    try:
        lines = metadata.requires("buril") or []
    except metadata.PackageNotFoundError:
        yield Check("packages", "warn", _("buril is run without being installed"), "pip install buril")
        return
    for name, extra in (("packages", ""), ("train", "train")):
        wanted = [line for line in lines if _extra(line) == extra and not line.startswith("buril")]
        wrong = [problem for line in wanted if (problem := requirement_problem(line.partition(";")[0].strip()))]
        what = f"buril[{extra}]" if extra else "buril"
        if wrong:
            state = scene.needed(*MODEL_STAGES) if extra else "fix"
            yield Check(name, state, "; ".join(wrong), f'pip install "{what}"')
        else:
            text = _("all {number} of `{what}` are here").format(number=len(wanted), what=what)
            yield Check(name, "ok", text)


def _extra(line: str) -> str:
    _requirement, _semicolon, marker = line.partition(";")
    return marker.split("extra ==")[1].strip().strip("'\" )") if "extra ==" in marker else ""


def requirement_problem(requirement: str) -> str:
    """What is wrong with a requirement: not installed, too old, or not the version asked for; "" when nothing is."""
    name = re.split(r"[\s\[=<>!~;]", requirement, maxsplit=1)[0]
    try:
        have = metadata.version(name)
    except metadata.PackageNotFoundError:
        return _("{name} is missing").format(name=name)
    for sign, want in re.findall(r"(==|>=|<=|<|>)\s*([\w.]+)", requirement):
        if not COMPARISONS[sign](_numbers(have), _numbers(want)):
            return _("{name} is {have}, not {want}").format(name=name, have=have, want=f"{sign}{want}")
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version as numbers; what is not a number (`rc1`, `+cpu`) ends it, zeros at its end count not."""
    found: list[int] = []
    for part in version.strip().split("+")[0].split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)


def _torch(scene: Scene) -> Iterator[Check]:
    from buril.cli.machine import gpus

    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        yield Check(
            "torch",
            scene.needed(*MODEL_STAGES),
            _("not installed: no training, no completions"),
            'pip install "buril[train]"',
        )
        return
    if "+cpu" in version and gpus():
        yield Check(
            "torch",
            "warn",
            _("{version} can't use the graphics card here").format(version=version),
            "pip install --force-reinstall torch",
        )
        return
    yield Check("torch", "ok", version)


# --- the machine


def _hardware(scene: Scene) -> Iterator[Check]:
    from buril.cli.machine import hardware

    found = hardware()
    vector = ", ".join(found.features) or _("no vector units known")
    good = bool(found.features)
    text = _("{cores} cores, {features}").format(cores=found.cores, features=vector)
    yield Check("cpu", "ok" if good else "warn", text)
    cards = ", ".join(f"{gpu.name} ({size(gpu.memory_mb * 1e6)})" for gpu in found.gpus)
    yield Check("gpu", "ok", cards or _("none: models up to some hundred million parameters train on the CPU"))


def _memory(scene: Scene) -> Iterator[Check]:
    from buril.core.machine import memory_mb

    total, free = memory_mb()
    if not total:
        yield Check("memory", "warn", _("this system does not tell its memory"))
        return
    text = _("{total}, {free} free").format(total=size(total * 1e6), free=size(free * 1e6))
    mend = "" if free >= MEMORY_MB else _("close other programs, or lower `train.batch_size` and `workers`")
    yield Check("memory", "warn" if mend else "ok", text, mend)


def _disk(scene: Scene) -> Iterator[Check]:
    from buril.cli.machine import free_disk

    free_mb = free_disk(scene.store) / 1e6
    state: State = "fix" if free_mb < DISK_MB else "warn" if free_mb < DISK_LOW_MB else "ok"
    text = _("{free} free for {path}").format(free=size(free_mb * 1e6), path=scene.store)
    yield Check("disk", state, text, "" if state == "ok" else "buril gc")


def _git(scene: Scene) -> Iterator[Check]:
    found = shutil.which("git")
    if found:
        yield Check("git", "ok", found)
    else:
        yield Check("git", "warn", _("not found: files are collected without their commits"), "apt-get install git")


def _store(scene: Scene) -> Iterator[Check]:
    there = scene.store.resolve()
    while not there.exists():
        there = there.parent
    try:
        with tempfile.NamedTemporaryFile(dir=there):
            pass
    except OSError as problem:
        yield Check("store", "fix", f"{scene.store}: {os.strerror(problem.errno or 0)}", "export BURIL_STORE=DIR")
        return
    text = str(scene.store) if there == scene.store.resolve() else _("{path} can be made").format(path=scene.store)
    yield Check("store", "ok", text)


# --- parts of buril


def _grammars(scene: Scene) -> Iterator[Check]:
    from buril.code.language import languages
    from buril.code.parse import parse

    broken = []
    for name in languages():
        try:
            parse(name, b"")
        except (ImportError, LookupError, ValueError, TypeError, OSError, AttributeError) as problem:
            broken.append(f"{name} ({problem})")
    mend = 'pip install "tree-sitter-language-pack==0.13.0"'
    if broken:
        yield Check("grammars", "fix", _("can't be loaded: {names}").format(names=", ".join(broken)), mend)
    else:
        yield Check("grammars", "ok", _("{number} languages").format(number=len(languages())))


def _base(scene: Scene) -> Iterator[Check]:
    from buril.cli.models import WHEEL_BASE, WHEEL_COMMAND, find_models

    train = scene.keys.get("train", scene.keys.get("align"))
    named = train.get("base") if isinstance(train, dict) else None
    models = find_models(scene.config_path.resolve().parent)
    if named not in (None, WHEEL_BASE):
        yield Check("base", "ok", _("`{base}`, as the configuration names it").format(base=named))
    elif any(model.base == WHEEL_BASE for model in models):
        yield Check("base", "ok", WHEEL_BASE)
    elif models:
        yield Check(
            "base",
            scene.needed("train"),
            _("`{base}` is not here, `{other}` is").format(base=WHEEL_BASE, other=models[0].base),
            WHEEL_COMMAND,
        )
    else:
        yield Check("base", scene.needed("train"), _("no base model here; `base: scratch` needs none"), WHEEL_COMMAND)


def _sandbox(scene: Scene) -> Iterator[Check]:
    try:
        protections = _protections()
    except BurilError as problem:
        yield Check("sandbox", scene.needed("evaluate"), problem.cause, problem.hint)
        return
    lacking = [item for item in protections if not item.available]
    if not lacking:
        yield Check("sandbox", "ok", ", ".join(item.name for item in protections))
    for item in lacking:
        yield Check(
            "sandbox",
            scene.needed("evaluate"),
            f"{item.name}: {item.detail}",
            _("run on Linux with user namespaces: sysctl kernel.unprivileged_userns_clone=1"),
        )


def _protections() -> tuple[Protection, ...]:
    from buril.core.plugins import plugin

    found = plugin("sandbox", "namespaces")
    sandbox = found(found.Settings(workers=1))
    try:
        protections: tuple[Protection, ...] = sandbox.capabilities()
    finally:
        sandbox.close()
    return protections


def _runtimes() -> Iterator[Check]:
    from buril.cli.runtimes import tried

    for works, text, mend in tried():
        yield Check("runtime", "ok" if works else "warn", text, mend)


def _catalogues(scene: Scene) -> Iterator[Check]:
    import gettext

    import buril

    folder = Path(buril.__file__).resolve().parent / "locale"
    absent = [name for name in LANGUAGES if name != "en" and not gettext.find("buril", folder, [name])]
    if absent:
        text = _("no catalogue for {names}: English is shown").format(names=", ".join(absent))
        yield Check("languages", "warn", text, "pip install --force-reinstall --no-deps buril")
    else:
        yield Check("languages", "ok", ", ".join(LANGUAGES))


def _plugins(scene: Scene) -> Iterator[Check]:
    from buril.core.plugins import KINDS, names

    number, others = 0, set()
    for kind in KINDS:
        try:
            found = names(kind)
        except BurilError as problem:
            yield Check("plugins", "fix", problem.cause, problem.hint)
            continue
        number += len(found)
        others |= {owner for owner in found.values() if owner != "buril"}
    text = _("{number} in {kinds} kinds").format(number=number, kinds=len(KINDS))
    yield Check(
        "plugins",
        "ok",
        text + (_(", from buril and {names}").format(names=", ".join(sorted(others))) if others else ""),
    )


def _configuration(scene: Scene) -> Iterator[Check]:
    from buril.cli.common import load_chain
    from buril.cli.config import problems

    if not scene.config_path.exists():
        yield Check("configuration", "warn", _("no {path} here").format(path=scene.config_path), "buril init")
        return
    try:
        found = list(problems(load_chain(scene.config_path)))
    except BurilError as problem:
        found = [problem]
    if found:
        yield Check("configuration", "fix", found[0].cause, "buril config check")
    else:
        yield Check("configuration", "ok", str(scene.config_path))
