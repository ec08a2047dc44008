"""Redaction: secrets and personal data become typed placeholders, the same one for the same value in a repository."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from buril.code.codefile import CodeFile, Redaction
from buril.core.settings import Settings as BaseSettings
from buril.data.step import Shared, Step
from buril.scanners import PERSONAL, SECRETS, Span
from buril.scanners.secrets import Secrets as Scanner

WORD_LANGUAGES = frozenset({"bash"})
"""Languages whose bare words are text, so that personal data stands there too."""


class Secrets(Step):
    """Replaces what the scanner `secrets` sees by `<SECRET:aws_access_key:1>`, `<EMAIL:1>` or `<IP:1>`.

    Inside literals and comments the placeholder has that form; a value that stands in code as a word becomes
    `SECRET_aws_access_key_1`, so that the file still parses. Personal data is replaced in literals and comments only
    (elsewhere `a@b.weight` is a product of matrices). Files without a tree are redacted everywhere.
    The value is kept nowhere: not in the row, not in a finding, not in a log.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """What to replace."""

        shorthand: ClassVar[str | None] = "rules"

        rules: tuple[str, ...] = (SECRETS, PERSONAL)
        """Families of rules of the scanner."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self.scanner = Scanner(Scanner.Settings.model_validate({"rules": self.settings.rules}))

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """A redaction and an edit for each value."""
        line, seen = 1, 0
        for span in self.scanner.spans(shared.source, file.language):
            line, seen = line + shared.source.count(b"\n", seen, span.start), span.start
            in_text = shared.in_text(span.start)
            if span.group == PERSONAL and not in_text and file.language not in WORD_LANGUAGES:
                continue
            number = shared.numbers.of(file.repo, span.rule, digest(shared.source, span))
            placeholder = placeholder_of(span, number)
            file.redactions.append(Redaction(span.rule, line, placeholder))
            written = placeholder if in_text else placeholder.strip("<>").replace(":", "_")
            shared.edit(span.start, span.end, written.encode())

    def stale(self, old: CodeFile, shared: Shared) -> bool:
        """Whether a placeholder would have another number, or not all that is seen was replaced (only a tree tells)."""
        source = shared.source
        spans = self.scanner.spans(source, old.language)
        if [span.rule for span in spans] != [item.rule for item in old.redactions]:
            return True
        numbered = [shared.numbers.of(old.repo, span.rule, digest(source, span)) for span in spans]
        written = [placeholder_of(span, number) for span, number in zip(spans, numbered, strict=True)]
        return written != [item.placeholder for item in old.redactions]


def digest(source: bytes, span: Span) -> bytes:
    """What stands for a value while placeholders are numbered; white space of wrapped keys does not count."""
    return hashlib.blake2b(b"".join(source[span.start : span.end].split()), digest_size=16).digest()


def placeholder_of(span: Span, number: int) -> str:
    """The text that replaces a value."""
    return f"<{span.rule.upper()}:{number}>" if span.group == PERSONAL else f"<SECRET:{span.rule}:{number}>"
