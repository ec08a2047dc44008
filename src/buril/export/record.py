"""`bundle.json` and the short `README.md` of a bundle: what it was made from, what is in it, how each is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buril.core.artifact import Artifact, atomic, sha256_file
from buril.export.exporters._exporter import Exporter, Source
from buril.generators._bundle import BUNDLE, FORMAT, digest_of_bundle

README = "README.md"


def part_of(
    exporter: Exporter, source: Source, *, kind: str, version: int, parity: Mapping[str, Any]
) -> dict[str, Any]:
    """What `bundle.json` says of a format."""
    return {
        "name": exporter.name(), "format": kind, "version": version, "bits": exporter.bits(source),
        "main": exporter.main, "engines": list(exporter.engines), "usage": exporter.usage(), "parity": dict(parity),
    }  # fmt: skip


def made_from(artifacts: Mapping[str, Artifact]) -> dict[str, dict[str, str]]:
    """The artifacts of a model by stage, as a manifest names its inputs."""
    return {
        name: {"stage": item.manifest.stage, "key": item.key, "digest": item.digest} for name, item in artifacts.items()
    }


def write_record(folder: Path, content: Mapping[str, Any], created: str) -> str:
    """Hash every file and write `bundle.json`; gives the bundle's digest.

    Args:
        folder: the bundle, whole but for this file.
        content: what it says beside its files.
        created: the time, as ISO 8601 has it.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / BUNDLE)
    files = [
        {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in paths
    ]
    told = {"format": FORMAT, **content, "files": files}
    digest = digest_of_bundle(told)
    with atomic(folder / BUNDLE) as path:
        text = json.dumps({**told, "created": created, "digest": digest}, indent=1, sort_keys=True, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
    return digest


def card(content: Mapping[str, Any]) -> str:
    """The text of `README.md`, in English: it travels with the model."""
    base, data = content["base"], content["data"]
    lines = [
        f"# {content['name']}", "",
        f"A code model, made from {base['name']} ({base['license'] or 'licence unknown'}) with buril.", "",
        f"- Made from: {_links(content['made_from'])}.",
        f"- Learnt from {data['files']:,} files: {_licenses(data)}.",
        "- `fim.json`: ids of the tokens for filling in. `bundle.json`: SHA-256 of every file, data, parity.",
        "- `buril export check .` checks the files; `buril trace .` goes back to the data, where its store is.", "",
        "| folder | load it with | bits | perplexity, change | same tokens |", "|---|---|---|---|---|",
        *(_row(part) for part in content["formats"]), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _licenses(data: Mapping[str, Any]) -> str:
    known = data["expression"] or "no licence is known"
    return f"{known}; {data['unknown']:,} of unknown licence" if data["unknown"] else str(known)


def _links(links: Mapping[str, Mapping[str, str]]) -> str:
    return ", ".join(f"{link['stage']} `{link['digest'][:12]}`" for link in links.values())


def _row(part: Mapping[str, Any]) -> str:
    parity = part["parity"]
    change = f"{parity['perplexity_change']:+.3%}" if parity.get("perplexity_change") is not None else "?"
    usage = part["usage"].format(folder=part["name"])
    return f"| `{part['name']}` | `{usage}` | {part['bits']} | {change} | {parity.get('tokens', 0):.1%} |"
