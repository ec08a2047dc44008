"""The lineage section: the graph of artifacts, and the files, commits and licences that the model learnt from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from buril.audit.lineage import learnt_rows
from buril.core.artifact import Artifact
from buril.web.facets import Count
from buril.web.stages import in_order

MAX_REPOSITORIES = 60
MAX_LICENSES = 30
MAX_SETTING = 160
"""Characters shown of one setting."""
SECRETS = ("token", "password", "secret", "api_key", "apikey", "credential")


class Repository(NamedTuple):
    """A repository that was learnt from: `files` and `bytes` of it are in the training sequences."""

    repo: str
    commit: str
    license: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Link:
    """One artifact in the graph: what it is, what it was made from, and the settings that bear its identity."""

    stage: str
    version: int
    key: str
    digest: str
    inputs: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Lineage:
    """All of the lineage section. `learnt` counts the files that were learnt from; None when nothing tells.

    `source` names what told it: `train` (read by the kept weights), `pack` (in the sequences) or `split` (the part).
    """

    links: tuple[Link, ...]
    source: str
    learnt: Count | None
    licenses: tuple[tuple[str, Count], ...]
    num_more_licenses: int
    repositories: tuple[Repository, ...]
    num_more_repositories: int
    more_repositories: Count
    num_repositories: int


def gather_lineage(artifacts: Mapping[str, Artifact]) -> Lineage:
    """The lineage section from the manifests and from the rows that training read."""
    links = tuple(_link(name, artifact) for name, artifact in in_order(artifacts).items())
    found = learnt_rows(artifacts)
    if found is None:
        return Lineage(links, "", None, (), 0, (), 0, Count(), 0)
    learnt, source = found
    licenses = sorted(_grouped(learnt, ["license"]), key=lambda item: (-item[1].files, item[0]))
    by_repository = _grouped(learnt, ["repo", "commit", "license"])
    repositories = [Repository._make((*names, count.files, count.bytes)) for names, count in by_repository]
    repositories.sort(key=lambda row: (-row.bytes, row[:3]))
    rest = repositories[MAX_REPOSITORIES:]
    return Lineage(
        links=links,
        source=source,
        learnt=Count(learnt.num_rows, int(pc.sum(learnt["bytes"]).as_py() or 0)),
        licenses=tuple((names[0], count) for names, count in licenses[:MAX_LICENSES]),
        num_more_licenses=max(0, len(licenses) - MAX_LICENSES),
        repositories=tuple(repositories[:MAX_REPOSITORIES]),
        num_more_repositories=len(rest),
        more_repositories=Count(sum(row.files for row in rest), sum(row.bytes for row in rest)),
        num_repositories=len({row.repo for row in repositories}),
    )


def _link(name: str, artifact: Artifact) -> Link:
    manifest = artifact.manifest
    settings = tuple((key, _setting(key, value)) for key, value in sorted(manifest.settings.items()))
    return Link(name, manifest.version, manifest.key, manifest.digest, tuple(sorted(manifest.inputs)), settings)


def _setting(name: str, value: Any) -> str:
    """A setting as one line of JSON; what is named like a secret is never written."""
    text = value if isinstance(value, str) else json.dumps(_hidden(value), ensure_ascii=False, sort_keys=True)
    if _secret(name) and value:
        return "•••"
    return text if len(text) <= MAX_SETTING else text[:MAX_SETTING] + "…"


def _secret(name: str) -> bool:
    return any(name.lower() == part or name.lower().endswith(f"_{part}") for part in SECRETS)


def _hidden(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: "•••" if _secret(str(key)) and item else _hidden(item) for key, item in value.items()}
    return [_hidden(item) for item in value] if isinstance(value, list) else value


def _grouped(table: pa.Table, by: Sequence[str]) -> list[tuple[tuple[str, ...], Count]]:
    grouped = table.group_by(list(by)).aggregate([([], "count_all"), ("bytes", "sum")])
    return [
        (tuple(str(row[name] or "") for name in by), Count(int(row["count_all"]), int(row["bytes_sum"] or 0)))
        for row in grouped.to_pylist()
    ]
