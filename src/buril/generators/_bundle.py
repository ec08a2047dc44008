"""A bundle: one folder that holds a model in the formats of several engines, and says of each file what it must be.

`bundle.json` names every file with its size and SHA-256, what the model was made from, and how near each format came
to it. A folder is read as a bundle only when all of that holds. That is a check against damage and against files of
others; who can write `bundle.json` can write its hashes too, so it proves nothing of who made it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from buril.core.artifact import Link, canonical, sha256_file
from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from buril.generators._generator import Generator

BUNDLE = "bundle.json"
FORMAT = 1
MOST_BYTES = 16 << 20
"""Size of a `bundle.json` at most: it is read whole."""
DATED = ("created", "digest")
"""Keys that the digest leaves out: when it was written, and the digest itself."""
WHOLE = "safetensors"
"""The format that has the weights as transformers reads them."""
CONFIG = "config"
"""The folder that tells of the model without its weights: `config.json`, the tokenizer."""
ENGINES = ("transformers", "llamacpp", "openvino", "onnx")
"""Generators that a bundle can be opened with, in the order in which `auto` looks for one."""
FILES = {"llamacpp": "gguf", "onnx": "onnx"}
"""The format of which an engine is handed the first that a bundle has."""


@dataclass(frozen=True)
class Part:
    """A format in a bundle. `name` is its folder; `bits` how many a weight has; `parity` how near it came."""

    name: str
    format: str
    bits: int
    main: str
    engines: tuple[str, ...]
    parity: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Opening:
    """How a generator is opened: its settings, and the folders that its `open` is called with."""

    engine: str
    settings: dict[str, Any]
    folders: dict[str, Path]


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were checked. `digest` names its content, whenever and wherever it was written.

    `made_from` are the artifacts of the model by stage; `content` is all that `bundle.json` says.
    """

    folder: Path
    name: str
    digest: str
    made_from: dict[str, Link]
    parts: tuple[Part, ...]
    content: dict[str, Any]

    def opening(self, engine: str) -> Opening | None:
        """How a generator opens it; None when it has nothing that this one reads."""
        whole = self.folder / WHOLE
        if engine in ("transformers", "openvino"):
            folders = {"base_dir": whole, "tokenizer_dir": whole, "model_dir": whole}
            return Opening(engine, {}, folders) if self._has(WHOLE) else None
        file = next((part for part in self.parts if part.format == FILES.get(engine)), None)
        if file is None:
            return None
        config = self.folder / CONFIG
        path = self.folder / file.name / file.main
        return Opening(engine, {"path": path}, {"base_dir": config, "tokenizer_dir": config})

    def engines(self) -> list[str]:
        """The generators that can open it."""
        return [engine for engine in ENGINES if self.opening(engine)]

    def open(self, engine: str = "auto", **settings: Any) -> Generator:
        """A generator with the model of the bundle in it.

        Args:
            engine: its name, or `auto` for the first of `ENGINES` that reads the bundle.
            settings: of the generator, beside those that say where the model is.

        Raises:
            BurilError: V104 when nothing in the bundle is for this engine, P002 when a package is missing.
        """
        from buril.core.plugins import plugin

        names = self.engines()
        chosen = next(iter(names), engine) if engine == "auto" else engine
        told = self.opening(chosen)
        if told is None:
            raise BurilError(
                "V104", path=self.folder, engine=engine, formats=", ".join(part.name for part in self.parts),
                engines=", ".join(names) or "—",
            )  # fmt: skip
        found = plugin("generator", chosen)
        made: Generator = found(found.Settings(**{**settings, **told.settings}))
        made.open(**told.folders)
        return made

    def _has(self, name: str) -> bool:
        return any(part.format == name for part in self.parts)


def is_bundle(folder: Path) -> bool:
    """Whether a folder looks like a bundle."""
    return (folder / BUNDLE).is_file()


def digest_of_bundle(content: Mapping[str, Any]) -> str:
    """The digest of what `bundle.json` says, but for when it was written."""
    kept = {key: value for key, value in content.items() if key not in DATED}
    return hashlib.sha256(canonical(kept)).hexdigest()


