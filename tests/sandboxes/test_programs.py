"""Programs in the sandbox: any command of the machine, and nothing of the machine. All attacks are bounded."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from buril.sandboxes import _worker
from buril.sandboxes._sandbox import PROGRAM_LIMITS, Limits, Outcome, Program
from buril.sandboxes._watch import descendants
from buril.sandboxes._worker import outcome_of
from buril.sandboxes.namespaces import Namespaces

BASH = "/bin/bash"


def bash(sandbox: Namespaces, script: str, limits: Limits = PROGRAM_LIMITS) -> Outcome:
    return sandbox.execute(Program({"script.sh": script}, ((BASH, "script.sh"),), limits=limits))


# --- honest programs


def test_files_and_commands_one_after_another(sandbox: Namespaces) -> None:
    files = {"a/b.txt": "ñandú\n", "c.sh": "cat a/b.txt > d; echo $WORD"}
    found = sandbox.execute(Program(files, ((BASH, "c.sh"), ("/bin/cat", "d")), {"WORD": "word"}))
    assert (found.status, found.command, found.code, found.out) == ("pass", 1, 0, "word\nñandú\n")


def test_a_command_that_fails_is_the_last(sandbox: Namespaces) -> None:
    found = sandbox.execute(Program({}, (("/bin/true",), ("/bin/false",), ("/bin/echo", "no"))))
    assert (found.status, found.command, found.code, found.out) == ("error", 1, 1, "")
    assert found.detail == "command 2 ended with 1"


def test_a_program_that_is_not_there_says_so(sandbox: Namespaces) -> None:
    found = sandbox.execute(Program({}, (("/usr/bin/no-such-program",),)))
    assert (found.status, found.code) == ("error", 127) and "no-such-program: No such file" in found.out


def test_what_is_compiled_runs(sandbox: Namespaces) -> None:
    source = '#include <stdio.h>\nint main(void) { puts("compiled"); return 7; }\n'
    found = sandbox.execute(Program({"a.c": source}, (("/usr/bin/gcc", "a.c", "-o", "a"), ("./a",))))
    assert (found.command, found.code, found.out) == (1, 7, "compiled\n")


def test_a_folder_that_is_named_is_seen_and_can_not_be_changed(sandbox: Namespaces) -> None:
    """Outside of `/tmp`, which is the jail's own; another sandbox, which names nothing, has no such place."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "lib.txt").write_text("shown")
        script = f"cat {folder}/lib.txt; touch {folder}/new || echo ' and no more'"
        with Namespaces(Namespaces.Settings(show=(Path(folder),), workers=1)) as showing:
            found = bash(showing, script)
        assert found.out.startswith("shown") and found.out.endswith("and no more\n")
        assert not bash(sandbox, script).out.startswith("shown")
    assert Namespaces.Settings(show=(Path("/srv/a"),)).identity()["show"] == ["/srv/a"]


@pytest.mark.parametrize("path", ["/", "/tmp/venv", "/etc", "/proc/1", "/srv/../etc"])
def test_what_the_jail_has_its_own_of_is_not_shown(path: str) -> None:
    with pytest.raises(ValidationError, match="can't be shown"):
        Namespaces.Settings(show=(Path(path),))


def test_outcomes_come_in_the_order_of_the_programs(sandbox: Namespaces) -> None:
    programs = [Program({}, ((BASH, "-c", f"sleep 0.{5 - n}; echo {n}"),)) for n in range(5)]
    assert [found.out for found in sandbox.execute_all(programs)] == [f"{n}\n" for n in range(5)]


# --- hostile programs

ATTACKS = {
    "the machine's files": "for f in /etc/shadow /etc/passwd /etc/ssh /home /root/.ssh /var /sys /run /opt/x; do "
    "test -e $f && exit 1; done; ln -s /etc/shadow l; test -e l && exit 1; exit 0",
    "write outside": "for f in /x /usr/x /etc/x /dev/x /usr/bin/env /proc/sys/kernel/hostname; do "
    "(echo x >> $f) 2>/dev/null && exit 1; done; exit 0",
    "the machine's processes": "test $(ls -d /proc/[0-9]* | wc -l) -lt 8 || exit 1; "
    "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q '[p]ytest' && exit 1; exit 0",
    "the runner": "for p in 1 2; do for f in environ maps mem; do cat /proc/$p/$f >o 2>/dev/null && "
    "grep -q nonce o && exit 1; done; done; for d in 3 4 5; do (echo '{}' > /proc/2/fd/$d) 2>/dev/null && exit 1; done; "
    "exit 0",
    "network": "(echo > /dev/tcp/127.0.0.1/PORT) 2>/dev/null && exit 1; exit 0",
    "set-user-id programs": "for f in /usr/bin/su /usr/bin/passwd /bin/mount; do test -e $f || continue; "
    "$f -c id </dev/null 2>/dev/null | grep -q 'uid=0' && exit 1; done; test $(id -u) -ne 0",
    "rights": "grep -q 'CapEff:.0000000000000000' /proc/self/status && grep -q 'NoNewPrivs:.1' /proc/self/status && "
    "grep -q 'Seccomp:.2' /proc/self/status",
    "mounts": "mount -t tmpfs x /tmp 2>/dev/null && exit 1; umount /proc 2>/dev/null && exit 1; "
    "unshare -r true 2>/dev/null && exit 1; exit 0",
    "disk": "for d in /tmp /dev/shm; do dd if=/dev/zero of=$d/a bs=1M count=600 2>/dev/null && exit 1; "
    "test $(stat -c %s $d/a) -le $((256 << 20)) || exit 1; rm $d/a; done; exit 0",
    "environment": "env | cut -d= -f1 | grep -qxE 'PYTHONPATH|VIRTUAL_ENV|USER|SHELL|HF_HOME' && exit 1; exit 0",
}


