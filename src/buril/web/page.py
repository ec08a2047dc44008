"""What the pages share: their templates, their style, and how a page is written."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

FOLDER = Path(__file__).resolve().parent


@cache
def template(name: str) -> jinja2.Template:
    """A template, compiled once a process; its texts are translated when it is rendered."""
    import jinja2

    from buril.web import draw, words

    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    pages.globals.update(_=_, words=words, draw=draw)
    return pages.get_template(name)


def style() -> Markup:
    """The style sheet of all pages."""
    from markupsafe import Markup

    return Markup((FOLDER / "static" / "report.css").read_text(encoding="utf-8"))  # noqa: S704  our own file


def write(path: Path, text: str, code: str) -> None:
    """Write a text as one file, whole or not at all.

    Raises:
        BurilError: `code` when the file can't be written.
    """
    try:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="replace")
    except OSError as problem:
        raise BurilError(code, path=path, problem=problem.strerror or problem) from problem
