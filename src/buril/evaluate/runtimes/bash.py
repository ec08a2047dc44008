"""Bash: functions that print their result."""

from __future__ import annotations

from typing import ClassVar

from buril.evaluate.runtimes._runtime import Probe, Runtime


class Bash(Runtime):
    """Bash."""

    code: ClassVar[str] = "sh"
    tools: ClassVar[tuple[str, ...]] = ("bash",)
    package: ClassVar[str] = "bash"
    file: ClassVar[str] = "program.sh"
    end: ClassVar[str] = r"\nrun_test"
    mark: ClassVar[str] = "echo {}"
    fence: ClassVar[str] = "bash"
    after: ClassVar[bool] = True
    probe: ClassVar[Probe] = Probe(
        "#!/bin/bash\n# $1 is an integer\ninc() {\n", "    echo $(($1 + 1))\n", "    echo $1\n",
        "    :\n}\nexit 0\ninc() {\n    :\n",
        "    if ; (\n",
        '}\n\ncandidate() {\n    inc "$@"\n}\n\nset -e\nrun_test() {\n    [[ $(candidate "1") = "2" ]]\n'
        '    [[ $(candidate "41") = "42" ]]\n}\n\nrun_test',
    )  # fmt: skip
