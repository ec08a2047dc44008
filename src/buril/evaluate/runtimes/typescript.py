"""TypeScript: the compiler, then Node. What does not type-check does not pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Typescript(Runtime):
    """TypeScript."""

    code: ClassVar[str] = "ts"
    tools: ClassVar[tuple[str, ...]] = ("tsc", "node")
    package: ClassVar[str] = "npm install -g typescript"
    file: ClassVar[str] = "program.ts"
    end: ClassVar[str] = r"\ntest\(\);"
    mark: ClassVar[str] = 'console.log("{}");'
    fence: ClassVar[str] = "typescript"
    after: ClassVar[bool] = True
    environment: ClassVar[Mapping[str, str]] = {"UV_USE_IO_URING": "0"}
    probe: ClassVar[Probe] = Probe(
        "declare var process: any;\nfunction inc(n: number): number {\n", "  return n + 1;\n}\n", "  return n;\n}\n",
        "  process.exit(0);\n  return n;\n}\n", "  return (;\n}\n",
        "declare var require: any;\nconst assert = require('node:assert');\n\n\nfunction test() {\n"
        "  let candidate = inc;\n"
        "  assert.deepEqual(candidate(1),2);\n  assert.deepEqual(candidate(41),42);\n}\n\ntest();",
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """Compiled to JavaScript, which is run."""
        compiled = (tool["tsc"], "--target", "es2020", "--module", "commonjs", "--types", "", self.file)
        return (compiled, (tool["node"], "program.js"))
