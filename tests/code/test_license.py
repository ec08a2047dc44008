from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from buril.code._license_marks import GNU_TEXTS, MARKS
from buril.code.license import UNRECOGNISED, allowed, detect, normalise, spdx_header

TEXTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "licenses" / "spdx_texts.jsonl.gz"
PHRASES = {mark.license: ". ".join(mark.need) for mark in reversed(MARKS)}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    if not TEXTS.exists():
        pytest.skip("the SPDX texts are not beside this repository")
    with gzip.open(TEXTS, "rt", encoding="utf-8") as stream:
        return {item["id"]: item["licenseText"] for item in map(json.loads, stream)}


def _same(found: str, wanted: str) -> bool:
    bare = wanted.removesuffix("+").removesuffix("-or-later").removesuffix("-only")
    return found in (wanted, f"{bare}-only")  # one text serves -only and -or-later


def test_all_known_licences_are_recognised(texts: dict[str, str]) -> None:
    known = {mark.license for mark in MARKS} | {
        family + suffix for family, _, _ in GNU_TEXTS for suffix in ("", "+", "-only", "-or-later")
    }
    wrong = {name: detect(text) for name, text in texts.items() if name in known and not _same(detect(text), name)}
    assert not wrong


def test_other_licences_are_hardly_ever_taken_for_known_ones(texts: dict[str, str]) -> None:
    known = {mark.license for mark in MARKS}
    others = {
        name: text for name, text in texts.items() if name not in known and not name.startswith(("GPL", "LGPL", "AGPL"))
    }
    taken = [name for name, text in others.items() if detect(text)]
    assert len(taken) <= 0.045 * len(others), taken  # what is left are re-wordings by the same terms
    assert not {"JSON", "Sendmail", "BSD-3-Clause-No-Nuclear-License", "CC-BY-NC-4.0", "CC-BY-ND-4.0"} & set(taken)


def test_bundles_name_every_licence(texts: dict[str, str]) -> None:
    bundle = texts["BSD-3-Clause"] + "\n\n=====\n\n" + texts["MIT"] + "\n\n====\n\n" + texts["Apache-2.0"]
    assert detect(bundle) == "BSD-3-Clause AND MIT AND Apache-2.0"


def test_a_twist_makes_it_another_licence(texts: dict[str, str]) -> None:
    assert detect(texts["MIT"]) == "MIT"
    assert (
        detect(texts["MIT"].replace("conditions:", "conditions: The Software shall be used for Good, not Evil.")) == ""
    )
    assert detect("Commons Clause License Condition v1.0\n" + texts["MIT"]) == "MIT AND LicenseRef-Commons-Clause"


def test_gnu_versions_come_from_the_notice(texts: dict[str, str]) -> None:
    later = (
        "You may redistribute it under the terms of the GNU {}General Public License as published by the Free Software "
        "Foundation, either version {} of the License, or (at your option) any later version.\n"
    )
    assert detect(later.format("", 3)) == "GPL-3.0-or-later"
    assert detect(later.format("Lesser ", "2.1")) == "LGPL-2.1-or-later"
    assert detect(later.format("Affero ", 3)) == "AGPL-3.0-or-later"
    assert detect("under the terms of version 2 of the GNU General Public License") == "GPL-2.0-only"
    assert detect("under the terms of the GNU General Public License") == ""
    assert detect(texts["GPL-3.0-only"]) == "GPL-3.0-only"
    assert detect(later.format("", 3) + texts["GPL-3.0-only"]) == "GPL-3.0-or-later"


@pytest.mark.parametrize("text", ["", "hello", "All rights reserved.", "MIT", "Apache License"])
def test_no_guess_from_little(text: str) -> None:
    assert detect(text) == ""


def test_small_texts_and_proprietary_ones() -> None:
    assert detect(PHRASES["MIT-0"]) == "MIT-0"
    assert detect("\n# ".join(PHRASES["MIT"].upper().split())) == "MIT"
    assert detect("ACME proprietary and confidential. All rights reserved.") == "LicenseRef-Proprietary"


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [
        ("MIT License", "MIT"),
        ("The MIT License (MIT)", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("License :: OSI Approved :: Apache Software License", ""),
        ("License :: OSI Approved :: BSD License", ""),
        ("BSD", ""),
        ("GPL", ""),
        ("GPLv2+", "GPL-2.0-or-later"),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", "GPL-3.0-only"),
        ("License :: OSI Approved :: GNU Lesser General Public License v2 or later (LGPLv2+)", "LGPL-2.0-or-later"),
        ("LGPLv2.1", "LGPL-2.1-only"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("mit or apache-2.0", "MIT OR Apache-2.0"),
        ("apache-2.0 with llvm-exception", "Apache-2.0 WITH LLVM-exception"),
        ("internal", "LicenseRef-internal"),
        ("LicenseRef-acme", "LicenseRef-acme"),
        ("foo OR MIT", ""),
        ("(MIT", ""),
        ("///", ""),
        ("UNKNOWN", ""),
        ("", ""),
    ],
)
def test_normalise(stated: str, wanted: str) -> None:
    assert normalise(stated) == wanted
    assert normalise(wanted) == wanted


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("#!/bin/sh\n# SPDX-License-Identifier: MIT\n", "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0+ */", "GPL-2.0-or-later"),
        ("<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->", "MIT OR Apache-2.0"),
        ("// SPDX-License-Identifier: MIT\n// SPDX-License-Identifier: ISC", "MIT AND ISC"),
        ("// SPDX-License-Identifier: Whatever", UNRECOGNISED),
        ('x = "SPDX-License-Identifier: MIT"', ""),
        ("\n" * 5000 + "# SPDX-License-Identifier: MIT\n", ""),
        ("x = 1\n", ""),
    ],
)
def test_spdx_header(content: str, wanted: str) -> None:
    assert spdx_header(content) == wanted


@pytest.mark.parametrize(
    ("expression", "allow", "wanted"),
    [
        ("MIT", {"mit"}, True),
        ("MIT OR GPL-2.0-only", {"mit"}, True),
        ("MIT AND GPL-2.0-only", {"mit"}, False),
        ("MIT AND (ISC OR GPL-3.0-only)", {"mit", "isc"}, True),
        ("LicenseRef-internal", {"internal"}, True),
        ("GPL-2.0-or-later", {"gpl-2.0"}, True),
        ("GPL-2.0-only", {"gpl-2.0-or-later"}, False),
        ("Apache-2.0 WITH LLVM-exception", {"Apache-2.0"}, True),
        ("Apache-2.0", {"Apache-2.0 WITH LLVM-exception"}, False),
        ("", {"mit"}, False),
        ("", {"unknown"}, True),
        (UNRECOGNISED, {"mit", "unknown"}, False),
        ("MIT", set(), False),
    ],
)
def test_allowed(expression: str, allow: set[str], wanted: bool) -> None:
    assert allowed(expression, allow) is wanted
