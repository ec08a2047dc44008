"""A base from the Hugging Face hub: the one base that may use the network, because a hub id asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from buril.core.errors import BurilError
from buril.core.settings import Json
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Output
from buril.core.text import _
from buril.train.bases._base import MODEL, Description, count_parameters, has_fim, listing_sha256
from buril.train.bases._folder import INDEX, PLAIN, card_license, copy_files, model_files

WANTED = [*PLAIN, INDEX, "model*.safetensors", "README.md"]


class Hub:
    """Takes a model from the local cache of the hub where it is whole there, else downloads it into that cache.

    `HF_HUB_OFFLINE=1` keeps it off the network, `HF_TOKEN` opens gated models, `HF_HOME` moves the cache.
    """

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ("huggingface_hub",)

    class Settings(BaseSettings):
        """Which model."""

        shorthand: ClassVar[str | None] = "repo"

        repo: str
        """The hub id, `org/name`."""
        revision: str = "main"
        """A commit, tag or branch. A branch moves: only a commit names the same bytes for ever."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def needs(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def observe(self) -> Json:
        """Repository and revision as asked for: to plan must not need the network."""
        return {"repo": self.settings.repo, "revision": self.settings.revision}

    def size(self) -> int:
        """Unknown before the download; a small model is assumed (bytes)."""
        return 1_000_000_000

    def write(self, out: Output, tokenizer: Path | None) -> Description:
        """Fetch, check and copy the files."""
        folder = self._cached() or self._fetch()
        commit = folder.name
        files = self._files(folder)
        copy_files(files, out)
        if self.settings.revision != commit:
            out.note(
                _("base {repo}: `{revision}` is commit {commit}; name it as `revision` to keep it").format(
                    repo=self.settings.repo, revision=self.settings.revision, commit=commit
                )
            )
        written = out.path(MODEL)
        return Description(
            name=self.settings.repo,
            kind="hub",
            source=f"{self.settings.repo}@{commit}",
            sha256=listing_sha256({name: written / name for name in files}),
            license=card_license(folder),
            parameters=count_parameters(written),
            fim=has_fim(written),
        )

    def _cached(self) -> Path | None:
        """The snapshot in the local cache if all of the model is there."""
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = self._snapshot(local_files_only=True)
            model_files(folder)
        except LocalEntryNotFoundError:
            return None
        except BurilError as problem:
            if problem.code in {"T003", "T012"}:  # a part of it only: the download brings the rest
                return None
            raise
        return folder

    def _files(self, folder: Path) -> dict[str, Path]:
        try:
            return model_files(folder)
        except BurilError as problem:
            if problem.code not in {"T003", "T012"}:
                raise
            missing = problem.values["missing"]
            raise self._error(_("it has no {missing} within reach").format(missing=missing)) from problem

    def _fetch(self) -> Path:
        """Download the snapshot; what is in the cache already is not fetched again."""
        from huggingface_hub.errors import (
            GatedRepoError,
            HFValidationError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        try:
            return self._snapshot(local_files_only=False)
        except GatedRepoError as problem:
            raise self._error(_("its owner gives access on request")) from problem
        except RepositoryNotFoundError as problem:
            raise self._error(_("there is no such model, or it is private")) from problem
        except RevisionNotFoundError as problem:
            raise self._error(_("it has no revision `{revision}`").format(revision=self.settings.revision)) from problem
        except (OSError, HFValidationError) as problem:
            raise self._error((str(problem).strip().splitlines() or [type(problem).__name__])[0]) from problem

    def _snapshot(self, *, local_files_only: bool) -> Path:
        from huggingface_hub import snapshot_download

        return Path(
            snapshot_download(
                self.settings.repo,
                revision=self.settings.revision,
                allow_patterns=WANTED,
                ignore_patterns=["*/*"],
                local_files_only=local_files_only,
            )
        )

    def _error(self, problem: str) -> BurilError:
        return BurilError("T008", repo=self.settings.repo, problem=problem)
