"""`buril diff A B`: what differs between two artifacts, or stage by stage between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from buril.cli import common
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.text import _


@click.command()
@click.argument("a")
@click.argument("b")
@common.config_option
@common.store_option
@common.json_option
def command(a: str, b: str, config_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Compare two artifacts (stage@KEY, digests, folders) or two runs (NAME@RUN)."""
    store = common.open_store(config_path, store_path)
    refs = store.refs()
    if a in refs and b in refs:
        first, second = store.chain(a), store.chain(b)
        pairs = [(first.get(stage), second.get(stage)) for stage in {**first, **second}]
    else:
        pairs = [(store.resolve(a), store.resolve(b))]
    found = [compare(one, other) for one, other in pairs]
    if as_json:
        common.put(found)
        return
    for item in found:
        _tell(item)
    common.following(f"buril show {b if b not in refs else next(iter(refs[b]))}")


def compare(one: Artifact | None, other: Artifact | None) -> dict[str, Any]:
    """What differs: identity, metrics, and files by SHA-256; one of the two may be absent."""
    from buril.core.plan import differences

    present = one or other
    if present is None:
        raise BurilError("S001", ref="")
    result: dict[str, Any] = {"stage": present.manifest.stage, "only": None, "same_bytes": False}
    if one is None or other is None:
        return {**result, "only": "a" if one else "b"}
    files = [{entry.path: entry.sha256 for entry in item.manifest.files} for item in (one, other)]
    return {
        **result,
        "same_bytes": one.digest == other.digest,
        "identity": [list(item) for item in differences(one.manifest.identity, other.manifest.identity)],
        "metrics": [list(item) for item in differences(one.manifest.metrics, other.manifest.metrics)],
        "files": sorted(path for path in files[0].keys() | files[1].keys() if files[0].get(path) != files[1].get(path)),
    }


def _tell(item: dict[str, Any]) -> None:
    if item["only"]:
        click.echo(f"  {item['stage']:<10} " + _("only in {which}").format(which=item["only"].upper()))
        return
    same = (
        _("same bytes") if item["same_bytes"] else _("other bytes: {files}").format(files=", ".join(item["files"][:4]))
    )
    click.echo(f"  {item['stage']:<10} {same}")
    for name, old, new in [*item["identity"], *item["metrics"]]:
        click.echo(f"             {name}: {common_shown(old)} → {common_shown(new)}")


def common_shown(value: Any) -> str:
    """A value on one short line."""
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 48 else text[:47] + "…"
