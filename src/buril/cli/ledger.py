"""`buril ledger`: the signed record of what models wrote: is it whole, what is in it, shorten it, change its key."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import IO

import click

from buril.cli import common
from buril.cli.marking import ledger_of
from buril.core.errors import BurilError
from buril.core.text import N_, _

SHOWN = 10
_DAYS = re.compile(r"(\d+)d")

key_option = click.option(
    "--key", metavar="PLACE", help=N_("`env:NAME` or `file:PATH` of its private key (default: its own, key.pem).")
)


@click.group()
def command() -> None:
    """The ledger: hashes of every completion, chained and signed; no code is in it."""


@command.command("verify")
@click.option("--signed-by", default="", metavar="KEY", help=N_("Name of the key that must have begun the chain."))
@click.option("--head", default="", metavar="SEQ:HASH", help=N_("A record that was noted elsewhere and must be there."))
@common.config_option
@common.store_option
@common.json_option
def verify_command(signed_by: str, head: str, config_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Check every record, link and signature; no private key is needed."""
    ledger = ledger_of(common.open_store(config_path, store_path))
    report = ledger.verify(key=signed_by, head=head)
    if as_json:
        common.put(report.record())
    else:
        for item in report.problems[:SHOWN]:
            click.echo(_("record {seq}: {what}").format(seq=item.seq, what=item.what))
        counts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(report.kinds.items()))
        click.echo(_("{number} records ({kinds})").format(number=f"{report.records:,}", kinds=counts or "–"))
        click.echo(_("signed by {keys}").format(keys=", ".join(report.keys) or "–"))
        click.echo(_("head {head}").format(head=report.head))
    if report.problems:
        raise BurilError("V300", path=ledger.folder, problem=report.problems[0].what)
    common.following(f"buril ledger verify --head {report.head}")


@command.command("export")
@click.argument("file", default="-", type=click.File("w", encoding="utf-8"))
@common.config_option
@common.store_option
def export_command(file: IO[str], config_path: Path, store_path: Path | None) -> None:
    """Write all records into FILE (`-`: the standard output) as JSON lines."""
    count = ledger_of(common.open_store(config_path, store_path)).export(file.write)
    common.say(_("{number} records").format(number=f"{count:,}"))
    common.following("buril ledger verify")


@command.command("fingerprints")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--since", "age", metavar="AGE", help=N_("Only completions of the last `180d`, or since 2026-01-31."))
@click.option("--accepted", is_flag=True, help=N_("Only completions that an editor has told were taken over."))
@common.config_option
@common.store_option
@common.json_option
def fingerprints_command(
    file: Path, age: str | None, accepted: bool, config_path: Path, store_path: Path | None, as_json: bool
) -> None:
    """Write the fingerprints of all completions into FILE (Parquet): by them `buril scan --ledger` knows lines again.

    There is no code in it, no prompt and no time. Who has it can test whether a text that they know was written.
    """
    since = _before(age) if age else None
    found = ledger_of(common.open_store(config_path, store_path)).fingerprints(since=since, accepted=accepted)
    try:
        found.write(file)
    except OSError as problem:
        raise BurilError("W236", path=file, problem=problem.strerror or str(problem)) from problem
    told = {"file": str(file), "completions": len(found), "bytes": file.stat().st_size, "head": found.head}
    if as_json:
        common.put(told)
    else:
        click.echo(_("{completions} completions, {bytes} bytes: {file}").format(**told))
    common.following(f"buril scan --diff main --ledger {file}")


@command.command("forget")
@click.option("--older-than", "age", required=True, metavar="AGE", help=N_("`180d`, or a date such as 2026-01-31."))
@key_option
@common.config_option
@common.store_option
@common.json_option
def forget_command(age: str, key: str | None, config_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Empty the records of completions from before AGE; hashes and signatures stay, so the chain still holds."""
    before = _before(age)
    count = ledger_of(common.open_store(config_path, store_path), key).forget(before)
    if as_json:
        common.put({"before": before.isoformat(timespec="seconds"), "forgotten": count})
    else:
        click.echo(_("{number} records emptied").format(number=f"{count:,}"))
    common.following("buril ledger verify")


@command.command("rotate")
@click.option("--to", metavar="PLACE", help=N_("`env:NAME` or `file:PATH` of the new key (default: a fresh one)."))
@key_option
@common.config_option
@common.store_option
@common.json_option
def rotate_command(to: str | None, key: str | None, config_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Sign with another key from now on; the old one vouches for it, and what it signed stays good."""
    record = ledger_of(common.open_store(config_path, store_path), key).rotate(to)
    if as_json:
        common.put(record)
    else:
        from buril.serve._ledger.keys import key_id

        click.echo(_("the key {old} introduced the key {new}").format(old=record["key"], new=key_id(record["public"])))
    common.following("buril ledger verify")


def _before(age: str) -> datetime.datetime:
    """The time that an age names.

    Raises:
        BurilError: V305.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    if days := _DAYS.fullmatch(age):
        return now - datetime.timedelta(days=min(int(days[1]), 100_000))
    try:
        found = datetime.datetime.fromisoformat(age)
    except ValueError as problem:
        raise BurilError("V305", text=age) from problem
    return found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)
