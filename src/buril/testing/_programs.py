"""Contract checks of what runs programs: runtimes and sandboxes."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buril.core.errors import BurilError
from buril.sandboxes._sandbox import Call, Job, Limits, Program
from buril.testing._common import check_plugin, expect, make, same

# --- runtimes


def check_runtime(runtime: Any) -> None:
    """A runtime puts its mark behind the tests and, where its tools and a sandbox are here, tells right from wrong."""
    from buril.evaluate.runtimes._runtime import Runtime, capability
    from buril.sandboxes.namespaces import Namespaces

    check_plugin("runtime", runtime)
    runtime = make(runtime)
    expect(isinstance(runtime, Runtime), "a runtime is a subclass of `Runtime`")
    expect(all(runtime.tools) and runtime.package, "a runtime names its tools and what installs them")
    marked = runtime.marked(runtime.probe.tests, "THE-MARK")
    expect("THE-MARK" in marked, "the mark is not in the marked tests")
    expect(len(marked) > len(runtime.probe.tests.rstrip()), "marking the tests loses some of them")
    with contextlib.suppress(ValueError):
        runtime.marked("these are no tests", "THE-MARK")
        expect(False, "marked() takes what are no tests")
    if runtime.found() is None:
        return
    with Namespaces(Namespaces.Settings()) as sandbox:
        try:
            found = capability("it", runtime, sandbox)
        except BurilError as problem:
            same(problem.code, "E001", "a sandbox that can't isolate refuses with E001")
            return
    expect(found.works, f"right, wrong, leaving, broken come out as {', '.join(found.statuses)}: {found.detail}")


# --- sandboxes

GOOD = Job("def f(x):\n    return x + 1\n", "f", (Call((1,), 2), Call((-1,), 0)))
_SHORT = Limits(cpu_s=1, wall_s=5.0)
BAD: Mapping[str, tuple[Job, tuple[str, ...]]] = {
    "a wrong value": (Job("def f(x):\n    return x\n", "f", (Call((1,), 2),)), ("wrong",)),
    "an exception": (Job("def f(x):\n    return 1 // 0\n", "f", (Call((1,), 2),)), ("error",)),
    "a broken text": (Job("def f(:\n", "f", (Call((1,), 2),)), ("error",)),
    "another entry": (Job("def g(x):\n    return 2\n", "f", (Call((1,), 2),)), ("error",)),
    "an endless loop": (
        Job("def f(x):\n    while True:\n        pass\n", "f", (Call((1,), 2),), _SHORT),
        ("timeout_cpu", "timeout_wall"),
    ),
    "an early exit": (Job("import os\ndef f(x):\n    os._exit(0)\n", "f", (Call((1,), 2),)), ()),
    "an equal-to-all": (
        Job("class All(int):\n    def __eq__(self, other):\n        return True\n    __hash__ = None\n"
            "def f(x):\n    return All(9)\n", "f", (Call((1,), 2),)), (),
    ),
}  # fmt: skip
"""Programs that must not pass, and how each may come out (nothing named: in any way but `pass`)."""


def check_sandbox(sandbox: Any) -> None:
    """A sandbox lists its protections, judges known programs right, and lets none out; else it refuses with E001.

    It stays open. On a machine that allows no isolation the refusal is what is checked.
    """
    check_plugin("sandbox", sandbox)
    sandbox = make(sandbox)
    listed = sandbox.capabilities()
    expect(listed and all(item.name for item in listed), "capabilities() lists nothing: `buril doctor` shows it")
    expect(len({item.name for item in listed}) == len(listed), "two capabilities have one name")
    lacking = [item.name for item in listed if not item.available]
    try:
        good = sandbox.run(GOOD)
    except BurilError as problem:
        same(problem.code, "E001", "a sandbox that can't isolate refuses with E001")
        expect(lacking, "the sandbox refuses, though it says that all protections are available")
        return
    expect(good.passed, f"a right program does not pass: {good.status} {good.detail}")
    expect(not good.forgeable, "expected values are within the candidate's reach")
    verdicts = list(sandbox.run_all([job for job, _statuses in BAD.values()]))
    expect(len(verdicts) == len(BAD), "run_all() gives another number of verdicts than of jobs")
    for (name, (_job, statuses)), verdict in zip(BAD.items(), verdicts, strict=True):
        expect(not verdict.passed, f"{name} passes")
        expect(not statuses or verdict.status in statuses, f"{name} comes out as {verdict.status}, not {statuses}")
    _check_programs(sandbox)
    _check_walls(sandbox)
    expect(sandbox.run(GOOD).passed, "after bad programs a right one no longer passes")


def _check_programs(sandbox: Any) -> None:
    """Files and commands in any language run one after another, as far as they end with 0."""
    shell, script = "/bin/sh", "cat b >c; ls /etc/passwd 2>/dev/null || echo alone"
    programs = [
        Program({"a.sh": script, "b": "text"}, ((shell, "a.sh"), ("/bin/cat", "c"))),
        Program({}, ((shell, "-c", "exit 3"), ("/bin/echo", "no"))),
        Program({}, ((shell, "-c", "kill -9 $$"),)),
    ]
    good, bad, killed = sandbox.execute_all(programs)
    same((good.status, good.command, good.code), ("pass", 1, 0), "a right program does not end as it should")
    same(good.out, "alone\ntext", "a program prints something else, or sees the machine's files")
    same((bad.status, bad.command, bad.code, bad.out), ("error", 0, 3, ""), "a command that fails is not the last")
    same((killed.status, killed.code), ("error", -9), "a command that is killed does not say so")


def _check_walls(sandbox: Any) -> None:
    """The candidate reads no file of the machine and reaches no port of it."""
    with tempfile.TemporaryDirectory(prefix="buril-walls-") as folder, contextlib.closing(socket.socket()) as server:
        secret = Path(folder) / "secret.txt"
        secret.write_text("a secret of the machine", encoding="utf-8")
        server.bind(("127.0.0.1", 0))
        server.listen()
        reading = "def f(path):\n    return open(path).read()\n"
        calling = "import socket\ndef f(port):\n    socket.create_connection(('127.0.0.1', port), 2)\n    return True\n"
        read = sandbox.run(Job(reading, "f", (Call((str(secret),), secret.read_text(encoding="utf-8")),)))
        expect(not read.passed, "a candidate reads files of the machine")
        called = sandbox.run(Job(calling, "f", (Call((server.getsockname()[1],), True),)))
        expect(not called.passed, "a candidate reaches the network")
