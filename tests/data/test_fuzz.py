"""Hostile input: mutated real files in all languages go through collect, dedup, prepare and select.

Nothing may crash or hang, and every file must come out again: kept, or dropped with its reason.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.chain import Chain
from buril.code.codefile import CodeFile
from buril.code.language import languages
from buril.core.store import Store
from buril.data._pass import _row
from buril.data.prepare import Prepare
from buril.data.step import Numbers
from tests.code.test_parse import FUNCTIONS
from tests.data.made import stdlib
from tests.data.test_steps import SAMPLES

CASES = int(os.environ.get("BURIL_FUZZ_CASES", "10000"))
"""How many mutated files; more are drawn with this variable set."""
Mutation = Callable[[bytes, random.Random], bytes]
_PIECES = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"'''", b'"""',
    b"/*", b"*/", b"<!--", b"{" * 500, b"(" * 3_000, b"[" * 99, b"a<" * 2_000, b"\\", b"\n" * 5_000, b"\t" * 400,
    b"x" * 1_200, b"=begin\n", b"<<EOF\n", b"$(", b"`", b"#!/bin/sh\n", b"\xe2\x80\xae", b"user@corp-mail.com ",
    b"AK" + b"IA" + b"Q3EGRZ7XK2LWPB5N ", b"4111 1111 1111 1111 ", b"GODE561231HDFRRN04 ", "Ã±â€™".encode(),
)  # fmt: skip


def flip(raw: bytes, drawn: random.Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(drawn.randint(1, 20)):
        changed[drawn.randrange(len(changed))] = drawn.randrange(256)
    return bytes(changed)


def cut(raw: bytes, drawn: random.Random) -> bytes:
    at = drawn.randrange(len(raw))
    return raw[:at] + raw[at + drawn.randint(1, 200) :]


def insert(raw: bytes, drawn: random.Random) -> bytes:
    for _ in range(drawn.randint(1, 4)):
        at = drawn.randrange(len(raw) + 1)
        raw = raw[:at] + drawn.choice(_PIECES) + raw[at:]
    return raw


def repeat(raw: bytes, drawn: random.Random) -> bytes:
    at = drawn.randrange(len(raw))
    return raw[:at] + raw[at : at + drawn.randint(1, 60)] * drawn.randint(2, 400) + raw[at:]


def encode(raw: bytes, drawn: random.Random) -> bytes:
    return raw.decode("utf-8", "replace").encode(drawn.choice(["utf-16", "latin-1", "utf-32", "cp1252"]), "replace")


def shuffle(raw: bytes, drawn: random.Random) -> bytes:
    lines = raw.split(b"\n")
    drawn.shuffle(lines)
    return b"\n".join(lines)


MUTATIONS: tuple[Mutation, ...] = (flip, cut, insert, repeat, encode, shuffle)


def originals() -> list[tuple[str, bytes]]:
    """A text in every language, and real modules."""
    texts = {**{name: function[0] for name, function in FUNCTIONS.items()}, **SAMPLES}
    found = [(f"sample{languages()[name].extensions[0]}", text.encode()) for name, text in sorted(texts.items())]
    return [*found, *((name, text.encode()) for name, text in stdlib(25, most=8_000))]


def mutated(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    drawn, base = random.Random(seed), originals()
    for number in range(count):
        name, raw = base[number % len(base)]
        for _ in range(drawn.randint(1, 3)):
            raw = drawn.choice(MUTATIONS)(raw or b" ", drawn)[:300_000]
        odd = drawn.choice(["", "", "", "ñ ", "\udcff", "new\nline", "'\"", "-rf ", ".min"])
        yield f"{number % 17}/{number}-{odd}{name}", raw


def run(folder: Path, files: list[tuple[str, bytes]]) -> tuple[list[str], Counter[str]]:
    """The paths kept, and the paths dropped."""
    for path, raw in files:
        target = folder / "repo" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(raw)
    values = {
        "collect": {"sources": [{"folder": {"path": "repo", "license": "mit"}}], "workers": 1},
        "dedup": {"workers": 1},
        "prepare": {"workers": 1, "comments": "all"},
        "select": {"licenses": None, "unknown_license": "keep"},
    }
    made = Chain.from_values(values, folder).run(Store(folder / "store"), "select").artifacts["select"]
    kept = pq.read_table(made.path("selected.parquet"))["path"].to_pylist()
    dropped = pq.read_table(made.path("dropped.parquet")).to_pylist()
    assert all(row["reason"] for row in dropped)
    return kept, Counter(row["path"] for row in dropped)


@pytest.mark.slow
def test_every_mutated_file_is_kept_or_dropped_with_a_reason(tmp_path: Path) -> None:
    files = list(mutated(CASES, seed=20))
    kept, dropped = run(tmp_path, files)
    listed = {path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for path, _raw in files}
    assert set(kept) | set(dropped) == listed
    assert not set(kept) & set(dropped)
    assert len(kept) == len(set(kept))
    assert max(dropped.values()) == 1
    assert kept, "mutations must leave some files alive"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=400), st.sampled_from(sorted(languages())))
def test_any_text_in_any_language_is_one_row(text: str, language: str) -> None:
    steps = [ref.make() for ref in Prepare(Prepare.Settings(comments="all")).chain()]
    file = CodeFile("r", "a", text, language=language)
    _row(file, steps, Numbers())
    file.content.encode()
    assert all(verdict.reason != "prepare_failed" for verdict in file.verdicts)


def test_a_hostile_file_does_not_hold_a_run(tmp_path: Path) -> None:
    """In a process of its own, so that a hang ends this test and not the suite."""
    hard = {"Hard.java": b"a<\n", "hard.c": b"%w(\n", "hard.cs": b"<a\n", "deep.py": b"[\n", "hard.dart": b"#{\n"}
    for number, (name, unit) in enumerate(hard.items()):
        (tmp_path / "given").mkdir(exist_ok=True)
        (tmp_path / "given" / name).write_bytes(b"value = other%d\n" % number * 9 + (unit * 300_000)[:900_000])
    (tmp_path / "given" / "fine.py").write_text("value = other\n")
    program = (
        "import sys; from pathlib import Path; from tests.data.test_fuzz import run\n"
        "folder = Path(sys.argv[1])\n"
        "files = [(path.name, path.read_bytes()) for path in sorted((folder / 'given').iterdir())]\n"
        "kept, dropped = run(folder, files)\n"
        "assert kept == ['fine.py'] and len(dropped) == 5, (kept, dropped)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120, cwd=Path(__file__).parents[2]
    )
