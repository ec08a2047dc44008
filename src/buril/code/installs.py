"""Packages that a text installs: the commands of package managers, and lists of requirements.

A command counts where a line begins with it (after a prompt, `RUN`, `sudo` or another command), so that prose about
installing names nothing. What is no name of a registry (a path, an address, a variable) is passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from buril.code.packages import Use

_START = r"(?:[$>%+*-][ \t]+)?(?:`+|!|RUN[ \t]+(?:--\S+[ \t]+)*|run:[ \t]*)?(?:sudo[ \t]+(?:-\S+[ \t]+)*)?"
_COMMANDS: Final = (
    ("pypi", r"(?:python[\d.]*[ \t]+-m[ \t]+|uv[ \t]+)?pip[\d.]*[ \t]+install|uv[ \t]+add|poetry[ \t]+add|pdm[ \t]+add"
             r"|pipenv[ \t]+install|pipx[ \t]+(?:install|run)|uvx|uv[ \t]+tool[ \t]+install"),
    ("npm", r"npm[ \t]+(?:install|i|add)|yarn[ \t]+(?:global[ \t]+)?add|pnpm[ \t]+(?:add|install|i)|bun[ \t]+add|npx"),
    ("go", r"go[ \t]+(?:get|install)"),
    ("crates", r"cargo[ \t]+(?:add|install)"),
    ("rubygems", r"(?:gem[ \t]+install|bundle[ \t]+add)"),
    ("packagist", r"composer[ \t]+(?:global[ \t]+)?require"),
    ("nuget", r"dotnet[ \t]+add(?:[ \t]+\S+)?[ \t]+package|(?:nuget|paket)[ \t]+(?:install|add)|Install-Package"),
)  # fmt: skip
_ONE = frozenset(("npx", "uvx"))
"""Commands whose first name is the package and whose further words are the program's."""
_COMMAND = re.compile(_START + "(?:" + "|".join(f"(?P<{name}>{words})" for name, words in _COMMANDS) + r")(?=[ \t])")
_HINT = re.compile(r"\b(?:install|add|get|require|package|npx|uvx|i|Install-Package|run)[ \t]")
_SPLIT = re.compile(r"(?<![<>=~!])(?:&&|\|\||[;|])")
_END = re.compile(r"&&|\|\||[;|&`<>#](?![\w.=])|\n")
_WITH_VALUE: Final = {
    "pypi": frozenset(("-r", "-c", "-i", "-e", "-t", "-f", "--requirement", "--constraint", "--index-url", "--editable",
                       "--extra-index-url", "--target", "--find-links", "--prefix", "--root", "--python", "--group",
                       "--platform", "--python-version", "--trusted-host", "--index", "--extra", "--proxy", "--from")),
    "npm": frozenset(("--prefix", "--registry", "-C", "--tag", "--filter", "-p", "--cwd")),
    "go": frozenset(("-tags", "-ldflags", "-modfile")),
    "crates": frozenset(("--version", "--vers", "--git", "--path", "--features", "-F", "--root", "--branch", "--tag",
                         "--rev", "--index", "--registry", "--profile", "--target", "--rename", "--package", "-p")),
    "rubygems": frozenset(("-v", "--version", "-i", "--install-dir", "-n", "--bindir", "-s", "--source", "--platform")),
    "packagist": frozenset(("--working-dir", "-d")),
    "nuget": frozenset(("--version", "-v", "-Version", "--source", "-s", "-Source", "--framework", "-f",
                        "--package-directory", "-OutputDirectory")),
}  # fmt: skip
_NAMES: Final = {
    "pypi": re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)(?:\[[\w.,\s-]*\])?(?:\s*(?:[=<>~!]=?|@).*)?", re.ASCII),
    "npm": re.compile(r"((?:@[a-z0-9~][\w.~-]*/)?[A-Za-z0-9][\w.~-]*)(?:@(?!http|git|file|npm:).*)?", re.ASCII),
    "go": re.compile(r"((?:[\w-]+\.)+[\w-]+(?:/[\w.~-]+)+)(?:/\.\.\.)?(?:@.*)?", re.ASCII),
    "crates": re.compile(r"([A-Za-z][\w-]*)(?:@.*)?", re.ASCII),
    "rubygems": re.compile(r"([A-Za-z0-9][\w.-]*?)(?::[\d.]+)?", re.ASCII),
    "packagist": re.compile(r"([a-z0-9][\w.-]*/[\w.-]+)(?::.*)?", re.ASCII | re.IGNORECASE),
    "nuget": re.compile(r"([A-Za-z][\w.-]*)", re.ASCII),
}
_FILES = re.compile(r"\.(?:whl|tar\.gz|zip|gem|tgz|crate|nupkg|txt|git)$")
_LINES = re.compile(r"(?:[^\n\\]|\\\r?\n|\\)*(?:\n|$)")
"""A line together with those that it is continued on."""
_CONTINUED = re.compile(r"\\\r?\n")
_REQUIREMENT = re.compile(
    r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)[ \t]*(?:\[[^\]]*\])?[ \t]*((?:[=<>~!]=|[<>])[^;#@]*|@[^#]*)?(?:;.*)?",
    re.ASCII,
)
_KEY = re.compile(r'"([^"\\]+)"\s*:')
_PACKAGE_KEYS = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")


def installs(text: str) -> list[Use]:
    """The packages that commands in a text install, or that a list of requirements or a `package.json` names."""
    return sorted({*_commands(text), *_requirements(text), *_package_json(text)})


def _commands(text: str) -> Iterator[Use]:
    if not _HINT.search(text):
        return
    number = 1
    for line in _LINES.findall(text):
        yield from _in_line(_CONTINUED.sub(" ", line), number)
        number += line.count("\n")


def _in_line(line: str, number: int) -> Iterator[Use]:
    for part in map(str.strip, _SPLIT.split(line)):
        found = _COMMAND.match(part)
        if found is None or found.lastgroup is None:
            continue
        words = _END.split(part[found.end() :], maxsplit=1)[0]
        one = found[found.lastgroup] in _ONE
        for name in _packages(words.split(), found.lastgroup, one):
            yield Use(number, found.lastgroup, name, installed=True)


def _packages(words: list[str], ecosystem: str, one: bool) -> Iterator[str]:
    """The names among the words of a command, its options and their values left out."""
    skip = False
    for written in words:
        if skip or written.startswith("-"):
            skip = not skip and written in _WITH_VALUE[ecosystem]
            continue
        word = written.strip("\"'`,()")
        found = _NAMES[ecosystem].fullmatch(word)
        if found and not _FILES.search(word) and not re.search(r"@\s*(?:git\+|https?:|file:)", word):
            yield found[1].removesuffix("/...")
        if one:
            return


def _requirements(text: str) -> Iterator[Use]:
    """The names of a list of requirements: every line is one or an option, and half of them say a version."""
    names, versions = [], 0
    for number, written in enumerate(text.splitlines(), 1):
        line = written.split(" #", 1)[0].strip()
        if not line or line.startswith(("#", "-", "--")):
            continue
        found = _REQUIREMENT.fullmatch(line.rstrip("\\ "))
        if found is None:
            return
        versions += found[2] is not None
        if not (found[2] or "").startswith("@"):
            names.append(Use(number, "pypi", found[1], installed=True))
    if versions and versions * 2 >= len(names):
        yield from names


def _package_json(text: str) -> Iterator[Use]:
    if not text.lstrip().startswith("{") or not any(f'"{key}"' in text for key in _PACKAGE_KEYS):
        return
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return
    at: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for found in _KEY.findall(line):
            at.setdefault(found, number)
    for key in _PACKAGE_KEYS if isinstance(content, dict) else ():
        group = content.get(key)
        for name, version in group.items() if isinstance(group, dict) else ():
            if not re.match(r"(?:file|link|workspace|portal|git[+:]|https?):", str(version)):
                yield Use(at.get(name, 1), "npm", name, installed=True)
