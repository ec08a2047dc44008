"""`buril new KIND NAME`: a plugin that works and its test, to be changed into the one that is wanted.

Inside a checkout of buril the files go where plugins and tests live; anywhere else they become a package of their own
that offers the plugin through an entry point.
"""

from __future__ import annotations

import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

import click

from buril.cli.common import following, json_option, put, say
from buril.core.artifact import atomic
from buril.core.errors import BurilError, nearest
from buril.core.plugins import KINDS, camel, names, normal
from buril.core.text import N_, _

NAME = re.compile(r"[a-z][a-z0-9_]*")
LONGEST = 40
_FIRST_PARTY = re.compile(r"(?:^from buril.*\n)+", re.MULTILINE)


@click.command()
@click.argument("kind")
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help=N_("Where to write (default: this checkout, else the current folder)."),
)
@json_option
def command(kind: str, name: str, into: Path | None, as_json: bool) -> None:
    """Scaffold a plugin."""
    kind = known_kind(kind)
    name = checked_name(kind, name)
    there = names(kind)
    if name in there:
        raise BurilError("W212", kind=kind, name=name, origin=there[name])
    checkout = checkout_of(into or Path.cwd())
    files = in_tree(kind, name, checkout) if checkout else package(kind, name, into or Path.cwd())
    for path in files:
        if path.exists():
            raise BurilError("W213", path=_shown(path))
    for path, text in files.items():
        _write(path, text)
    if as_json:
        put({"kind": kind, "name": name, "files": [str(path) for path in files]})
        return
    for path in files:
        say(_("wrote   {path}").format(path=_shown(path)))
    test = next(path for path in files if path.name.startswith("test_"))
    folder = checkout or next(path for path in files if path.name == "pyproject.toml").parent
    inside = test.relative_to(folder)
    following(
        f"python -m pytest {inside}" if folder == Path.cwd() else f"cd {_shown(folder)} && python -m pytest {inside}"
    )


def known_kind(kind: str) -> str:
    """The kind that a word means, in singular or plural.

    Raises:
        BurilError: W210 for an unknown one.
    """
    found = normal(kind)
    for name in (found, found.removesuffix("s"), "base" if found == "bases" else found):
        if name in KINDS:
            return name
    raise BurilError("W210", kind=kind, suggestion=nearest(found, [*KINDS]))


def checked_name(kind: str, name: str) -> str:
    """The name as its file has it.

    Raises:
        BurilError: W211 when it can't be a file and a class.
    """
    found = normal(name)
    problem = ""
    if not NAME.fullmatch(found):
        problem = _("it has other characters")
    elif keyword.iskeyword(found) or keyword.issoftkeyword(found):
        problem = _("it is a word of Python itself")
    elif found.startswith("test_") or found.endswith("_"):
        problem = _("it would look like a test or a private file")
    elif len(found) > LONGEST:
        problem = _("it is longer than {number} characters").format(number=LONGEST)
    if problem:
        raise BurilError("W211", name=name, problem=problem, kind=kind)
    return found


def checkout_of(folder: Path) -> Path | None:
    """The checkout of buril that a folder is in, or None."""
    for place in (folder.resolve(), *folder.resolve().parents):
        if (place / "src" / "buril" / "core" / "plugins.py").is_file() and (place / "pyproject.toml").is_file():
            return place
    return None


def in_tree(kind: str, name: str, root: Path) -> dict[Path, str]:
    """The two files of a plugin inside a checkout, by path."""
    module = f"{KINDS[kind]}.{name}"
    inner = Path(*module.split("."))
    tests = root / "tests" / inner.parent.relative_to("buril")
    files = {
        root / "src" / inner.with_suffix(".py"): _filled(f"{kind}.py", kind, name, module),
        tests / f"test_{name}.py": _filled(f"test_{kind}.py", kind, name, module),
    }
    for folder in (tests, *tests.parents):  # tests are packages, so that two may have the same file name
        if folder == root:
            break
        if not (folder / "__init__.py").exists():
            files[folder / "__init__.py"] = ""
    return files


def package(kind: str, name: str, into: Path) -> dict[Path, str]:
    """The files of a package that offers one plugin, by path."""
    root = into / f"buril-{name.replace('_', '-')}"
    if root.exists():
        raise BurilError("W213", path=_shown(root))
    module = f"buril_{name}.{name}"
    source = root / "src" / f"buril_{name}"
    about = _("The {kind} `{name}` for buril.").format(kind=kind, name=name)
    return {
        source / f"{name}.py": _filled(f"{kind}.py", kind, name, module),
        source / "__init__.py": f'"""{about}"""\n',
        root / "tests" / f"test_{name}.py": _filled(f"test_{kind}.py", kind, name, module),
        root / "pyproject.toml": _filled("pyproject.toml", kind, name, module),
        root / "README.md": _filled("README.md", kind, name, module),
    }


def _filled(file: str, kind: str, name: str, module: str) -> str:
    """A template with the names put in."""
    text = (resources.files("buril.cli") / "templates" / f"{file}.txt").read_text(encoding="utf-8")
    values = {"kind": kind, "name": name, "module": module, "Class": camel(name), "dashed": name.replace("_", "-")}
    if kind == "language":
        values["grammar"] = _grammar(name)
    return _FIRST_PARTY.sub(_sorted, Template(text).substitute(values))


def _sorted(block: re.Match[str]) -> str:
    """The imports of buril and of the plugin by module name, wherever the plugin's own module comes to stand."""
    return "".join(f"{line}\n" for line in sorted(block[0].splitlines(), key=lambda line: line.split()[1]))


def _grammar(name: str) -> str:
    """The grammar of a language where the language pack has one of that name, else one that stands in for it."""
    from tree_sitter_language_pack import get_language

    try:
        get_language(name)
    except LookupError:
        return "python"
    return name


def _write(path: Path, text: str) -> None:
    try:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise BurilError("W203", path=_shown(path), problem=problem.strerror or str(problem)) from problem


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
