"""What a jail shows of this machine: the standard library and shared libraries, or all programs."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.sandboxes._seccomp import AUDIT_ARCH

CONFIGURATION_FOLDERS = ("alternatives", "mono", "R", "php", "perl", "ghc", "racket", "scala")
CONFIGURATION_FILES = ("/etc/ldc2.conf",)
"""What of /etc compilers and interpreters read: links between their versions and settings of their own, no secrets."""


def jail_plan(*, programs: bool = False, show: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Which folders of this machine the jail shows, read-only: the standard library and the shared libraries.

    With `programs` all of `/usr` instead, the configuration that installed compilers and interpreters read, and what
    `show` names.

    Raises:
        BurilError: E001 where there are no namespaces at all (not Linux), or no filter for the processor.
    """
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in AUDIT_ARCH:
        raise BurilError(
            "E001", problem=_("there is no jail for {system} on {machine}").format(system=sys.platform, machine=machine)
        )
    prefix = Path(sys.base_prefix)
    library = Path(sysconfig.get_path("stdlib"))
    folders = {
        library if prefix in (Path("/usr"), Path("/")) else prefix / "lib",
        Path(sysconfig.get_path("platstdlib", vars={"platbase": str(prefix)})),
    }
    triple = sysconfig.get_config_var("MULTIARCH") or f"{machine}-linux-gnu"
    shared = [
        Path(name) for name in (f"/usr/lib/{triple}", f"/lib/{triple}", "/usr/lib64", "/lib64", "/usr/share/zoneinfo")
    ]
    folders |= {path.resolve() for path in shared if path.is_dir()}
    if not any(path.is_dir() for path in shared[:4]):
        folders |= {path.resolve() for path in (Path("/lib"), Path("/usr/lib")) if path.is_dir()}
    if programs:
        folders |= {Path("/usr"), *_configuration(), *(path.expanduser().absolute() for path in show)}
        folders |= {path for path in map(Path, ("/bin", "/sbin", "/lib", "/lib64")) if not path.is_symlink()}
    tops = sorted(path for path in folders if path.is_dir() and not any(other in path.parents for other in folders))
    named = ("/lib", "/lib64", "/bin", "/sbin") if programs else ("/lib", "/lib64")
    links = [(name, str(Path(name).readlink())) for name in named if Path(name).is_symlink()]
    if programs:
        links.append(("/dev/fd", "/proc/self/fd"))
    hidden = [str(path) for path in (library / "site-packages", library / "dist-packages") if path.is_dir()]
    return {
        "machine": machine,
        "programs": programs,
        "folders": [str(path) for path in tops],
        "links": links,
        "hidden": hidden,
        "files": [
            name for name in ("/etc/ld.so.cache", *(CONFIGURATION_FILES if programs else ())) if Path(name).is_file()
        ],
    }


def _configuration() -> list[Path]:
    """The folders of /etc that programs need."""
    found = [Path("/etc") / name for name in CONFIGURATION_FOLDERS]
    return [path for path in (*found, *Path("/etc").glob("java-*")) if path.is_dir()]
