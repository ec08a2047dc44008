"""Partial credit: how many of a task's tests an answer passes, where tests are calls."""

from __future__ import annotations

from typing import Literal

from buril.sandboxes._sandbox import Verdict

CREDIT: dict[str, Literal["share", "ratio"]] = {"tests@1": "ratio"}
"""The measure: the mean share of a task's tests that its greedy answer passes."""


def credit(verdict: Verdict) -> dict[str, float]:
    """The partial credit of an answer; of one that passes it is 1, and unknown where one fails without calls."""
    if not verdict.calls:
        return {"tests@1": 1.0} if verdict.passed else {}
    right = sum(call.status == "pass" for call in verdict.calls)
    return {"tests@1": 1.0 if verdict.passed else right / len(verdict.calls)}
