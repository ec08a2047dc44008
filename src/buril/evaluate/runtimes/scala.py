"""Scala: compiled, then run by Java with its library, which saves the start of the script `scala`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Scala(Runtime):
    """Scala."""

    code: ClassVar[str] = "scala"
    tools: ClassVar[tuple[str, ...]] = ("scalac", "scala")
    package: ClassVar[str] = "scala"
    file: ClassVar[str] = "program.scala"
    end: ClassVar[str] = r"\n    }\s*\n\s*}"
    mark: ClassVar[str] = '    println("{}")'
    fence: ClassVar[str] = "scala"
    environment: ClassVar[Mapping[str, str]] = {"JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx1g"}
    probe: ClassVar[Probe] = Probe(
        "import scala.math._\nimport scala.collection.mutable._\nobject Problem {\n    def inc(n : Long) : Long = {\n",
        "        n + 1\n", "        n\n", "        System.exit(0)\n        n\n", "        m\n",
        "    }\n    def main(args: Array[String]) = {\n    assert(inc((1l)) == (2l));\n"
        "    assert(inc((41l)) == (42l));\n"
        "    }\n\n}\n",
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """Compiled, then run."""
        return ((tool["scalac"], "-nowarn", "-d", ".", self.file), (tool["scala"], "-cp", ".", "Problem"))
