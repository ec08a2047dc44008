"""Pinned archives of real code: fetched by the registries' own clients, checked by SHA-256, read without extraction.

Nothing of an archive is ever run or written to the disk. Members are read as a stream: only regular files, only
under a clean relative path, only up to `MAX_FILE`, and no more than `MAX_TOTAL` bytes of one archive altogether.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

MAX_FILE = 1_000_000
MAX_TOTAL = 3_000_000_000
MAX_MEMBERS = 200_000
PATIENCE_S = 600
_APT_SOURCES = Path("/etc/apt")


@dataclass(frozen=True)
class Pin:
    """One archive: `kind` is pypi (a pure wheel), npm (a tarball) or debian (the upstream tarball of a source)."""

    kind: str
    name: str
    version: str
    license: str = ""
    small: bool = False
    """Also part of the small corpus."""
    sha256: str = ""
    """Of the archive; "" takes what comes and records it."""
    note: str = ""

    @property
    def repo(self) -> str:
        return f"{self.kind}/{self.name}"


def read_pins(path: Path) -> list[Pin]:
    """Pins from a list of them, or from the MANIFEST.json of a corpus.

    A line may be `[kind, name, version, licence]` or an object with the fields of `Pin`.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = found["sources"] if isinstance(found, dict) else found
    known = set(Pin.__dataclass_fields__)
    pins = [
        Pin(**{key: value for key, value in line.items() if key in known}) if isinstance(line, dict) else Pin(*line)
        for line in lines
    ]
    for pin in pins:
        if pin.kind not in ("pypi", "npm", "debian") or not re.fullmatch(r"@?[\w.+-]+(/[\w.+-]+)?", pin.name):
            raise SystemExit(f"{path}: not a pin: {pin}")
    return pins


def write_pins(path: Path, pins: list[Pin]) -> None:
    """One pin a line, sorted: what a diff shows well."""
    lines = [
        json.dumps({key: value for key, value in asdict(pin).items() if value}, ensure_ascii=False)
        for pin in sorted(pins, key=lambda pin: (pin.kind, pin.name))
    ]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def fetch(pin: Pin, cache: Path) -> tuple[Path, Pin]:
    """The archive of a pin, from the cache or its registry, and the pin as it was found.

    A Debian source whose version has left the mirror is taken in the version that is there, and the pin says so; the
    upstream tarball of a newer Debian revision is mostly the same file, and then its SHA-256 still holds.
    """
    folder = cache / pin.kind / re.sub(r"[^\w.+-]", "_", f"{pin.name}-{pin.version}")
    if not any(folder.glob("*")):
        fresh = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        note = {"pypi": _pypi, "npm": _npm, "debian": _debian}[pin.kind](pin, fresh)
        if note:
            (fresh / "NOTE").write_text(note, encoding="utf-8")
        fresh.rename(folder)
    archives = sorted(path for path in folder.iterdir() if path.name != "NOTE")
    if len(archives) != 1:
        raise SystemExit(f"{pin.repo}: {len(archives)} archives in the cache instead of one")
    note = (folder / "NOTE").read_text(encoding="utf-8") if (folder / "NOTE").exists() else ""
    with archives[0].open("rb") as source:
        sha256 = hashlib.sha256(source.read()).hexdigest()
    if pin.sha256 and sha256 != pin.sha256 and not note:
        raise SystemExit(f"{archives[0]}: SHA-256 {sha256} is not the pinned {pin.sha256}")
    if pin.sha256 and sha256 == pin.sha256:
        note = ""  # another revision, the same bytes
    return archives[0], replace(pin, sha256=sha256, note=note)