@pytest.mark.parametrize("name", list(ATTACKS))
def test_attack_is_contained(sandbox: Namespaces, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = bash(sandbox, ATTACKS[name].replace("PORT", str(server.getsockname()[1])))
        assert found.status == "pass", found
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert not any(len(descendants(pid)) > 1 for pid in _launchers(sandbox)), "nothing is left behind"


def _launchers(sandbox: Namespaces) -> list[int]:
    return [worker._process.pid for worker in sandbox._programs._workers if worker._process]


def test_a_fork_bomb_is_bounded(sandbox: Namespaces) -> None:
    limits = replace(PROGRAM_LIMITS, processes=20, wall_s=10)
    script = "n=0; for i in $(seq 60); do sleep 3 & n=$((n+1)); done 2>/dev/null; echo $(ls -d /proc/[0-9]* | wc -l)"
    found = bash(sandbox, script, limits)
    assert found.status != "pass" or int(found.out.split()[-1]) <= 26, found
    assert bash(sandbox, "echo on").out == "on\n"


def test_what_is_left_behind_ends_with_the_job(sandbox: Namespaces) -> None:
    started = time.monotonic()
    assert bash(sandbox, "setsid sleep 30 & disown; (sleep 30 &) ; exit 0").status == "pass"
    assert time.monotonic() - started < 10
    assert not any(len(descendants(pid)) > 1 for pid in _launchers(sandbox))


def test_killing_all_is_no_pass(sandbox: Namespaces) -> None:
    assert bash(sandbox, "kill -9 -1; sleep 1").status == "error"
    assert bash(sandbox, "echo on").status == "pass", "the worker serves on"


def test_memory_of_many_processes_is_bounded(sandbox: Namespaces) -> None:
    limits = replace(PROGRAM_LIMITS, memory_mb=200, wall_s=20)
    hold = "/usr/bin/perl -e '$x = \"x\" x 60_000_000; sleep 20' &"
    assert bash(sandbox, f"{hold} {hold} {hold} {hold} {hold} wait", limits).status == "oom"


@pytest.mark.parametrize(
    ("script", "limits", "status"),
    [
        ("while true; do :; done", replace(PROGRAM_LIMITS, cpu_s=1), "timeout_cpu"),
        ("trap '' TERM INT HUP XCPU; sleep 30", replace(PROGRAM_LIMITS, wall_s=0.5), "timeout_wall"),
        ("yes", replace(PROGRAM_LIMITS, output_kb=64), "output_limit"),
    ],
)
def test_limits_end_it(sandbox: Namespaces, script: str, limits: Limits, status: str) -> None:
    found = bash(sandbox, script, limits)
    assert found.status == status and found.detail, found
    assert bash(sandbox, "echo on").status == "pass", "the worker serves on"


def test_a_forbidden_system_call_names_itself(sandbox: Namespaces) -> None:
    found = sandbox.execute(
        Program({}, (("/usr/bin/perl", "-e", f"syscall({_PTRACE[os.uname().machine]}, 0, 0, 0, 0)"),))
    )
    assert found.status == "sandbox_violation"


_PTRACE = {"x86_64": 101, "aarch64": 117}


def test_an_answer_that_is_not_the_runners_counts_for_nothing() -> None:
    program = Program({}, (("/bin/true",), ("/bin/true",)))
    run = _worker.Run(end="done", code=0)
    assert outcome_of(program, run, []).status == "error"
    assert outcome_of(program, run, [{"code": 0}]).status == "error", "one of two"
    assert outcome_of(program, run, [{"code": True}, {"code": "0"}]).status == "error"
    assert outcome_of(program, run, [{"code": 0}, {"code": 0}]).status == "pass"


def test_a_signal_for_the_time_counts_however_the_time_is_told() -> None:
    program = Program({}, (("/bin/true",),), limits=replace(PROGRAM_LIMITS, cpu_s=1))
    ended = _worker.Run(end="done", code=0, cpu_ms=996)
    assert outcome_of(program, ended, [{"code": -24}]).status == "timeout_cpu"
    assert outcome_of(program, ended, [{"code": -9}]).status == "error", "killed by someone"
