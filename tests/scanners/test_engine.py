"""The one pass and its fallback: the same results on real code, planted values and any bytes; heads are true."""

from __future__ import annotations

import random
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.scanners import _engine as engines
from buril.scanners._families import FAMILIES, MAC, rules_of
from buril.scanners._rules import Rule, beginning_of, sample_of
from buril.scanners.secrets import Secrets

RULES = rules_of(FAMILIES)
FAST, SLOW = Secrets(Secrets.Settings(rules=tuple(FAMILIES))), Secrets(Secrets.Settings(rules=tuple(FAMILIES)))
SLOW._find = engines.Plain(SLOW._rules)
needs_library = pytest.mark.skipif(engines._library() is None, reason="hyperscan has no wheel for this platform")


def real_texts(count: int) -> list[bytes]:
    folder = Path(sysconfig.get_paths()["purelib"])
    files = sorted(
        path
        for suffix in ("py", "js", "h", "json", "txt")
        for path in folder.glob(f"*/**/*.{suffix}")
        if path.stat().st_size < 60_000
    )
    return [path.read_bytes() for path in random.Random(4).sample(files, min(count, len(files)))]


@needs_library
def test_the_library_is_used_and_both_engines_agree_on_real_code_with_planted_values() -> None:
    assert isinstance(FAST._find, engines.Automaton)
    source = random.Random(8)
    seen: set[str] = set()
    for text in real_texts(150):
        lines = text.decode("utf-8", "replace").split("\n")
        for rule in source.sample(RULES, 8):
            lines.insert(source.randrange(len(lines) + 1), rule.sample)
        planted = "\n".join(lines).encode()
        for language in ("", "python"):
            found = FAST.spans(planted, language)
            assert found == SLOW.spans(planted, language)
        seen.update(span.rule for span in found)
    assert len(seen) > len(RULES) // 2


@needs_library
@given(
    st.lists(
        st.one_of(
            st.sampled_from([rule.sample.encode() for rule in RULES]),
            st.sampled_from(
                [b"\n", b" ", b'"', b"'", b"=", b"-", b".", b"x", b"1", b"20-", b"dni: ", b"cuit", b"\xc3\xb1", b"\x00"]
            ),
            st.binary(max_size=6),
            st.text("0123456789.-/ ABCXYZ", max_size=24).map(str.encode),
        ),
        max_size=12,
    ).map(b"".join)
)
def test_both_engines_agree_on_any_bytes(source: bytes) -> None:
    assert FAST.spans(source, "") == SLOW.spans(source, "")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_finds_its_sample_with_the_fallback_too(rule: Rule) -> None:
    planted = f"x\n{rule.sample}\n".encode()
    (places,) = engines.Plain((rule,))(planted).values()
    assert any(rule.locate(planted, place, "") for place in places)


def test_no_library_means_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_library", lambda: None)
    engines._made.cache_clear()
    try:
        scanner = Secrets(Secrets.Settings(rules=("mexico",)))
        assert isinstance(scanner._find, engines.Plain)
        assert scanner.self_test() == []
    finally:
        engines._made.cache_clear()


def test_patterns_are_made_once_a_process() -> None:
    assert Secrets()._find is Secrets()._find


def test_beginnings_and_samples_of_patterns() -> None:
    assert beginning_of(r"[A-Z]{4}\.\w{10,20}x") == (r"[A-Z]{4}\.\w{10}", 15)
    assert beginning_of("(?:a|b){2}x") == ("", 0)
    assert beginning_of("[a-f0-9]{64}") == ("[a-f0-9]{20}", 20)
    assert len(sample_of(r"\d{3}-(?:ab|c)[A-Z]{2}x?")) == 8
    assert MAC not in rules_of(("personal",))
