"""Parity: how near an exported model comes to the model that was trained, run by the engine that reads it.

The reference is transformers in float32, the adapter unmerged. Two things are compared: the tokens that both write
greedily after fixed prompts, and the log-probabilities that both give a fixed text. A token that differs makes all that
follow differ, so of each prompt the tokens before the first difference count. The text tells more: of two nearly equal
tokens either may come first, and rounding has no say in which.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from buril.core.artifact import atomic
from buril.core.settings import Settings as BaseSettings
from buril.core.text import _
from buril.export.exporters._exporter import Generated, Reader
from buril.export.texts import CHAT, HOLE, PROMPTS, TEXT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_TOKENS = 512
"""Tokens of the text that are scored, at most."""
ROOM = 8


class Limit(BaseSettings):
    """How far an export may be from the model."""

    perplexity: float = Field(ge=0)
    """Change of the perplexity on the fixed text, either way, as a share of the model's own. What two standard errors
    explain does not count: on some five hundred tokens rounding alone moves it by a percent."""
    logprob: float = Field(ge=0)
    """Mean absolute change of a token's log-probability on it, in nats."""
    tokens: float = Field(ge=0, le=1)
    """Share of the greedy tokens that must be the same, up to the first difference after each prompt."""


class Limits(BaseSettings):
    """How far an export may be from the model, by the bits of a weight. With room over what was measured (ADR 30)."""

    exact: Limit = Limit(perplexity=0.0005, logprob=0.0005, tokens=1.0)
    """Where nothing is rounded: every token is the same."""
    bits16: Limit = Limit(perplexity=0.002, logprob=0.02, tokens=0.5)
    """16 bits: a difference that no measurement of skill can see."""
    bits8: Limit = Limit(perplexity=0.01, logprob=0.15, tokens=0.0)
    """8 bits."""
    bits4: Limit = Limit(perplexity=0.10, logprob=0.6, tokens=0.0)
    """4 bits."""

    def of(self, bits: int) -> Limit:
        """The limit for a number of bits."""
        return {32: self.exact, 16: self.bits16, 8: self.bits8, 4: self.bits4}[bits]


@dataclass(frozen=True)
class Questions:
    """Prompts and a text as ids of one tokenizer."""

    prompts: tuple[tuple[int, ...], ...]
    text: tuple[int, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """What a model wrote after each prompt, and how likely it finds each token of the text."""

    written: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]


def questions(generator: Any, num_tokens: int) -> Questions:
    """The prompts that this model's tokenizer and context have room for."""
    from buril.generators._generator import Request
    from buril.generators._prompt import prompt_ids

    loaded = generator.loaded
    room = int(loaded.model.config.max_position_embeddings)
    requests = {f"code {number}": Request(text, max_tokens=num_tokens) for number, text in enumerate(PROMPTS, 1)}
    if loaded.fim["prefix"] is not None:
        requests["hole"] = Request(HOLE.prefix, HOLE.suffix, max_tokens=num_tokens)
    if loaded.tokenizer.chat_template:
        requests["chat"] = Request(generator.chat(CHAT), max_tokens=num_tokens)
    found = {kind: prompt_ids(request, loaded, max_positions=room)[0] for kind, request in requests.items()}
    head = [loaded.fim["bos"]] if loaded.fim["bos"] is not None else []
    text = [*head, *generator.encode(TEXT)][: min(MOST_TOKENS, room - ROOM)]
    return Questions(tuple(found.values()), tuple(text), tuple(found))


def answers(reader: Reader, asked: Questions, num_tokens: int) -> Answers:
    """Ask a model."""
    written = reader.greedy(asked.prompts, num_tokens)
    scores = reader.score(asked.text)
    return Answers(tuple(tuple(map(int, row)) for row in written), tuple(map(float, scores)))


