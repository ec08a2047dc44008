"""Java: one virtual machine compiles in memory and runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

from buril.evaluate.runtimes._runtime import Probe, Runtime

_TUPLES: Final = "/usr/share/java/javatuples.jar"


class Java(Runtime):
    """Java."""

    code: ClassVar[str] = "java"
    tools: ClassVar[tuple[str, ...]] = ("java",)
    package: ClassVar[str] = "openjdk-17-jdk-headless libjavatuples-java"
    file: ClassVar[str] = "Problem.java"
    end: ClassVar[str] = r"\n    }\s*\n\s*}"
    mark: ClassVar[str] = '    System.out.println("{}");'
    fence: ClassVar[str] = "java"
    probe: ClassVar[Probe] = Probe(
        "import java.util.*;\nimport java.lang.reflect.*;\nimport org.javatuples.*;\nimport java.security.*;\n"
        "import java.math.*;\nimport java.io.*;\nimport java.util.stream.*;\nclass Problem {\n"
        "    public static long inc(long n) {\n",
        "        return n + 1;\n", "        return n;\n", "        System.exit(0);\n        return 0;\n",
        "        return m;\n",
        "    }\n    public static void main(String[] args) {\n    assert(inc((1l)) == (2l));\n"
        "    assert(inc((41l)) == (42l));\n    }\n\n}\n",
    )  # fmt: skip

    def complete(self, tool: Mapping[str, str]) -> bool:
        """The tests' tuples are a file beside the virtual machine."""
        return Path(_TUPLES).is_file()

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """`-ea` makes assertions count; the other options save half the time of so short a program."""
        return (
            (
                tool["java"], "-ea", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto",
                "-Xmx1g", "-cp", _TUPLES, self.file,
            ),
        )  # fmt: skip
