"""Lines of completions: found after edits, told line by line, and people's lines left to people."""

from __future__ import annotations

import keyword
import re
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from buril.code import fingerprints, winnow
from buril.code.attribution import attributed
from buril.code.fingerprints import COMMON, Fingerprints, NotFingerprints, Row, read

SOURCE = Path(fingerprints.__file__).read_text("utf-8")
PIECE = SOURCE[SOURCE.index("    def hits(") : SOURCE.index("    @cached_property")].rstrip() + "\n"
OTHER = Path(winnow.__file__).read_text("utf-8")
HEAD = "import numpy as np\n\n\nclass Table:\n    rows = ()\n\n"
TAIL = "\n    def __len__(self):\n        return len(self.rows)\n"
LINES = sum(bool(line.strip()) for line in PIECE.split("\n"))


def row(id_: str, text: str, model: str = "7a7a7a7a7a7a") -> Row:
    tokens = winnow.lexical(text)
    named, nameless = winnow.prints(tokens, winnow.NAMED), winnow.prints(winnow.nameless(tokens), winnow.NAMELESS)
    return Row(id_, model, len(tokens), np.unique(named.hashes), np.unique(nameless.hashes))


def known(*texts: str) -> Fingerprints:
    return Fingerprints([row(f"{number:012x}", text) for number, text in enumerate(texts)], "1:ab")


def told(text: str, source: Fingerprints, added: list[range] | None = None) -> set[int]:
    pieces = attributed(text, source, added).pieces
    return {line for piece in pieces for line in range(piece.first, piece.last + 1)}


def test_the_lines_of_a_completion_and_no_others() -> None:
    found = attributed(HEAD + PIECE + TAIL, known(PIECE))
    assert (found.generated, found.lines) == (LINES, LINES + 3 + 2)
    (piece,) = found.pieces
    assert (piece.first, piece.last) == (7, 6 + PIECE.count("\n")) and (piece.id, piece.model) == (
        "0" * 12,
        "7a7a7a7a7a7a",
    )
    assert piece.share == 1.0 and piece.how == "named"
    assert found.at(8, 8) == piece and found.at(1, 6) is None and found.at(5, 7) == piece
    assert attributed(HEAD + OTHER, known(PIECE)).pieces == ()
    assert attributed("", known(PIECE)).lines == 0 and attributed(PIECE, known()).pieces == ()


def test_only_lines_that_are_asked_about_count_and_prove_anything() -> None:
    text, source = HEAD + PIECE + TAIL, known(PIECE)
    assert told(text, source, [range(7, 12)]) == set(range(7, 12))
    assert told(text, source, [range(9, 10)]) == set(), "one line is no evidence"
    assert attributed(text, source, [range(1, 4)]) == (1, 0, ())


def test_formatting_comments_and_names_are_stood() -> None:
    def name(found: re.Match[str]) -> str:
        return found[0] if found[0] in keyword.kwlist or found[0] == "np" else f"my_{found[0]}"

    renamed = re.sub(r"[A-Za-z_]\w*", name, PIECE)
    commented = PIECE.replace("\n", "  # a comment\n").replace("        count[", "\n        # one more\n        count[")
    ruff = [str(Path(sysconfig.get_path("scripts")) / "ruff"), "format", "--isolated", "--line-length", "50", "-"]
    text = HEAD + PIECE + TAIL
    formatted = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    assert len(formatted.splitlines()) > len(text.splitlines()) + 10
    for edited, how in ((HEAD + commented + TAIL, "named"), (formatted, "named"), (HEAD + renamed + TAIL, "nameless")):
        found = attributed(edited, known(PIECE))
        assert {piece.how for piece in found.pieces} == {how}
        assert found.generated > 0.85 * (found.lines - 6), (found, edited)
        first = edited[: edited.index("rows")].count("\n") + 1
        assert not told(edited, known(PIECE)) & {*range(1, first + 1), len(edited.split("\n")) - 1}


def test_lines_at_both_ends_of_a_whole_text_are_its() -> None:
    """Their tokens may be in no fingerprint, and no line of a person's is taken for them."""
    for last in ("    return total", "    return names, total", "    ok = 1"):
        text = (
            "    names = [name.strip() for name in given.split(',') if name.strip()]\n"
            f"    total = sum(int(name, 16) for name in names)\n    print('total of', len(names), 'is', total)\n{last}\n"
        )
        assert told(f"x = 1\ndef f(given):\n{text}y = 2\n", known(text)) == {3, 4, 5, 6}, last
        assert told(f"def f(given):\n{text.removesuffix(last + chr(10))}    pass\n", known(text)) <= {2, 3, 4}


