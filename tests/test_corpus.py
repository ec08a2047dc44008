"""The benchmark corpus: hostile archives are read safely, copies are what they say, the same pins give the same bytes."""

from __future__ import annotations

import io
import json
import random
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from buril.code import minhash

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def corpus() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    import corpus as module

    yield module
    sys.path.remove(str(BENCHMARKS))


def tar(path: Path, files: dict[str, bytes], links: tuple[str, ...] = ()) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
        for name in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            made.addfile(info)
    return path


def test_members_that_point_outside_or_are_too_large_are_left_out(corpus: ModuleType, tmp_path: Path) -> None:
    archives = corpus._archives
    names = {"pkg/a.py": b"a", "../b.py": b"b", "/abs/c.py": b"c", "pkg/../../d.py": b"d"}
    names["pkg/big.py"] = bytes(archives.MAX_FILE + 1)
    assert list(archives.members(tar(tmp_path / "x.tgz", names, links=("pkg/link.py",)))) == [("a.py", b"a")]
    with zipfile.ZipFile(tmp_path / "x.whl", "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in names.items():
            made.writestr(name, data)
        link = zipfile.ZipInfo("pkg/link.py")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc/passwd")
    assert list(archives.members(tmp_path / "x.whl")) == [("pkg/a.py", b"a")]


def test_a_bomb_stops_the_reading(corpus: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archives = corpus._archives
    monkeypatch.setattr(archives, "MAX_TOTAL", 100_000)
    for name in ("bomb.tgz", "bomb.whl"):
        files = {f"pkg/{at}.py": bytes(90_000) for at in range(3)}
        if name.endswith("tgz"):
            tar(tmp_path / name, files)
        else:
            with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as made:
                for inner, data in files.items():
                    made.writestr(inner, data)
        with pytest.raises(SystemExit, match="more than 100000 bytes"):
            list(archives.members(tmp_path / name))


TEXT = '''import os  # the system


def total(numbers, start):
    """Sum, beginning at `start`."""
    # one after the other
    for value in numbers:
        start += value  # here
    return start, "# no comment, value"
'''


def test_each_kind_of_copy(corpus: ModuleType) -> None:
    copies = corpus._copies
    bare = copies.comments(TEXT, "python", random.Random(1))
    assert "the system" not in bare and "one after" not in bare and '"# no comment, value"' in bare and "Sum" in bare
    renamed = copies.rename(TEXT, "python", random.Random(1))
    assert renamed != TEXT and renamed.count("\n") == TEXT.count("\n")
    assert '"# no comment, value"' in renamed and "import os" in renamed and "# one after the other" in renamed
    assert copies.truncate(TEXT * 20, "python", random.Random(1)) in TEXT * 20
    changed = copies.lines(TEXT * 20, "python", random.Random(1)).split("\n")
    assert 1 <= len(set(changed) - set((TEXT * 20).split("\n"))) + abs(len(changed) - 181) <= 16
    headed = copies.header(TEXT, "python", random.Random(1))
    assert headed.startswith("# Copyright") and "\n        for value in numbers:" in headed


def test_grams_are_those_of_the_kernel(corpus: ModuleType) -> None:
    """The true similarity is counted apart from buril's kernel, and over the same tokens."""
    texts = [TEXT, TEXT.replace("start", "first"), "a b", "ñandú über_x 1 2 3 4", "{}"]
    grams = corpus._copies.Grams()
    sets = [grams.of(text) for text in texts]
    shingles = minhash.shingles(minhash.Texts.of([text.encode() for text in texts]))
    theirs = [shingles.unique(at) for at in range(len(texts))]
    assert [len(found) for found in sets] == [len(found) for found in theirs]
    for left in range(len(texts)):
        for right in range(len(texts)):
            expected = _jaccard(theirs[left], theirs[right])
            assert corpus._copies.jaccard(sets[left], sets[right]) == pytest.approx(expected)


def _jaccard(left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]) -> float:
    return len(np.intersect1d(left, right)) / max(1, len(np.union1d(left, right)))


def test_no_natural_twin_stays(corpus: ModuleType) -> None:
    drawn, copies = random.Random(3), corpus._copies
    words = [f"w{at}" for at in range(400)]
    texts = [" ".join(drawn.choice(words) for _ in range(drawn.randrange(20, 80))) for _ in range(60)]
    texts += [text + " and some more words at the end" for text in texts[:20]] + [text[:-40] for text in texts[20:40]]
    grams = copies.Grams()
    sets = [grams.of(text) for text in texts]
    kept = copies.without_twins(sets, 0.5)
    stay = [at for at, yes in enumerate(kept) if yes]
    assert all(copies.jaccard(sets[a], sets[b]) < 0.5 for a in stay for b in stay if a < b)
    gone = [at for at, yes in enumerate(kept) if not yes]
    assert gone and all(any(copies.jaccard(sets[a], sets[b]) >= 0.5 for b in stay) for a in gone)


def test_same_pins_and_seed_same_bytes(corpus: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "archives"
    monkeypatch.setenv("BURIL_CORPUS_CACHE", str(cache))
    drawn = random.Random(5)
    pins = []
    for kind, name in (("npm", "one"), ("debian", "two")):
        files = {}
        for at in range(40):
            body = "".join(f"    value_a = other{drawn.randrange(9**6)}(value_b, value_a)  # note\n" for _ in range(40))
            files[f"pkg/src/{at}.py"] = f"def f{at}(x):\n{body}".encode()
        folder = cache / kind / f"{name}-1"
        folder.mkdir(parents=True)
        tar(folder / "a.tgz", files)
        pins.append([kind, name, "1", "MIT"])
    (tmp_path / "pins.json").write_text(json.dumps(pins))
    made = [corpus.load("small", seed=seed, pins=tmp_path / "pins.json", to=tmp_path / to)
            for seed, to in ((1, "a"), (1, "b"), (2, "c"))]  # fmt: skip
    one, two, other = ((folder / "corpus.parquet").read_bytes() for folder in made)
    assert one == two != other
    rows = pq.read_table(made[0] / "corpus.parquet").to_pylist()
    truth = pq.read_table(made[0] / "truth.parquet").to_pylist()
    assert [row["id"] for row in rows] == list(range(len(rows)))
    assert len({(row["repo"], row["path"]) for row in rows}) == len(rows)
    assert {row["kind"] for row in truth} == {"exact", "header", "lines", "truncate", "comments", "rename"}
    for row in truth:
        same = rows[row["copy"]]["content"] == rows[row["original"]]["content"]
        assert same == (row["kind"] == "exact") and (row["jaccard"] == 1.0 or not same)
    manifest = json.loads((made[0] / "MANIFEST.json").read_text())
    assert str(tmp_path) not in json.dumps(manifest)
    (cache / "npm" / "one-1" / "a.tgz").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="is not the pinned"):
        corpus.load("small", seed=1, pins=made[0] / "MANIFEST.json", to=tmp_path / "d")
