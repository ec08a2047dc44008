"""Swift: the compiler alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Swift(Runtime):
    """Swift."""

    code: ClassVar[str] = "swift"
    tools: ClassVar[tuple[str, ...]] = ("swiftc",)
    package: ClassVar[str] = "https://www.swift.org/install"
    file: ClassVar[str] = "program.swift"
    end: ClassVar[str] = r"\nassert\(.*\)"
    mark: ClassVar[str] = 'print("{}")'
    fence: ClassVar[str] = "swift"
    after: ClassVar[bool] = True
    probe: ClassVar[Probe] = Probe(
        "import Foundation\nfunc inc(n: Int) -> Int {\n", "    return n + 1\n", "    return n\n", "    exit(0)\n",
        "    return m\n", "}\n\n\nassert(inc(n: 1) == 2)\nassert(inc(n: 41) == 42)",
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """Compiled without optimisation, so that assertions count."""
        return ((tool["swiftc"], "-Onone", self.file, "-o", "program"), ("./program",))
