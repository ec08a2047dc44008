"""What is wrong with contracts by the order and the origin of what they do, seen while their functions are run."""

from __future__ import annotations

import re
from typing import Final

from buril.scanners._taint.solidity_expressions import Called, Expr
from buril.scanners._taint.solidity_flow import Flow
from buril.scanners._taint.solidity_state import NONE, Pending, Val, Way, Words
from buril.scanners._taint.solidity_tree import Contract, Function, Unit, misnamed
from buril.scanners._taint.solidity_values import PLAIN

_READS: Final = re.compile(
    r"^(?:balanceOf|decimals|totalSupply|allowance|supportsInterface|owner|name|symbol|is[A-Z_]\w*|get[A-Z_]\w*|"
    r"token\d|ownerOf|tokenURI|asset|has[A-Z]\w*|preview\w*|convert\w*|max[A-Z]\w*|quote\w*|price\w*|latest\w*|"
    r"slot0|observe|positions|liquidity|fee|factory|WETH\d*|DOMAIN_SEPARATOR|nonces|version|encode\w*|decode\w*)$"
)
"""Methods that, by their name, only read."""
_SENDS: Final = frozenset({"functionCall", "functionCallWithValue", "sendValue", "safeTransferETH"})
"""Functions of libraries that send ether, or call, with all the gas that there is."""
_STARTS: Final = re.compile(r"_*(?:re)?(?:init|initiali[sz]e)(?![a-z])")
"""Names of functions that set up a contract once."""
_PRACTICE: Final = re.compile(r"(?i)mock|test|dummy|fake|sample|example")
"""Contracts, by name, that are open to everybody on purpose."""
_TESTS: Final = re.compile(r"^(?:test|invariant|prove|check_)")
_PERIOD: Final = re.compile(r"(?i)\b\d+\s*(?:seconds|minutes|hours|days|weeks|years)\b|2\s*\*\*|period|interval|epoch|"
                            r"duration|day|week|hour|window|step|\d{4,}")  # fmt: skip
_BOUNDS: Final = frozenset({"own", "starts"})


