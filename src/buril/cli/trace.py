"""`buril trace X`: from a file to the models that saw it, from a model or completion to its sources."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli import common, tracing
from buril.cli.marking import signature_of
from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from buril.audit.lineage import Node
    from buril.core.artifact import Artifact
    from buril.core.store import Store

SHOWN = 12


@click.command()
@click.argument("what")
@common.config_option
@common.store_option
@common.json_option
def command(what: str, config_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Trace WHAT: `model`, any artifact, a bundle, the id of a completion, or a file."""
    from buril.audit import lineage

    store = common.open_store(config_path, store_path)
    record = lineage.completion(store, what)
    if record:
        artifact = _model_of(store, record)
        signed = signature_of(store, record)
        found: dict[str, Any] = {"completion": record, "ledger": signed, **_backwards(store, artifact)}
    else:
        artifact_or_none = _artifact(store, what)
        found = _backwards(store, artifact_or_none) if artifact_or_none else _forwards(store, what)
    if as_json:
        common.put(found)
    elif "files" in found:
        _tell_files(found)
    else:
        _tell_model(found)


def _artifact(store: Store, what: str) -> Artifact | None:
    from buril.cli.bundle import bundle_at, model_behind

    if folder := bundle_at(what):
        return model_behind(store, folder)
    try:
        return common.resolve(store, what)
    except BurilError as problem:
        if problem.code != "S001":
            raise
        if what == "model":
            raise BurilError("S007", stage="train") from problem
        return None


def _model_of(store: Store, record: dict[str, Any]) -> Artifact:
    from buril.core.artifact import Link

    links = {name: Link(**link) for name, link in record["model"].items()}
    link = links.get("adapter") or links.get("align") or links.get("train") or links["base"]
    found = store.linked(link)
    if found is None:
        raise BurilError("S001", ref=f"{link.stage}@{link.key[:12]}")
    return found


def _backwards(store: Store, artifact: Artifact) -> dict[str, Any]:
    from buril.audit import lineage

    behind = lineage.ancestors(store, artifact)
    learnt = lineage.origin(behind)
    base = behind["base"].json("base.json") if "base" in behind else None
    return {
        "graph": asdict(lineage.ancestry(store, artifact)),
        "learnt_from": asdict(learnt) if learnt else None,
        "learnt_with": [asdict(item) for item in lineage.contributors(behind["train"])] if "train" in behind else [],
        "base": base,
    }


def _forwards(store: Store, what: str) -> dict[str, Any]:
    from buril.audit import lineage

    found = []
    for story in lineage.stories(store.chain(), what):
        models = [
            {"model": f"{artifact.manifest.stage}@{artifact.key[:12]}", "digest": artifact.digest, "tokens": tokens}
            for artifact, tokens in lineage.models_with(store, story.row_id)
        ]
        found.append(
            {
                "file": f"{story.repo}/{story.path}",
                "row_id": story.row_id,
                "part": story.part,
                "kept": story.kept,
                "license": story.license,
                "commit": story.commit,
                "models": models,
            }
        )
    return {"files": found}


def _tell_files(found: dict[str, Any]) -> None:
    for item in found["files"]:
        click.echo(
            f"{item['file']}  {item['license'] or _('licence unknown')}  {item['commit'][:12]}  row {item['row_id']}"
        )
        where = _("in the {part} part").format(part=item["part"]) if item["part"] else _("left out of the data set")
        click.echo(f"  ->  {where}")
        for model in item["models"]:
            click.echo(
                "  ->  "
                + _("learnt by {model} ({tokens} tokens)").format(model=model["model"], tokens=f"{model['tokens']:,}")
            )
        if not item["models"]:
            click.echo("  ->  " + _("no model in this store was trained on it"))
    common.following(f"buril why {found['files'][0]['file']}")


def _tell_model(found: dict[str, Any]) -> None:
    if record := found.get("completion"):
        click.echo(_("completion {id} of {when}").format(id=record["id"], when=record.get("created", "")))
        _tell_matches(record)
        if signed := found["ledger"]:
            click.echo(_("signed: record {seq} of the ledger, by the key {key}").format(**signed))
        else:
            click.echo(_("not signed: it is not in the ledger"))
    _tell_node(found["graph"], 0, set())
    if base := found["base"]:
        click.echo(
            _("base model: {name} ({kind}), licence {license}").format(
                name=base["name"], kind=base["kind"], license=base.get("license") or _("unknown")
            )
        )
    if learnt := found["learnt_from"]:
        click.echo(
            _("learnt from {files} files, {size}, of {repos} repositories").format(
                files=f"{learnt['files']:,}", size=common.size(learnt["bytes"]), repos=len(learnt["repositories"])
            )
        )
        click.echo(
            "  "
            + " · ".join(
                f"{name or _('unknown')} {count:,}" for name, count in list(learnt["licenses"].items())[:SHOWN]
            )
        )
        for entry in learnt["repositories"][:SHOWN]:
            click.echo(
                f"  {entry['files']:>5}  {entry['repo']}  {entry['commit'][:12]}  {', '.join(entry['licenses'])}"
            )
        if (rest := len(learnt["repositories"]) - SHOWN) > 0:
            click.echo("         " + _("and {count} more (`--json` lists all)").format(count=rest))
    _tell_clients(found["learnt_with"])
    common.following("buril report")


def _tell_matches(record: dict[str, Any]) -> None:
    """The training files that a completion was found to be from when it was written."""
    if "provenance" not in record:
        click.echo("  ->  " + _("its record holds no matches: there was no index of the model, or none was wanted"))
        return
    matches = tracing.matches_of(record)
    if not matches:
        click.echo("  ->  " + _("no training file was found for it"))
    tracing.tell_matches(matches[:SHOWN], indent="  ->  ")


def _tell_clients(clients: list[dict[str, Any]]) -> None:
    if clients:
        click.echo(_("learnt with {number} clients, whose text stays with them").format(number=len(clients)))
    for item in clients:
        told = _("{rounds} rounds, weight {weight:.0%}, {tokens:,} tokens").format(**item)
        click.echo(f"  {item['client']}  {_('digest')} {item['dataset'][:12]}  {told}")


def _tell_node(node: dict[str, Any] | Node, depth: int, seen: set[str]) -> None:
    assert isinstance(node, dict)
    known = node["digest"] in seen
    seen.add(node["digest"])
    more = "  " + (
        _("(see above)") if known and node["inputs"] else _("(removed from the store)") if node["missing"] else ""
    )
    mark = "<- " if depth else ""
    click.echo(
        f"{'   ' * depth}{mark}{node['stage']}@{node['key'][:12]}  {_('digest')} {node['digest'][:12]}  "
        + f"{node['made'][:16]}{more}".rstrip()
    )
    if not known:
        for inner in node["inputs"]:
            _tell_node(inner, depth + 1, seen)
