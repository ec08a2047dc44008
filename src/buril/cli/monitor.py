"""`buril monitor`: whether served traffic has drifted from what the model learnt and from what was usual."""

from __future__ import annotations

import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli import common
from buril.core.errors import BurilError, GateFailed
from buril.core.text import _

if TYPE_CHECKING:
    from buril.core.artifact import Artifact
    from buril.monitor.clocks import Reading
    from buril.monitor.drift import Drift

TRAFFIC = "traffic"
MARKS = {"ok": "ok", "drift": "!!", "waiting": ".."}


@click.command()
@click.option(
    "--traffic",
    "--serve-dir",
    "traffic",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the counts that the server writes (default: `traffic` in the store).",
)
@click.option("--model", default="", help="Digest of a model (default: the one that began to be served last).")
@click.option("--reference", default=None, help="Artifact of `monitor` to compare with (default: that of the model).")
@click.option("--window", type=click.IntRange(1, 28), default=1, show_default=True, help="Days that are looked at.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), default=None, help="The day after the window (UTC).")
@click.option(
    "--alpha",
    type=click.FloatRange(0.0001, 0.2),
    default=0.01,
    show_default=True,
    help="Chance of any false alarm, a day.",
)
@click.option(
    "--innocent",
    type=click.Choice(["repository", "file"]),
    default="repository",
    show_default=True,
    help="What innocent days look like: from a few repositories, or from all.",
)
@click.option("--html", type=click.Path(path_type=Path), default=None, help="Write a page.")
@click.option("--prometheus", type=click.Path(path_type=Path), default=None, help="Write a file for the collector.")
@click.option("--compact", "shorten", is_flag=True, help="First merge the counts of days that are long over.")
@click.option("--fail-on", type=click.Choice(["drift"]), default=None, help="Exit with code 3 when there is an alert.")
@common.config_option
@common.store_option
@common.json_option
def command(
    traffic: Path | None,
    model: str,
    reference: str | None,
    window: int,
    until: datetime.datetime | None,
    alpha: float,
    innocent: str,
    html: Path | None,
    prometheus: Path | None,
    shorten: bool,
    fail_on: str | None,
    config_path: Path,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Look at served traffic."""
    from buril.monitor.drift import How, look

    folder = traffic or common.store_folder(config_path, store_path) / TRAFFIC
    end = until.replace(tzinfo=datetime.timezone.utc).timestamp() if until else None
    if shorten:
        _compact(folder)
    place = (config_path, store_path, reference)
    drift = look(folder, partial(_reference, place), How(model, window, alpha, innocent, end))
    _write(drift, html, prometheus)
    if as_json:
        common.put(drift.plain())
    else:
        _tell(drift)
        for path in (item for item in (html, prometheus) if item):
            common.say(_("written: {path}").format(path=path))
        common.following("buril refresh --dry-run" if drift.alerts else "buril monitor --html monitor.html")
    if fail_on and drift.alerts:
        raise GateFailed("V403", num=len(drift.alerts), clocks=", ".join(sorted({a.clock for a in drift.alerts})))


def _write(drift: Drift, html: Path | None, prometheus: Path | None) -> None:
    if prometheus:
        from buril.monitor.prometheus import write

        write(prometheus, drift)
    if html:
        from buril.web.monitor import write_page

        write_page(html, drift)


def _reference(place: tuple[Path, Path | None, str | None], model: str) -> Artifact | None:
    """The reference that is named, or that of the model; None where the store has none.

    Raises:
        BurilError: S001, S010 for a reference that is named and not there.
    """
    from buril.monitor.drift import reference_of

    config_path, store_path, name = place
    if name:
        return common.resolve(common.open_store(config_path, store_path), name)
    try:
        return reference_of(common.open_store(config_path, store_path), model)
    except BurilError as problem:
        if problem.code != "S010":  # counts may be looked at where the store is not
            raise
        return None


def _compact(folder: Path) -> None:
    """Merge the counts of days that ended two days ago or before: no server writes to them any more."""
    import time

    from buril.code.traffic import DAY_S, compact

    done = compact(folder, before=time.time() - 2 * DAY_S)
    common.say(_("days merged: {num}").format(num=done))


def _tell(drift: Drift) -> None:
    from buril.monitor.drift import ADVICE, TITLES

    text = _("model {model}, data {dataset}: {requests} requests from {since} to {until}")
    click.echo(
        text.format(
            model=drift.model[:12], dataset=drift.dataset[:12] or "–", requests=drift.requests,
            since=_day(drift.since), until=_day(drift.until),
        )
    )  # fmt: skip
    if not drift.reference:
        common.say(_("no reference of the training set: add the stage `monitor` to the YAML, then `buril run`"))
    for reading in drift.readings:
        click.echo(_line(reading, _(TITLES[reading.clock])))
    for alert in drift.alerts:
        since = _day(alert.since) if alert.since is not None else "–"
        about = " ".join(part for part in (alert.clock, alert.language) if part)
        click.echo(
            _("  {about}, since {since}: {advice}").format(about=about, since=since, advice=_(ADVICE[alert.clock]))
        )
    alpha = _("a false alarm of any kind on about one day in {days}").format(days=round(1 / drift.alpha))
    click.echo(_("{num} alerts; {alpha}").format(num=len(drift.alerts), alpha=alpha))


def _line(reading: Reading, title: str) -> str:
    head = f"  {MARKS[reading.state]}  {reading.clock:<12} {reading.language:<12} "
    if reading.state == "waiting":
        return head + _("too little traffic yet")
    return head + f"{_number(reading.value):>9} / {_number(reading.limit):<9} n={reading.n:<7} {title}"


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.3g}"


def _day(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M")
