"""What an editor shows beside what the model wrote, at real places of real repositories.

    python benchmarks/completing.py [--size small|full] [--model BASE] [--repo FOLDER]... [--number N] [--seed N]

Places are drawn from files that parse: the rest of a line at its beginning (`line`) and further in (`end`), the
arguments of a call (`arguments`), and the body of a function (`body`), as many of each and of each language. The model
fills the hole between what stands before and after, greedily. Three ways of showing it:

- the peer: the raw text up to its first line break, for a body up to its first blank line, as simple clients do;
- finished: cut where it is complete, and mended, by `buril.code.completing`;
- with context: the same with the repository's definitions and similar lines in the prompt.

The raw text and the finished one are of one generation. Measured are exact match of the first line, edit similarity
with what stood there, whether the file parses with it, whether it repeats the line after the cursor, and the tokens
that had been written when it could be stopped. Intervals are of the paired bootstrap over places.

Without `--repo` the packages of this Python are taken. No package is known to be new to the model: what it saw in its
training flatters all three ways alike.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import sysconfig
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from _stages import run
from tests.conftest import as_artifact

from buril.code.completing._brackets import scan
from buril.code.completing._repeats import same_line
from buril.code.language import detect
from buril.code.parse import error_bytes, functions, parse
from buril.core.artifact import Artifact
from buril.evaluate.interval import bootstrap, paired_bootstrap
from buril.evaluate.metrics.edit_similarity import EditSimilarity
from buril.generators._generator import Completion
from buril.generators.openvino import Openvino
from buril.serve.completing import Around, Cursor, Index, Snippet, Stopper, Tokens, completed, context, finish, prompt
from buril.serve.completing._files import paths_of, read
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base

SIZES = {"small": 80, "full": 400}
"""Places in all."""
KINDS = ("line", "end", "arguments", "body")
LANGUAGES = ("python", "javascript", "typescript", "go", "java", "c")
WINDOW, MAX_TOKENS = 1024, 80
FILE_CHARS = (800, 40_000)
BODY_CHARS = (20, 240)
LEAST_CHARS = 4
MOST_FILES = 400
"""Files of a repository that are looked at for places."""
PACKAGES = ("rich", "httpx", "click", "markdown_it", "networkx", "mako", "jinja2", "fsspec", "pygments", "werkzeug")
EDIT = EditSimilarity()


@dataclass
class Hole:
    """A place, what stood there, and what its repository gave."""

    kind: str
    path: str
    language: str
    prefix: str
    wanted: str
    suffix: str
    snippets: list[Snippet] = field(default_factory=list)
    repo: str = ""

    @property
    def cursor(self) -> Cursor:
        """As it is finished."""
        return Cursor(self.prefix, self.suffix, self.language)


@dataclass
class Way:
    """One way of showing completions: what came of each place."""

    scores: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, hole: Hole, text: str, num_tokens: int) -> None:
        """Judge a text against what stood there."""
        shown, wanted = text.strip(), hole.wanted.strip()
        first = shown.partition("\n")[0].rstrip() == wanted.partition("\n")[0].rstrip()
        self.scores["first line exact"].append(float(first))
        self.scores["all exact"].append(float(shown == wanted))
        self.scores["edit similarity"].append(EDIT.score(shown, wanted))
        self.scores["parses in place"].append(float(bool(shown) and hole.cursor.errors(text) == 0))
        self.scores["repeats what follows"].append(float(repeats(hole, text)))
        self.scores["tokens written"].append(float(num_tokens))
        self.scores["shown"].append(float(bool(shown)))


def repeats(hole: Hole, text: str) -> bool:
    """Whether a line of a text is the one that follows the cursor's."""
    below = hole.cursor.below.text
    lines = text.split("\n")
    return any(same_line(line if number else hole.cursor.line + line, below) for number, line in enumerate(lines))


# --- places


