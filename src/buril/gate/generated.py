"""Which lines of a change a model wrote, by the fingerprints of a ledger, and what the gate makes of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from buril.code.attribution import Attributed, Piece, Source, attributed
from buril.core.text import _
from buril.gate.files import Target, decoded
from buril.gate.git import Change
from buril.gate.result import SEVERITIES, Result

SHOWN_IDS = 3
"""Completions of one model that a sentence names."""


@dataclass(frozen=True)
class Generated:
    """What of some files a model wrote, by path. `least`: the severity from which findings on it stop the gate."""

    files: Mapping[str, Attributed]
    least: str = "none"

    @property
    def lines(self) -> int:
        """Lines that were looked at."""
        return sum(item.lines for item in self.files.values())

    @property
    def generated(self) -> int:
        """Lines of them that a model wrote."""
        return sum(item.generated for item in self.files.values())

    @property
    def models(self) -> dict[str, Counter[str]]:
        """The models that wrote any, and the lines of each of their completions."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for _path, piece in self.pieces:
            found[piece.model][piece.id] += piece.last - piece.first + 1
        return dict(sorted(found.items()))

    @property
    def pieces(self) -> list[tuple[str, Piece]]:
        """All lines that a model wrote, by path."""
        return [(path, piece) for path, item in sorted(self.files.items()) for piece in item.pieces]

    def stops(self, result: Result, least: str) -> bool:
        """Whether a result is as bad as `least`, or, on a line that a model wrote, as its own bound, or worse."""
        bounds = {least, self.least if result.generated else least} - {"none"}
        return any(SEVERITIES.index(result.finding.severity) >= SEVERITIES.index(bound) for bound in bounds)

    def summary(self, results: Iterable[Result]) -> dict[str, Any]:
        """As plain JSON, with the number of findings among some results that are on such lines."""
        models = [
            {"model": model, "lines": sum(ids.values()), "completions": [id_ for id_, _number in ids.most_common()]}
            for model, ids in self.models.items()
        ]
        findings = sum(item.generated is not None and item.counts for item in results)
        return {"lines": self.lines, "generated": self.generated, "findings": findings, "models": models}

    def sentence(self, results: Iterable[Result]) -> str:
        """The same for a person."""
        told = self.summary(results)
        if not told["generated"]:
            return _("lines that a model wrote: none of {lines}").format(lines=told["lines"])
        who = ", ".join(
            f"{model['model']} ({', '.join(model['completions'][:SHOWN_IDS])}"
            f"{', …' if len(model['completions']) > SHOWN_IDS else ''})"
            for model in told["models"]
        )
        return _("lines that a model wrote: {generated} of {lines}, findings on them: {findings}; by {who}").format(
            **{name: told[name] for name in ("generated", "lines", "findings")}, who=who
        )


def wrote(piece: Piece) -> str:
    """What wrote some lines, for a person."""
    return _("written by the model {model} (completion {id})").format(model=piece.model, id=piece.id)


def message(result: Result) -> str:
    """What a result says, and what wrote its line, where that is known."""
    told = result.finding.message or result.finding.rule
    return f"{told} [{wrote(result.generated)}]" if result.generated else told


def looked(targets: Sequence[Target], source: Source, change: Change | None) -> dict[str, Attributed]:
    """What a model wrote of some files: of a change, its added lines, else all."""
    found = {}
    for target in targets:
        lines = change.files[target.path].lines if change and target.path in change.files else None
        try:
            text = decoded(target.file.read_bytes()) if target.file else target.text
        except OSError:
            continue  # the scanners say of it that it was not analysed
        found[target.path] = attributed(text, source, lines)
    return found


def tagged(results: Iterable[Result], generated: Generated) -> list[Result]:
    """The results, those on lines that a model wrote with what wrote them."""
    return [
        replace(item, generated=generated.files[item.path].at(item.finding.line, item.last_line))
        if item.path in generated.files else item
        for item in results
    ]  # fmt: skip
