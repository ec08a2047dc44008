"""Stage base: the model that training starts from, as a plain Hugging Face folder, whatever it came as."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from buril.core.errors import BurilError, nearest
from buril.core.estimate import Estimate
from buril.core.plugins import names, normal, plugin, settings_of
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.train.bases._base import Base as BasePlugin

FROM_A_PLACE = ("folder", "gguf", "hub")
"""Plugins that `train.base` reaches by a path or a hub id, never by their own name."""
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Base(Stage):
    """Writes `model/` (config.json, model.safetensors, and of a pretrained model its tokenizer) and `base.json`.

    What `train.base` may be: `smollm2-135m`, `scratch`, a model folder, a .gguf file, or a hub id `org/name`.
    """

    name = "base"
    version = 1

    class Settings(BaseSettings):
        """What to start from."""

        shorthand: ClassVar[str | None] = "base"

        base: str = "smollm2-135m"
        """`smollm2-135m` (small, permissive, from a wheel), `scratch`, a model folder, a .gguf file, or a hub id."""
        depth: int = Field(6, ge=1, le=80)
        """Layers of a model from scratch; its other sizes follow. Six learn most in a few minutes of two cores."""
        max_length: int = Field(2048, ge=16)
        """Context of a model from scratch, in tokens; a pretrained one keeps its own."""
        revision: str = "main"
        """Commit, tag or branch of a hub id. A commit names the same bytes for ever."""
        seed: int = 0
        """Where the random weights of a model from scratch come from."""

    def needs(self) -> tuple[str, ...]:
        """The tokenizer for a model from scratch, nothing for a pretrained one."""
        return self._plugin().needs()

    def parts(self) -> dict[str, int]:
        """The version of the plugin that writes it."""
        name, argument = which(self.settings.base)
        return {f"base:{name}": int(getattr(plugin("base", name), "version", 1))}

    def observe(self) -> Any:
        """The fingerprint of the source."""
        return self._plugin().observe()

    def work(self, inputs: Inputs) -> float:
        """Bytes to read or to write."""
        return float(self._plugin().size())

    def assume(self, work: float) -> Estimate:
        """About 50 MB a second, with the largest tensor in memory."""
        return Estimate(seconds=1.0 + work / 50e6, ram_mb=500, disk_mb=3 * work / 1e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write the model."""
        base = self._plugin()
        tokenizer = inputs["tokenizer"].folder if "tokenizer" in inputs else None
        if base.needs() == () and self.settings.revision != "main" and which(self.settings.base)[0] != "hub":
            out.warn(
                _("`revision` means something for a hub id only; `{base}` is not one").format(base=self.settings.base)
            )
        description = base.write(out, tokenizer)
        out.text("base.json", description.to_json())
        shown = asdict(description)
        return {key: shown[key] for key in ("name", "kind", "license", "parameters", "fim")}

    def _plugin(self) -> BasePlugin:
        name, argument = which(self.settings.base)
        wanted = settings_of("base", name)
        given = {field: getattr(self.settings, field) for field in wanted.model_fields if hasattr(self.settings, field)}
        if wanted.shorthand and argument:
            given[wanted.shorthand] = argument
        found: BasePlugin = plugin("base", name)(wanted.model_validate(given))
        return found


def which(base: str) -> tuple[str, str]:
    """The plugin that a value of `train.base` means, and what it is told.

    A name wins over a path of the same name (write `./scratch` for the folder), an existing path over a hub id.

    Example:
        `which("smollm2-135m")` → `("smollm2_135m", "")`; `which("Qwen/Qwen2.5-Coder-0.5B")` → `("hub", "Qwen/…")`.

    Raises:
        BurilError: T001 for what can be none of them, T002 for a path that does not exist.
    """
    known = [name for name in names("base") if name not in FROM_A_PLACE]
    if normal(base) in known:
        return normal(base), ""
    path = Path(base).expanduser()
    if path.is_dir():
        return "folder", base
    if path.is_file() and path.suffix.lower() == ".gguf":
        return "gguf", base
    if path.is_file():
        raise BurilError("T003", path=base, missing=_("files at all: it is a file itself, and not a .gguf"))
    if not _looks_like_path(base) and HUB_ID.fullmatch(base):
        return "hub", base
    if _looks_like_path(base):
        raise BurilError("T002", path=base, suggestion=_beside(path))
    raise BurilError("T001", base=base, suggestion=nearest(base, [_spoken(name) for name in known]))


def _looks_like_path(base: str) -> bool:
    return base.startswith((".", "/", "~")) or base.lower().endswith(".gguf") or base.count("/") > 1


def _beside(path: Path) -> str:
    """What stands where the path should: the nearest name there, or how far the path is right."""
    parent = path.parent
    if not parent.is_dir():
        return _("the folder `{path}` does not exist either").format(path=parent)
    return nearest(path.name, sorted(item.name for item in parent.iterdir() if not item.name.startswith("."))[:50])


def _spoken(name: str) -> str:
    return name.replace("_", "-")
