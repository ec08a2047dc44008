"""The filter, run by a small interpreter of classic BPF: so the table of the other processor is tested here too."""

from __future__ import annotations

import pytest

from buril.sandboxes import _seccomp as seccomp
from buril.sandboxes._seccomp import ALLOW, AUDIT_ARCH, DENIED, ENOSYS, EPERM, ERRNO, KILL, KILLED, TABLES, program

MACHINES = sorted(TABLES)
GETPID = {"x86_64": 39, "aarch64": 172}


def answer(machine: str, number: int, first: int = 0, *, arch: int | None = None) -> int:
    data = {0: number, 4: AUDIT_ARCH[machine] if arch is None else arch, 16: first}
    lines, place, held = program(machine), 0, 0
    while True:
        code, yes, no, operand = lines[place]
        place += 1
        if code == seccomp._RET:
            return operand
        if code == seccomp._LOAD:
            held = data[operand]
            continue
        tests = {seccomp._JEQ: held == operand, seccomp._JGE: held >= operand, seccomp._JSET: bool(held & operand)}
        place += yes if tests[code] else no


@pytest.mark.parametrize("machine", MACHINES)
def test_every_listed_call_gets_its_answer(machine: str) -> None:
    table = TABLES[machine]
    for names, wanted in ((KILLED, KILL), (DENIED, ERRNO | EPERM), (["clone3"], ERRNO | ENOSYS)):
        for name in names:
            if name in table:
                assert answer(machine, table[name]) == wanted, name
    assert answer(machine, GETPID[machine]) == ALLOW
    assert len(set(table.values())) == len(table), "no number stands twice"
    assert not set(table) - {*KILLED, *DENIED, "clone", "clone3", "socketpair"}, "no entry without an answer"
    assert "unshare" in KILLED and "socket" in DENIED


@pytest.mark.parametrize("machine", MACHINES)
def test_answers_that_depend_on_an_argument(machine: str) -> None:
    table = TABLES[machine]
    assert answer(machine, table["clone"], 0x11) == ALLOW == answer(machine, table["clone"], 0x3D0F00)
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert answer(machine, table["clone"], 0x11 | flag) == KILL
    assert answer(machine, table["socketpair"], 1) == ALLOW
    assert answer(machine, table["socketpair"], 2) == ERRNO | EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_ends_the_process(machine: str) -> None:
    assert answer(machine, GETPID[machine], arch=0x40000003) == KILL
    assert all(value < 256 for _, *jumps, _ in program(machine) for value in jumps)
    if machine == "x86_64":
        assert answer(machine, 0x40000000 + 39) == KILL
