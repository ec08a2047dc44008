"""D: LDC. Unit tests run before `main`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class D(Runtime):
    """D."""

    code: ClassVar[str] = "d"
    tools: ClassVar[tuple[str, ...]] = ("ldc2",)
    package: ClassVar[str] = "ldc"
    file: ClassVar[str] = "program.d"
    end: ClassVar[str] = r"void main\(\)\s*\{\s*\}"
    mark: ClassVar[str] = 'import std.stdio; writeln("{}");'
    fence: ClassVar[str] = "d"
    probe: ClassVar[Probe] = Probe(
        "import std.math;\nlong inc(long n) \n", "{\n    return n + 1;\n}\n", "{\n    return n;\n}\n",
        "{\n    import core.stdc.stdlib;\n    exit(0);\n    return 0;\n}\n", "{\n    return m;\n}\n",
        "unittest\n{\n    alias candidate = inc;\n\n    assert(candidate(1L) == 2L);\n"
        "    assert(candidate(41L) == 42L);\n}\n"
        "void main(){}",
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """Compiled with its unit tests; a program leaves after those if it is not told to go on with `main`."""
        return ((tool["ldc2"], "-unittest", self.file, "-of=program"), ("./program", "--DRT-testmode=run-main"))

    def ending(self, end: str, statement: str) -> str:
        """In `main`, which is not reached when a unit test fails."""
        return f"void main(){{ {statement} }}"
