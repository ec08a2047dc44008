"""A corpus of real code with known duplicates: what every benchmark of the data side runs on.

    python benchmarks/corpus.py --size small|full [--seed N] [--pins FILE] [--to DIR]

From pinned wheels, npm tarballs and Debian sources (`corpus.json`, with their SHA-256) it takes files in some thirty
languages, leaves out natural duplicates (exact comparison of word 5-grams, no two of J ≥ 0.5 stay), and adds 20 % exact
and 15 % near duplicates of five kinds in every language. The same pins and seed give the same bytes; another seed or
other pins give another corpus made the same way. The archives are kept in `build/corpus/archives`.

It writes into `build/corpus/SIZE-seedN[-PINS]`:

- `corpus.parquet`: id int64, repo, path, language, license, content (strings); shuffled; several row groups.
- `truth.parquet`: copy int64, original int64, kind string (exact, header, lines, truncate, comments, rename), jaccard
  double (true similarity of the sets of word 5-grams, tokens as in `buril.code.minhash`).
- `MANIFEST.json`: sources with their SHA-256, counts, MB by language, seed. It can be given as `--pins`.

Other benchmarks say `from corpus import load`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

import _archives
import _copies
import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).resolve().parent
PINS = FOLDER / "corpus.json"
BUILT = _archives.cache_folder().parent
VERSION = 1
"""Goes up when the same pins and seed give another corpus."""
SEED = 7
SIZES = {"small": 25, "full": 190}
ASKED_MB = {"small": 20, "full": 150}
EXACT, NEAR = 0.20, 0.15
TWINS = 0.5
"""Of two natural files this similar, one is left out."""
MIN_BYTES, MAX_BYTES, MIN_WORDS, MAX_MEAN_LINE = 400, 150_000, 50, 200
ROW_GROUP_BYTES = 16_000_000

SHARES = {
    "python": 32, "javascript": 20, "c": 20, "java": 7, "typescript": 6, "cpp": 7, "go": 4.5, "rust": 5, "csharp": 5,
    "php": 4, "ruby": 4, "kotlin": 4, "scala": 4, "perl": 4, "haskell": 3, "ocaml": 3, "swift": 1.5, "lua": 2, "sql": 2,
    "bash": 3, "css": 2.5, "html": 2.5, "r": 2.5, "solidity": 2.5, "tsx": 1, "dart": 1, "elixir": 3, "erlang": 3,
    "fortran": 3, "d": 1, "objc": 3, "vala": 2, "tcl": 2,
}  # fmt: skip
"""Language → its share of the corpus, as far as there is so much of it; 1 for those that are not named."""
TOTAL = sum(SHARES.values())
ENDINGS = {
    ".py": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascript", ".c": "c",
    ".h": "c", ".java": "java", ".ts": "typescript", ".mts": "typescript", ".tsx": "tsx", ".cpp": "cpp", ".cc": "cpp",
    ".cxx": "cpp", ".hpp": "cpp", ".hh": "cpp", ".go": "go", ".rs": "rust", ".cs": "csharp", ".php": "php",
    ".rb": "ruby", ".kt": "kotlin", ".kts": "kotlin", ".scala": "scala", ".pl": "perl", ".pm": "perl", ".t": "perl",
    ".hs": "haskell", ".ml": "ocaml", ".swift": "swift", ".lua": "lua", ".sql": "sql", ".sh": "bash", ".bash": "bash",
    ".css": "css", ".html": "html", ".htm": "html", ".r": "r", ".R": "r", ".sol": "solidity", ".dart": "dart",
    ".jl": "julia", ".ex": "elixir", ".exs": "elixir", ".erl": "erlang", ".hrl": "erlang", ".clj": "clojure",
    ".f": "fortran", ".f90": "fortran", ".d": "d", ".m": "objc", ".mm": "objc", ".vala": "vala", ".tcl": "tcl",
    ".scm": "scheme", ".elm": "elm", ".nim": "nim",
}  # fmt: skip


@dataclass(frozen=True)
class File:
    """A file of the corpus; `copy_of` is the place of its original among the files, -1 for a natural one."""

    repo: str
    path: str
    language: str
    license: str
    text: str
    copy_of: int = -1
    kind: str = ""
    jaccard: float = 1.0


def load(size: str = "small", *, seed: int = SEED, pins: Path = PINS, to: Path | None = None) -> Path:
    """The folder of a corpus; it is built when it is not there."""
    asked = _archives.read_pins(pins)
    name = f"{size}-seed{seed}" + ("" if pins == PINS else f"-{hashlib.sha256(pins.read_bytes()).hexdigest()[:8]}")
    folder = to or BUILT / name
    if (folder / "MANIFEST.json").exists() and to is None:
        made = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
        if made["version"] == VERSION and made["asked"] == _asked(asked, size):
            return folder
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _build(partial, size=size, seed=seed, pins=asked)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def _asked(pins: list[_archives.Pin], size: str) -> list[str]:
    chosen = [pin for pin in pins if pin.small or size != "small"] or pins
    return [f"{pin.repo} {pin.version}" for pin in chosen]


def _build(folder: Path, *, size: str, seed: int, pins: list[_archives.Pin]) -> None:
    chosen = [pin for pin in pins if pin.small or size != "small"] or pins
    sources, base = [], []
    for pin in chosen:
        archive, found = _archives.fetch(pin, _archives.cache_folder())
        sources.append(found)
        base += list(_files(archive, found))
        if found.note:
            print(f"note: {found.repo}: {found.note}")
    base, counts = _base(base, size=size, seed=seed)
    every = _with_copies(base, random.Random(f"{seed} copies"))
    order = sorted(range(len(every)), key=lambda at: _drawn(seed, "order", every[at].repo, every[at].path))
    number = {old: new for new, old in enumerate(order)}
    files = [every[at] for at in order]
    _write(folder / "corpus.parquet", files)
    truth = [(number[at], number[file.copy_of], file) for at, file in enumerate(every) if file.kind]
    truth.sort()
    columns = {
        "copy": pa.array([copy for copy, _, _ in truth], pa.int64()),
        "original": pa.array([original for _, original, _ in truth], pa.int64()),
        "kind": pa.array([file.kind for _, _, file in truth], pa.string()),
        "jaccard": pa.array([file.jaccard for _, _, file in truth], pa.float64()),
    }
    pq.write_table(pa.table(columns), folder / "truth.parquet", compression="zstd")
    manifest = {
        "version": VERSION, "size": size, "seed": seed, "asked": _asked(pins, size), **counts, **_counts(files),
        "natural_duplicates": f"exact comparison of the sets of word 5-grams; no two files of J >= {TWINS} stay",
        "sources": [asdict(pin) for pin in sorted(sources, key=lambda pin: pin.repo)],
        "sha256": {name: _sha256(folder / name) for name in ("corpus.parquet", "truth.parquet")},
    }  # fmt: skip
    (folder / "MANIFEST.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _drawn(seed: int, *words: str) -> bytes:
    """A place in an order that depends on the seed and the words alone."""
    return hashlib.sha256("\0".join((str(seed), *words)).encode("utf-8", "surrogatepass")).digest()


def _files(archive: Path, pin: _archives.Pin) -> Iterator[File]:
    """The files of an archive that are source code of a middling size, as UTF-8."""
    for path, data in _archives.members(archive):
        language = ENDINGS.get(PurePosixPath(path).suffix, "")
        if not language or not MIN_BYTES <= len(data) <= MAX_BYTES or b"\0" in data:
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        mean_line = len(data) / (data.count(b"\n") + 1)
        if mean_line <= MAX_MEAN_LINE and sum(1 for _ in islice(_copies.WORD.finditer(data), MIN_WORDS)) == MIN_WORDS:
            yield File(pin.repo, path, _refined(language, path, text), pin.license, text)


def _refined(language: str, path: str, text: str) -> str:
    """A header of C++ is C++, and what only ends like a language is none of it."""
    if path.endswith(".h") and any(sign in text for sign in ("\nnamespace ", "\nclass ", "template <", "template<")):
        return "cpp"
    if path.endswith(".h") and "\n@interface" in text:
        return "objc"
    if path.endswith((".m", ".mm")) and "\n@" not in text and "#import" not in text:
        return ""
    if path.endswith(".t") and "use " not in text:
        return ""
    return language


def _base(files: list[File], *, size: str, seed: int) -> tuple[list[File], dict[str, object]]:
    """The natural files: drawn by language up to its share, without natural duplicates."""
    unique = {(file.repo, file.path): file for file in files if file.language}
    drawn = sorted(unique.values(), key=lambda file: _drawn(seed, "base", file.repo, file.path))
    wanted_mb = SIZES[size] * (1 - EXACT - NEAR)
    room = {language: SHARES.get(language, 1) / TOTAL * wanted_mb * 1e6 for language in set(ENDINGS.values())}
    taken, spent = [], Counter[str]()
    for file in drawn:  # a little more than wanted: twins will go
        if spent[file.language] < 1.15 * room[file.language]:
            taken.append(file)
            spent[file.language] += len(file.text)
    grams = _copies.Grams()
    stay = _copies.without_twins([grams.of(file.text) for file in taken], TWINS)
    kept, spent = [], Counter[str]()
    for file, stays in zip(taken, stay, strict=True):
        if stays and spent[file.language] < room[file.language]:
            kept.append(file)
            spent[file.language] += len(file.text)
    return kept, {"candidates": len(unique), "drawn": len(taken), "natural_duplicates_left_out": stay.count(False)}


def _with_copies(base: list[File], drawn: random.Random) -> list[File]:
    """The files and their copies: in each language the same shares, and of the near ones each kind in turn."""
    every, texts, grams = list(base), {file.text for file in base}, _copies.Grams()
    by_language: dict[str, list[int]] = defaultdict(list)
    for at, file in enumerate(base):
        by_language[file.language].append(at)
    repos = sorted({file.repo for file in base})
    turn = 0
    for _, places in sorted(by_language.items()):
        for _ in range(round(len(places) * EXACT / (1 - EXACT - NEAR))):
            at = drawn.choice(places)
            every.append(_placed(base[at], every, drawn.choice(repos), copy_of=at, kind="exact"))
        for _ in range(round(len(places) * NEAR / (1 - EXACT - NEAR))):
            turn += 1
            copy = _near(base, places, texts, turn=turn, drawn=drawn)
            if copy is None:
                continue
            texts.add(copy.text)
            similar = _copies.jaccard(grams.of(base[copy.copy_of].text), grams.of(copy.text))
            copy = replace(copy, jaccard=similar)
            every.append(_placed(copy, every, drawn.choice(repos), copy_of=copy.copy_of, kind=copy.kind))
    return every


def _near(base: list[File], places: list[int], texts: set[str], *, turn: int, drawn: random.Random) -> File | None:
    """A near copy of one of the files at `places`, of the kind whose turn it is, that differs from all others."""
    for attempt in range(40):
        kind = sorted(_copies.KINDS)[(turn + attempt // 20) % len(_copies.KINDS)]
        at = drawn.choice(places)
        made = _copies.KINDS[kind](base[at].text, base[at].language, drawn)
        if made not in texts and len(made) >= MIN_BYTES / 2:
            return replace(base[at], text=made, copy_of=at, kind=kind)
    return None


def _placed(file: File, every: list[File], repo: str, *, copy_of: int, kind: str) -> File:
    """A copy lies in some repository, under a path that is no other's."""
    return replace(file, repo=repo, path=f"copies/{len(every)}/{file.path}", copy_of=copy_of, kind=kind)


