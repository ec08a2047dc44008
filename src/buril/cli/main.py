"""The command line: lazily loaded verbs, coded errors instead of tracebacks, one place where everything is caught.

stdout is data, stderr is talk. Exit codes: 0 ok · 1 our bug · 2 usage or configuration · 3 a gate failed ·
4 a prerequisite is missing · 130 Ctrl-C.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import warnings
from typing import Any

import click

from buril import __version__
from buril.core.allocator import start_frugally
from buril.core.errors import EXIT_BUG, EXIT_INTERRUPT, EXIT_USAGE, BurilError
from buril.core.text import LANGUAGES, N_, _, set_language

VERBS: dict[str, str] = {  # verb → its one line; the module `buril.cli.<verb>` holds a click command named `command`
    "init": N_("look at what is here and write a buril.yaml that runs"),
    "doctor": N_("check this machine, each problem with the command that mends it"),
    "new": N_("scaffold a plugin and its test"),
    "plan": N_("what would run, what is reused, and what it costs"),
    "run": N_("run the chain; what is there is reused, what was interrupted goes on"),
    "join": N_("train with others under a server, on data that stay here"),
    "status": N_("what the store holds and what is running"),
    "show": N_("one artifact: its files, settings, metrics and where it came from"),
    "diff": N_("what differs between two artifacts or two runs"),
    "why": N_("why a file was kept or dropped, step by step"),
    "trace": N_("what a file went into, or what a model or completion was made from"),
    "provenance": N_("which training files a text is from, and under which licence"),
    "data": N_("look at the data by language, licence and reason, or export it"),
    "report": N_("write the report of the latest run"),
    "lm-eval": N_("exchange tasks and results with lm-evaluation-harness"),
    "complete": N_("complete code with the trained model"),
    "serve": N_("serve a model to editors and programs, as OpenAI's API has it"),
    "keys": N_("make, list and remove the API keys of a server"),
    "export": N_("write the model for several engines as one bundle, each proved to be it, or check a bundle"),
    "ledger": N_("check, export, shorten or re-key the signed record of what was written"),
    "watermark": N_("say whether code was written by a model of this store, in files or in a commit"),
    "score": N_("score completions of a file or a server by suites, and compare two of them"),
    "scan": N_("look for weaknesses and secrets in files or in a change, and stop what must not pass"),
    "deploy": N_("render what a cluster or a container needs to serve a bundle"),
    "config": N_("check, explain or describe the configuration"),
    "plugins": N_("the plugins there are"),
    "monitor": N_("whether served traffic has drifted, since when, and what to do"),
    "refresh": N_("collect what is new, train, and promote the model if the gate passes"),
    "gc": N_("remove what nothing refers to"),
}
GROUPS = (
    (N_("Start"), ("init", "doctor", "new")),
    (N_("Work"), ("plan", "run", "refresh", "join", "status")),
    (N_("Look"), ("show", "diff", "why", "trace", "provenance", "ledger", "data", "report")),
    (N_("Use"), ("complete", "watermark", "score", "lm-eval", "scan", "config", "plugins", "gc")),
    (N_("Serve"), ("export", "serve", "keys", "monitor", "deploy")),
)


HEAVY = frozenset({"run", "refresh", "join", "plan", "complete", "export", "serve", "watermark", "lm-eval"})
"""Verbs that may load a model."""


class LazyGroup(click.Group):
    """A group whose verbs are imported when they are called; a wrong verb is answered with the nearest right one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of the help."""
        return [*VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a verb, imported now."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"buril.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        command.help = _(VERBS[cmd_name])[:1].upper() + _(VERBS[cmd_name])[1:] + "."
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the verb, or fail with the nearest one."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = _("did you mean `buril {verb}`?").format(verb=close[0]) if close else _("see `buril --help`")
            raise BurilError("W001", verb=args[0], suggestion=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs in groups, from the table alone: no module is imported for the help."""
        for title, verbs in GROUPS:
            with formatter.section(_(title)):
                formatter.write_dl([(verb, _(VERBS[verb])) for verb in verbs])


def _language(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    set_language(value)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    is_eager=True,
    expose_value=False,
    callback=_language,
    help="Language of the output (default: LANG).",
)
@click.version_option(__version__, prog_name="buril", message="%(prog)s %(version)s")
def cli() -> None:
    """buril: from your own repositories to your own code model."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and exit with its code. The only place where every exception is caught."""
    if argv is None and not HEAVY.isdisjoint(sys.argv[1:]):
        start_frugally()
    if not sys.warnoptions:  # what libraries tell programmers is no talk for a user
        warnings.simplefilter("ignore")
    try:
        code = cli.main(args=argv, prog_name="buril", standalone_mode=False)
        sys.stdout.flush()
    except BurilError as error:
        click.echo(str(error), err=True)
        code = error.exit_code
    except click.exceptions.Abort:
        code = _interrupted()
    except KeyboardInterrupt:
        code = _interrupted()
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "buril"
        click.echo(str(BurilError("W002", problem=error.format_message(), command=path)), err=True)
        code = EXIT_USAGE
    except BrokenPipeError:  # the reader of our output went away (`| head`); nothing to say, nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:  # noqa: BLE001  our bug: say so once, with what a report needs
        code = _bug(error)
    sys.exit(code if isinstance(code, int) else 0)


def _interrupted() -> int:
    click.echo("\n" + _("interrupted; what is finished is kept. Go on with `buril run`"), err=True)
    return EXIT_INTERRUPT


def _bug(error: Exception) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="buril-bug-", suffix=".txt", delete=False, encoding="utf-8") as report:
        report.write(f"buril {__version__}\npython {sys.version}\nargv {sys.argv[1:]}\n\n{traceback.format_exc()}")
    click.echo(str(BurilError("W003", problem=f"{type(error).__name__}: {error}", path=report.name)), err=True)
    return EXIT_BUG


if __name__ == "__main__":
    main()
