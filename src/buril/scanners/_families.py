"""Families of rules: what `redact` and the scanner's `rules` may name, and which rules each name stands for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

from buril.scanners._clouds import CLOUDS
from buril.scanners._forges import BUILDS, FORGES, REGISTRIES
from buril.scanners._generic import GENERIC
from buril.scanners._identifiers import (
    ARGENTINA,
    BRAZIL,
    CARDS,
    CHILE,
    COLOMBIA,
    ECUADOR,
    MEXICO,
    PERU,
    SPAIN,
    TEST_CARDS,
    URUGUAY,
)  # fmt: skip
from buril.scanners._models import MODELS
from buril.scanners._payments import PAYMENTS
from buril.scanners._places import EMAIL, HANDLE, IBAN, IP, IPV6, MAC, NAME, NATIONAL_PHONE, PHONE
from buril.scanners._rules import Rule
from buril.scanners._services import SERVICES

Family = Literal[
    "secrets", "personal", "gdpr", "latam", "cards", "argentina", "brazil", "chile", "colombia", "ecuador", "mexico",
    "peru", "spain", "uruguay",
]  # fmt: skip
"""The names of all families; `docs/guides/redaction.md` says what each holds."""
NAMES: Final[tuple[Family, ...]] = get_args(Family)

SECRET_RULES: tuple[Rule, ...] = CLOUDS + FORGES + REGISTRIES + BUILDS + SERVICES + PAYMENTS + MODELS + GENERIC
"""All rules of secrets; where two see the same place the earlier one names it."""
_CONTACT = (EMAIL, IP, IPV6, PHONE, NATIONAL_PHONE, NAME, HANDLE)
_LATAM = MEXICO + ARGENTINA + BRAZIL + CHILE + PERU + URUGUAY + ECUADOR + COLOMBIA
FAMILIES: dict[Family, tuple[Rule, ...]] = {
    "secrets": SECRET_RULES,
    "personal": (*CARDS, IBAN, *SPAIN, *_LATAM, *_CONTACT),
    "gdpr": (*CARDS, IBAN, *SPAIN, *_CONTACT, MAC),
    "latam": _LATAM,
    "cards": CARDS,
    "argentina": ARGENTINA,
    "brazil": BRAZIL,
    "chile": CHILE,
    "colombia": COLOMBIA,
    "ecuador": ECUADOR,
    "mexico": MEXICO,
    "peru": PERU,
    "spain": (*SPAIN, IBAN),
    "uruguay": URUGUAY,
}


def rules_of(families: Iterable[Family], *, test_cards: bool = False) -> tuple[Rule, ...]:
    """The rules of some families, each once, in the order that decides who names a place that two see."""
    wanted = {rule.name for family in families for rule in FAMILIES[family]}
    cards = TEST_CARDS if test_cards else CARDS
    every = (*SECRET_RULES, *cards, IBAN, *SPAIN, *_LATAM, *_CONTACT, MAC)
    return tuple(rule for rule in every if rule.name in wanted)


PERSONAL_RULES = frozenset(rule.name for rule in FAMILIES["personal"] + FAMILIES["gdpr"])
"""Names of the rules that find personal data; all others find secrets."""