def holes_of(folder: Path, rng: random.Random, each: int) -> list[Hole]:
    """At most `each` places of each language and kind of a repository, one a file and kind."""
    paths = [path for path in paths_of(folder) if "test" not in path.lower()]
    rng.shuffle(paths)
    found: dict[tuple[str, str], list[Hole]] = defaultdict(list)
    for path in paths[:MOST_FILES]:
        text = read(folder, path) or ""
        language = detect(path, text) if FILE_CHARS[0] <= len(text) <= FILE_CHARS[1] else ""
        if language not in LANGUAGES or all(len(found[language, kind]) >= each for kind in KINDS):
            continue
        raw = text.encode()
        if not text.isascii() or error_bytes(parse(language, raw)):
            continue
        for kind in KINDS:
            hole = MAKERS[kind](text, language, rng)
            if hole is not None and len(found[language, kind]) < each:
                prefix, wanted, suffix = hole
                found[language, kind].append(Hole(kind, path, language, prefix, wanted, suffix))
    holes = [hole for held in found.values() for hole in held]
    if holes:
        index = Index.of(folder)
        for hole in holes:
            hole.repo = folder.name
            hole.snippets = context(index, Around(hole.path, hole.language, hole.prefix, hole.suffix))
    return holes


Parts = tuple[str, str, str]


def _lines(text: str, language: str) -> list[tuple[int, str]]:
    """The lines of code of a file with where they begin: no comments, no strings, no lone brackets."""
    root, found, at = parse(language, text.encode()).root_node, [], 0
    for one in text.split("\n"):
        code = one.strip()
        if sum(map(str.isalpha, code)) >= LEAST_CHARS and code[0] not in "#*/\"'":
            start = at + len(one) - len(one.lstrip())
            node = root.descendant_for_byte_range(start, start + 1)
            if node is not None and not any(part in node.type for part in ("string", "comment", "text")):
                found.append((at, one))
        at += len(one) + 1
    return found


def line(text: str, language: str, rng: random.Random) -> Parts | None:
    """A whole line after its indentation."""
    for at, one in rng.sample(found := _lines(text, language), min(1, len(found))):
        start = at + len(one) - len(one.lstrip())
        return text[:start], text[start : at + len(one)], text[at + len(one) :]
    return None


def end(text: str, language: str, rng: random.Random) -> Parts | None:
    """The rest of a line from a border between words."""
    for at, one in rng.sample(found := _lines(text, language), min(1, len(found))):
        able = [n for n in range(len(one) - len(one.lstrip()) + 3, len(one) - LEAST_CHARS) if one[n - 1] in " .(=,["]
        if able:
            start = at + rng.choice(able)
            return text[:start], text[start : at + len(one)], text[at + len(one) :]
    return None


def arguments(text: str, language: str, rng: random.Random) -> Parts | None:
    """What stands between the brackets of a call, on one line."""
    able = []
    for at, one in _lines(text, language):
        for number in (n for n in range(1, len(one)) if one[n] == "(" and one[n - 1].isalnum()):
            closed = scan(one[number + 1 :], language).closed
            if closed and closed[0].at >= LEAST_CHARS:
                able.append((at + number + 1, at + number + 1 + closed[0].at))
    if not able:
        return None
    start, stop = rng.choice(able)
    return text[:start], text[start:stop], text[stop:]


def body(text: str, language: str, rng: random.Random) -> Parts | None:
    """The body of a function, the brace that closes it left in place."""
    raw, able = text.encode(), []
    for item in functions(parse(language, raw), language):
        end_byte = item.end_byte
        if raw[item.start_byte : end_byte].rstrip().endswith(b"}"):
            end_byte = raw.rindex(b"}", 0, end_byte)
        inner = raw[item.body_start_byte : end_byte].decode()
        if BODY_CHARS[0] <= len(inner.strip()) <= BODY_CHARS[1] and "\n" in inner.strip():
            start = item.body_start_byte + len(inner) - len(inner.lstrip())
            able.append((start, start + len(inner.strip())))
    if not able:
        return None
    start, stop = rng.choice(able)
    return text[:start], text[start:stop], text[stop:]


MAKERS: dict[str, Callable[[str, str, random.Random], Parts | None]] = {
    "line": line, "end": end, "arguments": arguments, "body": body,
}  # fmt: skip


