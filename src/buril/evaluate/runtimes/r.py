"""R: the command line interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class R(Runtime):
    """R."""

    code: ClassVar[str] = "r"
    tools: ClassVar[tuple[str, ...]] = ("Rscript",)
    package: ClassVar[str] = "r-base-core"
    file: ClassVar[str] = "program.R"
    end: ClassVar[str] = r"\ntest_humaneval\(\)"
    mark: ClassVar[str] = 'cat("{}\\n")'
    fence: ClassVar[str] = "r"
    after: ClassVar[bool] = True
    probe: ClassVar[Probe] = Probe(
        "inc <- function(n) {\n", "    return(n + 1)\n}\n", "    return(n)\n}\n", "    quit(status = 0)\n}\n",
        "    return((\n}\n",
        "test_humaneval <- function() {\n    candidate <- inc\n    stopifnot(isTRUE(all.equal(candidate(1), 2)))\n"
        "    stopifnot(isTRUE(all.equal(candidate(41), 42)))\n}\ntest_humaneval()",
    )  # fmt: skip

    def commands(self, tool: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """It is run as it stands."""
        return ((tool["Rscript"], "--vanilla", self.file),)