def _call(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def _must(pin: Pin, done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        raise SystemExit(f"{pin.repo} {pin.version}: not to be had\n{done.stderr.strip()[-1000:]}")
    return ""


def _pypi(pin: Pin, folder: Path) -> str:
    """A wheel of pure Python, the same on every machine."""
    pure = ("--only-binary=:all:", "--platform", "any", "--implementation", "py", "--abi", "none")
    words = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--python-version", "3.12", *pure)
    return _must(pin, _call(*words, "-d", str(folder.resolve()), f"{pin.name}=={pin.version}", folder=folder))


def _npm(pin: Pin, folder: Path) -> str:
    words = ("npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder.resolve()))
    return _must(pin, _call(*words, f"{pin.name}@{pin.version}", folder=folder))


def _debian(pin: Pin, folder: Path) -> str:
    """The upstream tarball alone, by apt, from the mirrors this machine is set up for."""
    options = _apt_options(folder.parent.parent / "apt")
    words = ("apt-get", "-qq", *options, "source", "--download-only", "--tar-only", "--only-source")
    done, note = _call(*words, f"{pin.name}={pin.version}", folder=folder), ""
    if done.returncode:
        done = _call(*words, pin.name, folder=folder)
        note = f"{pin.version} is no longer on the mirror; the newest there was taken"
    _must(pin, done)
    for path in folder.iterdir():
        if ".tar" not in path.name or path.suffix == ".asc":
            path.unlink()
    several = sorted(folder.iterdir())
    for path in several:  # a source of several tarballs: its own one is enough
        if len(several) > 1 and not re.search(r"\.orig\.tar\.\w+$", path.name):
            path.unlink()
    return note


def _apt_options(folder: Path) -> list[str]:
    """Options that give apt its own lists, of sources: nothing of the system's apt is changed."""
    parts, lists = folder / "sources", folder / "lists"
    options = [
        f"Dir::Etc::sourceparts={parts.resolve()}", "Dir::Etc::sourcelist=/dev/null",
        f"Dir::State::lists={lists.resolve()}", f"Dir::Cache={folder.resolve()}", "APT::Sandbox::User=root",
    ]  # fmt: skip
    found = [word for option in options for word in ("-o", option)]
    if not any(lists.glob("*Sources*")):
        parts.mkdir(parents=True, exist_ok=True)
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        for path in sorted((_APT_SOURCES / "sources.list.d").glob("debian*.sources")):
            text = re.sub(r"(?m)^Types:.*$", "Types: deb-src", path.read_text(encoding="utf-8"))
            (parts / path.name).write_text(text, encoding="utf-8")
        plain = _APT_SOURCES / "sources.list"
        if plain.exists():
            text = re.sub(r"(?m)^deb\s", "deb-src ", plain.read_text(encoding="utf-8"))
            (parts / "plain.list").write_text(text, encoding="utf-8")
        done = _call("apt-get", "-qq", *found, "update", folder=folder)
        if done.returncode:
            raise SystemExit(f"apt-get update: {done.stderr.strip()[-1000:]}")
    return found


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Path (without the archive's own top folder) and bytes of every file that is safe and small enough to read."""
    files = _zip(archive) if zipfile.is_zipfile(archive) else _tar(archive)
    for count, (name, data) in enumerate(files):
        if count > MAX_MEMBERS:
            raise SystemExit(f"{archive}: more than {MAX_MEMBERS} members")
        yield name, data


def clean(name: str) -> str:
    """A member's name as a relative path, "" where it points out of the archive or is no path."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        return ""
    return "/".join(part for part in parts if part != ".")


def _zip(archive: Path) -> Iterator[tuple[str, bytes]]:
    total = 0
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            name = clean(info.filename)
            if (
                not name
                or info.is_dir()
                or info.file_size > MAX_FILE
                or info.external_attr >> 16 & 0o170000 == 0o120000
            ):
                continue
            with opened.open(info) as source:
                data = source.read(MAX_FILE + 1)  # what the header says is not what must come out
            total += len(data)
            if total > MAX_TOTAL:
                raise SystemExit(f"{archive}: more than {MAX_TOTAL} bytes")
            if len(data) <= MAX_FILE:
                yield name, data


class _Counted(io.RawIOBase):
    """A stream that ends with an error when more comes out of it than may."""

    def __init__(self, source: IO[bytes], archive: Path) -> None:
        self._source, self._archive, self._left = source, archive, MAX_TOTAL

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise SystemExit(f"{self._archive}: more than {MAX_TOTAL} bytes")
        return data


def _tar(archive: Path) -> Iterator[tuple[str, bytes]]:
    with archive.open("rb") as source:
        head = source.read(2)
    openers = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    opener = openers.get(head, open)
    with opener(archive, "rb") as plain, tarfile.open(fileobj=_Counted(plain, archive), mode="r|") as opened:
        for info in opened:
            name = clean(info.name).partition("/")[2]
            if not name or not info.isreg() or info.size > MAX_FILE:
                continue
            source = opened.extractfile(info)
            if source is not None:
                yield name, source.read()


def cache_folder() -> Path:
    """Where archives are kept: `BURIL_CORPUS_CACHE`, or `build/corpus/archives` of the checkout."""
    named = os.environ.get("BURIL_CORPUS_CACHE")
    return Path(named) if named else Path(__file__).resolve().parent.parent / "build" / "corpus" / "archives"
