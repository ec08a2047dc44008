"""Syntax: how much of a file its grammar could not read."""

from __future__ import annotations

from typing import ClassVar

from buril.code.codefile import CodeFile, Verdict
from buril.code.parse import error_ratio
from buril.core.settings import Settings as BaseSettings
from buril.data.step import PARSE_LIMIT_BYTES, Shared, Step


class Syntax(Step):
    """Measures the share of bytes in parse errors and refuses what is above its language's tolerance.

    A plain "has an error" would drop 45 % of real C and 75 % of real HTML, where macros and templates defeat the
    grammar by a few bytes each; so the tolerance is a fact of each language (`Language.parse_tolerance`).
    """

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """How strict to be."""

        tolerance: float = 1.0
        """Factor on the tolerance of each language: 0 refuses any error, 2 doubles what is let through."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """Signal `parse_errors` (0 to 1); verdict `syntax_errors`; `too_large` or `too_hard` for what is not parsed."""
        if file.verdicts:
            return
        tree = shared.tree
        if tree is None:
            if shared.too_hard:
                file.verdicts.append(Verdict("syntax", "too_hard", str(len(shared.source))))
            elif len(shared.source) > PARSE_LIMIT_BYTES:
                file.verdicts.append(Verdict("syntax", "too_large", str(len(shared.source))))
            return
        ratio = error_ratio(tree) if tree.root_node.has_error else 0.0
        file.signals["parse_errors"] = ratio
        assert shared.language is not None
        allowed = shared.language.parse_tolerance * self.settings.tolerance
        if ratio > allowed:
            file.verdicts.append(Verdict("syntax", "syntax_errors", f"{ratio:.4f} > {allowed:.4f}"))
