"""The policy and the guard: what is blocked, cited, noted or let pass, and that the guard never opens by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from buril.core.errors import BurilError
from buril.serve.guards import Piece, guarded
from buril.serve.guards.license import License
from buril.serve.provenance import Match, Policy, cite, judge
from buril.testing import check_guard
from tests.serve.provenance.small import build, file, function, split_of

GPL, MIT = function(1, statements=20), function(2, statements=20)


def match(**told: Any) -> Match:
    plain: dict[str, Any] = {
        "kind": "verbatim", "start": 0, "end": 9, "tokens": 100, "share": 1.0, "score": 1.0, "common": "", "files": 1,
        "repositories": 1, "row_id": "0" * 16, "repo": "acme/x", "commit": "c" * 40, "path": "a.py",
        "license": "GPL-3.0-only", "language": "python", "line": 3, "end_line": 9,
    }  # fmt: skip
    return Match(**{**plain, **told})


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        ({}, True),
        ({"tokens": 60}, False),
        ({"tokens": 61}, True),
        ({"license": "MIT"}, False),
        ({"license": "MIT OR GPL-3.0-only"}, False),
        ({"license": "MIT AND GPL-3.0-only"}, True),
        ({"license": ""}, True),
        ({"kind": "near"}, False),
        ({"common": "repositories"}, False),
    ],
)
def test_what_counts(told: dict[str, Any], counts: bool) -> None:
    for action in ("block", "cite", "log"):
        verdict = judge([match(**told)], Policy(licenses=("mit",), action=action))
        assert verdict.action == (action if counts else "allow") and bool(verdict.matches) == counts


def test_without_licences_every_long_span_counts_and_unknown_is_a_name() -> None:
    assert judge([match(license="MIT")], Policy(action="block")).action == "block"
    assert judge([match(license="")], Policy(licenses=("unknown",), action="block")).action == "allow"


def test_citations_are_one_a_source_the_longest_first() -> None:
    found = judge([match(), match(tokens=300, path="b.py"), match(), match(license="", commit="")], Policy())
    assert found.citations == [
        "acme/x@cccccccccccc/b.py:3–9 (GPL-3.0-only)",
        "acme/x@cccccccccccc/a.py:3–9 (GPL-3.0-only)",
        "acme/x/a.py:3–9 (licence unknown)",
    ]
    assert cite(match(end_line=3)).endswith("a.py:3 (GPL-3.0-only)")


def test_a_name_that_is_no_licence_is_refused() -> None:
    with pytest.raises(ValidationError, match="no licence of SPDX"):
        Policy(licenses=("my own",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("guard")
    files = [file(1, GPL, license="GPL-3.0-only"), file(2, MIT), *(file(at, function(at)) for at in range(3, 20))]
    return build(root / "index", {"split": split_of(root / "split", files)})


def guard(folder: Path | None, **told: Any) -> License:
    return License(License.Settings(index=folder, **told))


def test_the_guard_blocks_cites_and_notes(folder: Path) -> None:
    piece = Piece("x = 1\n" + GPL, "answer", "python")
    for action, found in (("block", "refuse"), ("cite", "allow"), ("log", "allow")):
        verdict = guard(folder, licenses=("mit",), action=action).judge(piece, remote=False)
        assert verdict.action == found and verdict.reasons[0].rule == f"license-{action}"
        assert verdict.reasons[0].line == 2 and "src/m1.py:1–" in verdict.reasons[0].message
        assert "(GPL-3.0-only)" in verdict.reasons[0].message and "made_1" not in verdict.reasons[0].message
    assert guard(folder, licenses=("mit", "gpl-3.0-only"), action="block").judge(piece, remote=False).action == "allow"
    own = Piece(MIT, "answer", "python")
    assert guard(folder, licenses=("mit",), action="block").judge(own, remote=False).reasons == ()


def test_a_short_policy_is_kept_to(folder: Path) -> None:
    piece = Piece("\n".join(GPL.splitlines()[1:3]), "answer", "python")
    assert not guard(folder, action="block").judge(piece, remote=False).reasons
    assert guard(folder, action="block", verbatim_tokens=8).judge(piece, remote=False).action == "refuse"


def test_only_the_answer_is_judged(folder: Path) -> None:
    piece = Piece("    x = 1\n", "answer", "python", before=GPL)
    assert guard(folder, action="block").judge(piece, remote=False).reasons == ()


def test_the_guard_keeps_the_contract(folder: Path) -> None:
    check_guard(guard(folder, licenses=("mit",)), Piece(GPL, "answer", "python"))


def test_without_an_index_nothing_passes(tmp_path: Path) -> None:
    for made, code in ((guard(None), "V203"), (guard(tmp_path), "V201")):
        with pytest.raises(BurilError) as caught:
            made.self_test()
        assert caught.value.code == code
        outcome = guarded([Piece("x = 1\n", "answer", "python")], [made])
        assert outcome.pieces == () and outcome.refusal is not None and outcome.refusal.code == "W241"


def test_a_guard_whose_index_does_not_hold_together_misses_its_sample(folder: Path) -> None:
    made = guard(folder)
    assert made.self_test() == []
    part = made._index.parts[0]
    part.suffixes = part.suffixes[::-1].copy()
    assert made.self_test() == ["src/m1.py"]
