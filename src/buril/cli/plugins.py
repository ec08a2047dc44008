"""`buril plugins`: what can be named in the YAML, told from the files alone.

Nothing is imported: a plugin whose packages are missing is listed like any other, with the line that installs them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import click

from buril.cli.common import following, json_option, put
from buril.core.plugins import KINDS, camel, extra_of, names, normal
from buril.core.text import _


@dataclass(frozen=True)
class Listed:
    """A plugin as its file tells it. `missing` are the packages it imports that are absent, `install` mends that."""

    kind: str
    name: str
    doc: str
    origin: str
    missing: tuple[str, ...]
    install: str


@click.command()
@click.argument("kind", required=False)
@json_option
def command(kind: str | None, as_json: bool) -> None:
    """The plugins there are."""
    from buril.cli.new import known_kind

    wanted = [known_kind(kind)] if kind else [*KINDS]
    found = [listed(item, name) for item in wanted for name in names(item)]
    if as_json:
        put([asdict(item) for item in found])
        return
    _show(wanted, found)
    following(f"buril new {wanted[0] if kind else 'scanner'} NAME")


def _show(kinds: list[str], found: list[Listed]) -> None:
    width = max((len(item.name) for item in found), default=0)
    for kind in kinds:
        items = [item for item in found if item.kind == kind]
        click.echo(f"{kind}")
        for item in items:
            origin = f"  [{item.origin}]" if item.origin != "buril" else ""
            click.echo(f"  {item.name:<{width}}  {item.doc}{origin}".rstrip())
            if item.missing:
                packages = ", ".join(item.missing)
                note = _('needs {packages}: pip install "{install}"').format(packages=packages, install=item.install)
                click.echo(f"  {'':<{width}}  {note}")
        if not items:
            click.echo("  " + _("none"))


def listed(kind: str, name: str) -> Listed:
    """What the file of a plugin says of it."""
    origin = names(kind)[name]
    path, wanted = _file(kind, name, origin)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8")) if path else ast.Module([], [])
    except (OSError, SyntaxError, UnicodeDecodeError):
        return Listed(kind, name, _("its file can't be read: {path}").format(path=path), origin, (), "")
    found = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == wanted), None)
    text = (ast.get_docstring(found) if found else None) or ast.get_docstring(tree) or ""
    packages = sorted({*_imports(tree), *(_requires(found) if found else ())})
    missing = tuple(package for package in packages if find_spec(package) is None)
    install = extra_of(missing[0]) if missing else ""
    return Listed(kind, name, text.partition("\n")[0].rstrip("."), origin, missing, install)


def _file(kind: str, name: str, origin: str) -> tuple[Path | None, str]:
    """The source file of a plugin and the name of its class, without importing a third party's package."""
    module, wanted = f"{KINDS[kind]}.{name}", camel(name)
    if origin != "buril":
        point = next(item for item in metadata.entry_points(group=f"buril.{kind}") if normal(item.name) == name)
        module, wanted = point.module, point.attr
    top, *inner = module.split(".")
    spec = find_spec(top)
    if spec is None:
        return None, wanted
    if not inner:
        return Path(spec.origin) if spec.origin else None, wanted
    for folder in spec.submodule_search_locations or ():
        base = Path(folder).joinpath(*inner)
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path, wanted
    return None, wanted


def _imports(tree: ast.Module) -> Iterator[str]:
    """Top-level packages a module imports when it is loaded; those below functions or `TYPE_CHECKING` wait for use."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def _requires(found: ast.ClassDef) -> Iterator[str]:
    """The packages a class says it needs: `requires: ClassVar[tuple[str, ...]] = ("torch",)`."""
    for node in found.body:
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == "requires":
            value = getattr(node, "value", None)
            if isinstance(value, ast.Tuple | ast.List):
                yield from (str(item.value) for item in value.elts if isinstance(item, ast.Constant))
