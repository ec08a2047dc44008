"""Adapters to serve beside a model: what their references name, whether they are of its base, what is kept of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.cli import tracing
from buril.cli.bundle import Bundled, bundle_at, model_among
from buril.cli.in_use import InUse, model_in_use
from buril.cli.keeping import Keeper
from buril.cli.records import Linked, strength_of
from buril.core.artifact import Link, digest_of, sha256_file
from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._generator import Adapter

if TYPE_CHECKING:
    from buril.core.store import Store
    from buril.generators._generator import Generator
    from buril.serve.adapters import AdapterSettings, Beside
    from buril.serve.answer import Served
    from buril.serve.settings import ServeSettings

CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Adapted:
    """A model that is an adapter on a base, and the adapter; `chats` is the same as it answers chats."""

    model: InUse
    adapter: Adapter
    chats: Adapted | None = None

    def of(self, strength: float) -> Adapted:
        """The same at a strength."""
        return Adapted(replace(self.model, strength=strength), self.adapter._replace(strength=strength))

    def both(self) -> tuple[Adapted, ...]:
        """This, and how it answers chats where that is another."""
        return (self, self.chats) if self.chats else (self,)

    @property
    def key(self) -> str:
        """What the engine calls it: other content or another strength is another."""
        return f"{self.adapter.digest[:16]}*{self.adapter.strength:g}"


class Again:
    """The settings of a file, read anew.

    Args:
        path: of the file.
        read: reads it.
    """

    def __init__(self, path: Path, read: Callable[[], ServeSettings]) -> None:
        self._path, self._read = path, read
        self._stamp = self._now()

    def __call__(self) -> ServeSettings | None:
        """The settings; None where the file is as it was when it was last asked, or has gone.

        Raises:
            BurilError: C0xx for a wrong setting.
        """
        before, self._stamp = self._stamp, self._now()
        return self._read() if self._stamp is not None and self._stamp != before else None

    def _now(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


class Shared:
    """A base that several models share, each an adapter on it.

    Args:
        told: what is served.
        store: of the artifacts.
        model: the main one; it is an adapter, or the base.

    Raises:
        BurilError: V030, S001, S007, V1xx for adapters that can't be had.
    """

    def __init__(self, told: ServeSettings, store: Store | None, model: InUse | Bundled) -> None:
        self._told, self._store = told, store
        self.base = _base_of(model)
        self._own = _own(model, told.name or "")
        self._wanted = adapted(told, store, self.base)

    def make_room(self, generator: Generator, name: str) -> None:
        """Give a generator that is not open yet its adapters.

        Raises:
            BurilError: V031 where it has no room for any.
        """
        if not hasattr(generator, "adapters"):
            raise BurilError("V031", engine=name)
        wanted = [one for item in self._wanted.values() for one in item.both()]
        generator.adapters({item.key: item.adapter for item in (*wanted, *filter(None, [self._own]))})

    def beside(self, main: Served, again: Again | None) -> Served:
        """The main model with those beside it, which are kept up as the settings change.

        Raises:
            BurilError: V030.
        """
        from buril.serve.adapters import Shelf
        from buril.serve.log import line

        main = replace(main, adapter=self._own.key if self._own else "")
        own = {self._own.key: self._own.adapter} if self._own else {}
        shelf = Shelf(main, own, lambda: self._changed(main, again))
        shelf.put(self._models(main, self._wanted))
        line("adapters", names=sorted(self._wanted))
        shelf.watch()
        return main

    def _changed(self, main: Served, again: Again | None) -> dict[str, Beside] | None:
        told = again() if again else None
        if told is None:
            return None
        fixed = told.model_copy(update={"name": main.name})  # what the main one is called is settled
        return self._models(main, adapted(fixed, self._store, self.base))

    def _models(self, main: Served, found: Mapping[str, Adapted]) -> dict[str, Beside]:
        return {name: self._beside(main, name, item) for name, item in found.items()}

    def _beside(self, main: Served, name: str, item: Adapted) -> Beside:
        from buril.serve.adapters import Beside

        served = self._served(main, name, item)
        if item.chats is None:
            return Beside(served, item.adapter)
        return Beside(replace(served, chats=self._served(main, name, item.chats)), item.adapter, item.chats.adapter)

    def _served(self, main: Served, name: str, item: Adapted) -> Served:
        """A model beside: all is the main one's but who wrote, and what is said and kept of that."""
        looked = tracing.index_of_model(self._store, item.model.tuned, wanted=None) if self._store else None
        keeper = main.keep
        assert isinstance(keeper, Keeper), "what the verb has made"
        return replace(
            main, name=name, adapter=item.key, links=links_of(item.model), keep=keeper.of(item.model, looked),
            metrics=main.metrics.named(name), created=int(time.time()),
        )  # fmt: skip


