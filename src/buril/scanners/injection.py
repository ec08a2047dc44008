"""Instructions to a model, hidden where code is read: in comments, docstrings, strings, names, documents, answers.

Who writes a comment or a README may speak to the model that reads it: to set aside its instructions, to leave out a
check, to send something out. What is looked for is such a sentence, in English, Spanish and Portuguese, also over
several lines, in look-alike letters or encoded; control tokens and made-up turns; and code or links that send secrets
out. Characters that hide are the business of the scanner `unicode`.

It knows phrases, not intentions: an instruction in words that no rule has is not seen, and a text that speaks of such
instructions may be taken for one. So it is one layer: what a model may do must be limited elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from buril.code.codefile import Finding
from buril.core.settings import Settings as BaseSettings
from buril.scanners._cwe import owasp
from buril.scanners._injection.judge import GRADES, Hit, Judge
from buril.scanners._injection.rules import KINDS
from buril.scanners._scanner import About, Scanner, Span

GROUP = "injection"
LONGEST = 2_000_000
"""Characters up to which a text is read; a longer one is a table of data, and is read to there."""


class Injection(Scanner):
    """Instructions to a model in comments, strings and documents; control tokens; secrets that are sent out."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """How sure to be, and of whom."""

        shorthand: ClassVar[str | None] = "min_confidence"

        min_confidence: Literal["low", "medium", "high"] = "medium"
        """What is less sure is not reported."""
        by_context: bool = True
        """Whether the confidence is lowered in texts that are about language models (prompts, guards, their tests):
        they hold such phrases for good reason. Switch it off for texts of strangers."""
        ignore: tuple[str, ...] = ()
        """Rules to leave out, for example `control-token`."""

    settings: Settings

    def scan(self, text: str, language: str) -> Iterator[Finding]:
        """One finding a rule and line, in the order of the lines."""
        line, seen = 1, 0
        told: set[tuple[int, str]] = set()
        for hit in self.hits(text, language):
            line, seen = line + text.count("\n", seen, hit.start), hit.start
            if (line, hit.kind) in told:
                continue
            told.add((line, hit.kind))
            kind = KINDS[hit.kind]
            last = line + text.count("\n", hit.start, hit.end - 1)
            yield Finding(
                "injection", hit.kind, line, kind.severity, kind.message, kind.cwe, owasp(kind.cwe), hit.confidence,
                last if last != line else 0,
            )  # fmt: skip

    def hits(self, text: str, language: str) -> list[Hit]:
        """Where it stands, in characters, in order of the places; hits of different rules may meet."""
        least, ignored = GRADES.index(self.settings.min_confidence), set(self.settings.ignore)
        judge = Judge(text[:LONGEST], language, by_context=self.settings.by_context)
        return [hit for hit in judge.hits() if hit.kind not in ignored and GRADES.index(hit.confidence) >= least]

    def spans(self, source: bytes, language: str) -> list[Span]:
        """Where it stands in UTF-8 text, in order and without overlap."""
        text = source.decode("utf-8", "surrogateescape")
        spans: list[Span] = []
        chars = num_bytes = 0
        for hit in self.hits(text, language):
            if hit.start < chars:
                continue
            start = num_bytes + len(text[chars : hit.start].encode("utf-8", "surrogateescape"))
            num_bytes = start + len(text[hit.start : hit.end].encode("utf-8", "surrogateescape"))
            chars = hit.end
            spans.append(Span(start, num_bytes, hit.kind, KINDS[hit.kind].severity, GROUP))
        return spans

    def rules(self) -> dict[str, About]:
        """What each rule looks for."""
        return {name: About(kind.message) for name, kind in sorted(KINDS.items()) if name not in self.settings.ignore}

    def self_test(self) -> list[str]:
        """Rules that do not find their own sample."""
        asked = {name: kind for name, kind in KINDS.items() if name not in self.settings.ignore}
        return [
            name for name, kind in asked.items() if name not in {item.rule for item in self.scan(kind.sample, "python")}
        ]
