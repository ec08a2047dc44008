"""Expressions of Solidity: where a value comes from, what a condition says, and what it does on the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from buril.scanners._taint.solidity_expressions import Called, Expr, called
from buril.scanners._taint.solidity_state import NONE, Val, Way, Words, joined, told
from buril.scanners._taint.solidity_tree import Contract, Function, Unit, Variable

MAX_STEPS: Final = 150_000
"""Expressions that are evaluated for one file; beyond it the file is analysed in part."""
PLAIN: Final = re.compile(r"(?:u?int|bytes)\d*$|address(?: payable)?$|bool$|string$|byte$")
_INHERITED: Final = re.compile(r"_*[a-z]\w*$")
"""Names that a variable of a base may have: those of contracts and constants begin with a capital."""
_MESSAGE: Final = {
    "msg.sender": "sender", "msg.value": "value", "msg.data": "param:data", "tx.origin": "origin",
    "block.timestamp": "time", "block.number": "block", "block.difficulty": "block", "block.prevrandao": "block",
    "block.coinbase": "block", "block.gaslimit": "block", "msg.sig": "param:sig", "block.basefee": "block",
}  # fmt: skip
_GUARD: Final = re.compile(
    r"(?i)^_*(?:check|only|require|auth|verify|assert|validate|enforce|ensure|restrict|is_?(?:owner|admin|auth|allowed|"
    r"approved|valid)|has_?role|can_?call)"
)
_CHECKED: Final = frozenset({"add", "sub", "mul", "div", "mod", "safeAdd", "safeSub", "safeMul", "safeDiv"})


class Values:
    """Evaluates expressions. What calls, writes and sums mean is told by `solidity_checks.py`."""

    unit: Unit
    contract: Contract
    family: list[Contract]
    unchecked: bool
    steps = 0
    run_function: Callable[[Function, list[Val], Way], Val]

    # what the checks look at
    low_called: Callable[[Called, Val, Val | None, Way], None]
    high_called: Callable[[Called, Val, list[Val], Way], None]
    minted: Callable[[Called, list[Val], Way], None]
    hooked: Callable[[Called, Words, Way], None]
    paid: Callable[[Called, Val, Val, Way], None]
    destroyed: Callable[[Called, Way], None]
    wrote: Callable[[str, Expr, Val, Val | None, Way], None]
    summed: Callable[[Expr, str, Val, Val, Way], Val]
    divided: Callable[[Expr, Val, Val], Val]
    compared: Callable[[Expr, str, Val, Val, Way], None]
    taken: Callable[[Expr, Val, Way], None]

    def value(self, node: Expr | None, way: Way) -> Val:
        """The value of an expression, and all that it does."""
        if node is None or way.dead or self.steps > MAX_STEPS:
            return Val()
        self.steps += 1
        known = _EXPRESSIONS.get(node.kind)
        if known is not None:
            return known(self, node, way)
        return Val(frozenset().union(*(self.value(part, way).origins for part in node.parts)))

    def variable(self, name: str) -> Variable | None:
        """A variable of the contract or of its bases; a name that none has may be one of a base from elsewhere."""
        found = next((item.variables[name] for item in self.family if name in item.variables), None)
        if found is None and _INHERITED.match(name) and self.unit.unknown(self.contract):
            return Variable(name, "", 0)
        return found

    def function(self, name: str, number: int, within: list[Contract] | None = None) -> Function | None:
        """A function that the contract has, with as many parameters."""
        for item in within if within is not None else self.family:
            for made in item.functions:
                if made.name == name and made.kind == "function" and len(made.params) == number and made.body:
                    return made
        return None

    # --- expressions

    def _name(self, node: Expr, way: Way) -> Val:
        name = node.name
        if name in way.locals:
            found = way.locals[name]
            if found.alias and found.alias != "@slot":
                way.reads |= {found.alias}
            return found
        if name in ("now", "this", "throw"):
            way.dead = way.dead or name == "throw"
            return Val(frozenset(["time" if name == "now" else name]))
        variable = self.variable(name)
        if variable is None:
            return Val(frozenset(["const"]))
        if variable.fixed:
            return Val(frozenset(["fixed"]), type=variable.type)
        way.reads |= {name}
        said = frozenset([f"tested:state:{name}"]) if variable.type == "bool" else NONE
        return Val(frozenset([f"state:{name}"]), name, variable.type, said, said)

    def _constant(self, node: Expr, way: Way) -> Val:
        if node.name in ("true", "false"):
            return Val(frozenset(["const", node.name]))
        return Val(frozenset(["zero" if re.fullmatch(r"0|0x0+", node.name) else "const"]))

    def _member(self, node: Expr, way: Way) -> Val:
        text = node.text
        if text in _MESSAGE:
            return Val(frozenset([_MESSAGE[text]]))
        of = self.value(node.parts[0], way)
        if node.name == "balance" and not (of.alias and not of.type.startswith("address")):
            return Val(frozenset(["balance" if "this" in of.origins else "state:@balance"]))
        kind = "uint" if node.name == "length" else ""
        if of.alias == "@slot":  # a structure at a place of its own
            name = f"@slot.{node.name}"
            way.reads |= {name}
            of = of._replace(alias=name, origins=frozenset([f"state:{name}"]))
        tested = frozenset(f"tested:{word}" for word in of.origins if word.startswith("state:"))
        return Val(of.origins, of.alias, kind, tested, tested, of.key)

    def _item(self, node: Expr, way: Way) -> Val:
        of = self.value(node.parts[0], way)
        key = joined([self.value(part, way) for part in node.parts[1:]])
        self.taken(node, key, way)
        if not of.alias:
            return Val(of.origins)
        mine = bool({"sender", "mine"} & key.origins)
        kind = re.sub(r"^mapping\s*\(.*?=>\s*|\)\s*$", "", of.type) if "mapping" in of.type else of.type[:-2]
        yes = frozenset(["auth", f"by:{of.alias}"]) if mine and kind in ("bool", "") else NONE
        yes |= frozenset(f"known:{word}" for word in key.origins if word.startswith("param:") and kind == "bool")
        tested = frozenset([f"tested:state:{of.alias}"])
        owned = frozenset(["mine"]) if mine else NONE
        return Val(of.origins | owned, of.alias, kind, yes | tested, tested, key=True)

    def _binary(self, node: Expr, way: Way) -> Val:
        operator = node.name
        left = self.value(node.parts[0], way)
        if operator in ("&&", "||"):
            other = way.copy(left.yes if operator == "&&" else left.no)
            right = self.value(node.parts[1], other)
            kept = way.facts
            way.become(other)
            way.facts = kept
            if operator == "&&":
                return Val(left.origins | right.origins, "", "bool", left.yes | right.yes, left.no & right.no)
            return Val(left.origins | right.origins, "", "bool", left.yes & right.yes, left.no | right.no)
        right = self.value(node.parts[1], way)
        if operator in ("==", "!=", "<", ">", "<=", ">="):
            self.compared(node, operator, left, right, way)
            yes, no = told(operator, left, right)
            return Val(left.origins | right.origins, "", "bool", yes, no)
        if operator in ("+", "-", "*", "%", "**"):
            return self.summed(node, operator, left, right, way)._replace(type="uint256")
        return self.divided(node, left, right)

    def _unary(self, node: Expr, way: Way) -> Val:
        if node.name in ("++", "--"):
            return self._update(node, way)
        if node.name == "delete":
            self.store(node.parts[0], Val(frozenset(["const"])), node, way)
            return Val()
        found = self.value(node.parts[0], way)
        if node.name == "!":
            return found._replace(yes=found.no, no=found.yes, alias="")
        return Val(found.origins)

    def _update(self, node: Expr, way: Way) -> Val:
        found = self.value(node.parts[0], way)
        self.store(node.parts[0], found, node, way)
        return Val(found.origins)

    def _assign(self, node: Expr, way: Way) -> Val:
        left, right = node.parts
        found = self.value(right, way)
        if node.name != "=":
            found = self.summed(node, node.name[:-1], self.value(left, way), found, way)
        self.store(left, found, node, way)
        return found

    def store(self, left: Expr, found: Val, node: Expr, way: Way) -> None:
        """Put a value where the left side of an assignment says."""
        if left.kind in ("tuple", "group"):
            for part in left.parts:
                self.store(part, found, node, way)
        elif left.kind == "name" and left.name in way.locals:
            kept = way.locals[left.name]
            alias = "" if PLAIN.match(kept.type) else found.alias
            way.locals[left.name] = found._replace(type=kept.type, alias=alias)
        elif left.kind == "name":
            if self.variable(left.name) is not None:
                self.wrote(left.name, node, found, None, way)
        else:
            before = way.reads
            of = self.value(left, way)
            way.reads = before
            if of.alias:
                key = self.value(left.parts[1], way) if left.kind == "item" and len(left.parts) > 1 else None
                if key is not None and "mine" in of.origins:
                    key = key._replace(origins=key.origins | {"mine"})
                self.wrote(of.alias, node, found, key, way)

    def _cast(self, node: Expr, way: Way) -> Val:
        found = joined([self.value(part, way) for part in node.parts])
        if node.name.startswith("uint"):
            self.taken(node, found._replace(origins=frozenset(f"cast:{word}" for word in found.origins)), way)
        if re.fullmatch(r"\w+\((?:0|0x0+)\)", node.text):
            return Val(frozenset(["zero"]))
        return found._replace(alias=found.alias if node.name in ("address", "payable") else "", type=node.name)

    def _choose(self, node: Expr, way: Way) -> Val:
        return joined([self.value(part, way) for part in node.parts][1:])

    def _group(self, node: Expr, way: Way) -> Val:
        if len(node.parts) == 1:
            return self.value(node.parts[0], way)
        return joined([self.value(part, way) for part in node.parts])._replace(alias="", yes=NONE, no=NONE)

    # --- calls

    def _call(self, node: Expr, way: Way) -> Val:
        call = called(node)
        given = [self.value(arg, way) for arg in call.args]
        value = self.value(call.value, way) if call.value is not None else None
        if call.owner is None:
            return self._plain(call, given, way)
        found = self._of_language(call, given, way)
        if found is not None:
            return found
        of = self.value(call.owner, way)
        if call.low:
            self.low_called(call, of, value, way)
            return Val(frozenset([f"call:{node.line}"]))
        if call.name == "transfer" and len(given) == 1:
            self.paid(call, of, given[0], way)
            return Val()
        return self._method(call, of, given, way)

    def _of_language(self, call: Called, given: list[Val], way: Way) -> Val | None:
        """Calls of what the language has, of a base's function, or of a library of this file."""
        text = call.owner.text if call.owner is not None else ""
        if text in ("abi", "type", "bytes", "string"):
            return joined([*given, Val()])
        if text == "block" and call.name == "blockhash":
            return Val(frozenset([f"random:{call.node.line}"]))
        library = self.unit.contracts.get(text)
        if text != "super" and (library is None or library.kind != "library"):
            return None
        within = self.family[1:] if library is None or text == "super" else [library]
        return self._known(self.function(call.name, len(given), within), call, given, way)

    def _method(self, call: Called, of: Val, given: list[Val], way: Way) -> Val:
        if call.name in ("push", "pop") and of.alias:
            self.wrote(of.alias, call.node, joined([*given, Val(frozenset(["const"]))]), None, way)
            return of
        if call.name in _CHECKED and len(given) == 1:
            words = of.origins | given[0].origins
            way.facts |= frozenset(f"tested:{word}" for word in words if word.startswith("param:"))
            way.facts |= (
                frozenset(["own"]) if call.name.endswith(("sub", "Sub")) and words & {"mine", "value"} else NONE
            )
            return Val(words)
        if "this" not in of.origins or of.alias:
            attached = [item for item in self.unit.contracts.values() if item.kind == "library"]
            found = self.function(call.name, len(given) + 1, attached)
            if found is not None:
                return self.run_function(found, [of, *given], way)
        self.high_called(call, of, given, way)
        return Val(frozenset().union(*(item.origins for item in given if "sender" in item.origins)) | {"answer"},
                   yes=self._asked(call.name, given))  # fmt: skip

    def _plain(self, call: Called, given: list[Val], way: Way) -> Val:
        known = _BUILTINS.get(call.name)
        if known is not None:
            return known(self, call, given, way)
        if call.name in ("_mint", "_safeMint") and len(given) > 1:
            self.minted(call, given, way)
        return self._known(self.function(call.name, len(given)), call, given, way)

    def _require(self, _call: Called, given: list[Val], way: Way) -> Val:
        facts = given[0].yes if given else NONE
        way.facts |= facts
        self.believed(facts)
        return Val()

    def _reverted(self, _call: Called, _given: list[Val], way: Way) -> Val:
        way.dead = True
        return Val()

    def _end(self, call: Called, _given: list[Val], way: Way) -> Val:
        self.destroyed(call, way)
        return Val()

    def _hash(self, call: Called, given: list[Val], _way: Way) -> Val:
        words = frozenset().union(*(item.origins for item in given))
        drawn = words & {"time", "block"} or any(word.startswith("random:") for word in words)
        kept = frozenset(word for word in words if not word.startswith("random:"))
        return Val(kept | {f"hash:{call.node.line}"} if drawn else kept)

    def _recover(self, call: Called, _given: list[Val], way: Way) -> Val:
        way.marks |= {f"signed:{call.node.line}"}
        return Val(frozenset(["signer"]))

    def _block_hash(self, call: Called, _given: list[Val], _way: Way) -> Val:
        return Val(frozenset([f"random:{call.node.line}"]))

    def _known(self, found: Function | None, call: Called, given: list[Val], way: Way) -> Val:
        if found is not None:
            return self.run_function(found, given, way)
        words = frozenset().union(*(item.origins for item in given))
        if call.name in ("_safeMint", "_safeTransfer") and call.owner is None:
            self.hooked(call, words, way)
        if _GUARD.search(call.name):
            way.facts |= {"auth", "trusted"}
        if "sender" in words:
            way.facts |= {"own"}
        if re.match(r"_msgSender", call.name):
            return Val(frozenset(["sender"]))
        return Val(words | {"answer"}, yes=self._asked(call.name, given))

    @staticmethod
    def _asked(name: str, given: list[Val]) -> Words:
        """What the answer of unknown code says when it is true."""
        asks = any("sender" in item.origins for item in given) or _GUARD.search(name)
        return frozenset(["auth", "own"]) if asks else NONE

    def believed(self, facts: Words) -> None:
        """A test was passed."""


_EXPRESSIONS: Final[dict[str, Callable[[Any, Expr, Way], Val]]] = {
    "name": Values._name, "constant": Values._constant, "member": Values._member, "item": Values._item,
    "binary": Values._binary, "unary": Values._unary, "update": Values._update, "assign": Values._assign,
    "cast": Values._cast, "choose": Values._choose, "call": Values._call, "group": Values._group,
    "tuple": Values._group,
}  # fmt: skip
_BUILTINS: Final[dict[str, Callable[[Any, Called, list[Val], Way], Val]]] = {
    "require": Values._require, "assert": Values._require, "revert": Values._reverted, "selfdestruct": Values._end,
    "suicide": Values._end, "keccak256": Values._hash, "sha3": Values._hash, "sha256": Values._hash,
    "ripemd160": Values._hash, "ecrecover": Values._recover, "blockhash": Values._block_hash,
}  # fmt: skip
