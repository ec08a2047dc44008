"""Contract checks of what makes further training texts."""

from __future__ import annotations

import random
import re
from typing import Any

from buril.code.codefile import CodeFile
from buril.data.augmentation import BROKEN_ROW
from buril.data.augmenter import AugmenterSettings, Made, Refusal
from buril.testing._common import check_plugin, class_of, expect, make, plain, same
from buril.testing._data import ODD_TEXTS, PLAIN_TEXT, ROW_LANGUAGES

_SLUG = re.compile(r"[a-z][a-z0-9_]*")
LONGER = (
    "def total(prices, rate):\n    # the sum of all prices\n    result = 0\n    for price in prices:\n"
    "        result += price * rate\n    return result\n"
)


def check_augment(augmenter: Any, file: CodeFile | None = None) -> None:
    """An augmenter gives the same text for the same row and chance, never the row's own, and takes any text.

    Args:
        augmenter: an augmenter that is open, or the class of one whose default settings need nothing.
        file: a row that it makes a text of; without one a short Python function serves.
    """
    check_plugin("augment", augmenter)
    settings = class_of(augmenter).Settings
    expect(issubclass(settings, AugmenterSettings), f"{settings.__qualname__} is no subclass of AugmenterSettings")
    augmenter = make(augmenter)
    plain(augmenter.observe(), "observe() is no plain JSON")
    texts = {"plain": PLAIN_TEXT, **ODD_TEXTS}
    for name, text in texts.items():
        for language in ROW_LANGUAGES:
            row = CodeFile("acme/vault", "src/vault.txt", text, language=language)
            _check_made(augmenter, row, f"on {name} text in {language or 'no language'}")
    wanted = file or CodeFile("acme/vault", "a.py", LONGER, language="python")
    found = _check_made(augmenter, wanted, "on the row it is to make a text of")
    expect(isinstance(found, Made), f"it makes nothing of a row that it should: {found}")


def _check_made(augmenter: Any, row: CodeFile, where: str) -> Made | Refusal:
    before = row.content
    try:
        first, second = (augmenter.make(row, random.Random(5)) for _ in range(2))  # noqa: S311  chance for a check
    except BROKEN_ROW as problem:
        raise AssertionError(f"the augmenter raised {problem!r} {where}") from problem
    same(first, second, f"the same row and chance give two texts {where}")
    same(before, row.content, f"the augmenter changed its row {where}")
    expect(isinstance(first, Made | Refusal), f"make() gave {type(first).__name__} {where}")
    if isinstance(first, Made):
        expect(first.content != row.content, f"the text made is the row's own {where}")
        return first
    expect(_SLUG.fullmatch(first.reason), f"the reason {first.reason!r} is no slug {where}")
    assert isinstance(first, Refusal)
    return first
