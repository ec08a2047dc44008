"""Packages that nobody knows: imports and install commands whose names stand in none of the lists you give.

A model invents names of packages, and whoever registers one of them runs code on the machines of those who believed it
(slopsquatting). No registry is asked: known is what the language brings, what your manifests and lock files name, what
your organisation lists and, if you say so, what is installed here. Without a list nothing can be called unknown, so a
registry of which nothing is known leaves `partial` findings, and a scanner without any list refuses to start.

It sees names, not versions: a known name whose newest release is bad is not its business.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from buril.code.codefile import Finding
from buril.code.installs import installs
from buril.code.manifests import Project, Unreadable, read
from buril.code.packages import ECOSYSTEMS, Use, uses
from buril.code.parse import parse
from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.scanners._columns import Cursor
from buril.scanners._cwe import owasp
from buril.scanners._known import Known, package_of
from buril.scanners._scanner import PARTIAL, About, Scanner, inconclusive

CWE = "CWE-829"
"""Inclusion of functionality from an untrusted control sphere: a base weakness that MITRE allows for mapping, whereas
CWE-1357 (a component that is not trustworthy enough) is a class, to be used when nothing more precise fits."""
UNKNOWN, TYPO = "unknown-package", "misspelt-package"
NOTHING_KNOWN = "no list of packages is configured"
_COMMANDS = frozenset(("bash", ""))
"""Languages in whose texts install commands and lists of requirements are looked for."""
_LARGE = 50_000
"""Bytes from which on the parser's work is counted; a smaller text can't cost it seconds."""
_SAMPLES = {
    UNKNOWN: ("import zzunheardof_lib\n", "python"),
    TYPO: ("import reqeusts\n", "python"),
}


class Packages(Scanner):
    """Imports and install commands that name packages which none of your lists knows."""

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """What is known."""

        shorthand: ClassVar[str | None] = "lockfiles"

        lockfiles: tuple[str, ...] = ()
        """Manifests and lock files (`requirements.txt`, `poetry.lock`, `uv.lock`, `Pipfile.lock`, `pyproject.toml`,
        `package.json`, `package-lock.json`, `pnpm-lock.yaml`, `yarn.lock`, `go.mod`, `Cargo.toml`, `Cargo.lock`,
        `pom.xml`, `*.gradle`, `Gemfile`, `Gemfile.lock`, `composer.json`, `composer.lock`, `*.csproj`), or folders in
        which they lie."""
        index: str = ""
        """A file of names, one a line, that your organisation allows. `npm:left-pad` is one of a single registry
        (pypi, npm, go, maven, crates, rubygems, packagist, nuget); a bare name is known in all of them."""
        installed: bool = False
        """Whether Python packages that are installed beside buril count as known. Off by default, because what is
        found then depends on the machine."""
        modules: tuple[str, ...] = ()
        """Names of your own that texts import and no manifest lists: modules, namespaces, domains (`com.acme`)."""

    settings: Settings

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """One finding a name, by line; `inconclusive` where no list at all is configured and one would be needed."""
        for use in _uses(text, language):
            if self._known.standard(use) or self._known.knows(use):
                continue
            if not self._told:
                yield inconclusive("packages", NOTHING_KNOWN)
                return
            if not self._known.covers(use.ecosystem):
                reason = f"no list of packages of {use.ecosystem} is configured"
                yield Finding("packages", PARTIAL, use.line, "low", reason)
                return
            yield _placed(self._finding(use), use, text)

    def observe(self) -> dict[str, str]:
        """A fingerprint of all known names.

        Raises:
            BurilError: D224 when no list is configured, D225 for one that can't be read.
        """
        if not self._told:
            raise BurilError("D224")
        return {"known packages": self._known.digest()}

    def rules(self) -> dict[str, About]:
        """What each rule looks for."""
        return {
            UNKNOWN: About("a package that none of the lists knows"),
            TYPO: About("a package that none of the lists knows, under nearly the name of one that they know"),
        }

    def self_test(self) -> list[str]:
        """Rules that do not find their own sample, with `requests` as the only known package."""
        known = Known({"pypi": ["requests"]}, {})
        missed = []
        for rule, (text, language) in _SAMPLES.items():
            found = [self._finding(use, known).rule for use in _uses(text, language) if not known.knows(use)]
            if found != [rule]:
                missed.append(rule)
        return missed

    @cached_property
    def _told(self) -> bool:
        settings = self.settings
        return bool(settings.lockfiles or settings.index or settings.installed or settings.modules)

    @cached_property
    def _known(self) -> Known:
        """All names.

        Raises:
            BurilError: D225 for a list that can't be read.
        """
        project = Project({}, {})
        try:
            project = read(Path(path).expanduser() for path in self.settings.lockfiles)
            if self.settings.index:
                _listed(Path(self.settings.index).expanduser(), project)
        except (Unreadable, OSError, UnicodeDecodeError) as problem:
            raise BurilError("D225", problem=str(problem)) from problem
        for name in self.settings.modules:
            for ecosystem in set(ECOSYSTEMS.values()):
                project.add(f"own:{ecosystem}", name)
        if self.settings.installed:
            for name in _installed():
                project.add("pypi", name)
        return Known(project.packages, project.own)

    def _finding(self, use: Use, known: Known | None = None) -> Finding:
        name, near = package_of(use), (known or self._known).nearest(use)
        verb = "installs" if use.installed else "imports"
        if near:
            rule, severity, told = TYPO, "high", f"{verb} `{name}`, which is not known but differs little from `{near}`"
        else:
            rule, severity, told = UNKNOWN, "medium", f"{verb} `{name}`, which no list of known packages holds"
        confidence = "low" if use.guarded else "medium"
        return Finding("packages", rule, use.line, severity, told, CWE, owasp(CWE), confidence)


def _placed(finding: Finding, use: Use, text: str) -> Finding:
    """A finding with the columns of the name, where that stands on the line of the finding."""
    at = Cursor(text.encode("utf-8", "replace")).over(use.start, use.end)
    if not use.end or at.line != use.line:
        return finding
    return finding._replace(end_line=at.end_line, column=at.column, end_column=at.end_column)


def _uses(text: str, language: str) -> list[Use]:
    """What a text imports and installs.

    Raises:
        HardParse: for a text that the parser gives up on.
    """
    found: list[Use] = []
    if language in ECOSYSTEMS:
        source = text.encode("utf-8", "replace")
        found += uses(language, parse(language, source, bounded=len(source) > _LARGE))
    if language in _COMMANDS:
        found += installs(text)
    return _once(found)


def _once(found: list[Use]) -> list[Use]:
    """The first use of each package, in the order of the lines."""
    first: dict[tuple[str, str, bool], Use] = {}
    for use in sorted(found):
        first.setdefault((use.ecosystem, package_of(use), use.installed), use)
    return list(first.values())


def _listed(path: Path, project: Project) -> None:
    """Add the names of an index."""
    kinds = frozenset(ECOSYSTEMS.values())
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        name = line.split(" #", 1)[0].strip()
        if not name or name.startswith("#"):
            continue
        kind, _, rest = name.partition(":")
        for ecosystem in (kind,) if kind in kinds and rest else kinds:
            project.add(ecosystem, rest if kind in kinds and rest else name)


def _installed() -> Iterator[str]:
    """The distributions of this environment and the modules that they bring."""
    from importlib.metadata import packages_distributions

    for module, distributions in sorted(packages_distributions().items()):
        yield module
        yield from distributions
