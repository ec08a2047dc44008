"""Which packages are known, and which known name an unknown one was probably meant to be.

Pure and without state that matters: the same names give the same answers, so that a guard of completions can keep one
and ask it thousands of times a second.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final

from buril.code.packages import Use
from buril.scanners import _standard as standard
from buril.scanners._distributions import BRINGS, COPIED, NAMESPACES

MIN_TYPO = 5
"""Letters that the longer of two names has at least: among shorter ones every name is near another."""
LONG = 9
"""Letters from which on two changes are still the same name."""
MIN_STANDARD = 6
"""Letters from which on one change away from a module of the standard library is a slip and not another package."""
_GEM_START = 3
"""Letters by which gems are looked up: `active_support/x` and `activesupport` have no first word in common."""
_SEPARATORS = re.compile(r"[-_.]+")
_REMEMBERED = 4096
_NAME_OF: Final = {"crates": "_", "pypi": "-"}


def canonical(ecosystem: str, name: str) -> str:
    """A name in the form in which its registry compares it (PEP 503 for Python).

    Example:
        `canonical("pypi", "Ruamel.YAML")` → "ruamel-yaml"
    """
    if ecosystem in _NAME_OF:
        return _SEPARATORS.sub(_NAME_OF[ecosystem], name).lower()
    return name.lower()


class Known:
    """The names that count as known: packages by registry, the project's own names, the standard libraries."""

    def __init__(self, packages: Mapping[str, Iterable[str]], own: Mapping[str, Iterable[str]]) -> None:
        """Names as manifests write them.

        Args:
            packages: names of packages by registry, as manifests write them.
            own: names by registry that the project's own texts may import.
        """
        self._packages = {kind: {canonical(kind, name) for name in names} for kind, names in packages.items()}
        self._own = {kind: {canonical(kind, name) for name in names} for kind, names in own.items()}
        kinds = {*self._packages, *self._own}
        self._all = {kind: self._packages.get(kind, set()) | self._own.get(kind, set()) for kind in sorted(kinds)}
        self._modules = {canonical("pypi", module) for name in self._all.get("pypi", ()) for module in _brought(name)}
        self._nearest: dict[tuple[str, str], str] = {}

    def covers(self, ecosystem: str) -> bool:
        """Whether anything is known of a registry; where nothing is, no name can be called unknown."""
        return bool(self._packages.get(ecosystem) or self._own.get(ecosystem))

    def digest(self) -> str:
        """A fingerprint of all names."""
        lines = [
            f"{kind}:{place}:{name}"
            for place, names in (("package", self._packages), ("own", self._own))
            for kind in sorted(names)
            for name in sorted(names[kind])
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def standard(self, use: Use) -> bool:
        """Whether an import is of the language's own library."""
        return not use.installed and _STANDARD[use.ecosystem](use.name)

    def knows(self, use: Use) -> bool:
        """Whether a package is known: standard, the project's own, or in a list."""
        if self.standard(use):
            return True
        if use.installed:
            return canonical(use.ecosystem, use.name) in self._all.get(use.ecosystem, ())
        if use.ecosystem == "pypi":
            return self._module(use.name)
        name = canonical(use.ecosystem, use.name)
        return any(_covered(use.ecosystem, name, known) for known in self._candidates(use.ecosystem, name))

    def nearest(self, use: Use) -> str:
        """The known name that is one or two changes away, or the same but for its separators; "" when none is."""
        name = canonical(use.ecosystem, package_of(use))
        key = (use.ecosystem, name)
        if key not in self._nearest:
            if len(self._nearest) >= _REMEMBERED:
                self._nearest.clear()
            self._nearest[key] = self._look(use.ecosystem, name)
        return self._nearest[key]

    def _module(self, name: str) -> bool:
        """Whether a module is of the project, or brought by a known distribution; a namespace counts by its parts."""
        parts = canonical("pypi", name.replace(".", "\0")).split("\0")
        joined = ["-".join(parts[: size + 1]) for size in range(len(parts))]
        if parts[0] in NAMESPACES:
            return any(item in self._modules for item in joined[1:]) or (len(parts) == 1 and self._shares(parts[0]))
        return parts[0] in self._modules or parts[0] in self._own.get("pypi", ())

    def _shares(self, namespace: str) -> bool:
        return any(module.startswith(namespace + "-") for module in self._modules)

    def _candidates(self, ecosystem: str, name: str) -> Iterable[str]:
        """Known names that may cover a path: those that begin like it."""
        return self._by_start.get((ecosystem, _start(ecosystem, name)), ())

    @cached_property
    def _by_start(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for kind in self._all:
            for name in sorted(self._all[kind]):
                found.setdefault((kind, _start(kind, name)), []).append(name)
        return found

    @cached_property
    def _by_length(self) -> dict[str, dict[int, list[tuple[int, str]]]]:
        """Registry → length → names with the letters that they hold, as bits."""
        found: dict[str, dict[int, list[tuple[int, str]]]] = {}
        for kind in sorted({*self._all, *COPIED}):
            names = self._all.get(kind, set()) | {canonical(kind, name) for name in COPIED.get(kind, ())}
            names |= self._modules if kind == "pypi" else set()
            for name in sorted(names):
                found.setdefault(kind, {}).setdefault(len(name), []).append((_letters(name), name))
        return found

    @cached_property
    def _by_words(self) -> dict[tuple[str, str], str]:
        """Registry and a name's words, sorted or without what joins them → the first such name of several words."""
        found: dict[tuple[str, str], str] = {}
        for kind, lengths in self._by_length.items():
            for name in sorted(name for names in lengths.values() for _bits, name in names):
                if _SEPARATORS.search(name):
                    found.setdefault((kind, _words(name)), name)
                    found.setdefault((kind, _SEPARATORS.sub("", name)), name)
        return found

    def _same_words(self, ecosystem: str, name: str) -> str:
        """The known name of the same words in another order, or joined in another way."""
        joined = _SEPARATORS.sub("", name)
        for key in (_words(name), joined):
            if (found := self._by_words.get((ecosystem, key), "")) not in ("", name):
                return found
        near = joined != name and any(
            known == joined for _bits, known in self._by_length.get(ecosystem, {}).get(len(joined), ())
        )
        return joined if near else ""

    def _look(self, ecosystem: str, name: str) -> str:
        if same := self._same_words(ecosystem, name):
            return same
        most, bits = 2 if len(name) >= LONG else 1, _letters(name)
        best = (most + 1, "")
        lengths = self._by_length.get(ecosystem, {})
        for size in range(len(name) - most, len(name) + most + 1):
            for letters, known in lengths.get(size, ()) if max(size, len(name)) >= MIN_TYPO else ():
                if (letters ^ bits).bit_count() <= 2 * most and known != name:
                    best = min(best, (distance(name, known, most), known))
        return best[1] or _slip_of_standard(ecosystem, name)


def _slip_of_standard(ecosystem: str, name: str) -> str:
    """The module of the standard library that differs in one letter; `urllib3` is a package of its own."""
    plain = name.rstrip("0123456789")
    near = (
        known
        for known in sorted(_LIBRARIES.get(ecosystem, ()))
        if len(known) >= MIN_STANDARD and known not in (name, plain) and distance(name, known, 1) == 1
    )
    return next(near, "") if len(name) >= MIN_STANDARD else ""


_LIBRARIES: Final = {
    "pypi": standard.PYTHON, "npm": standard.NODE, "rubygems": standard.RUBY,
}  # fmt: skip


def package_of(use: Use) -> str:
    """The part of a use that is a package's name, or stands for it: what a person would install.

    Example:
        `package_of(Use(1, "pypi", "yaml.nodes"))` → "yaml"
    """
    if use.installed or use.ecosystem in ("npm", "crates", "go"):
        return use.name
    if use.ecosystem == "pypi":
        return use.name.split(".", 1)[0]
    if use.ecosystem == "rubygems":
        return use.name.split("/", 1)[0]
    if use.ecosystem == "packagist":
        return "/".join(use.name.split("\\")[:2]).lower()
    return ".".join(use.name.split(".")[: 3 if use.ecosystem == "maven" else 2])


def distance(left: str, right: str, most: int) -> int:
    """Letters to add, take out, change or swap with the next until two names are one; more than `most` is `most + 1`.

    Example:
        `distance("reqeusts", "requests", 2)` → 1
    """
    if abs(len(left) - len(right)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(right) + 1))
    for place, sign in enumerate(left, 1):
        older, before, row = before, row, [place]
        for at, other in enumerate(right, 1):
            cost = min(before[at] + 1, row[at - 1] + 1, before[at - 1] + (sign != other))
            if place > 1 and at > 1 and sign == right[at - 2] and other == left[place - 2]:
                cost = min(cost, older[at - 2] + 1)
            row.append(cost)
        if min(row) > most and min(before) > most:
            return most + 1
    return min(row[-1], most + 1)


def _brought(name: str) -> Iterator[str]:
    """The modules that a distribution brings: by the table, else by its name."""
    yield name
    yield from BRINGS.get(name, ())
    for mark in ("python-", "py-"):
        if name.startswith(mark):
            yield name.removeprefix(mark)


def _letters(name: str) -> int:
    bits = 0
    for sign in name:
        bits |= 1 << (ord(sign) & 31)
    return bits


def _words(name: str) -> str:
    return " ".join(sorted(_SEPARATORS.split(name)))


def _start(ecosystem: str, name: str) -> str:
    """What a path and the name that covers it have in common at least."""
    if ecosystem == "maven":
        return ".".join(name.partition(":")[0].split(".")[:2])
    if ecosystem == "packagist":
        return _vendor(name)
    if ecosystem == "go":
        return "/".join(name.split("/")[:1])
    if ecosystem == "rubygems":
        return re.sub(r"[-_/.]", "", name)[:_GEM_START]
    if ecosystem == "nuget":
        return name.split(".", maxsplit=1)[0]
    return name


def _vendor(name: str) -> str:
    return re.split(r"[\\/]", name, maxsplit=1)[0].replace("-", "").replace("_", "")


def _covered(ecosystem: str, path: str, known: str) -> bool:
    """Whether an imported path is within a known package."""
    if ecosystem == "go":
        return path == known or path.startswith(known + "/")
    if ecosystem == "rubygems":
        gem, first = path.replace("/", "-"), path.split("/", maxsplit=1)[0]
        return gem == known or gem.startswith(known + "-") or first.replace("_", "") == known.replace("_", "")
    if ecosystem == "nuget":
        return path == known or path.startswith(known + ".") or known.startswith(path + ".")
    if ecosystem == "packagist" and known.endswith("\\"):
        return (path + "\\").startswith(known) or known.startswith(path.removesuffix("*"))
    return True  # the common start decides: a domain of Maven, a vendor of Packagist, the whole name elsewhere


def _java(name: str) -> bool:
    return any(name == root or name.startswith(root + ".") for root in standard.JAVA)


def _python(name: str) -> bool:
    first = name.split(".", 1)[0]
    return first in standard.PYTHON or first in standard.PYTHON_2 or first.startswith("_")


_STANDARD: Final[Mapping[str, Callable[[str], bool]]] = {
    "pypi": _python,
    "npm": lambda name: name.startswith("node:") or name in standard.NODE,
    "go": lambda name: "." not in name.split("/", 1)[0],
    "maven": _java,
    "crates": lambda name: name in standard.RUST,
    "rubygems": lambda name: name.split("/", 1)[0] in standard.RUBY,
    "packagist": lambda name: "\\" not in name,
    "nuget": lambda name: name.split(".", 1)[0] in standard.NUGET,
}
