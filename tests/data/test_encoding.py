"""Bytes to text, and mending what was read in the wrong charset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.code.codefile import CodeFile
from buril.data._encoding import decode, mended
from buril.data.step import Shared
from buril.data.steps.encoding import Encoding

SPANISH = "# función que suma dos números; año, niño, ¿qué?\n" + "total = total + 1\n" * 30
RUSSIAN = "# функция складывает два числа\nx = 1\n"


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252", "utf-8"])
def test_text_of_western_europe_is_read_in_every_encoding_it_comes_in(charset: str) -> None:
    assert decode(SPANISH.encode(charset)) == SPANISH


@pytest.mark.parametrize("charset", ["cp1251", "koi8-r", "iso8859-5"])
def test_another_charset_is_read_only_when_it_is_declared(charset: str) -> None:
    assert decode(RUSSIAN.encode(charset)) is None
    declared = f"# -*- coding: {charset} -*-\n" + RUSSIAN
    assert decode(declared.encode(charset)) == declared


@pytest.mark.parametrize("charset", ["gbk", "shift_jis", "euc_kr", "big5"])
def test_asian_charsets_are_not_taken_for_western_ones(charset: str) -> None:
    texts = {
        "gbk": "这是一个函数",
        "shift_jis": "これは関数です",
        "euc_kr": "이것은 함수입니다",
        "big5": "這是一個函數",
    }
    raw = ("// " + texts[charset] + "\nint x = 1;\n" * 40).encode(charset)
    assert decode(raw) is None


def test_a_cookie_that_names_no_charset_is_refused() -> None:
    assert decode(b"# coding: rot13\n# \xff\n") is None
    assert decode(b"# coding: no-such-thing\n# \xff\n") is None


def test_binary_is_no_western_text() -> None:
    assert decode(bytes(range(128, 256)) * 4) is None


def test_mojibake_is_mended_and_nothing_else() -> None:
    for text in ("año – “ok” … ñandú", "ÀÉÎÕÜ", "€ 5"):
        broken = text.encode().decode("cp1252", errors="replace")
        if "\ufffd" not in broken:
            assert mended(broken) == text
    assert mended(SPANISH) == SPANISH
    assert mended(RUSSIAN) == RUSSIAN
    assert mended("Ã") == "Ã"


@given(st.text(alphabet=st.characters(max_codepoint=0xFF)))
def test_what_is_mended_is_stable_text(text: str) -> None:
    mended(text).encode()


def test_only_comments_are_mended() -> None:
    text = "# aÃ±o nuevo, canciÃ³n\nwrong = 'aÃ±o'  # dÃ­a\n"
    file = CodeFile("r", "a.py", text, language="python")
    shared = Shared(file)
    Encoding().apply(file, shared)
    shared.finish()
    assert file.content == "# año nuevo, canción\nwrong = 'aÃ±o'  # día\n"
    assert file.signals["mended"] == 3