def test_half_of_it_and_lines_between() -> None:
    lines = PIECE.splitlines(keepends=True)
    half = "".join(lines[: LINES // 2])
    assert len(told(HEAD + half + TAIL, known(PIECE))) >= LINES // 2 - 1
    mixed = "".join(lines[:6] + ["        mine = 1\n", "        yours = 2\n"] + lines[6:])
    found = told(HEAD + mixed, known(PIECE))
    assert not found & {13, 14} and {8, 11, 16} <= found


def test_a_string_that_began_above_does_not_hide_what_follows() -> None:
    """Lines that are added within a string close it: read alone, all behind them would be a string."""
    text = HEAD.replace("rows = ()", '"""A table\n\n    of rows."""') + PIECE
    first = text[: text.index("    def hits")].count("\n") + 1
    assert told(text, known(PIECE), [range(7, 99)]) >= set(range(first, first + LINES - 1))


def test_what_is_scattered_or_short_proves_nothing() -> None:
    lines = PIECE.splitlines(keepends=True)
    far = "".join(line + "".join(f"value_{place}_{n} = {n} + other[{n}]\n" for n in range(40))
                  for place, line in enumerate(lines))  # fmt: skip
    assert told(far, known(PIECE)) == set()
    short = "    for name, value in found.items():\n        print(name, value)\n"
    assert told(HEAD + short, known(short)) != set(), "as it was written it is known"
    assert told("for key, item in given.items():\n    print(key, item)\n", known(short)) == set()
    assert told("return self.name\n", known("return self.name\n")) == set()


def test_what_everybody_writes_proves_nothing() -> None:
    many = known(*(f"value_{number} = {number}\n{PIECE}" for number in range(COMMON + 1)))
    assert told(HEAD + PIECE, many) == set()


def test_the_nearest_to_its_whole_is_the_source() -> None:
    longer = PIECE + "\n".join(f"        value_{number} = other[{number}] + more({number})" for number in range(30))
    found = attributed(HEAD + PIECE, known(longer, PIECE))
    assert {piece.id for piece in found.pieces} == {"0" * 11 + "1"}


# --- the file


def test_a_file_gives_back_what_was_written_and_holds_no_code(tmp_path: Path) -> None:
    source, path = known(PIECE, OTHER), tmp_path / "prints.parquet"
    source.write(path)
    first = path.read_bytes()
    again = read(path)
    assert (again.head, len(again)) == ("1:ab", 2)
    assert [again.written(number) for number in (0, 1)] == [source.written(number) for number in (0, 1)]
    assert attributed(HEAD + PIECE, again) == attributed(HEAD + PIECE, source)
    again.write(path)
    assert path.read_bytes() == first
    words = set(re.findall(rb"[A-Za-z_]{6,}", (PIECE + OTHER).encode()))
    assert not [
        word
        for word in words - {b"tokens", b"nameless", b"winnow", b"string", b"fingerprints", b"fingerprint", b"prints"}
        if word in first
    ]


@pytest.mark.parametrize("told_", [None, b"{}", b"[", b'{"fingerprints": 9, "winnow": 1}', b'{"fingerprints": 1}'])
def test_what_is_no_file_of_fingerprints(tmp_path: Path, told_: bytes | None) -> None:
    path = tmp_path / "x.parquet"
    columns = {"id": ["a"], "model": ["b"], "tokens": [3], "named": [b""], "nameless": [b""]}
    pq.write_table(pa.table(columns).replace_schema_metadata({b"buril": told_} if told_ else None), path)
    with pytest.raises(NotFingerprints):
        read(path)
    path.write_text("no parquet")
    with pytest.raises(NotFingerprints):
        read(path)


def test_hashes_are_cut_alike_on_both_sides() -> None:
    high = Fingerprints([row("a", PIECE)._replace(named=np.array([0xABCD_0000_0000_0007], np.uint64))])
    asked, owner = high.hits(np.array([3, 0x1234_0000_0000_0007], np.uint64), "named")
    assert (asked.tolist(), owner.tolist()) == ([1], [0])