def reference(model: Mapping[str, Path], kept: Path, num_tokens: int) -> tuple[Questions, Answers]:
    """What the model itself answers; asked once, then read from `kept`."""
    if not kept.is_file():
        from buril.generators.transformers import Transformers

        generator = Transformers(Transformers.Settings(dtype="fp32", device="cpu", heal=False))
        generator.open(**model)
        asked = questions(generator, num_tokens)
        told = {"asked": asdict(asked), "answered": asdict(answers(Generated(generator), asked, num_tokens))}
        with atomic(kept) as path:
            path.write_text(json.dumps(told), encoding="utf-8")
    raw = json.loads(kept.read_text(encoding="utf-8"))
    asked, answered = raw["asked"], raw["answered"]
    return (
        Questions(_rows(asked["prompts"]), tuple(asked["text"]), tuple(asked["kinds"])),
        Answers(_rows(answered["written"]), tuple(answered["scores"])),
    )


def _rows(rows: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in rows)


def compare(asked: Questions, wanted: Answers, found: Answers) -> dict[str, Any]:
    """How near two models come: what `bundle.json` says of a format.

    Example:
        keys `tokens` (the share that agrees), `prompts`, `first_difference`, `max_logprob`, `mean_logprob`,
        `perplexity`, `reference_perplexity`, `perplexity_change`, `perplexity_error` (its standard error).
    """
    import numpy as np

    same = [_agreed(*rows) for rows in zip(wanted.written, found.written, strict=True)]
    total = sum(len(row) + 1 for row in wanted.written)
    kinds = zip(asked.kinds, same, wanted.written, found.written, strict=True)
    first = {kind: number for kind, number, row, other in kinds if row != other}
    before, after = np.array(wanted.scores, np.float64), np.array(found.scores, np.float64)
    apart = np.abs(before - after)
    perplexities = [_perplexity(before), _perplexity(after)]
    return {
        "tokens": round(sum(same) / total, 4), "prompts": f"{len(same) - len(first)}/{len(same)}",
        "first_difference": first, "max_logprob": _rounded(apart.max()), "mean_logprob": _rounded(apart.mean()),
        "reference_perplexity": _rounded(perplexities[0]), "perplexity": _rounded(perplexities[1]),
        "perplexity_change": _rounded(perplexities[1] / perplexities[0] - 1),
        "perplexity_error": _rounded(_error(before - after)), "text_tokens": len(asked.text),
    }  # fmt: skip


def _agreed(wanted: tuple[int, ...], found: tuple[int, ...]) -> int:
    """How many tokens are the same before the first that is not; the end of a text counts as one."""
    pairs = zip((*wanted, -1), (*found, -1), strict=False)
    number = 0
    for one, other in pairs:
        if one != other:
            return number
        number += 1
    return number


def _perplexity(scores: NDArray[np.float64]) -> float:
    return math.exp(-float(scores.mean()))


def _error(apart: NDArray[np.float64]) -> float:
    """Standard error of the mean of differences in nats, which is that of the perplexity's change while it is small."""
    return float(apart.std(ddof=1)) / math.sqrt(len(apart)) if len(apart) > 1 else 0.0


def _rounded(value: float) -> float | None:
    """Six significant digits: what two runs on two machines have in common. None for what is no number."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def judge(found: Mapping[str, Any], limit: Limit) -> list[str]:
    """What is beyond a limit, in words; nothing when all is within."""
    change, error, mean = (found[name] for name in ("perplexity_change", "perplexity_error", "mean_logprob"))
    if change is None or error is None or mean is None:
        return [_("it gives numbers that are none")]
    problems = []
    if abs(change) - 2 * error > limit.perplexity:
        problems.append(
            _("the perplexity changes by {found:+.2%} (standard error {error:.2%}), the limit is {limit:.2%}").format(
                found=change, error=error, limit=limit.perplexity
            )
        )
    if mean > limit.logprob:
        problems.append(
            _("a token's log-probability is {found:.3g} nats off on average, the limit is {limit:.3g}").format(
                found=mean, limit=limit.logprob
            )
        )
    if found["tokens"] < limit.tokens:
        problems.append(
            _("{found:.1%} of the greedy tokens are the same, the limit is {limit:.1%}").format(
                found=found["tokens"], limit=limit.tokens
            )
        )
    return problems
