"""What the processes of a jail use, read from the host's /proc: the sum that per-process limits do not bound."""

from __future__ import annotations

from pathlib import Path


def children(pid: int) -> list[int]:
    """The direct children of a process; empty when it is gone or the kernel does not tell."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        pass
    return found


def descendants(pid: int) -> list[int]:
    """All processes below one, parents first."""
    found = children(pid)
    for child in found:  # grows while it is walked
        found.extend(children(child))
    return found


def private_kb(pid: int) -> int:
    """Anonymous and shared memory of a process in kB, without mapped files; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def jail_kb(launcher: int) -> int:
    """Memory in kB that a job's processes hold beyond what they inherited, summed.

    Pages that two processes share count twice: an upper bound, so that no number of children evades the limit.
    """
    zygotes = children(launcher)
    inits = children(zygotes[0]) if zygotes else []
    if not inits:
        return 0
    inherited = private_kb(inits[0])
    return sum(max(0, private_kb(pid) - inherited) for pid in descendants(inits[0]))
