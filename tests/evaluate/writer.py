"""A generator for tests of suites: it loads no model and answers what it is told to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from buril.core.errors import BurilError
from buril.generators._generator import Completion


class Writer:
    """Answers by a word of the prompt."""

    def __init__(self, texts: Mapping[str, str], *, template: bool = False) -> None:
        self.texts, self.template = texts, template
        self.requests: list[Any] = []

    def chat(self, messages: Any) -> str:
        if not self.template:
            raise BurilError("T017")
        return str(messages[0]["content"])

    def complete(self, requests: Any) -> Iterator[list[Completion]]:
        for request in requests:
            self.requests.append(request)
            text = next(text for word, text in self.texts.items() if word in request.prompt + request.prefill)
            yield [Completion(text, (), "stop", 0.0)] * request.num_samples
