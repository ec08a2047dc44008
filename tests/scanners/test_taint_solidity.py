"""Contracts: what is seen, what makes it harmless, how expressions are put right, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buril.code.parse import parse
from buril.scanners import INCONCLUSIVE, PARTIAL
from buril.scanners._taint import solidity_checks, solidity_values
from buril.scanners._taint.solidity import RULES
from buril.scanners._taint.solidity_expressions import expression
from buril.scanners._taint.solidity_tree import unit
from buril.scanners.taint import Taint
from tests.scanners.test_taint import found

CURATED = Path(__file__).resolve().parents[3] / "shared/data/solidity/smartbugs-curated"
STATE = """
    mapping(address => uint) held; mapping(address => bool) member; mapping(uint => address) keeper;
    address owner; address payable[] all; uint total; bool busy; uint start;
"""


def contract(body: str, version: str = "^0.8.0") -> set[str]:
    """Rules that are found in a contract."""
    return {item.rule for item in found(f"pragma solidity {version};\ncontract A {{{STATE}\n{body}\n}}\n", "solidity")}


def function(body: str, head: str = "uint x", version: str = "^0.8.0", more: str = "") -> set[str]:
    """Rules that are found in a function that anybody may call."""
    return contract(f"function f({head}) external {more} {{ {body} }}", version)


@pytest.mark.parametrize(("body", "rule"), [
    ("(bool k, ) = msg.sender.call{value: held[msg.sender]}(''); require(k); held[msg.sender] = 0;", "reentrancy"),
    ("if (held[msg.sender] >= x) { (bool k, ) = msg.sender.call{value: x}(''); if (k) held[msg.sender] -= x; }", "reentrancy"),
    ("for (uint i; i < 2; i++) { (bool k, ) = msg.sender.call{value: total}(''); require(k); total = 0; }", "reentrancy"),
    ("require(!member[msg.sender]); Hook(msg.sender).hello(); member[msg.sender] = true;", "reentrancy"),
    ("uint due = held[msg.sender]; payable(msg.sender).sendValue(due); delete held[msg.sender];", "reentrancy"),
    ("require(held[msg.sender] < 2); _safeMint(msg.sender, x); held[msg.sender] += 1;", "reentrancy"),
    ("require(keeper[x] == msg.sender); nft.safeTransferFrom(address(this), msg.sender, x); delete keeper[x];", "reentrancy"),
    ("_mint(msg.sender, x);", "unprotected-mint"), ("owner.call(''); total = x;", "unchecked-call"), ("(bool k, ) = owner.call('');", "unchecked-call"),
    ("require(tx.origin == owner); total = x;", "origin-as-caller"), ("if (member[tx.origin]) total = x;", "origin-as-caller"),
    ("selfdestruct(payable(owner));", "unprotected-selfdestruct"), ("if (x > 3) selfdestruct(payable(owner));", "unprotected-selfdestruct"),
    ("payable(msg.sender).transfer(x);", "unprotected-withdrawal"),
    ("(bool k, ) = msg.sender.delegatecall(''); require(k);", ""),
    ("total = uint(keccak256(abi.encode(block.timestamp, x))) % 9;", "block-randomness"),
    ("all[block.number % all.length].transfer(1);", "block-randomness"),
    ("unchecked { total += x; }", "overflow"), ("total = total / 7 * start;", "division-first"),
    ("if (address(this).balance == start) total = 1;", "exact-balance"),
    ("for (uint i; i < all.length; i++) all[i].transfer(1);", "paying-loop"),
    ("token.transferFrom(address(uint160(x)), address(this), 5);", "arbitrary-from"),
])  # fmt: skip
def test_what_is_seen(body: str, rule: str) -> None:
    assert not rule or rule in function(body)


@pytest.mark.parametrize(("body", "rule"), [
    ("uint due = held[msg.sender]; held[msg.sender] = 0; (bool k, ) = msg.sender.call{value: due}(''); require(k);", "reentrancy"),
    ("uint due = held[msg.sender]; payable(msg.sender).transfer(due); held[msg.sender] = 0;", "reentrancy"),
    ("uint due = held[msg.sender]; msg.sender.call{value: due, gas: 2300}(''); held[msg.sender] = 0;", "reentrancy"),
    ("require(!busy); busy = true; (bool k, ) = msg.sender.call{value: total}(''); require(k); total = 0; busy = false;", "reentrancy"),
    ("require(msg.sender == owner); (bool k, ) = owner.call{value: total}(''); require(k); total = 0;", "reentrancy"),
    ("require(held[msg.sender] < 2); held[msg.sender] += 1; _safeMint(msg.sender, x);", "reentrancy"),
    ("require(total < 2); nft.safeTransferFrom(msg.sender, address(this), x); total += 1;", "reentrancy"),
    ("require(msg.sender == owner); _mint(msg.sender, x);", "unprotected-mint"), ("_mint(msg.sender, 5);", "unprotected-mint"),
    ("token.transferFrom(msg.sender, address(this), x); _mint(msg.sender, x);", "unprotected-mint"),
    ("(bool k, ) = owner.call(''); require(k);", "unchecked-call"), ("bool k; (k, ) = owner.call(''); if (!k) revert();", "unchecked-call"),
    ("require(tx.origin == msg.sender); total = x;", "origin-as-caller"), ("emit Seen(tx.origin);", "origin-as-caller"),
    ("require(msg.sender == owner); selfdestruct(payable(owner));", "unprotected-selfdestruct"),
    ("if (msg.sender != owner) revert(); selfdestruct(payable(owner));", "unprotected-selfdestruct"),
    ("if (!member[msg.sender]) return; selfdestruct(payable(owner));", "unprotected-selfdestruct"),
    ("held[msg.sender] -= x; payable(msg.sender).transfer(x);", "unprotected-withdrawal"),
    ("require(keeper[x] == msg.sender); payable(msg.sender).transfer(x);", "unprotected-withdrawal"),
    ("total = uint(keccak256(abi.encode(msg.sender, x))) % 9;", "block-randomness"),
    ("total = block.timestamp % 1 days;", "block-time"), ("require(blockhash(x) == keccak256(''));", "block-randomness"),
    ("total += x;", "overflow"), ("require(x < 9); unchecked { total += x; }", "overflow"),
    ("total = total * start / 7;", "division-first"), ("total = total / 1 days * 1 days;", "division-first"),
    ("if (address(this).balance >= start) total = 1;", "exact-balance"),
    ("token.transferFrom(msg.sender, address(this), x);", "arbitrary-from"),
])  # fmt: skip
def test_what_makes_it_harmless(body: str, rule: str) -> None:
    assert rule not in function(body)


def test_modifiers_and_helpers_are_followed() -> None:
    guard = "modifier m() { require(msg.sender == owner); _; } modifier n() { _check(); _; }\n" \
            "function _check() internal view { if (msg.sender != owner) revert(); }\n" \
            "function isOwner() public view returns (bool) { return msg.sender == owner; }\n"  # fmt: skip
    end = "selfdestruct(payable(owner));"
    for more, before, seen in (("m", "", False), ("n", "", False), ("", "require(isOwner());", False), ("", "", True),
                               ("", "require(!isOwner());", True), ("onlyAdmin", "", False), ("whenNotPaused", "", True)):  # fmt: skip
        text = f"{guard} function f() external {more} {{ {before} {end} }}"
        assert ("unprotected-selfdestruct" in contract(text)) is seen, (more, before)


def test_a_lock_of_the_file_and_one_from_elsewhere() -> None:
    body = (
        "uint due = held[msg.sender]; (bool k, ) = msg.sender.call{value: due}(''); require(k); held[msg.sender] = 0;"
    )
    assert "reentrancy" in function(body) and "reentrancy" not in function(body, more="nonReentrant")
    lock = "modifier once() { require(!busy); busy = true; _; busy = false; }\n"
    assert "reentrancy" not in contract(f"{lock} function f() external once {{ {body} }}")
    assert "reentrancy" in contract(f"{lock.replace('busy = true;', '')} function f() external once {{ {body} }}")


def test_who_is_trusted_may_be_anybody() -> None:
    pay = "function f() external { require(msg.sender == owner); uint due = held[owner]; " \
          "(bool k, ) = owner.call{value: due}(''); require(k); held[owner] = 0; }"  # fmt: skip
    take = "function g(address next) external { owner = next; }"
    assert contract(pay) == set()
    assert contract(pay + take) == {"unprotected-owner", "reentrancy"}
    assert contract(pay + take.replace("owner = next", "require(owner == address(0)); owner = next")) == set()


def test_functions_without_their_contract() -> None:
    """As a completion is: what they name is storage."""
    take = "function take(uint x) %s { require(held[msg.sender] >= x); (bool k, ) = msg.sender.call{value: x}(''); " \
           "require(k); held[msg.sender] -= x; }\n"  # fmt: skip
    assert {item.rule for item in found(take % "external", "solidity")} == {"reentrancy"}
    assert not found(take % "internal", "solidity") and not found(take % "", "solidity")
    begun = "pragma solidity ^0.8.0;\ncontract A is B {\n" + take % "public"
    assert {item.rule for item in found(begun, "solidity")} == {"reentrancy"}


def test_old_programs() -> None:
    assert "overflow" in function("total += x;", version="^0.4.24") and "overflow" not in function("total += x;")
    assert "overflow" not in contract("using SafeMath for uint; function f(uint x) public { total += x; }", "^0.4.24")
    alias = "struct S { uint balance; } mapping(address => S) s; function f(uint x) public { var mine = s[msg.sender];" \
            "if (mine.balance >= x) { if (msg.sender.call.value(x)()) { mine.balance -= x; } } }"  # fmt: skip
    assert "reentrancy" in contract(alias, "^0.4.19")
    assert "constructor-name" in contract("function Aa() public { owner = msg.sender; }", "^0.4.19")
    assert contract("function A() public { owner = msg.sender; }", "^0.4.19") == set()
    assert "constructor-name" not in contract("function Aa() public { owner = msg.sender; }", "^0.6.0")
    assert "loose-pointer" in contract("struct S { uint a; } function f() public { S s; s.a = 1; }", "^0.4.19")
    assert "any-storage" in contract("uint[] l; function f() public { l.length--; }", "^0.4.19")


@pytest.mark.parametrize(("text", "expected"), [
    ("x <= m[i].y && z", "((x<=m[i].y)&&z)"), ("a[i] == b[i] && c[i] > d[j]", "((a[i]==b[i])&&(c[i]>d[j]))"),
    ("!m[i]", "!m[i]"), ("delete m[i][j]", "delete m[i][j]"), ("!y.call.value(z)()", "!y.call.value(z)()"),
    ("a || !m[msg.sender]", "(a||!m[msg.sender])"), ("x - m[i].sub(y)", "(x-m[i].sub(y))"), ("(a + b)[i]", "(a+b)[i]"),
    ("x + m[i]++", "(x+m[i]++)"), ("++m[i]", "++m[i]"), ("x == a.call{value: v}('')", "(x==a.call(''))"),
    ("a + b * c[i]", "(a+(b*c[i]))"), ("a * b + c[i]", "((a*b)+c[i])"),
])  # fmt: skip
def test_what_follows_an_operand_belongs_to_it(text: str, expected: str) -> None:
    def shown(found: object) -> str:
        kind, parts = found.kind, found.parts  # type: ignore[attr-defined]  an Expr
        if kind == "binary":
            return f"({shown(parts[0])}{found.name}{shown(parts[1])})"  # type: ignore[attr-defined]  an Expr
        if kind == "group":
            return f"({shown(parts[0])})"
        return str(found.text)  # type: ignore[attr-defined]  an Expr

    tree = parse("solidity", f"contract A {{ function f() {{ {text}; }} }}".encode())
    declared = unit(tree).contracts["A"].functions[0].body
    assert declared is not None
    statement = declared.named_children[0].named_children[0]
    assert shown(expression(statement.named_children[0])) == expected


def test_every_rule_names_a_weakness_and_is_told() -> None:
    told = Taint().rules()
    for rule, kind in RULES.items():
        assert rule in told and kind.cwe and kind.severity in ("low", "medium", "high") and kind.text


def test_any_contract_is_answered() -> None:
    deep = "contract A { function f() public { x = " + "(" * 300 + "1" + ")" * 300 + "; } }"
    long = "contract A { uint x; function f(uint y) public { x = " + " + ".join(["y"] * 1500) + "; } }"
    for text in ("", "contract {", "contract A { function f( }", "library L { function f(L x) { x.f(); f(x); } }", deep, long,
                 "contract A is A { function f() public { super.f(); this.f(); f(); } }", "function f() { g(); }",
                 "contract A { modifier m { _; _; } function f() m m public { return; } }", "contract A { function () { throw; } }",
                 "contract A { function f() public { assembly { let x := caller() } if (1) {} else if (2) {} for (;;) {} } }",
                 "contract A is B, C { function f() public { (a, b[c]) = (d, e); try this.f() {} catch {} } }"):  # fmt: skip
        for mode in ("strict", "snippet"):
            assert INCONCLUSIVE not in {item.rule for item in found(text, "solidity", mode=mode)}


def test_a_contract_with_too_many_ways_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solidity_values, "MAX_STEPS", 20)
    monkeypatch.setattr("buril.scanners._taint.solidity.MAX_STEPS", 20)
    assert PARTIAL in function("total += x;" * 100)


def test_the_surest_is_kept() -> None:
    checks = solidity_checks.Checks(unit(parse("solidity", b"")))
    for confidence in ("low", "high", "medium"):
        checks.note(1, "overflow", confidence)
    assert checks.found == {(1, "overflow"): "high"}


@pytest.mark.skipif(not CURATED.is_dir(), reason=f"the annotated contracts are not here: {CURATED}")
def test_annotated_contracts() -> None:
    """Re-entrancy and results that nobody reads, at the line, in contracts that people annotated."""
    classes = {"reentrancy": "CWE-841", "unchecked_low_level_calls": "CWE-252"}
    told = dict.fromkeys(classes, 0)
    number = dict.fromkeys(classes, 0)
    for row in json.loads((CURATED / "vulnerabilities.json").read_text()):
        if not (CURATED / row["path"]).is_file():
            continue
        items = found((CURATED / row["path"]).read_text(errors="replace"), "solidity")
        for weakness in row["vulnerabilities"]:
            cwe = classes.get(weakness["category"])
            if cwe:
                number[weakness["category"]] += 1
                lines = {item.line for item in items if item.cwe == cwe}
                told[weakness["category"]] += any(abs(line - near) < 2 for line in lines for near in weakness["lines"])
    assert number["reentrancy"] > 20 and told["reentrancy"] / number["reentrancy"] > 0.84
    assert (
        number["unchecked_low_level_calls"] > 25
        and told["unchecked_low_level_calls"] == number["unchecked_low_level_calls"]
    )
