"""Artifact: a folder of files with a `manifest.json` that says who made it, from what, with which settings.

The digest of an artifact is the SHA-256 of the names and SHA-256s of its files. Files below `logs/` are evidence
(times, curves with throughput), not identity: they are hashed into the manifest but not into the digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from buril.core.errors import BurilError

MANIFEST = "manifest.json"
SCRATCH = ".scratch"
FORMAT = 1


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8. Values JSON does not know are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact. `path` is relative with forward slashes; `rows` where it is a table."""

    path: str
    bytes: int
    sha256: str
    rows: int | None = None


@dataclass(frozen=True)
class Link:
    """An input: which stage's artifact, by key (which one) and digest (what bytes)."""

    stage: str
    key: str
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` holds. `settings` bear identity; `metrics` and `seconds` do not."""

    stage: str
    version: int
    key: str
    digest: str
    identity: dict[str, Any]
    inputs: dict[str, Link]
    files: tuple[FileEntry, ...]
    metrics: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0
    work: float = 0.0
    peak_ram_mb: float = 0.0
    resumed: bool = False
    format: int = FORMAT

    @property
    def settings(self) -> dict[str, Any]:
        """The identity settings of the stage."""
        return dict(self.identity.get("settings", {}))

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def of(cls, text: str) -> Manifest:
        """The manifest that `to_json` wrote.

        Raises:
            ValueError, TypeError, KeyError: when it is none.
        """
        raw = json.loads(text)
        raw["files"] = tuple(FileEntry(**item) for item in raw["files"])
        raw["inputs"] = {name: Link(**item) for name, item in raw["inputs"].items()}
        return cls(**raw)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder.

        Raises:
            BurilError: S002 when it is missing or not a manifest.
        """
        try:
            return cls.of((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, KeyError) as problem:
            raise BurilError("S002", path=folder, problem=f"{MANIFEST}: {problem}") from problem


@dataclass(frozen=True)
class Artifact:
    """A finished artifact on disk; it never changes."""

    folder: Path
    manifest: Manifest

    @property
    def digest(self) -> str:
        """SHA-256 over the files that bear identity."""
        return self.manifest.digest

    @property
    def key(self) -> str:
        """The key of what made it."""
        return self.manifest.key

    @property
    def link(self) -> Link:
        """How a later manifest names this artifact."""
        return Link(self.manifest.stage, self.key, self.digest)

    def path(self, name: str) -> Path:
        """The path of one of its files or folders."""
        return self.folder / name

    def files(self, pattern: str) -> list[Path]:
        """Its files that fit a glob pattern, sorted by name."""
        return sorted(self.folder.glob(pattern))

    def json(self, name: str) -> Any:
        """One of its JSON files, parsed."""
        return json.loads(self.path(name).read_text(encoding="utf-8"))

    def damage(self, *, deep: bool = False) -> str | None:
        """What is wrong with the files (missing, other size; with `deep` also another SHA-256), or None."""
        for entry in self.manifest.files:
            path = self.folder / entry.path
            if not path.is_file():
                return f"{entry.path} is missing"
            if path.stat().st_size != entry.bytes:
                return f"{entry.path} has {path.stat().st_size} bytes, not {entry.bytes}"
            if deep and sha256_file(path) != entry.sha256:
                return f"{entry.path} has other bytes than when it was written"
        return None


def digest_of(files: Mapping[str, str]) -> str:
    """The digest of a set of files, from their relative paths and SHA-256s; `logs/` is left out."""
    lines = "".join(f"{sha}  {path}\n" for path, sha in sorted(files.items()) if not path.startswith("logs/"))
    return hashlib.sha256(lines.encode()).hexdigest()


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends well, and is removed when it does not.

    The bytes are flushed to the disk before the rename, so after a power cut `path` is whole or absent.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")  # pids repeat between machines
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to the disk, so that a rename in it survives a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def environment() -> dict[str, str]:
    """What a reader of a manifest needs to know of the machine and the software, without names of people or hosts."""
    from importlib import metadata

    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in ("buril", "torch", "transformers", "peft", "tokenizers", "pyarrow", "tree-sitter"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    found["cpus"] = str(os.cpu_count())
    return found
