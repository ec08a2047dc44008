"""Store: `<root>/<stage>/<key12>/`, one folder an artifact, with references that name what is in use.

- `key` = SHA-256 of stage, version, identity settings, plugin versions, what it observed outside, and the input
  *digests*: a changed stage that writes the same bytes leaves everything after it reused (early cut-off).
- A stage writes into `.<key12>.partial`, which stays after a crash: that is the resume. The manifest is written last,
  everything is flushed to the disk, then the folder is renamed: a folder without a dot is whole.
- One lock a key (`flock`, released by the system when a process dies) lets two runs share a store: the second one
  waits, then reuses. Nothing here needs a daemon or git.
"""

from __future__ import annotations

import datetime
import errno
import hashlib
import json
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from buril.core.artifact import (
    MANIFEST,
    Artifact,
    FileEntry,
    Link,
    Manifest,
    atomic,
    canonical,
    digest_of,
    environment,
    sha256_file,
    sync_folder,
)
from buril.core.errors import BurilError
from buril.core.estimate import Past
from buril.core.events import EventLog
from buril.core.lock import hold, is_held
from buril.core.stage import Output, Stage
from buril.core.workers import Listed, engine

KEY_CHARS = 12
RESERVED = ("refs", "runs", "completions", "ledger")
PROBES = "probes.jsonl"
ALIASES = ("@champion", "@previous")  # references that are no runs; both stand in `name@champion.json`


def identity_of(stage: Stage) -> dict[str, Any]:
    """Everything but the inputs that decides the bytes of a stage's artifact, as plain JSON."""
    return {
        "stage": stage.name,
        "version": stage.version,
        "settings": stage.settings.identity(),
        "parts": stage.parts(),
        "observed": stage.observe(),
    }


