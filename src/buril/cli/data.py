"""`buril data`: look at what was collected, kept and dropped; export the parts in other formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli import common
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.core.artifact import Artifact
    from buril.data.explore import Explored

TITLES = {
    "language": N_("language"),
    "license": N_("licence"),
    "repo": N_("repository"),
    "part": N_("part"),
    "found": N_("found"),
    "kept": N_("kept"),
    "dropped": N_("dropped"),
}
FORMATS = ("tfrecord", "parquet", "jsonl")
BAR = 20


@click.group()
def command() -> None:
    """Look at the data, or export it."""


@command.command("explore")
@click.argument("ref", required=False)
@click.option("--language", default="", help="Only files of this language.")
@click.option("--license", "license_", default="", help="Only files under this licence.")
@click.option("--repo", default="", help="Only files of this repository.")
@click.option("--part", default="", help="Only files of this part: train, valid or test.")
@click.option("--reason", default="", help="Only what was dropped for this reason: REASON or STEP.REASON.")
@click.option("--limit", type=click.IntRange(1), default=12, show_default=True, help="Rows of each table.")
@common.config_option
@common.store_option
@common.json_option
def explore_command(
    ref: str | None, language: str, license_: str, repo: str, part: str, reason: str, limit: int, config_path: Path,
    store_path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Show what was kept and dropped in REF, a run or an artifact (default: the latest run), and why."""
    from buril.data.explore import Filters, explore, reached

    store = common.open_store(config_path, store_path)
    filters = Filters(language, license_, repo, reason, part)
    found = explore(reached(store, ref), filters, limit=limit)
    if as_json:
        common.put({"ref": ref or "latest", "filters": filters._asdict(), **found._asdict()})
        return
    _show(found)
    example = next(iter(found.dropped_rows or found.kept_rows), None)
    common.following(f"buril why {example['repo']}/{example['path']}" if example else "buril status")


def _show(found: Explored) -> None:
    for name in ("found", "kept", "dropped"):
        total = found.totals[name]
        click.echo(f"{_(TITLES[name]):<12} {total['files']:>10,} {common.size(total['bytes']):>10}")
    for by, rows in found.facets.items():
        _facet(_(TITLES[by]), rows, by)
    names = [f"{row['stage']} · {row['step']} · {row['reason']}" for row in found.dropped]
    _counted(_("why dropped"), names, found.dropped)
    names = [f"{row['severity']:<6} {row['scanner']} {row['rule']}" for row in found.findings]
    _rules(_("findings"), names, found.findings)
    _rules(_("redactions"), [row["rule"] for row in found.redactions], found.redactions)
    _rows(_("dropped, for example"), found.dropped_rows, ("step", "reason", "detail"))
    _rows(_("kept, for example"), found.kept_rows, ("language", "license", "part"))


def _facet(title: str, rows: Sequence[Mapping[str, Any]], by: str) -> None:
    _counted(title, [row[by] or _("unknown") for row in rows], rows)


def _counted(title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of files and bytes, each with a bar that says its share of the largest."""
    if not rows:
        return
    most = max(1, *(row["bytes"] for row in rows))
    click.echo(f"\n{title}")
    for name, row in zip(names, rows, strict=True):
        bar = "▇" * round(BAR * row["bytes"] / most)
        click.echo(f"  {name[:44]:<44} {row['files']:>9,} {common.size(row['bytes']):>10}  {bar}".rstrip())


def _rules(title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        click.echo(f"\n{title}")
    for name, row in zip(names, rows, strict=True):
        told = _("{times} in {files} files").format(times=f"{row['times']:,}", files=f"{row['files']:,}")
        click.echo(f"  {name[:44]:<44} {told}")


def _rows(title: str, rows: Sequence[Mapping[str, Any]], told: Sequence[str]) -> None:
    if rows:
        click.echo(f"\n{title}")
    for row in rows:
        rest = " · ".join(str(row[name]) for name in told if row.get(name))
        click.echo(f"  {row['repo']}/{row['path']}  {rest}".rstrip())


@command.command("export")
@click.argument("ref", required=False)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="parquet", show_default=True, help="What to write."
)
@click.option("--to", "to", type=click.Path(path_type=Path), required=True, help="A new or empty folder.")
@click.option("--shard-mb", type=click.IntRange(1), default=256, show_default=True, help="MB of text of a shard.")
@common.config_option
@common.store_option
@common.json_option
def export_command(
    ref: str | None, form: str, to: Path, shard_mb: int, config_path: Path, store_path: Path | None, as_json: bool
) -> None:
    """Write the training, validation and test parts of REF (default: the latest run) into a folder."""
    from buril.data.explore import reached
    from buril.data.export import FORMATS as KNOWN
    from buril.data.export import export

    store = common.open_store(config_path, store_path)
    artifact = _parts(reached(store, ref))
    chosen = next(name for name in KNOWN if name == form)
    written = export(artifact, to, chosen, shard_bytes=shard_mb * 1_000_000)
    if as_json:
        common.put({"folder": to, "format": form, "artifact": artifact.link.__dict__, **written._asdict()})
        return
    for part, rows in written.rows.items():
        click.echo(f"  {part:<6} " + _("{rows} rows").format(rows=f"{rows:,}"))
    told = _("{files} files, {size}, in {folder}")
    click.echo(told.format(files=len(written.files), size=common.size(written.file_bytes), folder=to))
    common.following(f"cd {to} && sha256sum -c SHA256SUMS")


def _parts(artifacts: Mapping[str, Artifact]) -> Artifact:
    """What to export: the data set where there is one, else the split, else whatever there is, for its error."""
    return artifacts.get("dataset") or artifacts.get("split") or next(iter(artifacts.values()))
