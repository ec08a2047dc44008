"""Fixed: the same request gives the same bytes. What is done for it here, and what must hold beside it.

`fixed` takes chance away: the seed of a request follows from its own content. A cache must not be asked, for what it
holds depends on who asked before. The rest is the engine's: floating-point sums depend on the order in which they are
made, so the same model digest, engine version, settings, number of threads, kind of CPU, and one sequence at a time
(`batch_size: 1`; a batch changes the shapes that are multiplied). In fp32 with the reference generator batches make no
difference that tests could find; in bf16 they may.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from buril.generators._generator import Request, has_biases

NEEDS = (
    "the same model digest, tokenizer, guards and parameters",
    "the same context: none, or the same repository in the same state",
    "the same engine, of the same version and settings, on the same kind of processor with as many threads",
    "one sequence at a time (`batch_size: 1`), or an engine whose batches do not change its sums",
    "no cache: neither suggestions that were kept nor requests on their way are joined",
)
"""What must hold for two answers to a fixed request to be the same bytes."""


def fixed(request: Request) -> Request:
    """The request with a seed that follows from all of it that changes what is written; 0 stays where nothing is drawn.

    Example:
        `fixed(Request("x", temperature=0.8)).seed` is the same wherever it is asked.
    """
    if request.temperature == 0:
        return replace(request, seed=0)
    told: list[Any] = [
        request.prompt if isinstance(request.prompt, str) else list(request.prompt), request.suffix, request.prefill,
        request.max_tokens, request.temperature, request.top_p, list(request.stop), request.num_samples,
    ]  # fmt: skip
    if has_biases(request):
        told += [request.presence_penalty, request.frequency_penalty, [list(one) for one in request.logit_bias]]
    if request.grammar:
        told.append(request.grammar)
    raw = json.dumps(told, ensure_ascii=True).encode()
    return replace(request, seed=int.from_bytes(hashlib.sha256(raw).digest()[:4], "little") >> 1)
