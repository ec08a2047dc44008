"""Solidity: its rules, and the analysis of a file.

What matters in a contract is who may call it, in which order it acts, and where its numbers come from, more than text
that flows into a call; so it has an analysis of its own, which takes the engine's place. The SWC numbers are those of
the Smart Contract Weakness Classification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tree_sitter import Tree

from buril.scanners._taint.engine import Hit
from buril.scanners._taint.entries import Analysis
from buril.scanners._taint.rules import Kind
from buril.scanners._taint.solidity_checks import Checks
from buril.scanners._taint.solidity_forms import forms
from buril.scanners._taint.solidity_tree import unit
from buril.scanners._taint.solidity_values import MAX_STEPS

RULES: Final[Mapping[str, Kind]] = {
    "reentrancy": Kind(841, "high", "control is handed over before what was read is written (SWC-107)"),
    "unchecked-call": Kind(252, "medium", "nobody reads whether a call went well (SWC-104)"),
    "origin-as-caller": Kind(863, "high", "who began the transaction is taken for who calls (SWC-115)"),
    "unprotected-selfdestruct": Kind(284, "high", "anybody may end the contract (SWC-106)"),
    "unprotected-owner": Kind(284, "high", "anybody may become who is trusted (SWC-105)"),
    "unprotected-initialiser": Kind(284, "high", "anybody may set the contract up, and again (SWC-105)"),
    "unprotected-withdrawal": Kind(284, "high", "anybody may take the ether (SWC-105)"),
    "unprotected-mint": Kind(284, "high", "anybody may make tokens (SWC-105)"),
    "delegatecall": Kind(829, "high", "code of somebody else's choice runs on this storage (SWC-112)"),
    "block-randomness": Kind(330, "high", "chance from values of the block, which can be known before (SWC-120)"),
    "block-time": Kind(807, "medium", "the exact second decides, which who makes the block may choose (SWC-116)"),
    "overflow": Kind(190, "high", "a number of somebody else's choice may run over (SWC-101)"),
    "division-first": Kind(682, "low", "a quotient is multiplied after it was cut to a whole number"),
    "signer-zero": Kind(347, "high", "a signature that is none has the signer zero (SWC-122)"),
    "signature-again": Kind(347, "high", "a signature may be used a second time (SWC-121)"),
    "packed-hash": Kind(294, "medium", "other texts, packed without their lengths, have the same hash (SWC-133)"),
    "arbitrary-from": Kind(862, "high", "tokens are taken from whom the caller names"),
    "exact-balance": Kind(697, "medium", "a balance must be exact, which anybody can prevent (SWC-132)"),
    "paying-loop": Kind(400, "medium", "one payment that fails, or too many, stop all of a loop (SWC-113, SWC-128)"),
    "loose-pointer": Kind(824, "high", "a variable points at the first place of storage (SWC-109)"),
    "constructor-name": Kind(665, "high", "a constructor under another name is a function for all (SWC-118)"),
    "any-storage": Kind(123, "high", "a list may reach all of storage (SWC-124)"),
}
INPUTS: Final = re.compile(r"\bfunction\b|\bmodifier\b|\bconstructor\b")
"""What every file has in which anything can be found."""


def analysed(tree: Tree) -> Analysis:
    """Analyse a file."""
    declared = unit(tree)
    checks = Checks(declared)
    found = dict(checks.all())
    for line, rule, confidence in forms(declared):
        found.setdefault((line, rule), confidence)
    hits = [
        Hit(line, rule, RULES[rule].cwe, RULES[rule].severity, confidence, RULES[rule].text, line)
        for (line, rule), confidence in sorted(found.items())
    ]
    return Analysis(hits, checks.steps <= MAX_STEPS)
