"""What several verbs do with a bundle: find the artifacts behind it, and complete with the model that is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from buril.core.errors import BurilError

if TYPE_CHECKING:
    from buril.cli.in_use import InUse
    from buril.core.artifact import Artifact, Link
    from buril.core.store import Store
    from buril.generators._bundle import Bundle
    from buril.generators._generator import Generator

TUNED = ("adapter", "align", "train", "base", "engine")
"""Whose digest names a model: that of the first of these that it is made of. An `adapter` came from outside, an
`engine` is another server where that is all we know."""


def bundle_at(text: str | None) -> Path | None:
    """The folder of a bundle that a word names, or None."""
    from buril.generators._bundle import BUNDLE

    if not text or "\0" in text:
        return None
    path = Path(text).expanduser()
    path = path.parent if path.name == BUNDLE else path
    return path if (path / BUNDLE).is_file() else None


def model_behind(store: Store, folder: Path) -> Artifact:
    """The artifact of the model that a bundle has; its files are not read again, only looked for.

    Raises:
        BurilError: V100 to V103 for what is no whole bundle, V109 where the store has not what it was made from.
    """
    from buril.generators._bundle import read_bundle

    link = link_of(read_bundle(folder, check="sizes"))
    found = store.linked(link)
    if found is None:
        raise BurilError("V109", path=folder, digest=link.digest[:12])
    return found


def link_of(bundle: Bundle) -> Link:
    """What names the model of a bundle."""
    found = model_among(bundle.made_from)
    if found is None:
        raise BurilError("V100", path=bundle.folder, problem="made_from")
    return found


def model_among(links: Mapping[str, Link]) -> Link | None:
    """What names a model among all that it is made of."""
    return next((links[name] for name in TUNED if name in links), None)


class Bundled:
    """The model of a bundle, in the place of the artifacts that a store would have."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def links(self) -> dict[str, Link]:
        """How a record names them."""
        return self.bundle.made_from

    def knows_fim(self) -> bool:
        """Whether it can fill in the middle: it was taught to, as far as its makers say, and has the sentinels."""
        fim = json.loads((self.bundle.folder / "fim.json").read_text(encoding="utf-8"))
        return fim.get("prefix") is not None and bool(self.bundle.content.get("fills_in"))

    def open(self) -> Generator:
        """The generator that comes nearest to the model and is installed.

        Raises:
            BurilError: V104, P002.
        """
        engines = self.bundle.engines()
        for engine in engines[:-1]:
            try:
                return self.bundle.open(engine)
            except BurilError as problem:
                if problem.code != "P002":
                    raise
        return self.bundle.open(engines[-1] if engines else "auto")


def opened(config_path: Path, store_path: Path | None, ref: str | None) -> tuple[Store | None, InUse | Bundled]:
    """The store and the model of a reference; of a bundle's folder the bundle, which needs no store.

    Raises:
        BurilError: as `model_in_use`, S010 without a store, V100 to V103 for a damaged bundle.
    """
    if folder := bundle_at(ref):
        from buril.generators._bundle import read_bundle

        return None, Bundled(read_bundle(folder))
    from buril.cli.common import open_store
    from buril.cli.in_use import model_in_use

    store = open_store(config_path, store_path)
    return store, model_in_use(store, ref)
