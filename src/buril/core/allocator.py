"""The memory that libraries keep, told to be less. It has to be told before a process starts.

glibc aligns a tensor by cutting a sliver off a larger piece. Its cache of small pieces hands those slivers out, and the
piece is, when it is freed, too small by a sliver for a tensor of its own size: a process that trains grows by a tenth
and more. Where matrices multiply in bf16, oneDNN besides keeps what it prepared for each of the last 1,024 sizes, and a
training or an examination meets new sizes all the time: a process grows by hundreds of megabytes with every one.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import sys

TUNABLES = "GLIBC_TUNABLES"
NO_CACHE = "glibc.malloc.tcache_count=0"
SIZES = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
KEPT = "64"
"""Sizes that oneDNN keeps what it prepared for: more than a step has, so that the next batch of a size is as quick."""


def frugal(environment: dict[str, str]) -> dict[str, str]:
    """An environment whose processes keep less; what a user has set stands.

    Example:
        `frugal({})` names both settings, `frugal({"GLIBC_TUNABLES": "glibc.malloc.tcache_count=16"})` changes the
        second only.
    """
    told = environment.get(TUNABLES, "")
    tunables = told if "tcache_count" in told else ":".join([*filter(None, [told]), NO_CACHE])
    return {SIZES: KEPT, **environment, TUNABLES: tunables}


def is_frugal() -> bool:
    """Whether this process has no cache of small pieces."""
    return NO_CACHE in os.environ.get(TUNABLES, "")


def start_frugally() -> None:
    """Begin this command again in such an environment, in the same process; where it is one there is nothing to do.

    It costs the start of a Python, some 20 ms, and happens on Linux with glibc only.
    """
    wanted = frugal(dict(os.environ))
    if wanted == dict(os.environ) or not sys.orig_argv[1:] or platform.libc_ver()[0] != "glibc":
        return
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)  # noqa: S606  this very command


def give_back() -> None:
    """Give the system what is free: what loading a model took and let go of again is a fifth of a small server."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library has no such call
        ctypes.CDLL(None).malloc_trim(0)
