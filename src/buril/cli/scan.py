"""`buril scan [PATH…|-]`: the gate on files of this machine, for people, hooks and CI."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from buril.cli.common import YAML_NAME, following, json_option, put, say
from buril.cli.written import told_of, written_in
from buril.core.errors import BurilError, GateFailed
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.core.plugins import Ref
    from buril.gate.result import Result
    from buril.gate.scan import Report, Request

DEFAULTS = ("ruff: {ignore: [S101, S603, S607]}", "taint", "unicode", "secrets: {rules: [secrets]}")
"""What looks at files where nothing is named: what is fast, of what is installed. Two rules of ruff are left out that
name every start of a process, however it is started."""
STEP_S = 10.0
PATH_CHARS = 60


class Gate(NamedTuple):
    """When it fails, and where what it saw goes."""

    fail_on: str
    allow_inconclusive: bool
    sarif: str | None
    as_json: bool
    github: bool


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--scanner", "scanners", multiple=True, metavar="YAML",
    help=N_("A scanner as in `prepare.scan`: `bandit`, or `semgrep: {rules: [buril, ./rules]}`; several may be given. "
            "Default: ruff, taint, unicode and secrets, and those of the configuration."),
)  # fmt: skip
@click.option(
    "-c", "--config", "config_path", type=click.Path(path_type=Path),
    help=N_("The configuration whose scanners are used too (default: buril.yaml, where there is one)."),
)  # fmt: skip
@click.option("--no-config", is_flag=True, help=N_("Read no configuration."))
@click.option(
    "--diff", "base", is_flag=False, flag_value="HEAD", metavar="[BASE]",
    help=N_("Only lines that were added since the commit BASE, or since the last one."),
)  # fmt: skip
@click.option("--baseline", "known", type=click.Path(path_type=Path), help=N_("Findings in this file are not new."))
@click.option("--write-baseline", is_flag=True, help=N_("Write all findings of now into the baseline."))
@click.option(
    "--import", "imports", multiple=True, type=click.Path(path_type=Path), metavar="FILE.sarif",
    help=N_("Results of another tool, merged with these; several may be given."),
)  # fmt: skip
@click.option("--sarif", metavar="FILE", help=N_("Write SARIF 2.1.0 into FILE, or to the standard output with `-`."))
@click.option(
    "--fail-on", type=click.Choice(("high", "medium", "low", "none")), default="high", show_default=True,
    help=N_("The severity from which the gate fails."),
)  # fmt: skip
@click.option(
    "--ledger", "ledger", type=click.Path(path_type=Path), metavar="PATH",
    help=N_("Tell which lines a model wrote, by its ledger: the folder, or what `buril ledger fingerprints` wrote."),
)  # fmt: skip
@click.option(
    "--generated-fail-on", type=click.Choice(("high", "medium", "low")),
    help=N_("The severity from which the gate fails on such lines, where that is stricter."),
)  # fmt: skip
@click.option("--allow-inconclusive", is_flag=True, help=N_("Pass even where files could not be analysed."))
@click.option("--github", is_flag=True, help=N_("Print annotations for GitHub, and add to GITHUB_STEP_SUMMARY."))
@click.option("--language", default="", help=N_("The language of the text on the standard input."))
@click.option("--name", default="", help=N_("The file's name of the text on the standard input."))
@click.option("--generated", is_flag=True, help=N_("Look at generated files too."))
@click.option(
    "--max-bytes", type=click.IntRange(min=1), default=1_000_000, show_default=True, help=N_("Most bytes of a file.")
)
@click.option("--workers", type=click.IntRange(min=0), default=0, help=N_("Processes; 0 for one a processor."))
@json_option
def command(
    paths: tuple[Path, ...], scanners: tuple[str, ...], config_path: Path | None, no_config: bool, base: str | None,
    known: Path | None, write_baseline: bool, imports: tuple[Path, ...], sarif: str | None, fail_on: str,
    allow_inconclusive: bool, github: bool, language: str, name: str, generated: bool, max_bytes: int, workers: int,
    as_json: bool, ledger: Path | None, generated_fail_on: str | None,
) -> None:  # fmt: skip
    """PATH is a file or a folder (default: this one), `-` a text on the standard input."""
    from buril.gate import scan
    from buril.gate.files import Limits, root_of

    if write_baseline and (known is None or base is not None):
        raise _wrong(_("`--write-baseline` needs `--baseline FILE`, and looks at all lines"))
    if generated_fail_on and ledger is None:
        raise _wrong(_("`--generated-fail-on` is about lines that a ledger knows: give `--ledger PATH`"))
    text, root = None, Path.cwd()
    if Path("-") in paths:
        if len(paths) > 1 or base is not None:
            raise _wrong(_("`-` stands alone, without other paths and `--diff`"))
        text = _text(language, name)
    else:
        paths = paths or (Path(),)
        root = root_of(paths)
    refs = _scanners(scanners, None if no_config else config_path, no_config=no_config)
    request = scan.Request(
        _top(paths) if base is not None else root, paths, refs, text, base, None if write_baseline else known, imports,
        Limits(max_bytes, generated), workers, written_in(ledger) if ledger else None, generated_fail_on or "none",
    )  # fmt: skip
    report = scan.run(request, _progress())
    _out(report, request, Gate(fail_on, allow_inconclusive, sarif, as_json, github))
    if known and write_baseline:
        _write_baseline(known, report)
        fail_on = "none"
    _judge(report, fail_on, allow_inconclusive=allow_inconclusive)


def _wrong(problem: str) -> BurilError:
    return BurilError("W002", problem=problem, command="buril scan")


def _top(paths: tuple[Path, ...]) -> Path:
    """The top of the repository whose changes are looked at.

    Raises:
        BurilError: W232 where there is none.
    """
    from buril.gate import git
    from buril.gate.files import root_of

    root = root_of(paths)
    found = git.top(root)
    if found is None:
        raise BurilError("W232", problem=_("`{path}` lies in no repository of git").format(path=root))
    return found


def _text(language: str, name: str) -> Any:
    """The text on the standard input.

    Raises:
        BurilError: P001 for a language that there is none of.
    """
    from buril.code.language import detect, language_of
    from buril.gate.files import Target, decoded

    text = decoded(sys.stdin.buffer.read())
    found = language_of(language).name if language else detect(name or "stdin", text)
    return Target(name or "stdin", found, None, text)


# --- which scanners


def _scanners(given: tuple[str, ...], config_path: Path | None, *, no_config: bool) -> tuple[Ref, ...]:
    """The scanners that are named; else the fast ones that are installed, with those of the configuration.

    Raises:
        BurilError: P001, P002 and W002 for what can't be used, C0xx for a configuration that can't be read.
    """
    from buril.core.plugins import names, normal

    if given:
        return tuple(_ref(text) for text in given)
    found = {} if no_config else {ref.name: ref for ref in _configured(config_path)}
    for text in DEFAULTS:
        name = normal(text.partition(":")[0])
        if name in found or name not in names("scanner"):
            continue
        try:
            found[name] = _ref(text)
        except BurilError as problem:
            if problem.code != "P002":
                raise
            say(_("not used: {problem}").format(problem=problem.cause))
    return tuple(found.values())


def _configured(config_path: Path | None) -> list[Ref]:
    """The scanners of `prepare.scan`."""
    from buril import config
    from buril.core.plugins import PluginKind

    path = config_path or Path(YAML_NAME)
    if config_path is None and not path.exists():
        return []
    prepare = config.read(path).values.get("prepare")
    given = prepare.get("scan") if isinstance(prepare, dict) else None
    return [_parsed(item) for item in PluginKind.listed(given)]


def _ref(text: str) -> Ref:
    import yaml

    try:
        return _parsed(yaml.safe_load(text))
    except yaml.YAMLError as problem:
        raise _wrong(_("`{text}` is no YAML").format(text=text)) from problem


def _parsed(given: Any) -> Ref:
    from pydantic import ValidationError

    from buril.core.plugins import PluginKind, Ref

    try:
        found = PluginKind("scanner").parse(given)
    except ValidationError as problem:
        first = problem.errors()[0]
        raise _wrong(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from problem
    if not isinstance(found, Ref):
        raise _wrong(_("`{text}` names no plugin").format(text=given))
    return found


# --- what is told


def _progress() -> Any:
    """Tells on stderr how far it is, every ten seconds: a scan of a change is over before that."""
    last = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal last
        if done < total and time.monotonic() - last >= STEP_S:
            last = time.monotonic()
            say("  ..  " + _("{done} of {total} files").format(done=done, total=total))

    return told


def _out(report: Report, request: Request, gate: Gate) -> None:
    """Everything but the verdict: SARIF, annotations, JSON or a table, and what a person should know."""
    from buril.gate import baseline, github, sarif

    if gate.sarif:
        document = sarif.document(report.tools, report.results, report.generated)
        if gate.sarif == "-":
            click.echo(document, nl=False)
        else:
            baseline.save(Path(gate.sarif), document)
    if gate.github:
        for line in github.commands(report, gate.fail_on):
            click.echo(line)
        if place := os.environ.get("GITHUB_STEP_SUMMARY"):
            baseline.append(Path(place), github.summary(report, gate.fail_on))
    if gate.as_json:
        put(_json(report, gate))
    elif not gate.github and gate.sarif != "-":
        _table(report, request.root)
    _talk(report)


def _json(report: Report, gate: Gate) -> dict[str, Any]:
    stops = report.worse(gate.fail_on)
    unread = 0 if gate.allow_inconclusive else len(report.unread)
    return {
        "files": report.num_files,
        "findings": [_row(item) for item in report.counted],
        "suppressed": [
            {**_row(item), "reason": item.suppression.reason} for item in report.results if item.suppression
        ],
        "known": sum(bool(item.known) for item in report.results),
        "inconclusive": [_row(item) for item in report.results if item.unread],
        "partial": [_row(item) for item in report.results if item.partly],
        "skipped": report.skipped,
        "uncovered": report.uncovered,
        "gate": {"passed": not stops and not unread, "fail_on": gate.fail_on, "findings": len(stops),
                 "inconclusive": len(report.unread)},
        **({"generated": told_of(report)} if report.generated else {}),
    }  # fmt: skip


def _row(item: Result) -> dict[str, Any]:
    told = {**item.finding._asdict(), "fingerprint": item.fingerprint, "also": list(item.also)}
    told |= {"generated": item.generated.record()} if item.generated else {}
    return {"path": item.path, **told}


def _table(report: Report, root: Path) -> None:
    """A line a finding; files that were not analysed stand below."""
    rows = [_cells(item, root) for item in (*report.counted, *report.unread)]
    if not rows:
        return
    widths = [min(PATH_CHARS, max(len(row[place]) for row in rows)) for place in range(4)]
    for row in rows:
        told = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        click.echo(f"{told}  {row[4]}".rstrip())


def _cells(item: Result, root: Path) -> tuple[str, ...]:
    from buril.gate.generated import wrote

    finding = item.finding
    place = f"{os.path.relpath(root / item.path) if (root / item.path).exists() else item.path}:{finding.line}"
    place += f":{finding.column}" if finding.column else ""  # as editors open it
    message = finding.message or finding.rule.replace("_", " ")
    message += f" [{wrote(item.generated)}]" if item.generated else ""
    if item.also:
        message += " " + _("(also: {names})").format(names=", ".join(item.also))
    return tuple(map(_printable, (place, finding.rule, finding.cwe, finding.severity, message)))


def _printable(text: str) -> str:
    """A text that does nothing to a terminal but stand there."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _talk(report: Report) -> None:
    counts = Counter(item.finding.severity for item in report.counted)
    told = _("files: {files} · high: {high} · medium: {medium} · low: {low}").format(
        files=report.num_files, high=counts["high"], medium=counts["medium"], low=counts["low"]
    )
    suppressed = sum(item.suppression is not None for item in report.results)
    known = sum(bool(item.known) for item in report.results)
    partly = sum(item.partly for item in report.results)
    for number, text in (
        (suppressed, _("suppressed: {number}")), (known, _("known before: {number}")),
        (sum(item.unread for item in report.results), _("not analysed: {number}")),
        (partly, _("analysed in part: {number}")),
    ):  # fmt: skip
        told += " · " + text.format(number=number) if number else ""
    say(told)
    if report.generated:
        say(report.generated.sentence(report.counted))
    if report.skipped:
        said = ", ".join(f"{reason} {number}" for reason, number in report.skipped.items())
        say(_("left out: {reasons}").format(reasons=said))
    if report.uncovered:
        said = ", ".join(f"{name} {number}" for name, number in report.uncovered.items())
        say(_("no scanner is made for: {languages}; only what any text may hold was looked for").format(languages=said))


def _write_baseline(path: Path, report: Report) -> None:
    from buril.gate import baseline

    number = baseline.write(path, report.results)
    say(_("written: {path}").format(path=path) + " · " + _("known before: {number}").format(number=number))


def _judge(report: Report, fail_on: str, *, allow_inconclusive: bool) -> None:
    """Raise what the gate has against it.

    Raises:
        GateFailed: W230.
    """
    stops = len(report.worse(fail_on))
    unread = 0 if allow_inconclusive else len(report.unread)
    if stops or unread:
        raise GateFailed("W230", num=stops, least=fail_on, unread=unread)
    following("buril scan --help" if report.counted else "buril scan --diff")
