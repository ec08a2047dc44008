"""Redaction: secrets and personal data become typed placeholders, the same one for the same value in a repository."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from buril.code.codefile import CodeFile, Redaction
from buril.core.settings import Settings as BaseSettings
from buril.data.step import Shared, Step
from buril.scanners import PERSONAL, SECRETS, Family, Span
from buril.scanners.secrets import Secrets as Scanner

WORD_LANGUAGES = frozenset({"bash"})
"""Languages whose bare words are text, so that personal data stands there too."""
_NUMBER_KINDS = ("number", "integer", "int_literal", "decimal", "float", "numeric")


class Secrets(Step):
    """Replaces what the scanner `secrets` sees by `<SECRET_AWS_ACCESS_KEY_1>`, `<EMAIL_1>` or `<CURP_2>`.

    Inside literals and comments the placeholder has that form; a value that stands in code as a word becomes
    `SECRET_AWS_ACCESS_KEY_1`, and one that is a number becomes a number of the same length (`1000…02`), so that the
    file still parses and types still fit. Other personal data is replaced in literals and comments only (elsewhere
    `a@b.weight` is a product of matrices). Files without a tree are redacted everywhere.
    The value is kept nowhere: not in the row, not in a finding, not in a log.
    """

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """What to replace."""

        shorthand: ClassVar[str | None] = "rules"

        rules: tuple[Family, ...] = (SECRETS, PERSONAL)
        """Families of rules of the scanner."""
        test_cards: bool = False
        """Whether card numbers that payment providers publish for tests are replaced as well; they are nobody's."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        told = {"rules": self.settings.rules, "test_cards": self.settings.test_cards}
        self.scanner = Scanner(Scanner.Settings.model_validate(told))

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """A redaction and an edit for each value."""
        line, seen = 1, 0
        for span in self.scanner.spans(shared.source, file.language):
            line, seen = line + shared.source.count(b"\n", seen, span.start), span.start
            in_text, in_number = shared.in_text(span.start), _in_number(shared, span)
            if span.group == PERSONAL and not in_text and not in_number and file.language not in WORD_LANGUAGES:
                continue
            number = shared.numbers.of(file.repo, span.rule, digest(shared.source, span))
            placeholder = placeholder_of(span, number)
            file.redactions.append(Redaction(span.rule, line, placeholder))
            written = placeholder if in_text else placeholder.strip("<>")
            if in_number:
                written = number_of(span.end - span.start, number)
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
    """The text that replaces a value.

    Example:
        a span of the rule `github_token` and the number 2 → `<SECRET_GITHUB_TOKEN_2>`; of `email` → `<EMAIL_2>`
    """
    return f"<{'' if span.group == PERSONAL else 'SECRET_'}{span.rule.upper()}_{number}>"


def number_of(length: int, number: int) -> str:
    """What replaces a number literal: as long, one and zeros and the placeholder's number.

    Zeros alone would be octal in some languages and lose which value it was; a quoted text would change the type.
    """
    return "1" + str(number % 10 ** (length - 1)).zfill(length - 1)


def _in_number(shared: Shared, span: Span) -> bool:
    """Whether a value is the whole of a number literal."""
    if shared.tree is None or not shared.source[span.start : span.end].isdigit():
        return False
    node = shared.tree.root_node.descendant_for_byte_range(span.start, span.end)
    if node is None or (node.start_byte, node.end_byte) != (span.start, span.end):
        return False
    return any(kind in node.type for kind in _NUMBER_KINDS)
