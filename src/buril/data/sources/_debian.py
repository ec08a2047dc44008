"""Debian source packages: what a `.dsc` lists, and the licences that a machine-readable `debian/copyright` states.

Formats: Debian Policy 5.4 (source control files) and DEP-5, "Machine-readable debian/copyright file", version 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from buril.code import license

_SHORT = {
    "expat": "MIT",
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "artistic-2": "Artistic-2.0",
    "cc0": "CC0-1.0",
    "mpl-1.1": "MPL-1.1",
    "mpl-2": "MPL-2.0",
    "psf-2": "PSF-2.0",
    "python-2": "Python-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
}
_GNU = re.compile(r"(?P<family>a?l?gpl)-(?P<major>\d)(?:\.(?P<minor>\d))?(?P<later>\+)?", re.IGNORECASE)
_JOIN = re.compile(r"\s*,?\s+(and|or)\s+|\s*,\s*", re.IGNORECASE)


def fields(text: str) -> Iterator[dict[str, str]]:
    """The paragraphs of a control file: field in lower case → value, its lines joined by line ends."""
    for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        found: dict[str, str] = {}
        name = ""
        for line in paragraph.split("\n"):
            if line[:1] in (" ", "\t") and name:
                found[name] += "\n" + line.strip()
            elif ":" in line and not line.startswith(("#", "-")):
                key, _, value = line.partition(":")
                name = key.strip().lower()
                found[name] = value.strip()
        if found:
            yield found


def dsc(path: Path) -> tuple[str, dict[str, str]]:
    """Version of a source package, and the SHA-256 of each of its files by name."""
    text = path.read_text(encoding="utf-8", errors="replace")
    version, sums = "", dict[str, str]()
    for paragraph in fields(text):
        version = paragraph.get("version", version)
        for line in paragraph.get("checksums-sha256", "").splitlines():
            parts = line.split()
            if len(parts) == 3 and "/" not in parts[2]:
                sums[parts[2]] = parts[0].lower()
    return version, sums


def stated(synopsis: str) -> str:
    """The SPDX expression of a licence's short name in DEP-5; "" when it is none that is known.

    Example:
        `stated("GPL-2+ or Expat")` → "GPL-2.0-or-later OR MIT"
    """
    parts = _JOIN.split(" ".join(synopsis.split()))
    known = []
    for name in parts[::2]:
        found = _GNU.fullmatch(name)
        text = _SHORT.get(name.lower(), name)
        if found:
            suffix = "or-later" if found["later"] else "only"
            text = f"{found['family'].upper()}-{found['major']}.{found['minor'] or 0}-{suffix}"
        known.append(license.normalise(text))
    if not all(known):
        return ""
    joins = [(join or "and").upper() for join in parts[1::2]]
    whole = known[0] + "".join(f" {join} {name}" for join, name in zip(joins, known[1:], strict=True))
    return license.normalise(whole)


def copyright_of(text: str) -> Callable[[str], str] | None:
    """Path → licence, as the last paragraph whose `Files` fit says it; None when the file has another form."""
    rules: list[tuple[re.Pattern[str], str]] = []
    for paragraph in fields(text):
        if "files" in paragraph and "license" in paragraph:
            known = stated(paragraph["license"].split("\n", 1)[0])
            rules.extend((_glob(pattern), known) for pattern in paragraph["files"].split())
    if not rules:
        return None
    return lambda path: next((known for pattern, known in reversed(rules) if pattern.fullmatch(path)), "")


def _glob(pattern: str) -> re.Pattern[str]:
    """DEP-5: `*` and `?` match anything, slashes too; a backslash escapes."""
    text = re.escape(pattern.removeprefix("./")).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL)
