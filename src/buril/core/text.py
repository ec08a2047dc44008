"""The language of everything a person reads: gettext catalogues, English as the source, Spanish beside it.

`_("…")` translates at the moment of the call; `N_("…")` only marks a text for the catalogue (for tables that are
read later). Templates are translated first and formatted afterwards, so a catalogue holds templates, never values.
"""

from __future__ import annotations

import gettext
import os
from pathlib import Path

LANGUAGES = ("en", "es")
_LOCALE = Path(__file__).resolve().parent.parent / "locale"
_current: gettext.NullTranslations = gettext.NullTranslations()
_name = "en"


def language() -> str:
    """The language in force: `en` or `es`."""
    return _name


def set_language(name: str | None = None) -> str:
    """Choose the language: `name`, else `LC_ALL`, `LC_MESSAGES`, `LANG`; without a catalogue English."""
    global _current, _name  # noqa: PLW0603  one process speaks one language; every reader goes through this module
    wanted = name or next((os.environ[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(key)), "en")
    code = wanted[:2].lower()
    _name = code if code in LANGUAGES else "en"
    _current = gettext.translation("buril", _LOCALE, languages=[_name], fallback=True)
    return _name


def _(message: str) -> str:
    """`message` in the language in force."""
    return _current.gettext(message)


def N_(message: str) -> str:
    """`message` itself, marked for the catalogue."""
    return message