def chosen(folders: Sequence[Path], number: int, seed: int) -> list[Hole]:
    """Places of all repositories, as many of each language and kind as there are, up to an equal share."""
    rng = random.Random(seed)
    by_cell: dict[tuple[str, str], list[Hole]] = defaultdict(list)
    for folder in folders:
        for hole in holes_of(folder, rng, max(3, number // 12)):
            by_cell[hole.language, hole.kind].append(hole)
    for held in by_cell.values():
        rng.shuffle(held)
    found: list[Hole] = []
    while len(found) < number and any(by_cell.values()):
        for cell in sorted(by_cell):
            if by_cell[cell] and len(found) < number:
                found.append(by_cell[cell].pop())
    return found


# --- the model


def opened(folder: Path, model: str) -> Openvino:
    """The model, loaded."""
    (folder / "split").mkdir()
    made: dict[str, Artifact] = {"split": as_artifact(folder / "split", "split")}
    for stage in (Base(Base.Settings(base=model)), Tokenizer(Tokenizer.Settings())):
        made[stage.name] = run(stage, made, folder)
    generator = Openvino(Openvino.Settings(threads=torch.get_num_threads(), batch_size=16))
    generator.open(made["base"].folder, made["tokenizer"].folder)
    return generator


def written(generator: Openvino, holes: Sequence[Hole], told: argparse.Namespace, *, shown: bool) -> list[Completion]:
    """What the model writes at each place, with the context or without."""
    loaded = generator.loaded
    tokens = Tokens(loaded.encoder, loaded.fim, told.window, uses_fim=loaded.fim["prefix"] is not None)
    asked = [
        prompt(
            tokens, Around(hole.path, hole.language, hole.prefix, hole.suffix), hole.snippets if shown else (),
            max_tokens=told.max_tokens, repo=hole.repo,
        ).request(max_tokens=told.max_tokens)
        for hole in holes
    ]  # fmt: skip
    began, found = time.perf_counter(), []
    for (one,) in generator.complete(asked):
        found.append(one)
        if len(found) % 16 == 0:
            print(f"{len(found)} of {len(asked)} in {time.perf_counter() - began:.0f} s", flush=True)
    return found


def simple(hole: Hole, text: str) -> str:
    """The raw text as simple clients cut it."""
    return text.partition("\n\n")[0] if hole.kind == "body" else text.lstrip("\n").partition("\n")[0]


def tokens_until(generator: Openvino, item: Completion, done: Callable[[str], bool]) -> int:
    """Tokens that were written when a text could be stopped."""
    for number in range(1, len(item.tokens) + 1):
        if done(generator.loaded.encoder.decode(item.tokens[:number])):
            return number
    return len(item.tokens)


def judge(
    generator: Openvino, holes: Sequence[Hole], plain: Sequence[Completion], shown: Sequence[Completion]
) -> dict[str, Way]:
    """Each way at each place."""
    ways = {name: Way() for name in ("whole", "peer", "finished", "context")}
    took: list[float] = []
    for hole, one, other in zip(holes, plain, shown, strict=True):
        cursor = hole.cursor
        ways["whole"].add(hole, one.text, len(one.tokens))
        cut = simple(hole, one.text)
        stop = "\n\n" if hole.kind == "body" else "\n"
        ways["peer"].add(hole, cut, tokens_until(generator, one, lambda text, stop=stop: stop in text.lstrip("\n")))  # type: ignore[misc]  # mypy infers no default
        for name, item in (("finished", one), ("context", other)):
            began = time.perf_counter()
            found = completed(cursor, item.text)
            took.append(time.perf_counter() - began)
            stopper = Stopper("", cursor=cursor)
            number = tokens_until(generator, item, lambda text, stopper=stopper: stopper.feed(text).done)  # type: ignore[misc]  # as above
            ways[name].add(hole, found.text, number)
            ways[name].reasons.update(found.reasons)
            assert finish("", found.text, cursor=cursor).text == found.text
    print(f"cutting and finishing a text takes {statistics.median(took) * 1e3:.1f} ms (median)", flush=True)
    return ways


# --- what is printed

TARGETS = {"first line exact": 1.0, "all exact": 1.0, "edit similarity": 1.0, "parses in place": 1.0}
"""Ours over the peer's, at least; for what should be small, at most (below)."""
SMALL = {"repeats what follows": 1.0, "tokens written": 1.0}


def rows(ways: dict[str, Way], holes: Sequence[Hole], model: str) -> list[dict[str, Any]]:
    """A line for each measure and way."""
    from all import machine

    found = []
    ones = [1.0] * len(holes)
    for name, peer in (("finished", "peer"), ("context", "finished")):
        for measure in (*TARGETS, *SMALL):
            ours, theirs = ways[name].scores[measure], ways[peer].scores[measure]
            if measure == "tokens written":
                theirs = ways["whole" if peer == "peer" else peer].scores[measure]
            change = paired_bootstrap((theirs, ones), (ours, ones), seed=0)
            mean, other = statistics.mean(ours), statistics.mean(theirs)
            ratio = mean / other if other else 1.0 if not mean else float("inf")
            target = SMALL.get(measure, TARGETS.get(measure, 1.0))
            whole = measure == "tokens written" and peer == "peer"
            found.append({
                "name": f"completing: {name}, {measure}", "ours": round(mean, 4), "peer": round(other, 4),
                "peer_name": "all that the model wrote" if whole else PEERS[peer],
                "unit": "tokens" if measure == "tokens written" else "share", "ratio": round(ratio, 3),
                "target": target,
                "met": ratio <= target if measure in SMALL else ratio >= target,
                "change": [round(value, 4) for value in (change.value, change.low, change.high)],
                "places": len(holes), "languages": sorted({hole.language for hole in holes}), "model": model,
                "machine": machine(),
            })  # fmt: skip
    return found


PEERS = {"peer": "raw text to the first line break (body: blank line)", "finished": "finished, without context"}


def tell(ways: dict[str, Way], holes: Sequence[Hole]) -> None:
    """Tables by kind and by language, with intervals for all."""
    for measure in (*TARGETS, *SMALL, "shown"):
        print(f"-- {measure}")
        for name, way in ways.items():
            whole = bootstrap(way.scores[measure], [1.0] * len(holes), seed=0)
            parts = []
            for of in (lambda hole: hole.kind, lambda hole: hole.language):
                groups = defaultdict(list)
                for hole, score in zip(holes, way.scores[measure], strict=True):
                    groups[of(hole)].append(score)
                parts += [f"{group} {statistics.mean(held):.2f}" for group, held in sorted(groups.items())]
            print(f"  {name:9} {whole.value:.3f} [{whole.low:.3f}, {whole.high:.3f}]  {'  '.join(parts)}")
    for name in ("finished", "context"):
        print(f"-- reasons ({name}): {dict(ways[name].reasons.most_common())}")


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--repo", type=Path, action="append", default=[])
    parser.add_argument("--number", type=int)
    parser.add_argument("--window", type=int, default=WINDOW, help="tokens of prompt and answer together")
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="write every place and what was written there to this JSON file")
    told = parser.parse_args()
    packages = [Path(sysconfig.get_path("purelib")) / name for name in PACKAGES]
    folders = told.repo or [folder for folder in packages if folder.is_dir()]
    holes = chosen(folders, told.number or SIZES[told.size], told.seed)
    if not holes:
        sys.exit("no place was found; name repositories with --repo")
    print(f"{len(holes)} places: {dict(Counter(f'{hole.language} {hole.kind}' for hole in holes))}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        generator = opened(Path(name), told.model)
        began = time.perf_counter()
        plain, shown = (written(generator, holes, told, shown=with_context) for with_context in (False, True))
        print(f"written in {time.perf_counter() - began:.0f} s", flush=True)
        if told.keep:
            kept = [{**vars(hole), "snippets": len(hole.snippets), "raw": a.text, "raw_context": b.text}
                    for hole, a, b in zip(holes, plain, shown, strict=True)]  # fmt: skip
            told.keep.write_text(json.dumps(kept, indent=1))
        ways = judge(generator, holes, plain, shown)
    tell(ways, holes)
    print(json.dumps(rows(ways, holes, Path(told.model).name)))


if __name__ == "__main__":
    main()
