"""Rules for semgrep: buril's own pack (`rules/LANGUAGE/*.yaml`) and the files of a user.

A rule of the pack carries, in its metadata, its CWE, its confidence, and two samples: one that it must find (`bad`) and
one that it must not (`good`). The samples are the rule's test, and what is planted before a scan. They are taken out
before semgrep reads the rules, and all rules go into one JSON file: semgrep loads that fifteen times as fast as many
files of YAML.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from buril.core.errors import BurilError

PACK = "buril"
FOLDER = Path(__file__).parent / "rules"
_SEVERITY = {"ERROR": "high", "CRITICAL": "high", "HIGH": "high", "WARNING": "medium", "MEDIUM": "medium"}
_NAMES = {
    "js": "javascript", "ts": "typescript", "py": "python", "python3": "python", "c#": "csharp", "sol": "solidity",
    "c++": "cpp", "sh": "bash", "rb": "ruby", "rs": "rust", "kt": "kotlin", "golang": "go",
}  # fmt: skip


class SemgrepRule(NamedTuple):
    """One rule: what semgrep reads, without the samples, and what we know of it. `languages` are our names."""

    name: str
    languages: frozenset[str]
    severity: str
    cwe: str
    confidence: str
    message: str
    rule: dict[str, Any]
    bad: str = ""
    good: str = ""


@cache
def load(sources: tuple[str, ...]) -> tuple[SemgrepRule, ...]:
    """The rules of the pack (`buril`) and of files or folders, in the order of their names.

    Raises:
        BurilError: D223 when a file is no list of rules, or two rules share a name.
    """
    rules: dict[str, SemgrepRule] = {}
    for source in sources:
        for path in _files(FOLDER if source == PACK else Path(source).expanduser()):
            for rule in _rules(path):
                if rule.name in rules:
                    raise BurilError("D223", path=path, problem=f"two rules have the id {rule.name}")
                rules[rule.name] = rule
    return tuple(rules[name] for name in sorted(rules))


def merged(rules: Sequence[SemgrepRule], languages: Collection[str]) -> str:
    """One configuration for semgrep with the rules for these languages."""
    return json.dumps({"rules": [rule.rule for rule in rules if not rule.languages.isdisjoint(languages)]})


def digest(rules: Sequence[SemgrepRule]) -> str:
    """A fingerprint of the rules as semgrep reads them: 16 hex digits."""
    text = json.dumps([rule.rule for rule in rules], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _files(source: Path) -> list[Path]:
    if not source.exists():
        raise BurilError("D223", path=source, problem="it does not exist")
    if source.is_file():
        return [source]
    return sorted(path for path in source.rglob("*") if path.suffix in (".yaml", ".yml") and path.is_file())


def _rules(path: Path) -> Iterator[SemgrepRule]:
    import yaml

    try:
        with path.open(encoding="utf-8") as stream:
            read = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(stream).get_single_data()
        for rule in read["rules"]:
            yield _rule(rule)
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as problem:
        raise BurilError("D223", path=path, problem=f"{type(problem).__name__}: {problem}") from problem


def _rule(rule: dict[str, Any]) -> SemgrepRule:
    metadata = dict(rule.get("metadata") or {})
    bad, good = metadata.pop("bad", ""), metadata.pop("good", "")
    cwe = metadata.get("cwe", "")
    languages = frozenset(_NAMES.get(str(name).lower(), str(name).lower()) for name in rule["languages"])
    return SemgrepRule(
        str(rule["id"]),
        languages | ({"tsx"} if "typescript" in languages else set()),
        _SEVERITY.get(str(rule["severity"]).upper(), "low"),
        str(cwe[0] if isinstance(cwe, list) and cwe else cwe or "").split(":")[0].strip(),
        str(metadata.get("confidence", "")).lower(),
        " ".join(str(rule["message"]).split()),
        {**rule, "metadata": {}},
        bad,
        good,
    )
