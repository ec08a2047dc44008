"""Packages by name from PyPI, npm and Debian, fetched by their own clients and unpacked into a cache.

No client is let near a project's code: pip takes wheels alone (an sdist would have to be built to be understood), npm
packs what the registry holds and runs no scripts, apt downloads and does not unpack. Versions that are here already
are not asked for again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from buril.core.artifact import atomic, sha256_file
from buril.core.errors import BurilError
from buril.data.source import Dropped
from buril.data.sources import _archives, _debian
from buril.data.sources._cache import locked

TIMEOUT_S = 900
META, FILES, COPYRIGHT = "package.json", "files", "copyright"
_PIP = re.compile(r"(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)(?:==(?P<version>\d[\w.!+-]*))?")
_NPM = re.compile(r"(?P<name>(?:@[a-z0-9~-][\w.~-]*/)?[A-Za-z0-9~][\w.~-]*)(?:@(?P<version>[\w.^~*+-]+))?")
_DEBIAN = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)(?:=(?P<version>\d[\w.:+~-]*))?")
_EXACT = re.compile(r"\d+\.\d+\.\d+(?:[-+][\w.+-]+)?")
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64", "any")
FORMS: Mapping[str, re.Pattern[str]] = {"pypi": _PIP, "npm": _NPM, "debian": _DEBIAN}


@dataclass(frozen=True)
class Wanted:
    """A package to have: `registry` is `pypi`, `npm` or `debian`; `version` "" for whichever is current."""

    registry: str
    name: str
    version: str = ""
    python: str = ""
    lists: tuple[str, ...] = ()

    @property
    def pinned(self) -> bool:
        """Whether it names one version for good."""
        return bool(self.version) and (self.registry != "npm" or _EXACT.fullmatch(self.version) is not None)


@dataclass(frozen=True)
class Fetched:
    """A package that is here: its unpacked files are below `folder`/files."""

    registry: str
    name: str
    version: str
    archives: dict[str, str] = field(default_factory=dict)
    """File name → SHA-256."""
    left_out: list[Dropped] = field(default_factory=list)
    folder: Path = Path()
    offline: bool = False


def wanted(registry: str, text: str) -> Wanted:
    """What a line of the settings asks for.

    Raises:
        ValueError: it is no name with an optional version.
    """
    found = FORMS[registry].fullmatch(text.strip())
    if found is None:
        sign = {"pypi": "==", "npm": "@", "debian": "="}[registry]
        raise ValueError(f"{text!r} is no name of a package; write NAME or NAME{sign}VERSION")
    name = re.sub(r"[-_.]+", "-", found["name"]).lower() if registry == "pypi" else found["name"]
    return Wanted(registry, name, found["version"] or "")


def kept(want: Wanted, cache_dir: Path) -> Fetched | None:
    """A pinned version that is here already."""
    if not want.pinned:
        return None
    return _read(_folder(cache_dir, want.registry, want.name, want.version))


@cache
def have(want: Wanted, cache_dir: Path) -> Fetched:
    """A package, fetched when it is not here; a name without a version is asked for once a process.

    Where the network fails and an earlier version is here, that one is taken, and `offline` says so.

    Raises:
        BurilError: D012 when the client can't get it, D013 when the client is missing, D017 when it has no wheel,
            D018 when its archive is broken, D019 when apt knows no sources.
    """
    found = kept(want, cache_dir)
    if found is not None:
        return found
    base = cache_dir / want.registry / _safe(want.name)
    with locked(base):
        found = kept(want, cache_dir)
        if found is not None:
            return found
        base.mkdir(parents=True, exist_ok=True)
        for leftover in base.glob(".new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            return _fetch(want, cache_dir, base)
        except BurilError as problem:
            last = base / f"latest-{hashlib.sha256(repr(want).encode()).hexdigest()[:12]}"
            known = (
                _read(base / last.read_text(encoding="utf-8")) if last.is_file() and problem.code == "D012" else None
            )
            if known is None:
                raise
            return Fetched(**{**vars(known), "offline": True})


def _fetch(want: Wanted, cache_dir: Path, base: Path) -> Fetched:
    with tempfile.TemporaryDirectory(prefix=".new-", dir=base) as name:
        new = Path(name) / "package"
        (new / FILES).mkdir(parents=True)
        down = Path(name) / "down"
        down.mkdir()
        clients: Mapping[str, Callable[[Wanted, Path, Path], str]] = {"pypi": _pip, "npm": _npm}
        version = (
            clients[want.registry](want, down, new) if want.registry in clients else _apt(want, down, new, cache_dir)
        )
        final = _folder(cache_dir, want.registry, want.name, version)
        last = base / f"latest-{hashlib.sha256(repr(want).encode()).hexdigest()[:12]}"
        known = _read(final)
        if known is None:
            if final.exists():
                shutil.rmtree(final)
            new.rename(final)
            known = _read(final)
        assert known is not None  # it was written just now
        with atomic(last) as temporary:
            temporary.write_text(final.name, encoding="utf-8")
        return known


def _keep(want: Wanted, version: str, archives: Mapping[Path, str], new: Path) -> str:
    """Unpack archives (each into a folder of the package) and write down what they were; gives the version back."""
    left_out: list[Dropped] = []
    for archive, inner in archives.items():
        found = _archives.unpack(archive, new / FILES / inner)
        left_out.extend(item._replace(path=f"{inner}/{item.path}" if inner else item.path) for item in found)
    told = {
        "registry": want.registry,
        "name": want.name,
        "version": version,
        "archives": {path.name: sha256_file(path) for path in archives},
        "left_out": [list(item) for item in left_out],
    }
    (new / META).write_text(json.dumps(told), encoding="utf-8")
    return version


def _read(folder: Path) -> Fetched | None:
    try:
        told = json.loads((folder / META).read_text(encoding="utf-8", errors="surrogatepass"))
    except (OSError, ValueError):
        return None
    told["left_out"] = [Dropped(*item) for item in told["left_out"]]
    return Fetched(**told, folder=folder)


def _folder(cache_dir: Path, registry: str, name: str, version: str) -> Path:
    return cache_dir / registry / _safe(name) / _safe(version)


def _safe(text: str) -> str:
    return text.replace("/", "__").replace(":", "%3a").lstrip(".") or "_"


# --- the clients


def _pip(want: Wanted, down: Path, new: Path) -> str:
    spec = f"{want.name}=={want.version}" if want.version else want.name
    digits = want.python.replace(".", "")
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--quiet",
        "--progress-bar=off",
        "--disable-pip-version-check",
        "--no-input",
    ]
    options += [
        f"--python-version={want.python}",
        "--implementation=cp",
        *(f"--platform={item}" for item in _PLATFORMS),
    ]
    options += [f"--abi=cp{digits}", "--abi=abi3", "--abi=none", f"--dest={down}"]
    said = _run("pip", want, [sys.executable, "-m", "pip", "download", *options, "--", spec], down)
    wheels = sorted(down.glob("*.whl"))
    if len(wheels) != 1:
        raise BurilError("D012", client="pip", name=want.name, problem=said[-300:] or "no wheel came")
    return _keep(want, wheels[0].name.split("-")[1], {wheels[0]: ""}, new)


def _npm(want: Wanted, down: Path, new: Path) -> str:
    spec = f"{want.name}@{want.version or 'latest'}"
    line = [
        "npm",
        "pack",
        "--json",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        f"--pack-destination={down}",
        "--",
        spec,
    ]
    said = _run("npm", want, line, down)
    try:
        told: Any = json.loads(said[said.index("[") if said.lstrip().startswith("[") else said.index("{") :])
        told = told[0] if isinstance(told, list) else next(iter(told.values()))
        version, integrity = str(told["version"]), str(told["integrity"])
        (archive,) = down.glob("*.tgz")
    except (ValueError, KeyError, IndexError, TypeError, StopIteration) as problem:
        raise BurilError("D012", client="npm", name=want.name, problem=said[-300:]) from problem
    algorithm, _, expected = integrity.partition("-")
    with archive.open("rb") as stream:
        digest = hashlib.new(algorithm) if algorithm in ("sha512", "sha384", "sha256") else hashlib.sha512()
        while block := stream.read(1 << 20):
            digest.update(block)
    if base64.b64encode(digest.digest()).decode() != expected:
        raise BurilError("D018", archive=archive.name, problem=f"its {algorithm} is not that of the registry")
    return _keep(want, version, {archive: ""}, new)


def _apt(want: Wanted, down: Path, new: Path, cache_dir: Path) -> str:
    spec = f"{want.name}={want.version}" if want.version else want.name
    options = _apt_options(want, cache_dir)
    _run("apt-get", want, ["apt-get", *options, "--quiet=2", "--download-only", "--only-source", "source", spec], down)
    try:
        (control,) = down.glob("*.dsc")
    except ValueError as problem:
        raise BurilError("D012", client="apt-get", name=want.name, problem="no .dsc came") from problem
    version, sums = _debian.dsc(control)
    for name, expected in sums.items():
        if not (down / name).is_file() or sha256_file(down / name) != expected:
            raise BurilError("D018", archive=name, problem="its sha256 is not that of the .dsc")
    tars = [down / name for name in sorted(sums) if re.search(r"\.tar\.\w+$", name)]
    packaging = [path for path in tars if ".debian.tar." in path.name]
    for path in packaging:
        _archives.unpack(path, new / "packaging", only=COPYRIGHT)
    # the archive of a component (`orig-NAME`) unfolds into a folder of that name, beside the main one
    named = {path: re.search(r"\.orig-([\w-]+)\.tar\.", path.name) for path in tars if path not in packaging}
    return _keep(want, version, {path: found[1] if found else "" for path, found in named.items()}, new)


def _apt_options(want: Wanted, cache_dir: Path) -> list[str]:
    """Options that give apt lists of its own, where the settings name some; this machine's are left as they are."""
    common = ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"]
    if not want.lists:
        return common
    state = cache_dir / "apt" / hashlib.sha256("\n".join(want.lists).encode()).hexdigest()[:12]
    for name in ("lists/partial", "cache/archives/partial", "etc"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "etc" / "sources.list").write_text("".join(f"{line}\n" for line in want.lists), encoding="utf-8")
    (state / "status").touch()
    places = {
        "Dir::Etc::SourceList": state / "etc" / "sources.list",
        "Dir::Etc::SourceParts": Path(os.devnull),
        "Dir::State::Lists": state / "lists",
        "Dir::State::Status": state / "status",
        "Dir::Cache": state / "cache",
    }
    options = [*common, *(item for name, path in places.items() for item in ("-o", f"{name}={path}"))]
    if not (state / "updated").exists() or not want.pinned:
        try:
            _run("apt-get", want, ["apt-get", *options, "--quiet=2", "update"], state)
            (state / "updated").touch()
        except BurilError:
            if not (state / "updated").exists():
                raise
    return options


def _run(client: str, want: Wanted, line: list[str], folder: Path) -> str:
    """What a client says. It runs in an empty folder, so that no project's configuration applies."""
    environment = {
        **os.environ,
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "npm_config_update_notifier": "false",
    }
    try:
        done = subprocess.run(  # noqa: S603  a package registry's own client; names were checked by `wanted`
            line,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as missing:
        raise BurilError("D013", client=client, name=want.name) from missing
    except subprocess.TimeoutExpired as late:
        raise BurilError("D012", client=client, name=want.name, problem=f"no answer within {TIMEOUT_S} s") from late
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace")
        if "No module named pip" in told:
            raise BurilError("D013", client=client, name=want.name)
        if "deb-src" in told:
            raise BurilError("D019", name=want.name)
        if (
            client == "pip"
            and "from versions: none" in told
            and "Could not fetch" not in told
            and "connection" not in told.lower()
        ):
            raise BurilError("D017", name=want.name)
        words = [text for text in told.splitlines() if re.match(r"(?:ERROR|E|npm (?:ERR!|error))[: ]", text)]
        raise BurilError("D012", client=client, name=want.name, problem=(words or told.splitlines() or ["?"])[0][:300])
    return done.stdout.decode("utf-8", "replace")
