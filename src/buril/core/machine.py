"""What this process may use of its machine: processors and memory inside affinity and control groups.

`os.cpu_count()` tells the processors of the machine, also in a container that was given two of its 128; a pool sized by
it is slow and is killed for memory. Source: the kernel's cgroup-v2 and cgroup-v1 documentation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def cpus(root: Path = _GROUPS) -> int:
    """Processors this process may use: its affinity, within the quota of every control group that it is in."""
    affinity = getattr(os, "sched_getaffinity", None)  # absent on macOS
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    for group in _groups(root, "cpu"):
        quota, _space, period = _text(group / "cpu.max").partition(" ")
        quota, period = quota or _text(group / "cpu.cfs_quota_us"), period or _text(group / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():
            count = min(count, max(1, int(quota) // int(period)))
    return count


def memory_mb(root: Path = _GROUPS) -> tuple[float, float]:
    """Memory in all and free now, in 10^6 bytes, within the control groups' limits; 0 where the system tells nothing.

    What the page cache holds counts as free: the kernel gives it back before it kills.
    """
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    except (ValueError, OSError):
        return 0.0, 0.0
    lines = (line.split() for line in _text(Path("/proc/meminfo")).splitlines())
    free = next((int(line[1]) * 1024 / 1e6 for line in lines if line[:1] == ["MemAvailable:"]), total)
    for group in _groups(root, "memory"):
        limit = _text(group / "memory.max") or _text(group / "memory.limit_in_bytes")
        if limit.isdigit() and int(limit) / 1e6 < total:
            total = int(limit) / 1e6
            used = _text(group / "memory.current") or _text(group / "memory.usage_in_bytes")
            stat = dict(line.split(maxsplit=1) for line in _text(group / "memory.stat").splitlines() if " " in line)
            held = int(used or 0) - int(stat.get("inactive_file", 0)) - int(stat.get("active_file", 0))
            free = min(free, total - max(0, held) / 1e6)
    return total, free


def cache_home() -> Path:
    """Where a user's caches lie: `XDG_CACHE_HOME`, else `~/.cache`. Without any home, where nothing can be kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base) if base else Path.home() / ".cache"
    except RuntimeError:
        return Path(os.devnull)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control groups, from its own up to the top; both versions."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        inner = base / path.lstrip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder == base or base in folder.parents)


def _text(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8").strip()
    return ""
