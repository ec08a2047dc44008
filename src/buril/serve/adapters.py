"""Models beside the served one: adapters on its base, chosen by a request's `model`, changed while it serves.

What is served stands in the YAML alone, and is looked at again when that file changes: a worker that is started anew
serves the same. Whoever is being answered is answered to the end by the adapter that began.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field, model_validator

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.serve.log import line

if TYPE_CHECKING:
    from buril.generators._generator import Adapter
    from buril.serve.answer import Served

LOOK_S = 2.0
"""Seconds between two looks at what is wanted."""


class AdapterSettings(BaseSettings):
    """An adapter that is served as a model of its own."""

    shorthand: ClassVar[str | None] = "ref"

    ref: str
    """Name or run of the store, a `train` or `align` artifact, the folder of a bundle, or one that PEFT wrote."""
    strength: float = Field(1.0, ge=0, le=1.5)
    """What the adapter adds is multiplied by it: 0 is the base, 1 the adapter as it was trained."""
    chat_strength: float | None = Field(None, ge=0, le=1.5)
    """The same where it answers chats; None takes `strength`. A training may suit code in a file better than chats."""

    @model_validator(mode="before")
    @classmethod
    def _by_reference(cls, given: Any) -> Any:
        """`acme: RUN` names the reference."""
        return {"ref": given} if isinstance(given, str) else given

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        """The reference by itself, for editors too."""
        return {"anyOf": [{"type": "string"}, handler(core_schema)]}


class Beside(NamedTuple):
    """A model beside the served one, and what the engine is given for it, for its chats too where that is another."""

    served: Served
    adapter: Adapter
    chats: Adapter | None = None

    def given(self) -> dict[str, Adapter]:
        """The adapters, by the names that requests give."""
        found = {self.served.adapter: self.adapter}
        if self.served.chats is not None and self.chats is not None:
            found[self.served.chats.adapter] = self.chats
        return found


class Shelf:
    """The models beside one, as they are wanted now.

    Args:
        main: the served model; its `beside` is kept up.
        own: the adapter of the served model itself, by the name that its requests give.
        find: the models that are wanted, by name, or None where nothing has changed since it was last asked.
    """

    def __init__(
        self, main: Served, own: Mapping[str, Adapter], find: Callable[[], Mapping[str, Beside] | None]
    ) -> None:
        from buril.serve.engine import Engine

        assert isinstance(main.engine, Engine), "one of this process: another has no room for adapters"
        self._main, self._engine, self._own, self._find = main, main.engine, dict(own), find
        self._given: dict[str, Adapter] = dict(own)

    def watch(self) -> None:
        """Look now and then, in a thread of its own, as long as the engine runs."""
        threading.Thread(target=self._watch, name="buril-adapters", daemon=True).start()

    def _watch(self) -> None:
        while self._engine.is_running:
            time.sleep(LOOK_S)
            self.look()

    def look(self) -> bool:
        """Serve what is wanted now; whether that changed anything. What can't be served leaves all as it was."""
        began = time.monotonic()
        try:
            found = self._find()
            if found is None:
                return False
            self.put(found)
        except (BurilError, OSError, RuntimeError, MemoryError) as problem:
            line("adapters_kept", names=sorted(self._main.beside), problem=str(problem).splitlines()[0])
            return False
        line("adapters", names=sorted(found), seconds=round(time.monotonic() - began, 2))
        return True

    def put(self, found: Mapping[str, Beside]) -> None:
        """Serve these models beside the main one; adapters of answers on their way stay until these have ended.

        Raises:
            BurilError: V030 for an adapter that does not fit, and all stays as it was.
        """
        engine, generator = self._engine, self._main.generator
        wanted = dict(self._own)
        for item in found.values():
            wanted.update(item.given())

        def change() -> None:
            kept = {name: self._given[name] for name in engine.adapters() if name in self._given}
            given = {**kept, **wanted}
            generator.adapters(given)  # type: ignore[attr-defined]  # one with room for them was chosen
            self._given = given

        engine.between(change)
        # in this order no name that stays is ever missing
        self._main.beside.update({name: item.served for name, item in found.items()})
        for name in self._main.beside.keys() - found.keys():
            self._main.beside.pop(name)
