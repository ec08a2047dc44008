"""PHP: the command line interpreter."""

from __future__ import annotations

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
    after: ClassVar[bool] = True
    probe: ClassVar[Probe] = Probe(
        "<?php\nfunction inc($n) {\n", "    return $n + 1;\n}\n", "    return $n;\n}\n", "    exit(0);\n}\n",
        "    return (;\n}\n",
        'function candidate(...$args) {\n    return inc(...$args);\n}\n\nfunction test(): void {\n'
        '    if (candidate(1) !== 2) { throw new Exception("Test failed!"); }\n'
        '    if (candidate(41) !== 42) { throw new Exception("Test failed!"); }\n}\n\ntest();',
    )  # fmt: skip
