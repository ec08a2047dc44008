"""`buril init`: look at what is here and write a `buril.yaml` that runs."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli.common import config_option, following, json_option, put, say, size
from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.cli.look import Seen
    from buril.cli.machine import Hardware
    from buril.cli.recipe import Recipe

OWN = "internal"
SHOWN_LANGUAGES = 5
MEMORY_FACTOR = 4
"""Memory that training an adapter takes, in weights of 16 bits: the weights, activations and what surrounds them."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option("--packages", is_flag=True, help=N_("Learn from the installed Python packages instead of a folder."))
@click.option(
    "--base", metavar="NAME", help=N_("The base model: a name, a folder, a .gguf file, a hub id or `scratch`.")
)
@click.option("--name", help=N_("What the model is called (default: the folder's name)."))
@click.option("--own", is_flag=True, help=N_("Code in FOLDER that states no licence is your own (`internal`)."))
@click.option("--force", is_flag=True, help=N_("Write over a configuration that is there."))
@config_option
@json_option
def command(
    folder: Path,
    *,
    packages: bool,
    base: str | None,
    name: str | None,
    own: bool,
    force: bool,
    config_path: Path,
    as_json: bool,
) -> None:
    """Look at FOLDER (default: here) and write a configuration."""
    from buril.cli.machine import hardware

    if config_path.exists() and not force:
        raise BurilError("W201", path=config_path)
    machine = hardware()
    recipe = _recipe(_look(folder, packages=packages, own=own, quiet=as_json), machine, folder, config_path)
    recipe = replace(recipe, own=own and bool(recipe.path), name=name or recipe.name)
    if base:
        recipe = replace(recipe, base=_placed(base, config_path), why_base=_("as asked for"))
    text = _write(config_path, recipe)
    if as_json:
        put(_data(config_path, recipe, machine))
        return
    _tell(recipe, machine)
    say(_("wrote   {path} ({lines} lines)").format(path=config_path, lines=len(text.splitlines())))
    if not recipe.covered and not recipe.own:
        following(f"buril init {folder} --own --force")
    else:
        following("buril run --small" if config_path == Path("buril.yaml") else f"buril run --small -c {config_path}")


def _look(folder: Path, *, packages: bool, own: bool, quiet: bool) -> Seen:
    """What is in the folder; without source code there, what is in the installed packages."""
    from buril.cli.look import check_size, look

    if not packages:
        check_size(folder)
        seen = look("folder", {"path": str(folder), "license": OWN if own else ""})
        if seen.num_files:
            return seen
        if not quiet:
            say(
                _("look    no source code below {path}: the installed Python packages serve for a first run").format(
                    path=folder
                )
            )
    return look("packages", {})


def _path(folder: Path, config_path: Path) -> str:
    """The folder as the configuration names it: as it was given, but whole when the configuration stands elsewhere."""
    here = config_path.resolve().parent == Path.cwd()
    return str(folder if here or folder.is_absolute() else folder.resolve())


def _placed(base: str, config_path: Path) -> str:
    """A base model as the configuration names it: a path like the folder's, any other name as it is."""
    return _path(Path(base), config_path) if "/" in base and Path(base).exists() else base


def _recipe(seen: Seen, machine: Hardware, folder: Path, config_path: Path) -> Recipe:
    """The configuration that fits what is here."""
    from buril.cli.look import permitted
    from buril.cli.recipe import Recipe
    from buril.data.select import PERMISSIVE

    path = _path(folder, config_path) if seen.source == "folder" else ""
    licenses, covered = permitted(seen.licenses, PERMISSIVE)
    base, why_base = _base(folder, machine)
    return Recipe(
        name=_name(folder) if path else seen.source, seen=seen, path=path, own=False, licenses=licenses,
        covered=covered, base=_placed(base, config_path), why_base=why_base, gpu=bool(machine.gpus),
    )  # fmt: skip


def _base(folder: Path, machine: Hardware) -> tuple[str, str]:
    """The base model to start from, and why."""
    from buril.cli.models import WHEEL_COMMAND, find_models

    fits = [
        item
        for item in find_models(folder)
        if not machine.memory_mb or item.bytes * MEMORY_FACTOR < machine.memory_mb * 1e6
    ]
    if not fits:
        return "scratch", _("no base model is here; a small one: {command}").format(command=WHEEL_COMMAND)
    found = fits[0]
    if found.kind == "wheel":
        return found.base, _("from the installed wheel {place}").format(place=found.place)
    return found.base, _("found in {place}").format(place=found.place)


