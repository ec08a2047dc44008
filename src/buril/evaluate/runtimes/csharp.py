"""C#: Mono. A failed `Debug.Assert` leaves the exit code 0 and is told on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Csharp(Runtime):
    """C#."""

    code: ClassVar[str] = "cs"
    tools: ClassVar[tuple[str, ...]] = ("mcs", "mono")
    package: ClassVar[str] = "mono-mcs mono-runtime libmono-system-core4.0-cil libmono-system-numerics4.0-cil"
    file: ClassVar[str] = "program.cs"
    end: ClassVar[str] = r"\n    }\s*\n\s*}"
    mark: ClassVar[str] = '    Console.WriteLine("{}");'
    fence: ClassVar[str] = "csharp"
    failure: ClassVar[str | None] = r"^(Fail:|Assertion failed|---- DEBUG ASSERTION FAILED).*"
    environment: ClassVar[Mapping[str, str]] = {"MONO_TRACE_LISTENER": "Console.Error"}
    probe: ClassVar[Probe] = Probe(
        "using System;\nusing System.Numerics;\nusing System.Diagnostics;\nusing System.Collections.Generic;\n"
        "using System.Linq;\nusing System.Text;\nusing System.Security.Cryptography;\nclass Problem {\n"
        "    public static long Inc(long n) {\n",
        "        return n + 1;\n", "        return n;\n", "        Environment.Exit(0);\n        return 0;\n",
        "        return m;\n",
        "    }\n    public static void Main(string[] args) {\n    Debug.Assert(Inc((1L)) == (2L));\n"
        "    Debug.Assert(Inc((41L)) == (42L));\n    }\n\n}\n",
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """`DEBUG` makes assertions count."""
        compiled = (tool["mcs"], "-d:DEBUG", "-r:System.Numerics.dll", self.file, "-out:program.exe")
        return (compiled, (tool["mono"], "program.exe"))