def links_of(model: Linked) -> dict[str, Any]:
    """What an answer says of its model: digests of what it is made of, and one number for all."""
    links, strength = model.links(), strength_of(model)
    digests = sorted((name, link.digest) for name, link in links.items())
    fingerprint = hashlib.sha256(repr([*digests, *strength.items()]).encode()).hexdigest()[:12]
    return {**{name: asdict(link) for name, link in links.items()}, **strength, "fingerprint": fingerprint}


def _base_of(model: InUse | Bundled) -> InUse:
    """What is served where adapters stand beside a model: the base under it.

    Raises:
        BurilError: V030 for a model that is no adapter on a base.
    """
    if isinstance(model, Bundled):
        raise _unfit("", model.bundle.folder, _("a bundle holds its model whole"))
    if model.tuned is not None and not model.tuned.path("adapter").is_dir():
        raise _unfit("", model.tuned.folder, _("the served model was trained whole"))
    return InUse(model.base, model.tokenizer, None)


def _own(model: InUse | Bundled, name: str) -> Adapted | None:
    """The served model as an adapter on its base; None where it is the base."""
    if isinstance(model, Bundled) or model.tuned is None:
        return None
    return Adapted(model, Adapter(model.tuned.path("adapter"), 1.0, model.tuned.digest, name))


def adapted(told: ServeSettings, store: Store | None, base: InUse) -> dict[str, Adapted]:
    """The adapters of the settings, each read from the disk and found whole.

    Raises:
        BurilError: V030 for one that is damaged or of another base; S001, S007, V1xx for a reference to nothing.
    """
    found = {}
    for name, entry in (told.adapters or {}).items():
        if name == told.name:
            raise _unfit(name, entry.ref, _("the served model has this name"))
        made = _found(name, entry, store, base)
        made = replace(made, adapter=made.adapter._replace(title=name))
        chats = None if entry.chat_strength in (None, entry.strength) else made.of(entry.chat_strength)
        found[name] = replace(made.of(entry.strength), chats=chats)
    return found


def _found(name: str, entry: AdapterSettings, store: Store | None, base: InUse) -> Adapted:
    if folder := bundle_at(entry.ref):
        return _of_bundle(name, entry, folder, base)
    path = Path(entry.ref).expanduser()
    if (path / CONFIG).is_file():
        digest = digest_of({item.name: sha256_file(item) for item in sorted(path.iterdir()) if item.is_file()})
        link = Link("adapter", digest[:16], digest)
        return Adapted(replace(base, given=link), Adapter(path, entry.strength, digest))
    if store is None:
        raise BurilError("S001", ref=entry.ref)
    model = model_in_use(store, entry.ref)
    tuned = model.tuned
    _check_base(name, entry.ref, {"base": model.base.link, "tokenizer": model.tokenizer.link}, base)
    if tuned is None or not tuned.path("adapter").is_dir():
        raise _unfit(name, entry.ref, _("it is a whole model"))
    damage = tuned.damage(deep=True)
    if damage:
        raise _unfit(name, tuned.folder, damage)
    return Adapted(model, Adapter(tuned.path("adapter"), entry.strength, tuned.digest))


def _of_bundle(name: str, entry: AdapterSettings, folder: Path, base: InUse) -> Adapted:
    """The adapter that a bundle holds beside its model."""
    from buril.generators._bundle import WHOLE, read_bundle

    bundle = read_bundle(folder)  # every byte of it is looked at
    link = model_among(bundle.made_from)
    adapter = folder / WHOLE / "adapter"
    _check_base(name, entry.ref, bundle.made_from, base)
    if link is None or not (adapter / CONFIG).is_file():
        raise _unfit(name, entry.ref, _("it is a whole model"))
    return Adapted(replace(base, given=link), Adapter(adapter, entry.strength, link.digest))


def _check_base(name: str, ref: str, made_from: Mapping[str, Link], base: InUse) -> None:
    for stage, wanted in (("base", base.base), ("tokenizer", base.tokenizer)):
        if stage not in made_from or made_from[stage].digest != wanted.digest:
            raise _unfit(name, ref, _("it was trained on another `{stage}`").format(stage=stage))


def _unfit(name: str, path: Path | str, problem: str) -> BurilError:
    return BurilError("V030", name=name or "—", path=path, problem=problem)