def _write(path: Path, files: list[File]) -> None:
    """The rows, their number as id, in row groups of about `ROW_GROUP_BYTES`."""
    names = ("repo", "path", "language", "license")
    schema = pa.schema([("id", pa.int64()), *((name, pa.string()) for name in names), ("content", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=3) as writer:
        start = 0
        while start < len(files):
            end, size = start, 0
            while end < len(files) and size < ROW_GROUP_BYTES:
                size += len(files[end].text)
                end += 1
            some = files[start:end]
            columns = [pa.array([getattr(file, name) for file in some], pa.string()) for name in (*names, "text")]
            writer.write_table(pa.Table.from_arrays([pa.array(range(start, end), pa.int64()), *columns], schema=schema))
            start = end


def _counts(files: list[File]) -> dict[str, object]:
    sizes = [len(file.text.encode("utf-8")) for file in files]
    languages: dict[str, dict[str, float]] = {}
    for language in sorted({file.language for file in files}):
        mine = [at for at, file in enumerate(files) if file.language == language]
        near = sum(1 for at in mine if files[at].kind not in ("", "exact"))
        languages[language] = {
            "files": len(mine), "mb": round(sum(sizes[at] for at in mine) / 1e6, 2),
            "exact": sum(files[at].kind == "exact" for at in mine), "near": near,
        }  # fmt: skip
    kinds = Counter(file.kind or "natural" for file in files)
    alike = Counter(file.kind for file in files if file.kind and file.jaccard >= 0.7)
    return {
        "files": len(files), "mb": round(sum(sizes) / 1e6, 2), "kinds": dict(sorted(kinds.items())),
        "kinds_j07": dict(sorted(alike.items())), "languages": languages,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--pins", type=Path, default=PINS)
    parser.add_argument("--to", type=Path, help="folder to write into, always anew")
    parser.add_argument("--record", type=Path, help="write the pins with the SHA-256 that were found")
    options = parser.parse_args()
    start = time.process_time()
    folder = load(options.size, seed=options.seed, pins=options.pins, to=options.to)
    seconds = time.process_time() - start
    made = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
    if options.record:
        _archives.write_pins(options.record, _archives.read_pins(folder / "MANIFEST.json"))
    rows = sorted(made["languages"].items(), key=lambda row: -row[1]["mb"])
    for language, row in rows:
        print(f"{language:12} {row['files']:6.0f} files {row['mb']:8.2f} MB, {row['exact']} exact, {row['near']} near")
    print(f"{folder}: {made['files']} files, {made['mb']} MB, {len(rows)} languages, {len(made['sources'])} sources")
    print(f"kinds: {made['kinds']}; of these J >= 0.7: {made['kinds_j07']}; {seconds:.0f} s of CPU time")
    asked = ASKED_MB[options.size]
    result = {
        "name": "corpus", "ours": made["mb"], "peer": asked, "peer_name": "size asked for", "unit": "MB",
        "ratio": round(made["mb"] / asked, 2), "target": 1, "met": made["mb"] >= asked,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