def read_bundle(folder: Path, *, check: Literal["sha256", "sizes"] = "sha256") -> Bundle:
    """A bundle, all its files checked.

    Args:
        folder: where `bundle.json` is.
        check: `sha256` reads every byte (about a second a gigabyte); `sizes` only looks that the files are there.

    Raises:
        BurilError: V100 when it is no bundle, V101 when another version wrote it, V102 when a file is missing, differs
            or is not listed, V103 when one is named or linked that lies outside of the folder.
    """
    content = _content(folder)
    listed: dict[str, dict[str, Any]] = {}
    for entry in content["files"]:
        listed[_safe(folder, entry["path"], listed)] = entry
    _check_no_more(folder, listed)
    for name, entry in listed.items():
        _check_file(folder, name, entry, deep=check == "sha256")
    if digest_of_bundle(content) != content["digest"]:
        raise _damaged(folder, BUNDLE, _("was changed since it was written"))
    return _bundle(folder, content)


def _content(folder: Path) -> dict[str, Any]:
    path = folder / BUNDLE
    try:
        if path.is_symlink() or path.stat().st_size > MOST_BYTES:
            raise BurilError("V100", path=folder, problem=_("{file} is a link, or too large").format(file=BUNDLE))
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise BurilError("V100", path=folder, problem=_("it has no {file}").format(file=BUNDLE)) from missing
    except (OSError, ValueError, RecursionError) as problem:
        raise BurilError("V100", path=folder, problem=f"{BUNDLE}: {problem}") from problem
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise BurilError("V100", path=folder, problem=_("{file} does not say which format it has").format(file=BUNDLE))
    if content["format"] != FORMAT:
        raise BurilError("V101", path=folder, format=content["format"], known=FORMAT)
    return content if _is_whole(content) else _refuse(folder)


def _is_whole(content: Mapping[str, Any]) -> bool:
    """Whether every key that is read here has the form it should."""
    files, parts, made_from = content.get("files"), content.get("formats"), content.get("made_from")
    return (
        isinstance(files, list)
        and isinstance(parts, list)
        and isinstance(made_from, dict)
        and all(isinstance(content.get(key), str) for key in ("name", "digest"))
        and all(_has_types(item, {"path": str, "bytes": int, "sha256": str}) for item in files)
        and all(
            _has_types(item, {"name": str, "format": str, "bits": int, "main": str, "engines": list, "parity": dict})
            for item in parts
        )
        and all(_has_types(item, {"stage": str, "key": str, "digest": str}) for item in made_from.values())
    )


def _has_types(item: Any, wanted: Mapping[str, type]) -> bool:
    return isinstance(item, dict) and all(isinstance(item.get(key), kind) for key, kind in wanted.items())


def _refuse(folder: Path) -> dict[str, Any]:
    raise BurilError("V100", path=folder, problem=_("{file} lacks what it must say").format(file=BUNDLE))


def _bundle(folder: Path, content: dict[str, Any]) -> Bundle:
    made_from = {name: Link(item["stage"], item["key"], item["digest"]) for name, item in content["made_from"].items()}
    parts = []
    for item in content["formats"]:
        for name in (item["name"], *([item["main"]] if item["main"] != "." else [])):
            _safe(folder, name, ())
        parts.append(
            Part(item["name"], item["format"], item["bits"], item["main"], tuple(item["engines"]), item["parity"])
        )
    return Bundle(folder, content["name"], content["digest"], made_from, tuple(parts), content)


# --- files


def _safe(folder: Path, name: str, known: Any) -> str:
    """A path that stays in the folder, as it is written.

    Raises:
        BurilError: V103 for one that does not, or that stands there twice.
    """
    plain = PurePosixPath(name)
    bad = not name or "\\" in name or "\0" in name or ":" in name or plain.is_absolute()
    if bad or ".." in plain.parts or str(plain) != name or name in known or name == BUNDLE:
        raise BurilError("V103", path=folder, file=name)
    return name


def _check_no_more(folder: Path, listed: Mapping[str, Any]) -> None:
    """Refuse links, wherever they lead, and files that nothing tells of."""
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise BurilError("V103", path=folder, file=name)
        if not path.is_dir() and name != BUNDLE and name not in listed:
            raise _damaged(folder, name, _("is not listed"))


def _walk(folder: Path) -> Iterator[Path]:
    """All below a folder; links are given and not followed."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _check_file(folder: Path, name: str, entry: Mapping[str, Any], *, deep: bool) -> None:
    path = folder / name
    if not path.is_file():
        raise _damaged(folder, name, _("is missing"))
    if path.stat().st_size != entry["bytes"]:
        size = _("has {found} bytes, not {wanted}").format(found=path.stat().st_size, wanted=entry["bytes"])
        raise _damaged(folder, name, size)
    if deep and sha256_file(path) != entry["sha256"]:
        raise _damaged(folder, name, _("has other bytes than when it was written"))


def _damaged(folder: Path, name: str, problem: str) -> BurilError:
    return BurilError("V102", path=folder, file=name, problem=problem)
