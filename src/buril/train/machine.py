"""What the machine offers to training: number formats, threads, and an allocator that keeps what it has."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # loaded when training begins
    import torch

Precision = Literal["auto", "bf16", "fp16", "fp32"]
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Numbers of glibc's `mallopt` options (malloc.h)."""
_MADV_DONTNEED = 4
"""Of `madvise` (madvise(2))."""
NVIDIA = Path("/proc/driver/nvidia/version")


def resolve_precision(precision: Precision, device: str = "auto") -> Literal["bf16", "fp16", "fp32"]:
    """`bf16` where the hardware multiplies it natively, else `fp32`; what is named outright stays as named.

    It asks for instructions, never for a stopwatch: the choice bears identity, so it must not change between runs on
    one machine. Measured on AMD Zen 4 (avx512_bf16, no AMX): bf16 multiplies 2.4 times as fast as fp32, a LoRA step
    of a 135M model takes 0.6 of the time and half of the memory. Without such instructions bf16 is emulated and slower.
    torch is imported only where there is a GPU to ask.
    """
    if precision != "auto":
        return precision
    if device != "cpu" and NVIDIA.exists():
        import torch

        if torch.cuda.is_available():
            return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp32"
    return "bf16" if _cpu_multiplies_bf16() else "fp32"


def _cpu_multiplies_bf16() -> bool:
    from buril.generators._load import cpu_has_bf16

    return cpu_has_bf16()


def keep_memory() -> bool:
    """Tell glibc to keep freed memory in the process instead of giving it back to the kernel; False elsewhere.

    A training step frees and asks for the same large temporaries thousands of times. By default glibc maps each of
    them anew and the kernel fills them with zeros, page by page; kept memory is used again at once. It costs 0–2 GB of
    resident memory and saves up to a third of a step, more where many cores share one kernel lock. It lasts for the
    life of the process and changes no numbers.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl has neither the name nor the habit
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def forget_pages(tensor: torch.Tensor) -> None:
    """Give back the pages that a tensor lies in, where they are those of a mapped file; elsewhere do nothing.

    They were read for a copy in another format and would count as this process's memory as long as any other tensor of
    the file is in use. Whoever asks for them again gets them from the file; the tensor must not have been written to.
    """
    if tensor.device.type != "cpu" or sys.platform != "linux":
        return
    page = os.sysconf("SC_PAGE_SIZE")
    begin, size = tensor.data_ptr(), tensor.numel() * tensor.element_size()
    first, last = -(-begin // page) * page, (begin + size) // page * page
    if last > first and _in_file(begin, size):
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTNEED)


def _in_file(begin: int, size: int) -> bool:
    """Whether an address range is mapped from one file, by what Linux says of this process (proc_pid_maps(5))."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        place, _mode, _offset, _device, inode, *_path = line.split(maxsplit=5)
        first, last = (int(number, 16) for number in place.split("-"))
        if first <= begin < last:
            return inode != "0" and begin + size <= last
    return False


def quieten() -> None:
    """Keep progress bars and notices of the libraries' own future off the terminal: it is the run's."""
    from transformers.utils import logging

    from buril.generators._load import hush_bitsandbytes

    logging.disable_progress_bar()
    hush_bitsandbytes()
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers|peft")


def prepare_torch(threads: int) -> dict[str, Any]:
    """Set torch to give the same bits each time, and say what they depend on besides: threads and processor.

    Sums are split among threads, so another number of threads gives other last bits: it is recorded, not hidden.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    if threads:
        torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # only costs
    return {
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "kept_memory": keep_memory(),
        "torch": torch.__version__,
    }
