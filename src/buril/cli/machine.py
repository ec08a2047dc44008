"""What this machine has: cores, memory, vector units, graphics cards, disk; read from the system, nothing imported."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from buril.core.machine import cpus, memory_mb

# what each flag of the kernel means for training and serving small models; the first of a line that is there is told
FEATURES: tuple[tuple[str, str], ...] = (
    ("amx_tile", "AMX"),
    ("avx512_bf16", "AVX-512 BF16"),
    ("avx512f", "AVX-512"),
    ("avx2", "AVX2"),
    ("sve", "SVE"),
    ("bf16", "BF16"),
    ("asimd", "NEON"),
)
GPU_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Gpu:
    """A graphics card as `nvidia-smi` tells it; `memory_mb` of 10^6 bytes."""

    name: str
    memory_mb: float


@dataclass(frozen=True)
class Hardware:
    """A machine. `cores` are those this process may use; `*_mb` are 10^6 bytes, memory inside the container's limit."""

    cores: int
    memory_mb: float
    free_memory_mb: float
    features: tuple[str, ...]
    gpus: tuple[Gpu, ...]


def hardware() -> Hardware:
    """This machine, looked at now."""
    total, free = memory_mb()
    return Hardware(cpus(), total, free, features(), gpus())


def features(cpuinfo: str | None = None) -> tuple[str, ...]:
    """Vector units by their common names, the strongest first.

    Example:
        `features("flags : fpu avx2 avx512f amx_tile")` → `("AMX", "AVX-512", "AVX2")`
    """
    text = _text(Path("/proc/cpuinfo")) if cpuinfo is None else cpuinfo
    line = next((line for line in text.splitlines() if line.lower().startswith(("flags", "features"))), "")
    flags = set(line.partition(":")[2].split())
    if not flags and platform.machine() in ("arm64", "aarch64"):
        flags = {"asimd"}  # every 64-bit Arm has it
    return tuple(name for flag, name in FEATURES if flag in flags)


def gpus() -> tuple[Gpu, ...]:
    """The graphics cards that `nvidia-smi` lists; none where that program is absent or fails."""
    program = shutil.which("nvidia-smi")
    if not program:
        return ()
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(  # noqa: S603  a fixed command line, the program found on the PATH
            query, capture_output=True, text=True, timeout=GPU_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    found = []
    for line in answer.stdout.splitlines() if answer.returncode == 0 else ():
        name, _comma, mebibytes = line.rpartition(",")
        if mebibytes.strip().isdigit():
            found.append(Gpu(name.strip(), int(mebibytes) * 1.048576))
    return tuple(found)


def free_disk(path: Path) -> int:
    """Bytes free where `path` is or would be."""
    there = path.resolve()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
