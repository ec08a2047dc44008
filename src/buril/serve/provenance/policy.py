"""Policy: what becomes of a text that stands word for word in code of a licence that is not allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field, field_validator

from buril.code.license import allowed, normalise
from buril.core.settings import Settings as BaseSettings
from buril.core.text import _
from buril.serve.provenance.lookup import Match

Action = Literal["block", "cite", "log"]


class Policy(BaseSettings):
    """Which licences may be written from, how much of others, and what becomes of more."""

    licenses: tuple[str, ...] = ()
    """Licences that are allowed, as SPDX names; `internal` for your own code, `unknown` for code without one. Empty: no
    licence is, so every long span counts."""
    verbatim_tokens: int = Field(60, ge=4)
    """Tokens that may be the same as in code of another licence: longer spans count. Words and single signs are tokens,
    so 60 are some six to eight lines."""
    action: Action = "cite"
    """What becomes of such a text: not shown (`block`), shown with its sources (`cite`), or only noted (`log`)."""

    @field_validator("licenses")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.lower() not in ("internal", "unknown") and not normalise(name):
                raise ValueError(_("`{name}` is no licence of SPDX").format(name=name))
        return names


class Judgement(NamedTuple):
    """What a policy says: the action, or `allow`, and the matches that it is for, the longest first."""

    action: Literal["allow", "block", "cite", "log"] = "allow"
    matches: tuple[Match, ...] = ()

    @property
    def citations(self) -> list[str]:
        """The sources, one a line."""
        return list(dict.fromkeys(cite(match) for match in self.matches))


def judge(matches: Iterable[Match], policy: Policy) -> Judgement:
    """Hold the matches of a text against a policy.

    Only verbatim spans count, and none that is common. A span of several files counts when any of them has a licence
    that is not allowed: which of them was first nobody can say.

    Example:
        `judge(index.look_up(text).matches, Policy(licenses=("mit",), action="block")).action`
    """
    against = [match for match in matches if counts(match, policy)]
    against.sort(key=lambda match: (-match.tokens, match.start))
    return Judgement(policy.action, tuple(against)) if against else Judgement()


def counts(match: Match, policy: Policy) -> bool:
    """Whether a match is one that a policy is about."""
    long = match.kind == "verbatim" and not match.common and match.tokens > policy.verbatim_tokens
    return long and not allowed(match.license, policy.licenses)


def cite(match: Match) -> str:
    """A source as it is cited: repository, path, commit, licence and lines."""
    commit = f"@{match.commit[:12]}" if match.commit else ""
    lines = f"{match.line}" if match.line == match.end_line else f"{match.line}–{match.end_line}"
    license = match.license or _("licence unknown")
    return f"{match.repo}{commit}/{match.path}:{lines} ({license})"


def sources(matches: Sequence[Match]) -> list[Match]:
    """The best match of every row, in order."""
    found: dict[str, Match] = {}
    for match in matches:
        found.setdefault(match.row_id, match)
    return list(found.values())
