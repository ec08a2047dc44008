"""Gather every text of the product, keep the Spanish catalogue in step with it, compile it.

    python scripts/messages.py            extract, merge into es/LC_MESSAGES/buril.po, compile the .mo
    python scripts/messages.py --check    fail when the catalogue is not complete, in step, and compiled

Texts are marked `_("…")` or `N_("…")` in Python and `_("…")` in templates.
"""

from __future__ import annotations

import io
import re
import string
import sys
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "buril"
FOLDER = SOURCE / "locale" / "es" / "LC_MESSAGES"
METHODS = [("**.py", "python"), ("**.html", "jinja2")]
KEYWORDS = {"_": None, "N_": None}


def _every(folder: str) -> bool:
    """Every folder has texts; by itself the reader would pass over those whose names begin with `_`."""
    return Path(folder).name != "__pycache__"


def extract() -> Catalog:
    """All texts in the source, with the files they stand in."""
    catalog = Catalog(project="buril", charset="utf-8")
    for name, _line, message, comments, context in extract_from_dir(
        SOURCE, METHODS, keywords=KEYWORDS, directory_filter=_every
    ):
        catalog.add(message, None, [(name, 0)], auto_comments=comments, context=context)
    return catalog


def fields(text: str) -> set[str]:
    """The placeholders of a template."""
    return {name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name is not None}


def problems(catalog: Catalog, found: Catalog) -> list[str]:
    """What a translator still has to do, one line each."""
    lines = []
    wanted = {message.id for message in found if message.id}
    have = {message.id for message in catalog if message.id}
    lines += [f"not in the catalogue: {text!r}" for text in sorted(wanted - have)]
    lines += [f"no longer in the source: {text!r}" for text in sorted(have - wanted)]
    for message in catalog:
        if not message.id:
            continue
        if not message.string or message.fuzzy:
            lines.append(f"not translated: {message.id!r}")
        elif fields(str(message.id)) != fields(str(message.string)):
            lines.append(f"other placeholders: {message.id!r} / {message.string!r}")
        elif re.findall(r"`[^`{]+`", str(message.id)) and not re.search("`", str(message.string)):
            lines.append(f"code lost its marks: {message.id!r}")
    return lines


def compiled(catalog: Catalog) -> bytes:
    """The bytes of the .mo."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def texts(catalog: Catalog) -> dict[str, str]:
    """What is said, without the header: that names the day and the version of babel."""
    return {str(message.id): str(message.string) for message in catalog if message.id}


def main() -> int:
    """Update, or check."""
    check = "--check" in sys.argv
    path, binary = FOLDER / "buril.po", FOLDER / "buril.mo"
    found = extract()
    catalog = read_po(path.open("rb"), locale="es") if path.exists() else Catalog(locale="es", project="buril")
    if not check:
        catalog.update(found, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        catalog.fuzzy = False
        FOLDER.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            write_po(stream, catalog, sort_output=True, omit_header=False, width=120, include_lineno=False)
        binary.write_bytes(compiled(catalog))
    lines = problems(catalog, found)
    if check and (not binary.exists() or texts(read_mo(binary.open("rb"))) != texts(catalog)):
        lines.append("the compiled catalogue is old: run `make messages`")
    print("\n".join(lines) or f"es: {sum(1 for message in catalog if message.id)} texts, complete")
    return 1 if lines and check else 0


if __name__ == "__main__":
    sys.exit(main())
