"""Manifests and lock files: the packages that a project says it uses, for eight registries.

Only names are read, no versions: the question is whether a name is one that the project knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

MAX_DEPTH = 4
"""How many folders below a given one manifests are looked for."""
_SKIPPED = frozenset(("node_modules", ".git", ".venv", "venv", "__pycache__", "site-packages", "target", "vendor"))
Names = Iterator[tuple[str, str]]


class Unreadable(ValueError):
    """A file that is no manifest we know, or not one that can be read; its text says why."""


class Project(NamedTuple):
    """Names by registry. `packages` come from outside, `own` are the project's own."""

    packages: dict[str, set[str]]
    own: dict[str, set[str]]

    def add(self, ecosystem: str, name: str) -> None:
        """Note one name; `own:pypi` notes a name of the project itself."""
        kind, _, rest = ecosystem.partition(":")
        into, key = (self.own, rest) if kind == "own" else (self.packages, ecosystem)
        if name:
            into.setdefault(key, set()).add(name)


def read(paths: Iterable[Path]) -> Project:
    """What the manifests name. Of a folder all that lie in it are read, `MAX_DEPTH` deep.

    Raises:
        Unreadable: a file that is told by name is missing, unknown or damaged.
    """
    project = Project({}, {})
    for path in paths:
        for file in manifests(path) if path.is_dir() else (path,):
            reader = reader_of(file.name)
            if reader is None:
                raise Unreadable(f"{file}: a manifest by this name is not known")
            try:
                found = list(reader(file.read_text(encoding="utf-8-sig")))
            except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
                raise Unreadable(f"{file}: {problem or type(problem).__name__}") from problem
            for ecosystem, name in found:
                project.add(ecosystem, name)
    return project


def manifests(folder: Path, depth: int = MAX_DEPTH) -> Iterator[Path]:
    """The manifests in a folder, by path; installed packages and links are not entered."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if depth and path.name not in _SKIPPED:
                yield from manifests(path, depth - 1)
        elif reader_of(path.name) is not None:
            yield path


def reader_of(name: str) -> Callable[[str], Names] | None:
    """What reads a file of this name, or None."""
    return next((reader for pattern, reader in _READERS.items() if fnmatch(name, pattern)), None)


_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)", re.ASCII)


def _requirement(ecosystem: str, text: str) -> Names:
    found = _NAME.match(text)
    if found:
        yield ecosystem, found[1].rstrip(".-")


def _requirements(text: str) -> Names:
    for line in text.splitlines():
        if not line.lstrip().startswith(("#", "-")):
            yield from _requirement("pypi", line)


def _toml(text: str) -> dict[str, Any]:
    try:
        library: Any = import_module("tomllib")
    except ModuleNotFoundError:  # Python 3.10
        raise Unreadable("this Python reads no TOML (from 3.11 on it does)") from None
    content: dict[str, Any] = library.loads(text)
    return content


def _locked(ecosystem: str) -> Callable[[str], Names]:
    """A reader of TOML that lists `[[package]]`."""

    def names(text: str) -> Names:
        for item in _toml(text).get("package", ()):
            yield ecosystem, item["name"]

    return names


def _pyproject(text: str) -> Names:
    content = _toml(text)
    project, tool = content.get("project", {}), content.get("tool", {})
    lists = [project.get("dependencies", ()), content.get("build-system", {}).get("requires", ())]
    lists += [*project.get("optional-dependencies", {}).values(), *content.get("dependency-groups", {}).values()]
    lists.append(tool.get("uv", {}).get("dev-dependencies", ()))
    for requirement in (item for items in lists for item in items if isinstance(item, str)):
        yield from _requirement("pypi", requirement)
    poetry = tool.get("poetry", {})
    tables = [poetry, {"dependencies": poetry.get("dev-dependencies", {})}, *poetry.get("group", {}).values()]
    for table in tables:
        yield from (("pypi", name) for name in table.get("dependencies", {}) if name != "python")
    for name in (project.get("name", ""), poetry.get("name", "")):
        yield "own:pypi", name


def _pipfile(text: str) -> Names:
    content = json.loads(text) if text.lstrip().startswith("{") else _toml(text)
    for key in ("default", "develop", "packages", "dev-packages"):
        yield from (("pypi", name) for name in content.get(key, ()))


def _package_json(text: str) -> Names:
    content = json.loads(text)
    for key in ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies"):
        yield from (("npm", name) for name in content.get(key) or ())
    yield "own:npm", content.get("name", "")


def _package_lock(text: str) -> Names:
    content = json.loads(text)
    for key in content.get("packages") or ():
        yield "npm", key.rpartition("node_modules/")[2] if "node_modules/" in key else ""
    pending = [content.get("dependencies") or {}]
    while pending:
        for name, item in pending.pop().items():
            yield "npm", name
            pending.append(item.get("dependencies") or {})


_PNPM = re.compile(r"""^ {2,6}['"]?/?(@?[^@\s'":(]+)(?:[@/]\d[^:]*)?['"]?:\s*(?:\S.*)?$""", re.MULTILINE)
_PNPM_WORDS = frozenset((
    "dependencies", "devDependencies", "optionalDependencies", "specifier", "version", "resolution", "engines", "dev",
    "peerDependencies", "hasBin", "cpu", "os", "transitivePeerDependencies",
))  # fmt: skip


def _pnpm(text: str) -> Names:
    for name in _PNPM.findall(text):
        yield "npm", "" if name in _PNPM_WORDS else name


def _yarn(text: str) -> Names:
    for line in text.splitlines():
        if line[:1] not in (" ", "#", "") and line.endswith(":"):
            for part in line.rstrip(":").split(","):
                yield "npm", part.strip().strip('"').rpartition("@")[0].split("@npm", 1)[0]


_GO_REQUIRE = re.compile(r"^\s*(?:require\s+)?([\w.~-]+\.[\w.~/-]+)\s+v\d", re.MULTILINE)
_GO_MODULE = re.compile(r"^module\s+\"?([^\s\"]+)", re.MULTILINE)


def _go(text: str) -> Names:
    yield from (("go", name) for name in _GO_REQUIRE.findall(text))
    yield from (("own:go", name) for name in _GO_MODULE.findall(text))


def _cargo(text: str) -> Names:
    content = _toml(text)
    tables = [content, content.get("workspace", {}), *content.get("target", {}).values()]
    for table in tables:
        for key in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, item in table.get(key, {}).items():
                yield "crates", name
                yield "crates", item.get("package", "") if isinstance(item, dict) else ""
    yield "own:crates", content.get("package", {}).get("name", "")
    yield "own:crates", content.get("lib", {}).get("name", "")


_POM = re.compile(r"<groupId>\s*([\w.-]+)\s*</groupId>\s*<artifactId>\s*([\w.-]+)\s*</artifactId>")
_GRADLE = re.compile(r"""["']([A-Za-z][\w.-]*):([A-Za-z][\w.-]*)(?::[^"']*)?["']""")
_CATALOGUE = re.compile(r"""group\s*=\s*["']([\w.-]+)["']\s*,\s*name\s*[=:]\s*["']([\w.-]+)["']""")


