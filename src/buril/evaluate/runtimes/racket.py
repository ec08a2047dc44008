"""Racket: a failed check of rackunit leaves the exit code 0 and is told on stderr."""

from __future__ import annotations

from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Racket(Runtime):
    """Racket."""

    code: ClassVar[str] = "rkt"
    tools: ClassVar[tuple[str, ...]] = ("racket",)
    package: ClassVar[str] = "racket"
    file: ClassVar[str] = "program.rkt"
    end: ClassVar[str] = r"\n\(test-humaneval\)"
    mark: ClassVar[str] = '(displayln "{}")'
    fence: ClassVar[str] = "racket"
    after: ClassVar[bool] = True
    failure: ClassVar[str | None] = r"^(FAILURE|ERROR|name: +check-).*"
    probe: ClassVar[Probe] = Probe(
        "#lang racket\n\n(define (inc n)\n", "  (+ n 1))\n", "  n)\n", "  (exit 0))\n", "  (+ n m)\n",
        "(require rackunit)\n\n(define (test-humaneval) \n\n  (let (( candidate inc))\n"
        "    (check-within (candidate 1) 2 0.001)\n"
        "    (check-within (candidate 41) 42 0.001)\n))\n\n(test-humaneval)",
    )  # fmt: skip
