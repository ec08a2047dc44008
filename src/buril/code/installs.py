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
    number = past = 0
    for line in _LINES.findall(text):
        for use in _in_line(_CONTINUED.sub(lambda sign: " " * len(sign[0]), line)):
            yield Use(number + 1, *use[1:5], *_bytes(text, past + use.start, past + use.end))
        number, past = number + line.count("\n"), past + len(line)


def _bytes(text: str, start: int, end: int) -> tuple[int, int]:
    """A place told in characters, in bytes of UTF-8."""
    before = len(text[:start].encode("utf-8", "replace"))
    return before, before + len(text[start:end].encode("utf-8", "replace"))


def _in_line(line: str) -> Iterator[Use]:
    """What is installed in a line; places are in its characters."""
    at = 0
    for written in _SPLIT.split(line):
        at = line.index(written, at)
        begin = at + len(written) - len(written.lstrip())
        part, at = written.strip(), at + len(written)
        found = _COMMAND.match(part)
        if found is None or found.lastgroup is None:
            continue
        words = _END.split(part[found.end() :], maxsplit=1)[0]
        one = found[found.lastgroup] in _ONE
        for name, place in _packages(words, found.lastgroup, one):
            start = begin + found.end() + place
            yield Use(1, found.lastgroup, name, True, False, start, start + len(name))


def _packages(words: str, ecosystem: str, one: bool) -> Iterator[tuple[str, int]]:
    """The names among the words of a command and where they stand, its options and their values left out."""
    skip = False
    for told in re.finditer(r"\S+", words):
        written = told[0]
        if skip or written.startswith("-"):
            skip = not skip and written in _WITH_VALUE[ecosystem]
            continue
        word = written.strip("\"'`,()")
        found = _NAMES[ecosystem].fullmatch(word)
        if found and not _FILES.search(word) and not re.search(r"@\s*(?:git\+|https?:|file:)", word):
            yield found[1].removesuffix("/..."), told.start() + written.index(found[1])
        if one:
            return


def _requirements(text: str) -> Iterator[Use]:
    """The names of a list of requirements: every line is one or an option, and half of them say a version."""
    names, versions, past = [], 0, 0
    for number, whole in enumerate(text.splitlines(keepends=True), 1):
        written, start = whole.rstrip("\r\n"), past + len(whole) - len(whole.lstrip())
        past += len(whole)
        line = written.split(" #", 1)[0].strip()
        if not line or line.startswith(("#", "-", "--")):
            continue
        found = _REQUIREMENT.fullmatch(line.rstrip("\\ "))
        if found is None:
            return
        versions += found[2] is not None
        if not (found[2] or "").startswith("@"):
            names.append(Use(number, "pypi", found[1], True, False, start, start + len(found[1])))
    if versions and versions * 2 >= len(names):
        yield from (Use(*use[:5], *_bytes(text, use.start, use.end)) for use in names)


def _package_json(text: str) -> Iterator[Use]:
    if not text.lstrip().startswith("{") or not any(f'"{key}"' in text for key in _PACKAGE_KEYS):
        return
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return
    at: dict[str, tuple[int, int]] = {}
    past = 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        for found in _KEY.finditer(line):
            at.setdefault(found[1], (number, past + found.start(1)))
        past += len(line)
    for key in _PACKAGE_KEYS if isinstance(content, dict) else ():
        group = content.get(key)
        for name, version in group.items() if isinstance(group, dict) else ():
            if not re.match(r"(?:file|link|workspace|portal|git[+:]|https?):", str(version)):
                number, start = at.get(name, (1, 0))
                place = _bytes(text, start, start + len(name)) if name in at else (0, 0)
                yield Use(number, "npm", name, True, False, *place)
