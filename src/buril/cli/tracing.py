"""Provenance on the command line: the index of a model, what a record keeps of matches, and how they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from buril.cli.common import say
from buril.core.errors import BurilError
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.core.artifact import Artifact
    from buril.core.store import Store
    from buril.serve.provenance import Match, Provenance, ProvenanceIndex

STAGE = "index"
KINDS = {"verbatim": N_("verbatim"), "near": N_("near")}
COMMON = {
    "repositories": N_("common: in many repositories"),
    "imports": N_("common: imports"),
    "notice": N_("common: a notice of rights"),
    "repetitive": N_("common: repeats itself"),
}


class Looked(NamedTuple):
    """An index and the artifact that it is of."""

    artifact: Artifact
    reader: ProvenanceIndex


def index_of_model(store: Store, tuned: Artifact | None, *, wanted: bool | None) -> Looked | None:
    """The index of the rows that a model has read; None where there is none, or where none is wanted.

    It is one of that very model, or else one of the training part that the model is from.

    Raises:
        BurilError: V200 when one is wanted and there is none, V201 or V202 when it can't be read.
    """
    if wanted is False:
        return None
    found = _of_model(store, tuned) if tuned else None
    if found is None and wanted:
        raise BurilError("V200")
    return opened(found) if found else None


def _of_model(store: Store, tuned: Artifact) -> Artifact | None:
    from buril.audit.lineage import ancestors

    there = list(store.artifacts(STAGE))
    stage = tuned.manifest.stage
    for artifact in there:
        link = artifact.manifest.inputs.get(stage)
        if link is not None and link.digest == tuned.digest:
            return artifact
    split = ancestors(store, tuned).get("split") if there else None
    whole = [artifact for artifact in there if not {"train", "align"} & artifact.manifest.inputs.keys()]
    return next((item for item in whole if split and item.manifest.inputs["split"].digest == split.digest), None)


def latest_index(store: Store) -> Artifact:
    """The index of the latest run that has one.

    Raises:
        BurilError: V200 when no run has.
    """
    for links in store.refs().values():
        found = store.linked(links[STAGE]) if STAGE in links else None
        if found:
            return found
    raise BurilError("V200")


def opened(artifact: Artifact) -> Looked:
    """An index, ready to be asked."""
    from buril.serve.provenance import ProvenanceIndex

    return Looked(artifact, ProvenanceIndex.open(artifact.folder))


def open_folder(folder: Path) -> ProvenanceIndex:
    """The index in a folder.

    Raises:
        BurilError: V201 or V202 when it can't be read.
    """
    from buril.serve.provenance import ProvenanceIndex

    return ProvenanceIndex.open(folder)


def record_of(looked: Looked | None, text: str, language: str, before: str) -> dict[str, Any]:
    """What a completion's record keeps of where it is from: names, places and figures, none of the text."""
    if looked is None:
        return {}
    found = looked.reader.look_up(text, language, before=before)
    return {"provenance": {"index": asdict(looked.artifact.link), **plain(found)}}


def plain(found: Provenance) -> dict[str, Any]:
    """Matches as plain JSON."""
    return {**found._asdict(), "matches": [match._asdict() for match in found.matches]}


def tell_records(records: Sequence[Mapping[str, Any]]) -> None:
    """A line on stderr for each completion whose record says where it is from."""
    for record in records:
        if "provenance" in record:
            _tell_record(record)


def _tell_record(record: Mapping[str, Any]) -> None:
    telling = [match for match in matches_of(record) if not match.common]
    if not telling:
        say(_("provenance: no part of it is told from what the model has learnt"))
        return
    told = _("provenance: {first}").format(first=one_line(telling[0]))
    rest = len({match.row_id for match in telling}) - 1
    say(told + (f" ({_('and {number} more').format(number=rest)})" if rest else ""))


def matches_of(record: Mapping[str, Any]) -> list[Match]:
    """The matches that a record has kept."""
    from buril.serve.provenance import Match

    return [Match(**item) for item in record["provenance"]["matches"]]


def one_line(match: Match) -> str:
    """A match in one line: how much, of which kind, and the source."""
    from buril.serve.provenance import cite

    told = _("{tokens} tokens ({share:.0%}) {kind} in {source}").format(
        tokens=match.tokens, share=match.share, kind=_(KINDS[match.kind]), source=cite(match)
    )
    return told if match.kind == "verbatim" else f"{told}, " + _("score {score:.2f}").format(score=match.score)


def tell_matches(matches: Sequence[Match], *, indent: str = "") -> None:
    """A line for each match on stdout."""
    for match in matches:
        more = [_(COMMON[match.common])] if match.common else []
        if match.files > 1:
            held = _("{files} files of {repositories} repositories")
            more.append(held.format(files=match.files, repositories=match.repositories))
        if match.made_by:
            more.append(_("made by {stage} of row {origin}").format(stage=match.made_by, origin=match.origin or "—"))
        click.echo(f"{indent}{one_line(match)}" + (f"  [{'; '.join(more)}]" if more else ""))
