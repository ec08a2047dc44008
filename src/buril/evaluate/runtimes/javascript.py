"""JavaScript: Node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Javascript(Runtime):
    """JavaScript."""

    code: ClassVar[str] = "js"
    tools: ClassVar[tuple[str, ...]] = ("node",)
    package: ClassVar[str] = "nodejs"
    file: ClassVar[str] = "program.js"
    end: ClassVar[str] = r"\ntest\(\);"
    mark: ClassVar[str] = 'console.log("{}");'
    fence: ClassVar[str] = "javascript"
    after: ClassVar[bool] = True
    environment: ClassVar[Mapping[str, str]] = {"UV_USE_IO_URING": "0"}
    probe: ClassVar[Probe] = Probe(
        "function inc(n){\n", "  return n + 1;\n}\n", "  return n;\n}\n",
        "  process.exit(0);\n}\n", "  return (;\n}\n",
        "const assert = require('node:assert');\n\n\nfunction test() {\n  let candidate = inc;\n"
        "  assert.deepEqual(candidate(1),2);\n  assert.deepEqual(candidate(41),42);\n}\n\ntest();",
    )  # fmt: skip
