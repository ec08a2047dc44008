"""The documentation is true: what it names exists, what it shows parses, and it is whole in both languages."""

from __future__ import annotations

import re
import shlex
import string
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import yaml
from babel.messages.pofile import read_po

from buril.chain import FROM_TRAIN, KEYS, STAGES, Top, stage_class
from buril.cli.main import VERBS, cli
from buril.core.errors import MESSAGES
from buril.core.plugins import KINDS, names, plugin

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
SHOWN = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TREE = "The tree"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- what is generated


@pytest.mark.parametrize("script", ["reference.py", "messages.py"])
def test_generated_files_are_in_step(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def sections(page: str, mark: str) -> dict[str, str]:
    """The sections of a page by their heading: its text up to the next heading of that level or above."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    found = re.split(rf"^#{{2,{len(mark)}}} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_and_its_settings_are_in_the_reference(kind: str) -> None:
    told = sections("plugins.md", "###")
    for name in (name for name, owner in names(kind).items() if owner == "buril"):
        found = plugin(kind, name)
        text = told.get(f"{kind} `{name}`")
        assert text is not None, f"{kind} {name} is not in docs/reference/plugins.md: run `make docs`"
        fields = getattr(found, "Settings", None)
        missing = [field for field in (fields.model_fields if fields else ()) if f"`{field}`" not in text]
        assert not missing, (kind, name, missing)


@pytest.mark.parametrize("stage", STAGES)
def test_every_setting_is_in_the_reference(stage: str) -> None:
    text = sections("settings.md", "##")[stage]
    missing = [field for field in stage_class(stage).Settings.model_fields if f"| `{field}`" not in text]
    assert not missing, f"{stage}: {missing} not in docs/reference/settings.md: run `make docs`"
    assert all(f"| `{field}`" in sections("settings.md", "##")["Top level"] for field in Top.model_fields)


def test_every_error_and_no_other_is_in_the_reference() -> None:
    told = re.findall(r"^### ([A-Z]\d{3})$", (REFERENCE / "errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(told) == sorted(MESSAGES)


def test_every_verb_is_in_the_reference() -> None:
    assert {f"buril {verb}" for verb in VERBS} <= sections("cli.md", "###").keys()


# --- commands


class Shown(NamedTuple):
    """A command line as a page shows it. `whole`: in a block to be copied, so that nothing may be left out."""

    page: str
    line: int
    text: str
    whole: bool


_COMMAND = re.compile(r"(?:[\w./]*/)?buril(?=\s|$)\s*(.*)")
_INLINE = re.compile(r"`(buril(?:\s[^`]*)?)`")


def blocks(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """The fenced blocks of a page: line of the fence, language, lines."""
    kept: list[str] | None = None
    start, language = 0, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.fullmatch(r"\s*```\s*(\w*).*", line)
        if not fence:
            if kept is not None:
                kept.append(line)
        elif kept is None:
            kept, start, language = [], number, fence[1]
        else:
            yield start, language, kept
            kept = None
    assert kept is None, f"{name_of(path)}:{start}: a block without an end"


def shown(path: Path) -> Iterator[Shown]:
    """The command lines of a page: in blocks, each line that calls buril; in the text, what stands in backquotes."""
    page = name_of(path)
    if page == "docs/reference/cli.md":  # usage lines, made from the commands themselves
        return
    inside: set[int] = set()
    for start, language, lines in blocks(path):
        inside |= set(range(start, start + len(lines) + 2))
        if language in ("", "sh", "bash", "console", "shell"):
            for number, line in enumerate(lines, start + 1):
                for part in re.split(r"&&|\|\||[;|]", line.split(" #")[0]):
                    found = _COMMAND.fullmatch(part.strip().removeprefix("$ "))
                    if found:
                        yield Shown(page, number, f"buril {found[1]}".strip(), whole=True)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if number not in inside:
            for found in _INLINE.finditer(line):
                yield Shown(page, number, found[1], whole=False)


def parse(command: click.Command, words: list[str], above: click.Context | None, *, whole: bool) -> list[click.Context]:
    """Take a command line apart as click does, without running a callback or looking at the disk.

    Raises:
        click.UsageError: for an option, a verb or a number of words that the command does not have.
    """
    context = click.Context(command, parent=above, info_name=command.name)
    given, rest, _order = command.make_parser(context).parse_args(list(words))
    for option in command.get_params(context):
        value = given.get(option.name or "")
        if isinstance(option.type, click.Choice) and isinstance(value, str):
            option.type.convert(value, option, context)
        there = isinstance(value, str | tuple | list) and bool(
            value
        )  # click has a word of its own for what is not given
        if whole and option.required and not there and not isinstance(command, click.Group):
            raise click.MissingParameter(ctx=context, param=option)
    if not isinstance(command, click.Group):
        if rest:
            raise click.UsageError(f"too many words: {rest}", context)
        return [context]
    if not rest:
        return [context]
    inner = command.get_command(context, rest[0]) if rest[0] in command.list_commands(context) else None
    if inner is None:
        raise click.UsageError(f"no such command: {rest[0]}", context)
    return [context, *parse(inner, rest[1:], context, whole=whole)]


def problem_of(found: Shown) -> str:
    """What is wrong with a command line, or ""."""
    text = re.sub(r"[<\[]?\b[A-Z][A-Z_]+\b[>\]]?", "x", found.text)  # placeholders
    words = shlex.split(text.replace("…", "").rstrip("\\"))[1:]
    try:
        parse(cli, words, None, whole=found.whole)
    except click.ClickException as problem:
        return problem.format_message()
    for first, second in zip(words, words[1:], strict=False):
        if first == "--set":
            return unknown_setting(second.partition("=")[0])
    return ""


def unknown_setting(name: str) -> str:
    """Why `--set NAME=…` would not be accepted, or ""."""
    stage, _dot, field = name.partition(".")
    if stage in Top.model_fields and not field:
        return ""
    if stage not in STAGES:
        return f"{stage} is no stage"
    settings = stage_class(stage).Settings
    known = {*settings.model_fields, *(FROM_TRAIN if stage == "train" else ())}
    known |= set(names(stage)) if settings.others else set()  # the names of plugins are its keys
    return "" if field.split(".")[0] in known | {"max_length"} else f"{name} is no setting"


@pytest.mark.parametrize("page", SHOWN, ids=name_of)
def test_commands_that_pages_show_parse(page: Path) -> None:
    wrong = [f"{item.page}:{item.line}: {item.text}: {problem_of(item)}" for item in shown(page) if problem_of(item)]
    assert not wrong, "\n".join(wrong)


def test_the_pages_show_commands() -> None:
    """Else the test above would prove nothing."""
    found = [item for page in SHOWN for item in shown(page)]
    assert len(found) > 30
    assert {item.text.split()[1] for item in found if len(item.text.split()) > 1} >= {
        "init",
        "run",
        "plan",
        "why",
        "trace",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("buril runn", "no such command: runn"),
        ("buril run --smal", "No such option"),
        ("buril status extra", "too many words"),
        ("buril --lang fr status", "'fr' is not"),
        ("buril why", "Missing"),
        ("buril plan --set train.epoch=2", "train.epoch is no setting"),
        ("buril plan --set trian.epochs=2", "trian is no stage"),
        ("buril config chek", "no such command: chek"),
    ],
)
def test_a_wrong_command_is_found(text: str, told: str) -> None:
    assert told in problem_of(Shown("page", 1, text, whole=True))


# --- YAML


@pytest.mark.parametrize("page", SHOWN, ids=name_of)
def test_yaml_that_pages_show_names_what_there_is(page: Path) -> None:
    """Fragments too: every key at the top is a stage or a top-level key, every key below a stage one of its settings."""
    for start, language, lines in blocks(page):
        if language not in ("yaml", "yml"):
            continue
        found = yaml.safe_load("\n".join(lines))
        for stage, given in found.items():
            where = f"{name_of(page)}:{start}: {stage}"
            assert stage in {*KEYS, *Top.model_fields, "extends"}, where
            if stage in STAGES and isinstance(given, dict):
                wrong = [key for key in given if unknown_setting(f"{stage}.{key}")]
                assert not wrong, f"{where}: {wrong}"


# --- links


_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


def prose(path: Path) -> str:
    """A page without its code."""
    inside = {n for start, _language, lines in blocks(path) for n in range(start, start + len(lines) + 2)}
    lines = path.read_text(encoding="utf-8").splitlines()
    return re.sub(r"`[^`]*`", "", "\n".join(line for n, line in enumerate(lines, 1) if n not in inside))


@cache
def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _hash, anchor = target.partition("#")
        there = (page.parent / place).resolve() if place else page
        found = there.exists() and there.is_relative_to(ROOT)
        if not found or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            dead.append(target)
    assert not dead


def nav() -> Iterator[str]:
    class Loader(yaml.SafeLoader):
        """Takes mkdocs' own tags for what they are: not ours."""

    Loader.add_multi_constructor("", lambda _loader, _tag, _node: None)
    pending: list[Any] = [yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        else:
            pending += item.values() if isinstance(item, dict) else item


def test_the_navigation_names_pages_that_exist_and_all_guides() -> None:
    entries = list(nav())
    assert [entry for entry in entries if not (ROOT / "docs" / entry).is_file()] == []
    assert len(entries) == len(set(entries))
    for folder in ("guides", "concepts", "reference"):
        pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs" / folder).glob("*.md")}
        assert pages <= set(entries), f"not in the navigation: {sorted(pages - set(entries))}"


# --- the tree in the README


def tree() -> list[str]:
    """The paths that the README's tree names; skips where it has none."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    parts = re.split(rf"^## {TREE}$", text, flags=re.MULTILINE)
    if len(parts) < 2:
        pytest.skip(f"README.md has no heading `## {TREE}`")
    found = re.findall(
        r"^```\w*\n(.*?)^```", re.split(r"^## ", parts[1], flags=re.MULTILINE)[0], re.MULTILINE | re.DOTALL
    )
    assert found, f"no block below `## {TREE}`"
    return list(paths_of(found[-1]))


def paths_of(text: str) -> Iterator[str]:
    """The paths of a drawn tree: depth by column, what follows two spaces or `#` is a remark; several names by `,`."""
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = re.match(r"([\s│├└─|`+-]*)(\S.*)?$", line)
        if not found or not found[2]:
            continue
        depth = len(found[1])
        told = re.split(r"\s{2,}|\s#", found[2])[0].strip()
        above = [item for item in above if item[0] < depth]
        parent = "/".join(name for _depth, name in above)
        for name in (item.strip().rstrip("/") for item in re.split(r",\s*", told)):
            yield f"{parent}/{name}".strip("/")
        if "," not in told:
            above.append((depth, told.strip().rstrip("/")))


def test_the_tree_of_the_readme_is_that_of_the_repository() -> None:
    named = tree()
    first = named[0] if not (ROOT / named[0]).exists() else ""  # the repository's own name, at the root
    paths = [path.removeprefix(first).strip("/") for path in named]
    gone = [path for path in paths if path and not any(ROOT.glob(path)) and "…" not in path]
    assert not gone, f"the tree names what is not there: {gone}"
    folders = {path.name for path in (ROOT / "src" / "buril").iterdir() if (path / "__init__.py").exists()}
    told = {path.split("/")[-1] for path in paths} | {part for path in paths for part in path.split("/")}
    assert folders <= told, f"the tree leaves out {sorted(folders - told)}"


def test_a_drawn_tree_is_read() -> None:
    drawn = "buril/\n├── src/buril/\n│   ├── core/    the nouns\n│   └── cli/, web/   # the verbs\n└── Makefile\n"
    assert list(paths_of(drawn)) == [
        "buril", "buril/src/buril", "buril/src/buril/core", "buril/src/buril/cli", "buril/src/buril/web", "buril/Makefile",
    ]  # fmt: skip
    plain = "src/buril/\n  core/  the nouns\n  cli/\ntests/\n"
    assert list(paths_of(plain)) == ["src/buril", "src/buril/core", "src/buril/cli", "tests"]


# --- Spanish


# Words that Spanish shares or takes over as they are; a text made of them alone is the same in both languages.
SHARED = {
    "ok", "no", "error", "total", "final", "local", "base", "general", "bytes", "token", "tokens", "s", "prompt", "lora",
    "qlora", "pip", "install", "buril",
}  # fmt: skip
ENGLISH = re.compile(r"\b(?:the|is|are|was|were|not|with|from|that|this|which|what|only|of|and|has|have|it)\b")


def catalogue() -> Any:
    path = ROOT / "src" / "buril" / "locale" / "es" / "LC_MESSAGES" / "buril.po"
    with path.open("rb") as stream:
        return [message for message in read_po(stream, locale="es") if message.id]


def words_of(text: str) -> str:
    """A text without its code, placeholders, quoted names and terms that stay English in Spanish."""
    return re.sub(r"fill-in-the-middle|`[^`]*`|\{[^}]*\}|\"[^\"]*\"|--[\w-]+", " ", text)


def test_the_spanish_catalogue_is_whole() -> None:
    for message in catalogue():
        assert message.string and not message.fuzzy, f"not translated: {message.id!r}"
        kept = [
            sorted(name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name is not None)
            for text in (str(message.id), str(message.string))
        ]
        assert set(kept[0]) == set(kept[1]), f"other placeholders: {message.id!r} / {message.string!r}"


def test_spanish_is_spanish() -> None:
    """What was left in English shows by its small words, or by being the very same text."""
    same, english = [], []
    for message in catalogue():
        if message.string == message.id and not set(re.findall(r"[a-z]+", words_of(message.id).lower())) <= SHARED:
            same.append(message.id)
        elif ENGLISH.search(words_of(message.string)):
            english.append(message.string)
    assert not english, english
    assert not same, same
