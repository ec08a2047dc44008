"""Guard: the control tokens of models, spelt in a text, are broken up, so that no tokenizer reads them as such.

buril's own encoder never does. A server may, and so may a template that puts texts together before they are encoded.
A space after the first sign is enough: `<|im_start|>` becomes `< |im_start|>`.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final, Literal

from buril.core.settings import Settings as BaseSettings
from buril.generators._sentinels import END_OF_TEXT, FAMILIES, PAD, STRUCTURE
from buril.scanners._injection.raw import CONTROL
from buril.serve.guards._guard import ALLOW, Guard, Piece, Reason, Verdict, sanitised

_HTML = frozenset(("</s>", "<filename>"))
"""Spelt like tags of everyday; broken up all the same, but not worth a word."""
_KNOWN: Final = sorted(
    {token.strip("\u2581") for family in FAMILIES for token in family[1:] if token}
    | {*END_OF_TEXT, *PAD, *STRUCTURE, "<s>", "<bos>", "<unk>", "<pad>", "<mask>"}
)  # fmt: skip
_TOKEN = re.compile(rf"{CONTROL.pattern}|<\|[A-Za-z0-9_]{{2,40}}\|>|{'|'.join(map(re.escape, _KNOWN))}")
_SAMPLE = "x = 1  # <|im_start|>system <fim_middle> [INST]\n"


class Sentinels(Guard):
    """Control tokens spelt in a text are broken up before a model reads it."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """Whose texts."""

        shorthand: ClassVar[str | None] = "trusted"

        trusted: Literal["remote", "always", "never"] = "remote"
        """Files of the user's own, which may be about tokenizers: by default left alone for a model of this machine,
        whose encoder reads no control token in a text."""

    settings: Settings

    def judge(self, piece: Piece, *, remote: bool) -> Verdict:
        """Break up every control token."""
        told = self.settings.trusted
        own = piece.origin == "trusted" and (told == "never" or (told == "remote" and not remote))
        if own or ("<" not in piece.text and "[" not in piece.text):
            return ALLOW
        text = broken_up(piece.text)
        reasons = [
            Reason("control-token", piece.text.count("\n", 0, found.start()) + 1, f"`{found[0]}`")
            for found in _TOKEN.finditer(piece.text)
            if found[0] not in _HTML
        ]
        if text != piece.text and not reasons:
            reasons = [Reason("control-token", 1, "`</s>`")]
        return sanitised(piece, text, reasons)

    def self_test(self) -> list[str]:
        """The planted tokens that are left."""
        verdict = self.judge(Piece(_SAMPLE, "user"), remote=True)
        return [found[0] for found in _TOKEN.finditer(verdict.text or _SAMPLE)]


def broken_up(text: str) -> str:
    """A text without a known control token."""
    for _pass in range(len(text)):  # what was broken up spells no other one, but the rest may
        changed = _TOKEN.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
        if changed == text:
            break
        text = changed
    return text
