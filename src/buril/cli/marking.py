"""Ledger and watermark on the command line: where they are, what is kept of a completion, whether it still holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.cli.common import say
from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from buril.core.artifact import Artifact
    from buril.core.store import Store
    from buril.serve.ledger import Entry, Ledger
    from buril.serve.watermark import Settings, Watermark

LEDGER_KEY = "BURIL_LEDGER_KEY"
"""The variable that holds the ledger's private key where it is not the ledger's own file."""
DATA = ("pack", "split", "pairs")
"""Inputs of a trained model that say what it learnt from, the nearest first."""


def ledger_of(store: Store, key: str | None = None) -> Ledger:
    """The ledger of a store, with the key of the option, of BURIL_LEDGER_KEY, or its own."""
    from buril.serve.ledger import FOLDER, Ledger, Settings

    place = key or (f"env:{LEDGER_KEY}" if os.environ.get(LEDGER_KEY) else None)
    return Ledger(store.root / FOLDER, Settings(key=place))


def watermark_settings(text: str, command: str = "buril complete") -> Settings | None:
    """The settings of a command's `--watermark`; None for `off`.

    Raises:
        BurilError: W002 for a text that is none.
    """
    import yaml
    from pydantic import ValidationError

    from buril.serve.watermark import Settings

    try:
        given = yaml.safe_load(text)
        if given in (False, None):
            return None
        return Settings(**(given if isinstance(given, dict) else _only_on(given, command)))
    except yaml.YAMLError as problem:
        raise _wrong(_("`{text}` is no YAML").format(text=text), command) from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        raise _wrong(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", command) from problem


def watermark_asked(text: str | None, config_path: Path) -> Settings | None:
    """The settings of a `--watermark` that looks for a mark: without one the YAML's `serve.watermark`, else `on`.

    Raises:
        BurilError: W002, C0xx.
    """
    from buril.chain import Chain
    from buril.serve.settings import ServeSettings

    if text is not None:
        return watermark_settings(text, "buril watermark check")
    if config_path.exists():
        served = Chain.from_yaml(config_path).settings("serve")
        if isinstance(served, ServeSettings) and served.watermark:
            return served.watermark
    return watermark_settings("on")


def _only_on(given: Any, command: str) -> dict[str, Any]:
    if given is not True:
        raise _wrong(_("`on`, `off`, or settings such as `{{delta: 2}}`").format(), command)
    return {}


def _wrong(problem: str, command: str) -> BurilError:
    return BurilError("W002", problem=f"--watermark: {problem}", command=command)


def mark_of(text: str) -> Watermark | None:
    """What marks the tokens, or None.

    Raises:
        BurilError: W002, V310 for its key, P002.
    """
    settings = watermark_settings(text)
    if settings is None:
        return None
    from buril.serve.watermark import Watermark

    return Watermark(settings)


# --- the ledger and a completion's own record


def keep(store: Store, records: Sequence[Mapping[str, Any]], texts: Sequence[str], tuned: Artifact | None) -> None:
    """Put completions into the ledger, with the SHA-256 of the records that were written of them.

    Raises:
        BurilError: V301, V302, V304: what can't be kept is not shown.
    """
    if find_spec("cryptography") is None:
        say(_("not in the ledger: `cryptography` is not installed (pip install 'buril[serve]')"))
        return
    pairs = zip(records, texts, strict=True)
    ledger_of(store).append(*(entry_of(store, record, text, tuned=tuned) for record, text in pairs))


def entry_of(
    store: Store, record: Mapping[str, Any], text: str, *, tuned: Artifact | None, engine: str = "transformers"
) -> Entry:
    """What the ledger is told of a completion whose record is written."""
    from buril.serve.ledger import Entry

    inputs = tuned.manifest.inputs if tuned else {}
    data = next((inputs[name].digest for name in DATA if name in inputs), None)
    return Entry(
        id=record["id"], text=text, engine=engine, data=data,
        model={name: link["digest"] for name, link in record["model"].items()}, parameters=record["parameters"],
        num_tokens=record["num_tokens"], finish_reason=record["finish_reason"], guards=record.get("guards", ()),
        matches=_named(record), watermark=record.get("watermark"), record_sha256=_sha256(store, record["id"]),
    )  # fmt: skip


def _named(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The files that a record says a completion is from; what stands everywhere is left out."""
    matches = record.get("provenance", {}).get("matches", [])
    names = ("row_id", "repo", "commit", "path", "license", "tokens")
    return [{name: match.get(name) for name in names} for match in matches if not match["common"]]


def signature_of(store: Store, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Who signed a completion's record; None where the ledger does not know it.

    Raises:
        BurilError: V303 when it is not what was signed.
    """
    if find_spec("cryptography") is None:
        return None
    ledger = ledger_of(store)
    kept = [item for item in ledger.of(record["id"]) if item["kind"] == "completion"]
    if not kept:
        return None
    problem = ledger.problem(kept[-1])
    if not problem and kept[-1].get("record_sha256") not in (None, _sha256(store, record["id"])):
        problem = _("`{path}` was changed since").format(path=f"completions/{record['id']}.json")
    if problem:
        raise BurilError("V303", id=record["id"], problem=problem)
    return {"seq": kept[-1]["seq"], "key": kept[-1]["key"], "hash": kept[-1]["hash"], "time": kept[-1]["time"]}


def _sha256(store: Store, name: str) -> str:
    from buril.core.artifact import sha256_file

    return sha256_file(store.root / "completions" / f"{name}.json")
