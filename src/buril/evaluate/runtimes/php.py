"""PHP: the command line interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Php(Runtime):
    """PHP."""

    code: ClassVar[str] = "php"
    tools: ClassVar[tuple[str, ...]] = ("php",)
    package: ClassVar[str] = "php-cli"
    file: ClassVar[str] = "program.php"
    end: ClassVar[str] = r"\ntest\(\);"
    mark: ClassVar[str] = 'echo "{}";'
    fence: ClassVar[str] = "php"
    probe: ClassVar[Probe] = Probe(
        "<?php\nfunction inc($n) {\n", "    return $n + 1;\n}\n", "    return $n;\n}\n", "    exit(0);\n}\n",
        "    return (;\n}\n",
        'function candidate(...$args) {\n    return inc(...$args);\n}\n\nfunction test(): void {\n'
        '    if (candidate(1) !== 2) { throw new Exception("Test failed!"); }\n'
        '    if (candidate(41) !== 42) { throw new Exception("Test failed!"); }\n}\n\ntest();',
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """It is run as it stands."""
        return ((tool["php"], self.file),)

    def ending(self, end: str, statement: str) -> str:
        """After the call of the tests."""
        return f"{end}\n{statement}"
