"""A base from a Hugging Face model folder on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from buril.core.errors import BurilError
from buril.core.settings import Json
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Output
from buril.train.bases._base import MODEL, Description, count_parameters, has_fim, listing_sha256, stamp
from buril.train.bases._folder import card_license, copy_files, model_files


class Folder:
    """Takes over config, safetensors, tokenizer and chat template as they are; never pickles, never code."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """Where it is."""

        shorthand: ClassVar[str | None] = "path"

        path: str
        """A folder as `save_pretrained` writes it; `~` is the home folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = Path(settings.path).expanduser()

    def needs(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def observe(self) -> Json:
        """Name, size and time of every file that is taken over."""
        if not self.folder.is_dir():
            raise BurilError("T002", path=self.settings.path, suggestion="")
        return {name: stamp(path) for name, path in model_files(self.folder).items()}

    def size(self) -> int:
        """Bytes of the files that are taken over."""
        return sum(path.stat().st_size for path in model_files(self.folder).values())

    def write(self, out: Output, tokenizer: Path | None) -> Description:
        """Copy the files."""
        files = model_files(self.folder)
        copy_files(files, out)
        written = out.path(MODEL)
        return Description(
            name=self.folder.resolve().name,
            kind="folder",
            source=self.folder.resolve().name,  # the name alone: bytes may not depend on where a model lies
            sha256=listing_sha256({name: written / name for name in files}),
            license=card_license(self.folder),
            parameters=count_parameters(written),
            fim=has_fim(written),
        )
