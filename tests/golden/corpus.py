"""A small corpus made by code: the same bytes on every machine, with one of each thing that a stage reacts to.

Four folders without git, each with a licence given in the settings (two that pass the default list, one of them twice,
and one that does not). What looks like a secret is put together from parts, so that this file holds none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LICENSES = {"alpha": "internal", "beta": "mit", "delta": "mit", "gamma": "gpl-3.0-only"}
TOKEN = "gh" + "p_" + "W7rT2kQz" + "9XvB4nLm" + "E8cJ5hYd" + "S3fA6gUp" + "K1oR"
MAIL = "maria.lopez" + "@" + "talleres-lopez.es"


def build(folder: Path) -> dict[str, Any]:
    """Write the corpus below a folder; gives the YAML's values for it."""
    for repo in LICENSES:
        for name, content in (*_plain(repo), *_odd().get(repo, {}).items()):
            path = folder / repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {
        "name": "golden",
        "seed": 11,
        "collect": {
            "sources": [{"folder": {"path": repo, "license": spdx}} for repo, spdx in LICENSES.items()],
            "workers": 1,
        },
        "dedup": {"workers": 1},
        "prepare": {"workers": 1},
        "tokenizer": {"train": "bpe", "vocab": 600},
        "pack": {"workers": 1},
        "train": {"base": "scratch", "depth": 1, "max_length": 128},
    }


def words(seed: str) -> Iterator[str]:
    """Names without end that look random and are always the same."""
    number = 0
    while True:
        digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
        yield "".join("bcdfglmnprstv"[b % 13] + "aeiou"[b // 13 % 5] for b in digest[:3])
        number += 1


def python(seed: str, functions: int = 4) -> str:
    """A module of functions."""
    name = words(seed)
    text = f'"""About {next(name)} and {next(name)}."""\n\nimport math\n'
    for _ in range(functions):
        f, a, b = next(name), next(name), next(name)
        text += (
            f"\n\ndef {f}({a}, {b}=3):\n"
            f'    """Return the {f} of {a}."""\n'
            f"    total = 0\n    for item in range({b}):\n        total += math.floor({a} * item) - {b}\n"
            f"    # the {a} may be empty\n    return total or {a!r}\n"
        )
    return text


def javascript(seed: str) -> str:
    """A module of arrow functions."""
    name = words(seed)
    parts = []
    for _ in range(4):
        f, a = next(name), next(name)
        parts.append(
            f"// how a {f} is made\nexport const {f} = ({a}) => {{\n"
            f"  if (!{a}) {{\n    return null;\n  }}\n  return {a}.map((x) => x + '{next(name)}');\n}};\n"
        )
    return "\n".join(parts)


def go(seed: str) -> str:
    """A package with tabs, as Go has them."""
    name = words(seed)
    text = f'package {next(name)}\n\nimport "fmt"\n'
    for _ in range(3):
        f, a = next(name).capitalize(), next(name)
        text += f"\n// {f} prints {a}.\nfunc {f}({a} int) int {{\n\tfmt.Println({a})\n\treturn {a} + 1\n}}\n"
    return text


def c(seed: str) -> str:
    """A file of functions."""
    name = words(seed)
    text = "#include <stdio.h>\n"
    for _ in range(3):
        f, a = next(name), next(name)
        text += f'\n/* {f} of {a} */\nint {f}(int {a})\n{{\n    printf("%d\\n", {a});\n    return {a} * 2;\n}}\n'
    return text


_MAKERS: dict[str, Callable[[str], str]] = {".py": python, ".js": javascript, ".go": go, ".c": c}


def _plain(repo: str) -> Iterator[tuple[str, str]]:
    for package in ("core", "tools"):
        for number in range(3):
            for ending, make in _MAKERS.items():
                yield f"{package}/part{number}{ending}", make(f"{repo}/{package}/{number}{ending}")


def _odd() -> dict[str, dict[str, str | bytes]]:
    """One of each thing that a stage reacts to."""
    shared, again = python("shared", 6), python("again", 8)
    return {
        "alpha": {
            "copies/exact.py": shared,
            "copies/spaced.py": shared.replace("    ", "  "),
            "copies/near.py": again,
            "mixed/tabs.py": python("tabs").replace("        ", "\t\t").replace("    ", "\t"),
            "mixed/crlf.py": python("crlf").replace("\n", "\r\n"),
            "mixed/mark.js": b"\xef\xbb\xbf" + javascript("mark").encode(),
            "mixed/trailing.js": javascript("trailing").replace(";\n", ";   \n") + "\n\n\n",
            "private/token.py": python("token") + f'\nTOKEN = "{TOKEN}"\n',
            "private/mail.py": f"# ask {MAIL} before a change\n" + python("mail") + f'\nOWNER = "{MAIL}"\n',
            "noise/switched_off.py": python("off") + "\n# total = total + 1\n# return total\n# TODO: later\n",
            "run": '#!/bin/sh\nset -e\nfor f in *.py; do\n  echo "$f"\ndone\n',
        },
        "beta": {
            "copies/exact.py": shared,
            "copies/near.py": again.replace("# the", "# this", 1),
            "broken/half.py": "def f(:\n    return ((\n" * 20 + "class\n",
            "broken/latin.py": "# -*- coding: latin-1 -*-\n# año\n".encode("latin-1") + python("latin").encode(),
            "broken/bytes.py": b"x = '\xff\xfe'\n",
            "broken/binary.c": b"int x;\0\0\0",
            "broken/empty.py": b"",
            "made/wire_pb2.py": "# Generated by the protocol buffer compiler.  DO NOT EDIT!\n" + python("wire"),
            "made/app.min.js": "var a=1;" * 400,
            "LICENSE": "Copyright (c) 2024 Beta\n",
            "data.bin": bytes(range(256)),
            "notes.txt": "nothing here is code\n",
        },
        "delta": {
            "stated.py": "# SPDX-License-Identifier: Apache-2.0\n" + python("stated"),
            "closed.py": "# SPDX-License-Identifier: BUSL-1.1\n" + python("closed"),
            "text/ünïcode.py": python("unicode") + '\nHOLA = "¡qué tal, 世界 🌍!"\n',
            "text/long.py": python("long", 30),
        },
        "gamma": {"copies/exact.py": shared},
    }
