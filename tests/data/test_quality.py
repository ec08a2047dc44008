"""The step `quality`: what the published filters refuse, and that real code passes."""

from __future__ import annotations

import pytest

from buril.code.codefile import CodeFile
from buril.data.step import Shared
from buril.data.steps.quality import Quality
from tests.data.made import stdlib


def judged(text: str, language: str) -> tuple[str, dict[str, float]]:
    file = CodeFile("r", "a", text, language=language)
    Quality().apply(file, Shared(file))
    return (file.verdicts[0].reason if file.verdicts else ""), file.signals


def test_real_code_passes() -> None:
    for _name, text in stdlib(60):
        assert judged(text, "python")[0] == ""


PAGE = "<html><head><script>var x = 1;</script></head><body>{}</body></html>"


@pytest.mark.parametrize(
    ("text", "language", "reason"),
    [
        ("0x12, 0x34, 0x56, 99\n" * 50, "c", "few_letters"),
        (
            '<?xml version="1.0"?>\n<TS language="de"><context>text of a translation</context></TS>\n',
            "typescript",
            "xml",
        ),
        (PAGE.format("<p>short</p>"), "html", "markup"),
        (PAGE.format("<div class='some-long-class another-class'></div>" * 40 + "word " * 30), "html", "markup"),
        (PAGE.format("<p>" + "A paragraph that people read. " * 20 + "</p>"), "html", ""),
        ('<?xml version="1.0"?><html><body>' + "Text that people read. " * 20 + "</body></html>", "html", ""),
    ],
)
def test_published_filters(text: str, language: str, reason: str) -> None:
    assert judged(text, language)[0] == reason


def test_letters_are_counted_in_bytes() -> None:
    assert judged("ab12", "python")[1]["letters"] == 0.5
    assert judged("ñ1", "python")[1]["letters"] == pytest.approx(2 / 3, abs=1e-4)
