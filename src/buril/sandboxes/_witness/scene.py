"""What one run of a function sees and leaves: what it is given, what it called, and the marks of weaknesses.

A run is a process of its own, so there is one scene a process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ROOT = "/tmp/w"  # noqa: S108  the jail's own
"""The folder of a run, which holds the files that it may know of."""
OUTSIDE = "/tmp/outside"  # noqa: S108  as above
MARK = "/tmp/mark"  # noqa: S108  as above
"""What an attack makes appear where code of the attacker's is run."""
CANARY = "canary7f3a1c"
"""Stands in what is secret: the file outside, the password, what an error says."""
SECRET_BYTES = 4242

SAYS = frozenset({
    "verify", "timeout", "shell", "allow_redirects", "secure", "httponly", "samesite", "autoescape", "weights_only",
    "allow_pickle", "debug", "resolve_entities", "no_network", "filter", "usedforsecurity", "context", "check_hostname",
    "verify_mode", "cert_reqs", "origins", "supports_credentials", "load_dtd",
})  # fmt: skip
"""Arguments that say how careful a call is, not what it does: kept apart, and not compared."""


@dataclass
class Scene:
    """Attributes: `values` of a request by key; `calls` to what is not there; `said` see `SAYS`; `digests` made."""

    text: str = ""
    attack: bool = False
    masked: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    session: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    said: list[list[str]] = field(default_factory=list)
    sql: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    digests: list[tuple[bytes, str]] = field(default_factory=list)
    rows: int = 0

    def mark(self, name: str) -> None:
        """Note that something happened, once."""
        if name not in self.marks:
            self.marks.append(name)

    def say(self, name: str, argument: str, value: object) -> None:
        """Note how careful a call was told to be."""
        self.said.append([name.rsplit(".", 1)[-1], argument, str(value)])


scene = Scene()
