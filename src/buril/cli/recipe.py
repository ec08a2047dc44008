"""The `buril.yaml` that `init` writes: every line holds for what was found, and says why it stands there."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import yaml

from buril.cli.common import size
from buril.cli.look import Seen
from buril.core.plugins import names
from buril.core.text import _

WIDTH = 110
SMALL_CORPUS_BYTES = 100_000_000
"""Below this a vocabulary of 8,192 is learnt: the rarer pairs of a larger one would hardly be seen."""
SHOWN_REPOSITORIES = 10
CPU_LENGTH, GPU_LENGTH = 1024, 2048
"""Tokens of a sequence: on a CPU half, for time; a source file of 1024 tokens has some hundred lines."""


@dataclass(frozen=True)
class Recipe:
    """What goes into the file. `path` is the folder, "" for the installed packages; `own` says whose code it is.

    `covered` counts the files under the `licenses`.
    """

    name: str
    seen: Seen
    path: str
    own: bool
    licenses: list[str]
    covered: int
    base: str
    why_base: str
    gpu: bool


def text_of(recipe: Recipe) -> str:
    """The text of the file."""
    about = _(
        "written by `buril init`; check it: `buril config check`; explain a key: `buril config explain train.method`"
    )
    lines = [
        f"# buril.yaml: {about}",
        f"name: {scalar(recipe.name)}",
        "seed: 0",
        "",
        *_collect(recipe),
        _line("dedup: {method: minhash, threshold: 0.7}", _("copies and near copies are learnt once")),
        _line("prepare: {}", _("clean, redact secrets and personal data, parse")),
        *_select(recipe),
        _line("split: {train: 0.8, valid: 0.1, test: 0.1}", _("a repository stays in one part")),
        *_train(recipe),
        *_evaluate(recipe),
    ]
    return "\n".join(lines) + "\n"


def _collect(recipe: Recipe) -> list[str]:
    seen = recipe.seen
    found = _("{files} source files, {size}, in {repositories} repositories").format(
        files=f"{seen.num_files:,}", size=size(seen.num_bytes), repositories=f"{seen.repositories:,}"
    )
    if not recipe.path:
        return ["collect:", _line("  - packages", _("the installed Python packages: {found}").format(found=found))]
    license_part = ", license: internal" if recipe.own else ""
    lines = ["collect:", _line(f"  - folder: {{path: {scalar(recipe.path)}{license_part}}}", found)]
    if seen.unlicensed and not recipe.own:
        lines.append(
            "    # "
            + _("is all of it your own code? then say so: {example}").format(
                example=f"folder: {{path: {scalar(recipe.path)}, license: internal}}"
            )
        )
    return lines


def _select(recipe: Recipe) -> list[str]:
    seen = recipe.seen
    lines = ["select:", *_list("languages", [name for name, _number in seen.bytes.most_common()])]
    if recipe.licenses:
        lines += _list("licenses", recipe.licenses)
    if seen.unlicensed and not recipe.own:
        shown = ", ".join(seen.unlicensed[:SHOWN_REPOSITORIES])
        more = len(seen.unlicensed) - SHOWN_REPOSITORIES
        text = _("left out, as they state no licence: {names}").format(names=shown)
        text += " " + _("and {number} more").format(number=more) if more > 0 else ""
        lines += textwrap.wrap(text, WIDTH, initial_indent="  # ", subsequent_indent="  # ")
    return lines


def _train(recipe: Recipe) -> list[str]:
    scratch = recipe.base == "scratch"
    vocabulary = 8192 if recipe.seen.num_bytes < SMALL_CORPUS_BYTES else 32_768
    tokenizer = f"tokenizer: {{train: bpe, vocab: {vocabulary}}}" if scratch else "tokenizer: {reuse: base}"
    method = "full" if scratch else "lora"
    about = _("every weight, as all are random") if scratch else _("an adapter; `full` trains every weight")
    return [
        tokenizer,
        "train:",
        _line(f"  base: {scalar(recipe.base)}", recipe.why_base),
        _line(f"  method: {method}", about),
        _line(f"  max_length: {GPU_LENGTH if recipe.gpu else CPU_LENGTH}", _("tokens of a sequence")),
        _line("  epochs: 1", _("passes over the data; a small corpus gains up to about four")),
    ]


def _evaluate(recipe: Recipe) -> list[str]:
    wanted = ["perplexity", "completion"] + (["basics"] if "python" in recipe.seen.files else [])
    suites = [name for name in wanted if name in names("suite")]
    line = f"evaluate: {{suites: [{', '.join(suites)}]}}" if suites else "evaluate: {}"
    return [_line(line, _("base against tuned, on the test part"))]


def _line(text: str, comment: str) -> str:
    return f"{text:<42}  # {comment}"


def _list(name: str, items: list[str]) -> list[str]:
    """`name: [a, b, …]`, broken where the line is full."""
    text = f"{name}: [{', '.join(scalar(item) for item in items)}]"
    return textwrap.wrap(
        text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def scalar(value: Any) -> str:
    """A value as YAML writes it inside brackets, quoted where it must be.

    Example:
        `scalar("a, b")` → `'a, b'`; `scalar("~/src")` → `~/src`
    """
    return yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=10**9).strip()[1:-1]