def _name(folder: Path) -> str:
    """A name for the model: the folder's, without what a name may not hold."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:64]
    return name or "model"


def _write(config_path: Path, recipe: Recipe) -> str:
    """Write the configuration, if it is one that the chain accepts.

    Raises:
        BurilError: W203 when it can't be written, and what the chain says of a wrong name or base.
    """
    import yaml

    from buril.chain import Chain
    from buril.cli.recipe import text_of

    text = text_of(recipe)
    Chain.from_values(yaml.safe_load(text), config_path.resolve().parent).stages()
    try:
        with atomic(config_path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise BurilError("W203", path=config_path, problem=problem.strerror or str(problem)) from problem
    return text


# --- telling


def _tell(recipe: Recipe, machine: Hardware) -> None:
    seen = recipe.seen
    say(
        _("found   {repositories} repositories, {files} source files, {size}: {languages}").format(
            repositories=f"{seen.repositories:,}",
            files=f"{seen.num_files:,}",
            size=size(seen.num_bytes),
            languages=_shares(seen),
        )
    )
    for text in _checks(recipe):
        say(_("check   {text}").format(text=text))
    cards = ", ".join(gpu.name for gpu in machine.gpus) or _("no GPU")
    features = f" ({', '.join(machine.features[:1])})" if machine.features else ""
    say(
        _("machine {cores} cores{features}, {memory}, {cards}, {disk} of disk free").format(
            cores=machine.cores, features=features, memory=size(machine.memory_mb * 1e6), cards=cards, disk=_disk()
        )
    )
    say(_("base    {base}: {why}").format(base=recipe.base, why=recipe.why_base))


def _shares(seen: Seen) -> str:
    """`python 61 %, typescript 30 %, and 3 more`, by bytes."""
    ranked = seen.bytes.most_common()
    shown = ", ".join(
        f"{name} {_percent(number / max(1, seen.num_bytes))}" for name, number in ranked[:SHOWN_LANGUAGES]
    )
    more = len(ranked) - SHOWN_LANGUAGES
    return shown + (", " + _("and {number} more").format(number=more) if more > 0 else "")


def _percent(share: float) -> str:
    return "<1 %" if share < 0.01 else f"{100 * share:.0f} %"


def _checks(recipe: Recipe) -> list[str]:
    """What a person should know before the first run."""
    from importlib.util import find_spec

    seen = recipe.seen
    found = []
    if seen.with_secrets or seen.with_personal:
        text = _(
            "of {sampled} files looked into, {secrets} hold secrets, {personal} personal data: `prepare` redacts them"
        )
        found.append(text.format(sampled=seen.sampled, secrets=seen.with_secrets, personal=seen.with_personal))
    if recipe.own:
        found.append(_("what states no licence counts as your own code (`internal`)"))
    else:
        found.append(
            _("{covered} of {files} files have a permissive licence").format(
                covered=f"{recipe.covered:,}", files=f"{seen.num_files:,}"
            )
        )
        if seen.unlicensed:
            found.append(_("left out, as they state no licence: {names}").format(names=_some(seen.unlicensed)))
        if not recipe.covered:
            found.append(_("nothing could be learnt from as it stands; if the code is your own, say so with `--own`"))
    if find_spec("torch") is None:
        found.append(_('training needs `pip install "buril[train]"`'))
    return found


def _some(names: list[str], number: int = 5) -> str:
    more = _(" and {number} more").format(number=len(names) - number) if len(names) > number else ""
    return ", ".join(names[:number]) + more


def _disk() -> str:
    from buril.cli.machine import free_disk

    return size(free_disk(Path.cwd()))


def _data(config_path: Path, recipe: Recipe, machine: Hardware) -> dict[str, Any]:
    return {
        "path": str(config_path),
        "name": recipe.name,
        "base": recipe.base,
        "why_base": recipe.why_base,
        "found": recipe.seen.to_json(),
        "permissive_files": recipe.covered,
        "licenses": recipe.licenses,
        "machine": asdict(machine),
    }
