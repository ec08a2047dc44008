"""Asking a generator to mend a function, greedily, and reading what it answers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from buril.core.artifact import atomic, canonical
from buril.core.plugins import Ref
from buril.core.stage import Inputs
from buril.data.teacher import open_generator, prompt_of
from buril.generators._generator import Request

AT_ONCE = 16
"""Questions asked at a time: what an interruption loses at most."""
_BLOCK = re.compile(r"```[\w+#-]*[ \t]*\n(.*?)```", re.DOTALL)
_QUESTION = """This {language} code has a weakness ({cwe}: {message}), on this line:

    {line}

```{language}
{code}```

Rewrite that line{remedy}. Give the whole code again, in one ```{language} block, and change nothing else: keep every
name, every signature and what the code does."""
_REMEDIES = {
    "CWE-22": "so that no path outside of its folder is reached",
    "CWE-78": "so that no shell is started: give the program and its arguments one by one",
    "CWE-79": "so that the text is escaped for HTML",
    "CWE-89": "so that values are passed as parameters of the query, apart from its text",
    "CWE-94": "so that no text is run as code",
    "CWE-95": "so that no text is run as code",
    "CWE-295": "so that certificates are verified",
    "CWE-327": "with a cipher and a mode that are safe today",
    "CWE-328": "with SHA-256 as the hash",
    "CWE-338": "with random numbers that nobody can guess",
    "CWE-502": "so that only plain data is read, as JSON say",
    "CWE-601": "so that only pages of the own site are gone to",
    "CWE-611": "so that no external entity is resolved",
    "CWE-798": "so that the secret is read from the environment",
    "CWE-918": "so that only addresses that are allowed are asked",
}
"""What to do about a weakness: small models copy the code where they are not told."""


class Flaw(NamedTuple):
    """A weakness of a text: what a scanner says of it, and the line (from 1) where."""

    language: str
    code: str
    cwe: str
    message: str
    line: int


def question(flaw: Flaw) -> str:
    """What is asked of a flaw."""
    lines = flaw.code.splitlines()
    line = lines[min(max(flaw.line, 1), len(lines)) - 1].strip()
    remedy = f" {_REMEDIES[flaw.cwe]}" if flaw.cwe in _REMEDIES else ""
    told = {"language": flaw.language, "cwe": flaw.cwe, "message": flaw.message, "code": flaw.code}
    return _QUESTION.format(**told, line=line, remedy=remedy)


def read_answer(text: str) -> str:
    """The code of an answer: its only block; "" where there is none, or several."""
    found = _BLOCK.findall(text)
    return found[0] if len(found) == 1 else ""


class Asking:
    """Asks one generator; made ready when the first answer is missing.

    Args:
        chosen: the generator.
        inputs: for one of this machine, with the base model.
        most: tokens of an answer.
        kept: the folder where answers are kept; None: nowhere.
    """

    def __init__(self, chosen: Ref, inputs: Inputs, most: int, kept: Path | None) -> None:
        self._chosen, self._inputs, self._most, self._kept = chosen, inputs, most, kept
        self._generator: Any = None

    def answers(self, flaws: Sequence[Flaw]) -> Iterator[str]:
        """The code that is answered to each flaw, in order; "" for an answer that is none."""
        for start in range(0, len(flaws), AT_ONCE):
            texts = [question(flaw) for flaw in flaws[start : start + AT_ONCE]]
            known = {text: found for text in texts if (found := self._known(text)) is not None}
            known.update(self._asked([text for text in dict.fromkeys(texts) if text not in known]))
            yield from (read_answer(known[text]) for text in texts)

    def _asked(self, texts: Sequence[str]) -> dict[str, str]:
        if not texts:
            return {}
        self._generator = self._generator or open_generator(self._chosen, self._inputs)
        requests = [Request(prompt_of(self._generator, text), max_tokens=self._most) for text in texts]
        found: dict[str, str] = {}
        for text, answers in zip(texts, self._generator.complete(requests), strict=True):
            found[text] = answers[0].text
            if (place := self._place(text)) is not None:
                with atomic(place) as temporary:
                    temporary.write_text(json.dumps(answers[0].text), encoding="utf-8")
        return found

    def _known(self, text: str) -> str | None:
        place = self._place(text)
        return str(json.loads(place.read_text(encoding="utf-8"))) if place is not None and place.exists() else None

    def _place(self, text: str) -> Path | None:
        told = [self._chosen.identity(), self._most, text]
        name = hashlib.blake2b(canonical(told), digest_size=16).hexdigest()
        return self._kept / f"{name}.json" if self._kept else None
