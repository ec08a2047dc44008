"""What every engine here does with a grammar: what it writes is of it, and as the reference writes it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from buril.generators._generator import Request
from buril.generators._grammars import Schema, of_json

SCHEMA: Any = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["left", "right", "none"]},
        "size": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["kind", "size"],
    "additionalProperties": False,
}


def check_held(engine: Any, reference: Any) -> None:
    """An engine beside the reference, on the same model: rows that are held, and one among them that is not."""
    pytest.importorskip("llguidance", reason="llguidance is not installed")
    assert engine.capabilities().grammars and reference.capabilities().grammars
    grammar = of_json(Schema(SCHEMA, strict=True))
    held = Request((20, 21), max_tokens=120, grammar=grammar)
    drawn = Request((22,), max_tokens=120, temperature=1.0, num_samples=2, seed=3, grammar=grammar)
    free = Request((20, 21), max_tokens=8)
    (greedy,), samples, (beside,) = engine.complete([held, drawn, free])
    for item in (greedy, *samples):
        assert item.finish_reason == "eos", item.text
        jsonschema.validate(json.loads(item.text), SCHEMA)
    (same,), (alone,) = reference.complete([held, free])
    assert (greedy.tokens, beside.tokens) == (same.tokens, alone.tokens)
    assert greedy.logprob == pytest.approx(same.logprob, abs=0.01 * (len(same.tokens) + 5))
