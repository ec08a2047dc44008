"""Provenance: which files of the training set a text comes from, with repository, commit, path, lines and licence.

`ProvenanceIndex.open(folder)` reads what the stage `index` wrote; its `look_up(text)` gives a `Provenance`, which
`judge(provenance.matches, policy)` holds against the licences that are allowed.
"""

from buril.serve.provenance.lookup import Match, Provenance, ProvenanceIndex, Query
from buril.serve.provenance.policy import Judgement, Policy, cite, judge

__all__ = ["Judgement", "Match", "Policy", "Provenance", "ProvenanceIndex", "Query", "cite", "judge"]
