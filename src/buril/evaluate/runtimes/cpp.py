"""C++: the GNU compiler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Cpp(Runtime):
    """C++."""

    code: ClassVar[str] = "cpp"
    tools: ClassVar[tuple[str, ...]] = ("g++",)
    package: ClassVar[str] = "g++"
    file: ClassVar[str] = "program.cpp"
    end: ClassVar[str] = r"\n}"
    mark: ClassVar[str] = '    puts("{}");'
    fence: ClassVar[str] = "cpp"
    probe: ClassVar[Probe] = Probe(
        "#include<assert.h>\n#include<bits/stdc++.h>\nlong inc(long n) {\n", "    return n + 1;\n", "    return n;\n",
        "    exit(0);\n", "    return m;\n",
        "}\nint main() {\n    auto candidate = inc;\n    assert(candidate((1)) == (2));\n"
        "    assert(candidate((41)) == (42));\n}\n",
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """Compiled without optimisation, which costs more than it saves here."""
        return ((tool["g++"], "-std=c++17", self.file, "-o", "program"), ("./program",))
