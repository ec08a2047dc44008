"""What coverage reports say: every format as its tool writes it, and every way for one to be wrong."""

from __future__ import annotations

import json

import pytest

from buril.data import _coverage

COVERAGE_PY = b"""<?xml version="1.0" ?>
<coverage version="7.6" timestamp="1" lines-valid="8" lines-covered="6" line-rate="0.75" branches-covered="0" branches-valid="0">
 <packages><package name="."><classes><class name="a.py" filename="a.py" line-rate="0.75">
 <lines><line number="1" hits="1"/><line number="2" hits="0"/></lines></class></classes></package></packages>
</coverage>"""
COBERTURA = b"""<?xml version="1.0"?>
<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">
<coverage line-rate="0.5" branch-rate="0" version="1.9"><packages><package name="p"><classes>
<class name="A" filename="A.java"><methods><method name="m"><lines><line number="3" hits="9"/></lines></method></methods>
<lines><line number="3" hits="9"/><line number="4" hits="0"/><line number="5" hits="1"/><line number="6" hits="1"/></lines></class>
</classes></package></packages></coverage>"""
JACOCO = b"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<!DOCTYPE report PUBLIC "-//JACOCO//DTD Report 1.1//EN" "report.dtd">
<report name="x"><package name="p"><counter type="LINE" missed="90" covered="1"/></package>
<counter type="INSTRUCTION" missed="1" covered="1"/><counter type="LINE" missed="2" covered="6"/></report>"""
CLOVER = b"""<?xml version="1.0"?><coverage generated="1" clover="3.2.0"><project timestamp="1" name="All files">
<metrics statements="20" coveredstatements="15" conditionals="0" coveredconditionals="0"/>
<file name="a.js"><metrics statements="1" coveredstatements="1"/></file></project></coverage>"""
LCOV = b"TN:\nSF:a.c\nDA:1,1\nDA:2,0\nLF:2\nLH:1\nend_of_record\nSF:b.c\nDA:1,5\nDA:2,1,abc\nDA:3,0\nend_of_record\n"
GO = b"mode: atomic\nm/a.go:1.2,3.4 4 0\nm/a.go:1.2,3.4 4 2\nm/b.go:1.1,2.2 6 0\n"
PY_JSON = json.dumps({"meta": {}, "files": {}, "totals": {"covered_lines": 3, "num_statements": 4}}).encode()
ISTANBUL = json.dumps({"/a.js": {"path": "/a.js", "s": {"0": 1, "1": 0}}, "/b.js": {"s": {"0": 7, "1": 2}}}).encode()
SUMMARY = json.dumps({"total": {"lines": {"total": 10, "covered": 8, "pct": 80}}}).encode()


@pytest.mark.parametrize(
    ("path", "raw", "share"),
    [
        ("coverage.xml", COVERAGE_PY, 0.75),
        ("build/cobertura.xml", COBERTURA, 0.75),
        ("target/site/jacoco/jacoco.xml", JACOCO, 0.75),
        ("coverage/clover.xml", CLOVER, 0.75),
        ("coverage/lcov.info", LCOV, 0.6),
        ("coverage.json", PY_JSON, 0.75),
        ("coverage/coverage-final.json", ISTANBUL, 0.75),
        ("coverage/coverage-summary.json", SUMMARY, 0.8),
        ("cover.out", GO, 0.4),
        ("coverage/.last_run.json", b'{"result": {"line": 87.5, "branch": 1}}', 0.875),
        ("coverage/.last_run.json", b'{"result": {"covered_percent": 50}}', 0.5),
    ],
)
def test_every_format(path: str, raw: bytes, share: float) -> None:
    found = _coverage.of_file(path, raw)
    assert found is not None
    assert found.share == pytest.approx(share)


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE coverage [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<coverage lines-covered="1" lines-valid="2">&b;</coverage>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE coverage [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<coverage lines-covered="1" lines-valid="2">&x;</coverage>"""
EXTERNAL_PARAMETER = (
    b"""<!DOCTYPE coverage [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;]><coverage line-rate="1"/>"""
)


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("coverage.xml", LAUGHS),
        ("coverage.xml", OUTSIDE),
        ("coverage.xml", EXTERNAL_PARAMETER),
        ("coverage.xml", COVERAGE_PY[:-20]),
        ("coverage.xml", b""),
        ("coverage.xml", b"<html/>"),
        ("coverage.xml", b'<coverage lines-covered="9" lines-valid="3"/>'),
        ("coverage.xml", b'<coverage line-rate="nan"/>'),
        ("coverage.xml", b'<coverage lines-covered="0" lines-valid="0" line-rate="1e400"/>'),
        ("coverage.xml", b'<?xml version="1.0" encoding="klingon"?><coverage line-rate="1"/>'),
        ("jacoco.xml", b'<report><counter type="LINE" missed="-1" covered="x"/></report>'),
        ("jacoco.xml", b'<report><counter type="LINE" missed="1" covered="' + b"9" * 5000 + b'"/></report>'),
        ("lcov.info", LCOV[:-20]),
        ("lcov.info", b""),
        ("coverage.json", b"["),
        ("coverage.json", b"[]"),
        ("coverage.json", b"{}"),
        ("coverage.json", b"[" * 100_000),
        ("coverage.json", b'{"totals": {"covered_lines": null, "num_statements": 4}}'),
        ("coverage.json", b'{"totals": {"covered_lines": true, "num_statements": []}}'),
        ("coverage-final.json", b'{"a": {"s": {"0": "x"}}}'),
        ("cover.out", GO[:-3]),
        ("cover.out", b"mode: set\n"),
        ("coverage.txt", b"87% of statements"),
        ("cover.out", b"mode: set\na.go:1.1,1.1 " + b"9" * 5000 + b" 1\n"),
        (".last_run.json", b'{"result": {"line": 187}}'),
        ("notes.xml", COVERAGE_PY),
        ("tests/fixtures/coverage.xml", COVERAGE_PY),
        ("node_modules/x/lcov.info", LCOV),
        ("a/b/c/d/lcov.info", LCOV),
    ],
)
def test_what_is_none_is_unknown(path: str, raw: bytes) -> None:
    assert _coverage.of_file(path, raw) is None


def test_reports_cut_anywhere_never_fail() -> None:
    for raw in (COVERAGE_PY, COBERTURA, JACOCO, CLOVER):
        for cut in range(len(raw) - 1):
            found = _coverage.of_xml(raw[:cut])
            assert found is None or 0 <= found.share <= 1
    for path, raw in (("lcov.info", LCOV), ("cover.out", GO), ("coverage.json", PY_JSON), ("coverage.json", ISTANBUL)):
        for cut in range(len(raw)):
            found = _coverage.of_file(path, raw[:cut])
            assert found is None or 0 <= found.share <= 1


def test_badges() -> None:
    readme = "[![cov](https://img.shields.io/badge/coverage-87.5%25-green.svg)](x) 12% faster"
    assert _coverage.of_readme(readme) == 0.875
    assert _coverage.of_readme("![](https://img.shields.io/badge/Code_Coverage-90%25-brightgreen)") == 0.9
    assert _coverage.of_readme("![](https://img.shields.io/badge/coverage-187%25-x) coverage: 87%") is None
    svg = '<svg><title>codecov</title><text x="1">codecov</text><text>{0}</text><text opacity=".3">{0}</text></svg>'
    assert _coverage.of_badge(svg.format("93%")) == 0.93
    assert _coverage.of_badge(svg.format("unknown")) is None
    assert _coverage.of_badge("<text>1%</text><text>2%</text>") is None
