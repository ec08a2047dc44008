"""The Hugging Face hub: which commit a data set's revision is, which tables it holds, and bringing one here.

Everything goes through `huggingface_hub`. An answer that asks to wait, a broken connection and an error of the server
are tried again; what was said of a commit is kept, since a commit never changes.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.plugins import require
from buril.data.sources._cache import cache_folder
from buril.data.sources._tables import kind_of

HUB = "https://huggingface.co"
TRIES = 5
WAIT_S = 1.0
"""Wait before the second try in seconds; doubled before each further one. `Retry-After` is heeded up to a minute."""
MAX_WAIT_S = 60.0
COMMIT = re.compile(r"[0-9a-f]{40}")
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
Result = TypeVar("Result")


@dataclass(frozen=True)
class DataSet:
    """A data set of the hub at one revision. `token` is the token itself, held in memory alone."""

    name: str
    revision: str
    token: str = ""
    cache: Path | None = None


def commit_of(dataset: DataSet) -> str:
    """The commit that its revision is now; a commit is itself.

    Raises:
        BurilError: D022 when the hub has no such data set or revision, or can't be asked; P002 without its client.
    """
    require("huggingface_hub", kind="source", name="huggingface")
    return dataset.revision if COMMIT.fullmatch(dataset.revision) else _resolved(dataset, _endpoint())


@cache
def _resolved(dataset: DataSet, endpoint: str | None) -> str:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=dataset.token or False)
    found = _asked(dataset, lambda: api.dataset_info(dataset.name, revision=dataset.revision))
    return str(found.sha)


def tables_of(dataset: DataSet, commit: str) -> dict[str, int]:
    """Name → bytes of the tables of a commit, by name; kept in the cache once it was told.

    Raises:
        BurilError: D021 when it is gated, D022 when it can't be listed.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    kept = cache_folder(None if dataset.cache is None else dataset.cache / "listings", "huggingface")
    told = kept / f"{dataset.name.replace('/', '__')}@{commit}.json"
    if told.is_file():
        return {name: int(size) for name, size in json.loads(told.read_text(encoding="utf-8")).items()}
    api = HfApi(endpoint=_endpoint(), token=dataset.token or False)

    def listed() -> dict[str, int]:
        items = api.list_repo_tree(dataset.name, recursive=True, revision=commit, repo_type="dataset")
        return {item.path: int(item.size) for item in items if isinstance(item, RepoFile) and kind_of(item.path)}

    found = dict(sorted(_asked(dataset, listed).items()))
    with atomic(told) as temporary:
        temporary.write_text(json.dumps(found), encoding="utf-8")
    return found


def bring(dataset: DataSet, commit: str, name: str) -> Path:
    """One file of a commit, whole, in the hub's cache; a download that broke off goes on where it was.

    Raises:
        BurilError: D021 when it is gated, D022 when it can't be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()

    def download() -> str:
        return str(
            hf_hub_download(
                dataset.name,
                name,
                repo_type="dataset",
                revision=commit,
                token=dataset.token or False,
                cache_dir=None if dataset.cache is None else str(dataset.cache / "hub"),
                endpoint=_endpoint(),
            )
        )

    return Path(_asked(dataset, download))


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _asked(dataset: DataSet, call: Callable[[], Result]) -> Result:
    """What the hub answers, after some patience."""
    import httpx
    from huggingface_hub import errors

    for turn in range(TRIES):
        wait = WAIT_S * 2**turn
        try:
            return call()
        except errors.GatedRepoError as refused:
            raise BurilError("D021", dataset=dataset.name, url=f"{HUB}/datasets/{dataset.name}") from refused
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as refused:
            raise BurilError("D022", dataset=dataset.name, problem=_first_line(refused)) from refused
        except errors.HfHubHTTPError as problem:
            response = problem.response
            if response is None or response.status_code not in _AGAIN or turn == TRIES - 1:
                raise BurilError("D022", dataset=dataset.name, problem=_first_line(problem)) from problem
            told = response.headers.get("retry-after", "")
            wait = min(MAX_WAIT_S, float(told)) if told.isdigit() else wait
        except (httpx.HTTPError, errors.LocalEntryNotFoundError, OSError, ValueError) as problem:
            if turn == TRIES - 1 or (isinstance(problem, OSError) and problem.errno):
                raise BurilError("D022", dataset=dataset.name, problem=_first_line(problem)) from problem
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _first_line(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines or [type(problem).__name__])[0][:300]
