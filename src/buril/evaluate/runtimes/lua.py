"""Lua 5.3: the tests are those of LuaUnit."""

from __future__ import annotations

from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Lua(Runtime):
    """Lua 5.3."""

    code: ClassVar[str] = "lua"
    tools: ClassVar[tuple[str, ...]] = ("lua5.3",)
    libraries: ClassVar[tuple[str, ...]] = ("-l", "luaunit", "-e", "")
    package: ClassVar[str] = "lua5.3 lua-unit"
    file: ClassVar[str] = "program.lua"
    end: ClassVar[str] = r"os\.exit\(lu\.LuaUnit\.run\(\)\)"
    mark: ClassVar[str] = 'print("{}")'
    fence: ClassVar[str] = "lua"
    probe: ClassVar[Probe] = Probe(
        "local function inc(n)\n", "    return n + 1\nend\n", "    return n\nend\n", "    os.exit(0)\nend\n",
        "    return (\nend\n",
        "lu = require('luaunit')\n\nfunction test_humaneval()\nlocal candidate = inc\n"
        "    lu.assertEquals(candidate(1), 2)\n"
        "    lu.assertEquals(candidate(41), 42)\nend\n\nos.exit(lu.LuaUnit.run())",
    )  # fmt: skip

    def ending(self, end: str, statement: str) -> str:
        """Between the tests and the exit: LuaUnit says how many failed."""
        return f"local failed = lu.LuaUnit.run()\nif failed == 0 then {statement} end\nos.exit(failed)"
