"""Contract checks of what finds or makes vulnerable/secure pairs."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, get_args

from buril.code.language import languages
from buril.core.stage import Inputs
from buril.data.pair import PAIR_SCHEMA, Claim, Pair, Pairing
from buril.testing._common import check_plugin, class_of, expect, make, plain, same

MOST = 200
"""Pairs that are looked at."""
_CWE = re.compile(r"CWE-[1-9]\d*")


def check_pairing(pairing: Any, inputs: Inputs | None = None) -> None:
    """A source of pairs gives the same whole pairs each time, and says of each what it is and where it is from.

    Args:
        pairing: a source, or the class of one whose default settings need nothing.
        inputs: artifacts of the stages that its `needs` names.
    """
    check_plugin("pairing", pairing)
    found = class_of(pairing)
    expect(issubclass(found, Pairing), f"{found.__qualname__} is no subclass of Pairing")
    made = make(pairing)
    plain(made.observe(), "observe() is no plain JSON")
    given = inputs or {}
    for need in made.needs():
        expect(need in given, f"it needs the stage {need!r}: give its artifact as `inputs`")
    expect(all(isinstance(version, int) for version in made.parts().values()), "parts() holds what is no version")
    expect(made.work(given) >= 0, "work() is negative")
    pairs = list(islice(made.pairs(given, 5), MOST))
    expect(bool(pairs), "it gives no pair")
    for pair in pairs:
        _check_pair(pair)
    again = list(islice(type(made)(made.settings).pairs(given, 5), MOST))
    same([pair.row() for pair in pairs], [pair.row() for pair in again], "two runs with one seed give different pairs")


def _check_pair(pair: Any) -> None:
    expect(isinstance(pair, Pair), f"pairs() gave {type(pair).__name__}")
    assert isinstance(pair, Pair)
    where = f"in the pair {pair.scenario or pair.pair_id}"
    expect(_CWE.fullmatch(pair.cwe), f"the weakness {pair.cwe!r} is none such as CWE-89 {where}")
    expect(pair.language in languages(), f"the language {pair.language!r} is not known {where}")
    expect(pair.claim in get_args(Claim), f"the claim is {pair.claim!r} {where}")
    expect(bool(pair.scenario), f"it names no scenario {where}")
    expect(bool(pair.source), f"it names no source {where}")
    expect(bool(pair.secure.strip()) and bool(pair.vulnerable.strip()), f"a text is empty {where}")
    expect(pair.secure != pair.vulnerable, f"both texts are the same {where}")
    expect(list(pair.row()) and set(pair.row()) == set(PAIR_SCHEMA.names), f"row() has other columns {where}")
    expect(not pair.proofs, f"it claims proofs, which are the stage's to find {where}")
