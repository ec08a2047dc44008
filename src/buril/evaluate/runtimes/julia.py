"""Julia: the tests are those of its module `Test`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Julia(Runtime):
    """Julia."""

    code: ClassVar[str] = "jl"
    tools: ClassVar[tuple[str, ...]] = ("julia",)
    package: ClassVar[str] = "https://julialang.org/downloads"
    file: ClassVar[str] = "program.jl"
    end: ClassVar[str] = r"\nend"
    mark: ClassVar[str] = 'println("{}")'
    fence: ClassVar[str] = "julia"
    after: ClassVar[bool] = True
    probe: ClassVar[Probe] = Probe(
        "function inc(n::Int64)::Int64 \n", "    return n + 1\nend\n", "    return n\nend\n", "    exit(0)\nend\n",
        "    return (\nend\n",
        "using Test\n\n@testset begin\n\ncandidate = inc;\n\t@test(candidate(1) == 2)\n"
        "\t@test(candidate(41) == 42)\nend\n",
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """It is run as it stands."""
        return ((tool["julia"], "--startup-file=no", self.file),)