def key_of(identity: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The key of an artifact, from a stage's identity and the digests of its inputs."""
    return hashlib.sha256(canonical({**identity, "inputs": dict(inputs)})).hexdigest()


class Store:
    """A folder of artifacts. Making it, reading it and running two of it at once are safe.

    With `make=False` nothing is written: a store that is not there yet is read as an empty one.
    """

    def __init__(self, root: Path, *, make: bool = True) -> None:
        self.root = root
        with _Guard(root):
            for folder in RESERVED if make else ():
                (root / folder).mkdir(parents=True, exist_ok=True)
            if make and not (root / ".gitignore").exists():  # it holds the user's code: it must not be committed
                (root / ".gitignore").write_text("*\n", encoding="utf-8")

    # --- finding

    def folder(self, stage: str, key: str) -> Path:
        """Where the artifact of a key is, or would be."""
        return self.root / stage / key[:KEY_CHARS]

    def find(self, stage: str, key: str) -> Artifact | None:
        """The whole artifact of a key, or None when it is absent, cut short or another one's."""
        folder = self.folder(stage, key)
        if not folder.is_dir():
            return None
        try:
            artifact = Artifact(folder, Manifest.read(folder))
        except BurilError:
            return None
        return artifact if artifact.key == key and artifact.damage() is None else None

    def artifacts(self, stage: str | None = None) -> Iterator[Artifact]:
        """All readable artifacts (of a stage), the latest first."""
        stages = (
            [stage] if stage else sorted(p.name for p in self.root.iterdir() if p.is_dir() and p.name not in RESERVED)
        )
        for name in stages:
            folders = [
                p for p in (self.root / name).glob("*") if not p.name.startswith(".") and (p / MANIFEST).is_file()
            ]
            for folder in sorted(folders, key=lambda p: (p / MANIFEST).stat().st_mtime_ns, reverse=True):
                try:
                    yield Artifact(folder, Manifest.read(folder))
                except BurilError:
                    continue

    def linked(self, link: Link) -> Artifact | None:
        """The artifact a manifest names: by key, else any of that stage with the same bytes."""
        found = self.find(link.stage, link.key)
        return found or next((item for item in self.artifacts(link.stage) if item.digest == link.digest), None)

    def past(self, stage: str) -> list[Past]:
        """What probes and finished runs of a stage took; resumed ones tell no honest time and are left out."""
        return self._probes(stage) + [
            Past(m.work, m.seconds, m.peak_ram_mb, sum(entry.bytes for entry in m.files) / 1e6)
            for m in (artifact.manifest for artifact in self.artifacts(stage))
            if not m.resumed
        ]

    def remember(self, stage: str, probe: Past) -> None:
        """Keep what a probe of a stage took on this machine, for later estimates."""
        with _Guard(self.root), (self.root / "runs" / PROBES).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"stage": stage, "machine": platform.node(), **asdict(probe)}) + "\n")

    def _probes(self, stage: str) -> list[Past]:
        """The probes of a stage on this machine, the latest first."""
        path, found = self.root / "runs" / PROBES, []
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            with suppress(ValueError, TypeError, KeyError):  # a line that a crash cut short
                told = json.loads(line)
                if (told.pop("stage"), told.pop("machine")) == (stage, platform.node()):
                    found.append(Past(**told))
        return found[::-1]

    # --- making

    def make(self, stage: Stage, inputs: Mapping[str, Artifact], events: EventLog) -> tuple[Artifact, bool]:
        """The artifact of a stage on these inputs, and whether it was there already.

        Raises:
            BurilError: S003 when the store can't be written, S004 when the disk is full, S008 when memory is.
        """
        identity = identity_of(stage)
        key = key_of(identity, {name: artifact.digest for name, artifact in inputs.items()})
        if found := self.find(stage.name, key):
            return found, True
        with _Guard(self.root, stage.name):
            return self._make(stage, inputs, identity, key, events)

    def _make(
        self, stage: Stage, inputs: Mapping[str, Artifact], identity: dict[str, Any], key: str, events: EventLog
    ) -> tuple[Artifact, bool]:
        """Run the stage alone; where the engine shares work, first help with what is listed, beside the others."""
        shares = engine().shares
        while True:
            if shares:
                with self._lock(stage.name, key, events, shared=True):
                    if (partial := self._partial(stage.name, key)).exists():
                        engine().help(Output(partial, events, stage.name, shared=True))
            with self._lock(stage.name, key, events, wait=not shares) as alone:
                if found := self.find(stage.name, key):
                    return found, True
                if alone:
                    with suppress(Listed):
                        return self._run(stage, inputs, identity, key, events), False

    def _partial(self, stage: str, key: str) -> Path:
        return self.root / stage / f".{key[:KEY_CHARS]}.partial"

    def _run(
        self, stage: Stage, inputs: Mapping[str, Artifact], identity: dict[str, Any], key: str, events: EventLog
    ) -> Artifact:
        final = self.folder(stage.name, key)
        partial = self._partial(stage.name, key)
        out = Output(partial, events, stage.name, resumed=partial.exists())
        (partial / MANIFEST).unlink(missing_ok=True)
        out.earlier = tuple(self._like(stage.name, identity))
        started, clock = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
        work = stage.work(inputs)
        with engine().at(out):
            metrics = stage.run(inputs, out)
        out.finish()
        files = _hash_files(partial, out.rows)
        manifest = Manifest(
            stage=stage.name,
            version=stage.version,
            key=key,
            identity=identity,
            files=files,
            metrics=metrics,
            work=work,
            digest=digest_of({entry.path: entry.sha256 for entry in files}),
            inputs={name: artifact.link for name, artifact in inputs.items()},
            environment=environment(),
            started=started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - clock, 3),
            peak_ram_mb=_peak_ram_mb(),
            resumed=out.resumed,
        )
        with atomic(partial / MANIFEST) as path:
            path.write_text(manifest.to_json(), encoding="utf-8")
        sync_folder(partial)
        self._set_aside(final)
        partial.rename(final)
        sync_folder(final.parent)
        return Artifact(final, manifest)

    def _like(self, stage: str, identity: Mapping[str, Any]) -> Iterator[Artifact]:
        """The undamaged artifacts of a stage that differ in nothing but their inputs."""
        wanted = canonical(identity)
        for artifact in self.artifacts(stage):
            if canonical(artifact.manifest.identity) == wanted and artifact.damage() is None:
                yield artifact

    def _set_aside(self, folder: Path) -> None:
        """A damaged folder under a good name makes room; `gc --damaged` removes it."""
        if folder.exists():
            folder.rename(folder.with_name(f".{folder.name}.damaged.{time.time_ns()}"))

    def _lock(
        self, stage: str, key: str, events: EventLog, *, shared: bool = False, wait: bool = True
    ) -> AbstractContextManager[bool]:
        """The lock of a key; see `buril.core.lock.hold`."""
        path = self.root / stage / f".{key[:KEY_CHARS]}.lock"
        return hold(
            path, shared=shared, wait=wait, waiting=lambda holder: events.emit("stage_wait", stage, holder=holder)
        )

    # --- references

    def set_ref(self, name: str, links: Mapping[str, Link], run: str, *, finished: bool = False) -> None:
        """Point `name@latest` (and, when the run is finished, `name@<run>`) at a set of artifacts."""
        content = {"name": name, "run": run, "stages": {stage: asdict(link) for stage, link in links.items()}}
        for suffix in ("latest", run) if finished else ("latest",):
            with _Guard(self.root), atomic(self.root / "refs" / f"{name}@{suffix}.json") as path:
                path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def refs(self) -> dict[str, dict[str, Link]]:
        """All references, the latest first: `name@latest`, `name@<run>` → stage → link; aliases after all runs."""
        found: dict[str, dict[str, Link]] = {}
        paths = (self.root / "refs").glob("*@*.json")
        for path in sorted(paths, key=lambda p: (p.stat().st_mtime_ns, p.stem.endswith("@latest")), reverse=True):
            try:
                raw = json.loads(path.read_text(encoding="utf-8"))
                parts = {path.stem: raw} | ({raw["name"] + ALIASES[1]: raw["previous"]} if raw.get("previous") else {})
                for name, part in parts.items():
                    found[name] = {stage: Link(**link) for stage, link in part["stages"].items()}
            except (OSError, ValueError, TypeError, KeyError):
                continue
        return dict(sorted(found.items(), key=lambda item: item[0].endswith(ALIASES)))

    def chain(self, ref: str | None = None) -> dict[str, Artifact]:
        """The artifacts of a reference (default: the latest), by stage; those removed since are left out.

        Raises:
            BurilError: S001 when there is no such reference.
        """
        refs = self.refs()
        name = ref if ref in refs else f"{ref}@latest" if ref else next(iter(refs), "")
        if name not in refs:
            raise BurilError("S001", ref=ref or "latest")
        found = {stage: self.linked(link) for stage, link in refs[name].items()}
        return {stage: artifact for stage, artifact in found.items() if artifact}

    def resolve(self, ref: str) -> Artifact:
        """One artifact: a stage of the latest run (`train`), `NAME@RUN:stage`, `stage@KEY`, key, digest or folder.

        Raises:
            BurilError: S001 when nothing fits, S006 when several do.
        """
        if (Path(ref) / MANIFEST).is_file():
            return Artifact(Path(ref), Manifest.read(Path(ref)))
        run, _, stage = ref.rpartition(":")
        if run or ref in next(iter(self.refs().values()), {}):
            found = self.chain(run or None).get(stage)
            if found is None:
                raise BurilError("S001", ref=ref)
            return found
        stage, _, start = ref.rpartition("@")
        fits = [
            item
            for item in self.artifacts(stage or None)
            if len(start) >= 4 and (item.key.startswith(start) or item.digest.startswith(start))
        ]
        if not fits:
            raise BurilError("S001", ref=ref)
        if len({item.digest for item in fits}) > 1:
            names = ", ".join(f"{item.manifest.stage}@{item.key[:KEY_CHARS]}" for item in fits)
            raise BurilError("S006", ref=ref, matches=names)
        return fits[0]

    # --- tidying

    def reachable(self, refs: Mapping[str, Mapping[str, Link]]) -> set[Path]:
        """The folders that references need, with all that those were made from."""
        todo = [link for links in refs.values() for link in links.values()]
        seen: set[Path] = set()
        while todo:
            artifact = self.linked(todo.pop())
            if artifact and artifact.folder not in seen:
                seen.add(artifact.folder)
                todo.extend(artifact.manifest.inputs.values())
        return seen

    def garbage(self, *, keep_runs: int = 3, partial: bool = False, damaged: bool = False) -> list[Path]:
        """What nothing refers to: artifacts outside the last runs, and on request unfinished and damaged folders.

        A folder whose lock another process holds is never listed.
        """
        refs = self.refs()
        old = [name for name in refs if not name.endswith(("@latest", *ALIASES))][keep_runs:]
        keep = self.reachable({name: links for name, links in refs.items() if name not in old})
        found = [self.root / "refs" / f"{name}.json" for name in old]
        for stage in (p for p in self.root.iterdir() if p.is_dir() and p.name not in RESERVED):
            for folder in sorted(p for p in stage.iterdir() if p.is_dir()):
                if not folder.name.startswith("."):
                    if folder not in keep or (damaged and self._damage(folder)):
                        found.append(folder)
                    continue
                wanted = (".partial" in folder.name and partial) or (".damaged." in folder.name and damaged)
                if wanted and not self._held(folder):
                    found.append(folder)
        return found

    def _damage(self, folder: Path) -> str | None:
        try:
            return Artifact(folder, Manifest.read(folder)).damage()
        except BurilError as problem:
            return problem.cause

    def _held(self, folder: Path) -> bool:
        return is_held(folder.with_name(f".{folder.name.strip('.').split('.')[0]}.lock"))

    def remove(self, path: Path) -> int:
        """Delete what `garbage` listed; gives the bytes freed. The manifest goes first: no half folder looks whole."""
        if path.is_file():
            size = path.stat().st_size
            path.unlink()
            return size
        size = sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)
        return size