class Checks(Flow):
    """Runs every function that anybody may call, and keeps what is found."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit)
        self.found: dict[tuple[int, str], str] = {}
        self.authorities: set[tuple[str, str]] = set()
        self.setters: dict[tuple[str, str], list[tuple[int, bool]]] = {}
        self.targets: list[tuple[str, str, int]] = []
        self.entry: Function | None = None
        self.safe = self.distrust = False
        self.taken_over: set[str] = set()
        self.bounded = unit.version >= (0, 8)

    def note(self, line: int, rule: str, confidence: str) -> None:
        """Keep what was found, once a line and rule, at its surest."""
        before = self.found.get((line, rule))
        if before is None or (before, confidence) in (("low", "medium"), ("low", "high"), ("medium", "high")):
            self.found[(line, rule)] = confidence

    def all(self) -> dict[tuple[int, str], str]:
        """Everything that is found in a file."""
        for contract in self.unit.contracts.values():
            if contract.kind == "contract":
                family = self.unit.family(contract)
                self.safe = any("SafeMath" in text or "Math for" in text for item in family for text in item.using)
                self.distrust = False
                self._run(contract)
                if self._anybody(contract):  # who is trusted may be anybody: look again
                    self.distrust = True
                    self._run(contract)
        return self.found

    def _run(self, contract: Contract) -> None:
        for function in contract.functions:
            tests = _TESTS.match(function.name) and any("Test" in base for base in contract.bases)
            if function.open and function.body is not None and not tests:
                self.entry = function
                way = self.enter(contract, function)
                if way is not None:
                    self._ended(way)
        self._afterwards(contract)

    def _anybody(self, contract: Contract) -> bool:
        """Whether anybody may become who is trusted."""
        family = self.unit.family(contract)
        named = {item.name for item in family}
        return bool(named & self.taken_over) or any(
            misnamed(self.unit, item, made) for item in family for made in item.functions
        )

    def believed(self, facts: Words) -> None:
        for fact in facts:
            if fact.startswith("by:"):
                self.authorities.add((self.contract.name, fact.removeprefix("by:")))

    def _guarded(self, way: Way) -> bool:
        return "auth" in way.facts

    def _trusted(self, way: Way) -> bool:
        return "trusted" in way.facts

    def _tested(self, way: Way) -> bool:
        """Whether anything but the parameters was tested on the way."""
        return any(
            fact in _BOUNDS or fact == "auth" or fact.startswith(("tested:state:", "tested:value"))
            for fact in way.facts
        )

    # --- order of effects

    def low_called(self, call: Called, of: Val, value: Val | None, way: Way) -> None:
        """A call of an address by `call`, `send`, `delegatecall` and the like."""
        line = call.node.line
        if call.name in ("delegatecall", "callcode"):
            self._delegated(line, of, way)
        if value is not None or call.name == "send":
            amount = value if value is not None else self.value(call.args[0], way.copy())
            self.paid(call, of, amount, way)
        if call.name in ("send", "staticcall") or self._kept_out(way):
            return
        stipend = call.gas is not None and re.fullmatch(r"\(?\d{1,4}\)?", call.gas.text.strip("()"))
        if not stipend and of.origins - {"this", "fixed", "const"} and call.name == "call":
            way.calls |= {Pending(line, value is not None, way.reads)}

    def high_called(self, call: Called, of: Val, given: list[Val], way: Way) -> None:
        """A call of another contract's function: one that the caller chose may call back."""
        if call.name in ("transferFrom", "safeTransferFrom") and given:
            library = call.owner is not None and call.owner.text[:1].isupper() and of.origins == {"const"}
            number = 1 if library and len(given) > 1 else 0  # a library gets the token first
            self._pulled(call.node.line, given[number], of, way)
            if call.name == "safeTransferFrom" and len(given) - number > 1 and "this" in given[number].origins:
                self.hooked(call, given[number + 1].origins, way)
        if any("sender" in item.origins for item in given[:2]):
            way.facts |= {"own"}
        known = {word.removeprefix("known:") for word in way.facts if word.startswith("known:")}
        chosen = "sender" in of.origins or any(word.startswith("param:") for word in of.origins - known)
        if call.name in ("value", "gas"):
            return  # nothing is called yet
        if call.name in _SENDS:
            target = of if of.origins != {"const"} or not given else given[0]
            if not self._kept_out(way):
                way.calls |= {Pending(call.node.line, True, way.reads)}
            if call.name != "functionCall":
                self.paid(call, target, given[-1] if given else Val(), way)
            return
        if PLAIN.match(of.type) or of.type.endswith("]"):
            return  # of a library
        if not chosen or of.alias or self._kept_out(way) or _READS.search(call.name) or self._reads_only(call):
            return
        way.calls |= {Pending(call.node.line, False, way.reads)}

    def minted(self, call: Called, given: list[Val], way: Way) -> None:
        """Tokens are made: as many as the caller says, without any test, is too many."""
        chosen = any(word.startswith("param:") for word in given[1].origins)
        paid = given[1].origins & {"answer", "value"}
        if chosen and not paid and not self._tested(way) and not _PRACTICE.search(self.contract.name):
            self.note(call.node.line, "unprotected-mint", "medium")

    def hooked(self, call: Called, words: Words, way: Way) -> None:
        """A token goes to somebody, whose code is asked whether it wants it."""
        chosen = "sender" in words or any(word.startswith("param:") for word in words)
        if chosen and not self._kept_out(way):
            way.calls |= {Pending(call.node.line, False, way.reads)}

    def _reads_only(self, call: Called) -> bool:
        """Whether a function of that name, where this file declares it, can't write."""
        known = [made for item in self.unit.contracts.values() for made in item.functions if made.name == call.name]
        return bool(known) and all(made.mutability in ("view", "pure", "constant") for made in known)

    def _kept_out(self, way: Way) -> bool:
        """Whether nobody can come in again: only somebody trusted calls, or a lock is set."""
        if "locked" in way.facts or (self._trusted(way) and not self.distrust):
            return True
        for name in way.writes:
            variable = self.variable(name)
            tested = f"tested:state:{name}" in way.facts
            if variable is not None and tested and (variable.type == "bool" or f"set:{name}" in way.marks):
                return True
        return False

    def wrote(self, name: str, node: Expr, found: Val, key: Val | None, way: Way) -> None:
        """A variable of the contract is written."""
        if not self._kept_out(way):
            for call in way.calls:
                if name in call.read:
                    self.note(call.line, "reentrancy", "high" if call.sure else "medium")
        entry = self.entry
        if entry is not None and _STARTS.match(entry.name) and not self._tested(way) and not found.origins <= {"const"}:
            self.note(entry.line, "unprotected-initialiser", "medium")
        way.writes |= {name}
        if found.origins <= {"const", "true", "false", "zero", "fixed"} and key is None:
            way.marks |= {f"set:{name}"}
        self._owned(name, node, found, key, way)

    # --- who may do what

    def _owned(self, name: str, node: Expr, found: Val, key: Val | None, way: Way) -> None:
        if self.entry is not None and misnamed(self.unit, self.contract, self.entry):
            return
        chosen = "sender" in found.origins or any(word.startswith("param:") for word in found.origins)
        variable = self.variable(name)
        kind = variable.type if variable is not None else ""
        keys = key.origins if key is not None else NONE
        by_key = any(word.startswith("param:") for word in keys) and "bool" in kind and not keys & {"sender", "mine"}
        if (key is None and chosen and "mapping" not in kind) or by_key:
            place = (self.contract.name, name)
            starts = "starts" in way.facts
            self.setters.setdefault(place, []).append((node.line, self._tested(way) or starts))

    def _afterwards(self, contract: Contract) -> None:
        """What is known only when all functions were run: who is an authority, and which targets anybody may set."""
        names = {item.name for item in self.unit.family(contract)}
        authorities = {name for owner, name in self.authorities if owner in names}
        open_setters = {name: lines for (owner, name), lines in self.setters.items() if owner in names}
        for name, lines in open_setters.items():
            for line, tested in lines:
                if name in authorities and not tested:
                    self.note(line, "unprotected-owner", "high")
                    self.taken_over.add(contract.name)
        for owner, name, line in self.targets:
            if owner == contract.name and any(not tested for _line, tested in open_setters.get(name, ())):
                self.note(line, "delegatecall", "high")

    def destroyed(self, call: Called, way: Way) -> None:
        """The contract ends."""
        if not self._tested(way):
            self.note(call.node.line, "unprotected-selfdestruct", "high")

    def paid(self, call: Called, of: Val, amount: Val, way: Way) -> None:
        """Ether goes out."""
        way.marks |= {"paid"}
        chosen = "sender" in of.origins or any(word.startswith("param:") for word in of.origins)
        whose = amount.origins & {"mine", "value", "answer"} or amount.origins <= {"const", "zero", "fixed"}
        if chosen and not of.alias and not whose and not self._tested(way):
            way.marks |= {f"taken:{call.node.line}"}

    def _delegated(self, line: int, of: Val, way: Way) -> None:
        tested = any(f"tested:{word}" in way.facts for word in of.origins if word.startswith("param:"))
        if self._guarded(way) or "this" in of.origins or tested:
            return
        if any(word.startswith("param:") for word in of.origins) and not of.alias:
            if not self._tested(way):
                self.note(line, "delegatecall", "high")
        elif of.alias:
            self.targets.append((self.contract.name, of.alias, line))

    def _pulled(self, line: int, source: Val, of: Val, way: Way) -> None:
        named = any(word.startswith("param:") for word in source.origins)
        ours = source.origins & {"sender", "mine", "answer", "this"} or source.alias
        if named and not ours and not self._tested(way) and "this" not in of.origins:
            self.note(line, "arbitrary-from", "medium")

    # --- numbers

    def summed(self, node: Expr, operator: str, left: Val, right: Val, way: Way) -> Val:
        """A sum, a difference, a product or a rest."""
        words = left.origins | right.origins
        line = node.line
        if operator == "%":
            return Val(words | self._rest(node, left))
        params = frozenset(word for word in words if word.startswith("param:"))
        if self.bounded and not self.unchecked:
            way.facts |= frozenset(f"tested:{word}" for word in params)
            if operator == "-" and words & {"mine", "value"}:
                way.facts |= {"own"}
            return Val(words)
        free = frozenset(word for word in params if f"tested:{word}" not in way.facts)
        plain = operator in ("+", "-", "*") and not words & {"time"} and not self._is_view() and not self._trusted(way)
        if free and plain and free == params and not self.safe and self._risky(operator, left, right):
            way.sums |= {(line, words)}
            return Val(words | {f"sum:{line}"})
        return Val(words)

    def _is_view(self) -> bool:
        return self.entry is None or self.entry.mutability in ("view", "pure", "constant")

    @staticmethod
    def _risky(operator: str, left: Val, right: Val) -> bool:
        """Whether both sides may be large, or the left the smaller."""
        if operator == "*":
            return not right.origins <= {"zero"} and not left.origins <= {"zero"}
        return not right.origins <= {"const", "zero"} and "value" not in right.origins | left.origins

    def _rest(self, node: Expr, left: Val) -> Words:
        right = node.parts[-1].text
        line = node.line
        for word in left.origins:
            if word.startswith(("random:", "hash:")):
                self.note(int(word.partition(":")[2]), "block-randomness", "high")
        if _PERIOD.search(right) or any(word.startswith("hash:") for word in left.origins):
            return NONE
        if "block" in left.origins:
            self.note(line, "block-randomness", "medium")
        return frozenset([f"rest:{line}"]) if "time" in left.origins else NONE

    def divided(self, node: Expr, left: Val, right: Val) -> Val:
        """A quotient or what bits leave: chance that was made smaller; a time that was cut to a day."""
        if node.name in ("/", "&", ">>"):
            for word in left.origins:
                if word.startswith("hash:"):
                    self.note(int(word.partition(":")[2]), "block-randomness", "medium")
        return Val((left.origins | right.origins) - {"time"}, type="uint256")

    def taken(self, node: Expr, key: Val, way: Way) -> None:
        """A value is used as a place, or turned into a number."""
        if node.kind == "cast" and node.parts and node.parts[0].text == "block.coinbase":
            self.note(node.line, "block-randomness", "medium")
        for word in key.origins:
            if word.startswith("cast:random:"):
                self.note(int(word.rpartition(":")[2]), "block-randomness", "high")
            elif word.startswith("rest:") and node.kind == "item":
                self.note(int(word.partition(":")[2]), "block-time", "medium")

    def compared(self, node: Expr, operator: str, left: Val, right: Val, way: Way) -> None:
        """Two values are compared: a sum that is looked at is bounded, a rest of the time decides something."""
        for one, other in ((left, right), (right, left)):
            for word in one.origins:
                if word.startswith("hash:") and operator in ("<", ">", "<=", ">="):
                    self.note(int(word.partition(":")[2]), "block-randomness", "medium")
                if word.startswith("random:") and operator == "==" and "mine" in other.origins:
                    self.note(int(word.partition(":")[2]), "block-randomness", "medium")
                if word.startswith("rest:") and operator in ("==", "!=") and "time" not in other.origins:
                    self.note(int(word.partition(":")[2]), "block-time", "medium")
            lines = {int(word.partition(":")[2]) for word in one.origins if word.startswith("sum:")}
            rest = other.origins - {"const"}
            undone = "/" in node.text or (
                operator not in ("==", "!=") and bool(rest) and rest <= one.origins - {f"sum:{line}" for line in lines}
            )
            if lines and undone:
                way.sums = frozenset(item for item in way.sums if item[0] not in lines)

    def _ended(self, way: Way) -> None:
        for line, _words in way.sums:
            self.note(line, "overflow", "medium")
        for mark in way.marks:
            if mark.startswith("taken:") and not way.facts & {"own", "auth", "tested:value"}:
                self.note(int(mark.partition(":")[2]), "unprotected-withdrawal", "medium")
        signed = [mark for mark in way.marks if mark.startswith("signed:")]
        if signed and "paid" in way.marks and not self._remembered(way):
            self.note(int(signed[0].partition(":")[2]), "signature-again", "medium")

    def _remembered(self, way: Way) -> bool:
        """Whether something was written that a second time would be told by."""
        return any(f"tested:state:{name}" in way.facts or name in way.reads for name in way.writes)
