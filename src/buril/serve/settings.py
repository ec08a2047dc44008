"""What a server is told: the key `serve:` of the YAML, and the options of `buril serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from buril.core.plugins import PluginKind, Ref
from buril.core.settings import Settings as BaseSettings
from buril.serve.adapters import AdapterSettings
from buril.serve.watermark.lean import Settings as WatermarkSettings


class ServeSettings(BaseSettings):
    """How a model is served; nothing of it changes a model."""

    shorthand: ClassVar[str | None] = "engine"

    engine: Annotated[Ref | None, PluginKind("generator")] = None
    """What computes. None, or `auto`, takes the fastest that is installed and can run this model, and says why."""
    host: str = "127.0.0.1"
    """Address to listen at. Any other than this machine's own asks for `keys`."""
    port: int = Field(8080, ge=0, le=65535)
    """Port to listen at; 0 takes one that is free, and says which."""
    keys: Path | None = None
    """File of API keys, as `buril keys` writes it. Without one any program on this machine may ask."""
    state: Path | None = None
    """Folder that the server writes into: records of completions, counts. None takes the store's."""
    name: str | None = None
    """What clients call the model; None takes the `name` of the YAML."""
    adapters: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")], AdapterSettings] | None = None
    """Models beside the served one, by name: LoRA adapters on its base, each a reference or `{ref: …, strength: …}`.
    The file is looked at again when it changes. `{}` makes room for some that come later; None makes none."""
    guards: Annotated[tuple[Ref, ...], PluginKind("guard")] = Field(
        ["sentinels", "unicode", "injection", "secrets"], validate_default=True
    )
    """What looks at requests and answers, in this order. An answer that a guard reads is shown line by line."""
    repositories: dict[str, Path] = {}
    """Folders of repositories that the server may read, by name: what a prompt is shown of them beside the edited file.
    Whoever may ask for completions can get at what is in them. None are read that do not stand here."""
    context_tokens: int = Field(1024, ge=0)
    """Tokens of a prompt that other files may take, at most: from repositories, and those that a client sends along."""
    cache_mb: int = Field(64, ge=0)
    """Memory in MB for completions that were written: who types one along is answered from it. 0 for none."""
    deterministic: bool = False
    """The same request gives the same text, whatever else is being written: each is computed by itself, which takes
    longer where many ask. A request may ask for it by itself (`deterministic: true`)."""
    max_tokens: int = Field(256, ge=1)
    """Tokens of an answer where the client asks for none."""
    most_tokens: int = Field(2048, ge=1)
    """Tokens of an answer, at most."""
    most_samples: int = Field(8, ge=1, le=64)
    """Samples of one request, at most."""
    queue: int = Field(64, ge=0)
    """Samples that may wait for their turn. Who comes when it is full gets 429, and when to come again."""
    body_kb: int = Field(1024, ge=1)
    """Size of a request in kB, at most."""
    time_limit_s: float = Field(120.0, gt=0)
    """Seconds after which an answer ends where it is, as at its limit of tokens."""
    patience_s: float = Field(10.0, gt=0)
    """Seconds that a client may take to send a request, or to take the next part of an answer."""
    grace_s: float = Field(30.0, ge=0)
    """Seconds that answers on their way are given when the server is told to end."""
    connections: int = Field(1000, ge=1)
    """Open connections, at most."""
    metrics: Literal["open", "key", "off"] = "open"
    """Who may read `/metrics`: anybody, who has a key with the scope `metrics`, or nobody. It holds counts alone."""
    watermark: WatermarkSettings | None = None
    """A mark on all that is written, which no client can switch off: `on`, or settings such as `{delta: 2}`, as in
    `--watermark` of `buril complete`. None, or `off`, marks nothing: a mark costs quality."""

    @model_validator(mode="before")
    @classmethod
    def _chosen(cls, given: Any) -> Any:
        """`engine: auto` is none in particular; `watermark: on` takes its defaults."""
        if not isinstance(given, dict):
            return given
        words: dict[tuple[str, str | bool], Any] = {
            ("engine", "auto"): None,
            ("watermark", True): {},
            ("watermark", False): None,
        }
        return {
            name: words.get((name, value), value) if isinstance(value, str | bool) else value
            for name, value in given.items()
        }


class Serve:
    """What stands under `serve:` in the YAML."""

    Settings = ServeSettings