def _maven(text: str) -> Names:
    for pattern in (_POM, _GRADLE, _CATALOGUE):
        yield from (("maven", f"{group}:{name}") for group, name in pattern.findall(text))


_GEM = re.compile(r"""^\s*(?:gem|\w+\.add\w*_dependency)[\s(]+["']([\w.-]+)["']""", re.MULTILINE)
_GEM_LOCKED = re.compile(r"^ {4,6}([\w.-]+)(?: \(|$)", re.MULTILINE)


def _gems(text: str) -> Names:
    yield from (("rubygems", name) for name in (*_GEM.findall(text), *_GEM_LOCKED.findall(text)))


def _composer(text: str) -> Names:
    content = json.loads(text)
    yield from (("packagist", name) for key in ("require", "require-dev") for name in content.get(key) or ())
    yield "own:packagist", content.get("name", "")
    yield from (("own:packagist", name) for name in _namespaces(content))
    for package in [*content.get("packages", ()), *content.get("packages-dev", ())]:
        yield "packagist", package["name"]
        yield from (("packagist", name) for name in _namespaces(package))


def _namespaces(package: Mapping[str, Any]) -> Iterator[str]:
    for key in ("autoload", "autoload-dev"):
        tables = package.get(key) or {}
        for table in (tables.get("psr-4"), tables.get("psr-0")):
            yield from (name.strip("\\") + "\\" for name in table or () if name.strip("\\"))


_NUGET = re.compile(
    r"<(?:PackageReference|PackageVersion|package|GlobalPackageReference)\s[^>]*?(?:Include|Update|id)\s*=\s*\"([\w.-]+)\""
)


def _nuget(text: str) -> Names:
    yield from (("nuget", name) for name in _NUGET.findall(text))


_READERS: Mapping[str, Callable[[str], Names]] = {
    "*requirements*.txt": _requirements, "*constraints*.txt": _requirements, "*requirements*.in": _requirements,
    "poetry.lock": _locked("pypi"), "uv.lock": _locked("pypi"), "pdm.lock": _locked("pypi"),
    "pyproject.toml": _pyproject, "Pipfile": _pipfile, "Pipfile.lock": _pipfile,
    "package.json": _package_json, "package-lock.json": _package_lock, "npm-shrinkwrap.json": _package_lock,
    "pnpm-lock.yaml": _pnpm, "yarn.lock": _yarn, "go.mod": _go, "go.sum": _go,
    "Cargo.toml": _cargo, "Cargo.lock": _locked("crates"),
    "pom.xml": _maven, "*.gradle": _maven, "*.gradle.kts": _maven, "*.versions.toml": _maven,
    "Gemfile": _gems, "Gemfile.lock": _gems, "*.gemspec": _gems, "composer.json": _composer, "composer.lock": _composer,
    "*.csproj": _nuget, "*.fsproj": _nuget, "Directory.Packages.props": _nuget, "packages.config": _nuget,
}  # fmt: skip
"""File name → what reads it."""
