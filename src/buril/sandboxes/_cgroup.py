"""A control group for a jail, where this machine lets us make one: the kernel bounds its memory and processes as sums.

Limits of a process don't add up, and who watches from outside sees a sum only now and then. Version 1 has a tree for
each controller, version 2 one for all, in which a group may have limits where those above hand the controllers on (a
delegated service, a container with its own root). Where there is neither, the other limits stand alone.

Source: the kernel's documentation, admin-guide/cgroup-v1/memory, cgroup-v1/pids and cgroup-v2.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

PREFIX = "buril-"
MARGIN_MB = 64
"""What a jail may hold beyond its job's memory and disk: the launcher, the zygote, pages of the libraries."""
MARGIN_PROCESSES = 8
TRIES, PAUSE_S = 50, 0.01
"""How often a group is tried to be removed: its last process may take a moment to be gone."""
_NUMBERS = itertools.count()


@dataclass
class Cgroup:
    """One group: its folder for memory, and that for processes (the same in version 2)."""

    memory: Path
    pids: Path
    second_version: bool
    _limits: tuple[int, int] = (0, 0)
    _kills: int = 0

    @property
    def entrances(self) -> list[str]:
        """The files that a process writes 0 to in order to be in the group with all its children."""
        return sorted({str(folder / "cgroup.procs") for folder in (self.memory, self.pids)})

    def limit(self, memory_mb: int, processes: int) -> None:
        """Bound what follows; what can't be set stays as it was."""
        wanted = ((memory_mb + MARGIN_MB) << 20, processes + MARGIN_PROCESSES)
        if wanted == self._limits:
            return
        name = "memory.max" if self.second_version else "memory.limit_in_bytes"
        for path, value in ((self.memory / name, wanted[0]), (self.pids / "pids.max", wanted[1])):
            with contextlib.suppress(OSError):
                path.write_text(str(value), encoding="ascii")
        self._limits = wanted

    def killed(self) -> bool:
        """Whether memory ran out since this was asked last."""
        name = "memory.events" if self.second_version else "memory.oom_control"
        try:
            words = (self.memory / name).read_text(encoding="ascii").split()
            kills = int(words[words.index("oom_kill") + 1])
        except (OSError, ValueError, IndexError):
            return False
        before, self._kills = self._kills, kills
        return kills > before

    def remove(self) -> None:
        """Remove the group, once its processes are gone."""
        for folder in {self.memory, self.pids}:
            for _try in range(TRIES):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(PAUSE_S)
                else:
                    break


def make() -> Cgroup | None:
    """A new group below our own; None where this machine does not let us."""
    name = f"{PREFIX}{os.getpid()}-{next(_NUMBERS)}"
    for places, second_version in _places():
        made: list[Path] = []
        try:
            for folder in dict.fromkeys(places):
                _tidy(folder)
                (folder / name).mkdir()
                made.append(folder / name)
            group = Cgroup(made[0], made[-1], second_version)
            if (group.memory / ("memory.max" if second_version else "memory.limit_in_bytes")).exists() and (
                group.pids / "pids.max"
            ).exists():
                return group
        except OSError:
            pass
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
    return None


def _places() -> list[tuple[tuple[Path, Path], bool]]:
    """Our own folders for memory and processes, in each version that is mounted."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    mine = {kinds: path for _number, kinds, path in (line.split(":", 2) for line in own)}
    found: dict[str, Path] = {}
    for line in mounts:
        before, _dash, after = line.partition(" - ")
        root, place = before.split()[3:5]
        kind, _source, options = after.split(" ", 2)
        for controller in ("memory", "pids"):
            path = next((path for kinds, path in mine.items() if controller in kinds.split(",")), None)
            if kind == "cgroup" and controller in options.split(",") and path is not None:
                found[controller] = _below(place, root, path)
        if kind == "cgroup2" and "" in mine:
            found["both"] = _below(place, root, mine[""])
    places = [((found["memory"], found["pids"]), False)] if {"memory", "pids"} <= found.keys() else []
    return [*places, *([((found["both"], found["both"]), True)] if "both" in found else [])]


def _below(place: str, root: str, path: str) -> Path:
    """A group's folder: `path` is told from the hierarchy's root, of which `root` is what is mounted at `place`."""
    return Path(place) / path.removeprefix(root.rstrip("/")).lstrip("/")


def _tidy(folder: Path) -> None:
    """Remove groups of runs that were killed."""
    for left in folder.glob(f"{PREFIX}*-*"):
        number = re.fullmatch(rf"{PREFIX}(\d+)-\d+", left.name)
        if number and not Path(f"/proc/{number[1]}").exists():
            with contextlib.suppress(OSError):
                left.rmdir()