def _hash_files(folder: Path, rows: Mapping[str, int]) -> tuple[FileEntry, ...]:
    found = []
    for path in sorted(item for item in folder.rglob("*") if item.is_file() and item.name != MANIFEST):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        name = path.relative_to(folder).as_posix()
        found.append(FileEntry(name, path.stat().st_size, sha256_file(path), rows.get(name)))
    for path in (item for item in folder.rglob("*") if item.is_dir()):
        sync_folder(path)
    return tuple(found)


def _peak_ram_mb() -> float:
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kibibytes elsewhere
    return round(max(own, children) / unit, 1)


class _Guard:
    """Turns what the system says while a store is written (disk full, read-only, no memory) into coded errors."""

    def __init__(self, root: Path, stage: str = "") -> None:
        self.root, self.stage = root, stage

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, BurilError | KeyboardInterrupt):
            return
        number = error.errno if isinstance(error, OSError) else None
        # pyarrow and safetensors wrap the system's error; its text is then the only trace
        if number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
            raise BurilError("S004", path=self.root) from error
        if number in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST) and self._about_store(error):
            raise BurilError("S003", path=self.root, problem=os.strerror(number or 0)) from error
        if isinstance(error, MemoryError):
            raise BurilError("S008", stage=self.stage) from error

    def _about_store(self, error: BaseException) -> bool:
        name = getattr(error, "filename", None)
        return name is None or str(name).startswith(str(self.root)) or str(self.root).startswith(str(name))
