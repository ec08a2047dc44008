"""Dedup as a stage: which copies it finds, which it keeps, and that neither crashes nor workers change its bytes."""

from __future__ import annotations

import ast
import io
import os
import random
import signal
import subprocess
import sys
import time
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import CodeFile
from buril.core.artifact import Artifact, sha256_file
from buril.core.errors import BurilError
from buril.data import _shards
from buril.data.dedup import Dedup
from tests.data import made

Make = Callable[..., Artifact]


def run(make: Make, files: list[CodeFile], tmp_path: Path, **told: Any) -> dict[str, dict[str, Any]]:
    """The rows of `duplicates.parquet` by path."""
    told = {"workers": 1, **told}
    shard_files = told.pop("shard_files", 3)
    folder = f"dedup{len(list(tmp_path.iterdir()))}"
    collect = made.collected(tmp_path / f"{folder}-collect", files, shard_files=shard_files)
    artifact = make(Dedup(Dedup.Settings(**told)), {"collect": collect}, folder=folder)
    found = made.table(artifact, "duplicates.parquet")
    rows = made.contents(collect, "rows/*.parquet")
    assert [row["row_id"] for row in found] == [file.row_id for file in rows]
    path_of = {file.row_id: file.path for file in rows}
    return {
        path_of[row["row_id"]]: {**row, "of": path_of[row["of"]], "cluster": path_of[row["cluster"]]} for row in found
    }


def test_exact_white_space_and_near_copies(make_artifact: Make, tmp_path: Path) -> None:
    text = made.code(1)
    files = [
        CodeFile("r", "a.py", text),
        CodeFile("r", "b.py", text),
        CodeFile("r", "c.py", text.replace("\n", "\r\n    ")),
        CodeFile("r", "d.py", made.code(1, changed=3)),
        CodeFile("r", "e.py", made.code(2)),
        CodeFile("r", "f.py", made.code(1, changed=40)),
    ]
    found = run(make_artifact, files, tmp_path)
    assert {path: row["kind"] for path, row in found.items()} == {
        "a.py": "unique", "b.py": "exact", "c.py": "exact", "d.py": "near", "e.py": "unique", "f.py": "unique",
    }  # fmt: skip
    assert [row["of"] for row in found.values()] == ["a.py", "a.py", "a.py", "a.py", "e.py", "f.py"]
    # 116 shingles a text; 3 changed words far apart take 5 (one of them, at the edge, 1) from each side
    assert found["d.py"]["similarity"] == pytest.approx((116 - 11) / (116 + 11))
    assert found["c.py"]["similarity"] == 1.0
    exact = run(make_artifact, files, tmp_path, method="exact")
    assert [row["kind"] for row in exact.values()] == ["unique", "exact", "exact", "unique", "unique", "unique"]


def test_a_chain_of_small_changes_does_not_swallow_its_ends(make_artifact: Make, tmp_path: Path) -> None:
    texts = [made.code(1, changed=0), made.code(1, changed=4), made.code(1, changed=4)]
    text = made.words(1)
    for at in (5, 35, 65, 95):  # four more words changed than in b: near to b, too far from a
        text[at] = f"other_{at}"
    base = made.code(1, changed=4).split()
    texts[2] = " ".join(text[at] if text[at].startswith("other") else word for at, word in enumerate(base))
    texts.append(texts[2].replace(text[50], "one_more"))
    files = [CodeFile("r", name, item) for name, item in zip(("a.py", "b.py", "c.py", "d.py"), texts, strict=True)]
    found = run(make_artifact, files, tmp_path)
    assert {path: (row["kept"], row["of"], row["cluster"]) for path, row in found.items()} == {
        "a.py": (True, "a.py", "a.py"),
        "b.py": (False, "a.py", "a.py"),
        "c.py": (True, "c.py", "a.py"),
        "d.py": (False, "c.py", "a.py"),
    }
    assert found["b.py"]["similarity"] >= 0.7


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (("license", "stars", "age", "path"), "d.py"),
        (("stars", "license"), "c.py"),
        (("age",), "b.py"),
        (("path",), "a.py"),
        ((), "a.py"),
    ],
)
def test_which_copy_is_kept(make_artifact: Make, tmp_path: Path, keep: tuple[str, ...], kept: str) -> None:
    text = made.code(1)
    files = [
        CodeFile("r", "a.py", text, license="NOASSERTION"),
        CodeFile("r", "b.py", text, signals={"age_days": 900}),
        CodeFile("r", "c.py", text, signals={"stars": 50, "age_days": 3}),
        CodeFile("r", "d.py", made.code(1, changed=2), license="MIT", signals={"stars": 7}),
        CodeFile("r", "e.py", text, license="MIT"),
    ]
    found = run(make_artifact, files, tmp_path, keep=keep)
    assert [path for path, row in found.items() if row["kept"]] == [kept]
    assert {row["of"] for row in found.values()} == {kept}


def test_small_texts(make_artifact: Make, tmp_path: Path) -> None:
    files = [
        CodeFile("r", f"{at}.py", text)
        for at, text in enumerate(["", " \n", "{}", "x = 1", "x=1\n", "x = 2", "a b c d"])
    ]
    found = run(make_artifact, files, tmp_path)
    assert [row["kind"] for row in found.values()] == [
        "unique",
        "exact",
        "unique",
        "unique",
        "exact",
        "unique",
        "unique",
    ]


def test_nothing_collected(make_artifact: Make, tmp_path: Path) -> None:
    assert run(make_artifact, [], tmp_path) == {}
    assert run(make_artifact, [], tmp_path, method="exact") == {}


def test_renamed_needs_minhash() -> None:
    with pytest.raises(BurilError) as raised:
        Dedup.Settings(method="exact", renamed=True)
    assert raised.value.code == "D110"


def renamed(text: str, names: list[str]) -> str:
    """Other names wherever these stand in code; strings and comments stay as they are."""
    new = {name: f"other_{at}" for at, name in enumerate(names)}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return tokenize.untokenize(
        (token.type, new.get(token.string, token.string) if token.type == tokenize.NAME else token.string)
        for token in tokens
    )


def names_of(text: str) -> list[str]:
    """The names that a text gives to its own functions, arguments and variables."""
    tree, found = ast.parse(text), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found |= {node.name, *(argument.arg for argument in node.args.args)}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return sorted(found - {"self", "_"})


def test_renamed_copies_are_found_when_asked_for(make_artifact: Make, tmp_path: Path) -> None:
    base = [(name, text) for name, text in made.stdlib(24) if len(names_of(text)) > 12]
    files = [CodeFile("base", name, text, language="python") for name, text in base]
    for at, (name, text) in enumerate(base):
        names = names_of(text)
        some = names if at % 2 else random.Random(at).sample(names, 8)
        files.append(CodeFile("copy", name + "2", renamed(text, some), language="python"))
    found = run(make_artifact, files, tmp_path, renamed=True)
    plainly = run(make_artifact, files, tmp_path)
    assert "renamed" not in {row["kind"] for row in plainly.values()}
    missed = [name for name, _text in base if found[name]["kept"] and found[name + "2"]["kept"]]
    assert len(missed) <= len(base) // 20
    assert all(row["of"].removesuffix("2") == path.removesuffix("2") for path, row in found.items())
    assert {row["kind"] for row in found.values()} >= {"renamed", "unique"}
    assert all(row["similarity"] >= 0.7 for row in found.values())


def test_lists_and_short_files_of_one_form_are_not_renamed_copies(make_artifact: Make, tmp_path: Path) -> None:
    """Enumerations, dispatch tables, translations, stubs: one form, other content."""
    files = []
    for at in range(6):
        word = made.words(at, 60)
        files += [
            CodeFile("r", f"short{at}.py", f"def test_{word[0]}():\n    assert {word[1]}({at}) == {word[2]}\n", language="python"),
            CodeFile("r", f"table{at}.js", "module.exports = {\n" + "".join(f"  '{w}': require('./{w}'),\n" for w in word) + "}\n", language="javascript"),
            CodeFile("r", f"words{at}.py", "TEXT = {\n" + "".join(f"    'k{n}': '{w}',\n" for n, w in enumerate(word)) + "}\n", language="python"),
            CodeFile("r", f"enum{at}.c", "enum e {\n" + "".join(f"  {w} = {n * (at + 1)},\n" for n, w in enumerate(word)) + "};\n", language="c"),
            CodeFile("r", f"style{at}.css", "".join(f".{w} {{ color: red; }}\n" for w in word), language="css"),
        ]  # fmt: skip
    assert {row["kind"] for row in run(make_artifact, files, tmp_path, renamed=True).values()} == {"unique"}


def test_clusters_can_be_looked_at(make_artifact: Make, tmp_path: Path) -> None:
    text = made.code(1)
    files = [
        CodeFile("r", "a.py", text, language="python"),
        CodeFile("r", "b.py", text, language="python"),
        CodeFile("r", "c.js", made.code(1, changed=3), language="javascript"),
        CodeFile("r", "d.py", made.code(2), language="python"),
    ]
    collect = made.collected(tmp_path / "collect", files)
    artifact = make_artifact(Dedup(Dedup.Settings(workers=1)), {"collect": collect})
    (cluster,) = made.table(artifact, "clusters.parquet")
    of = made.table(artifact, "duplicates.parquet")
    assert cluster["members"] == [row["row_id"] for row in of[:3]]
    assert cluster["cluster"] == of[0]["row_id"]
    assert (cluster["repo"], cluster["path"], cluster["size"], cluster["kept"]) == ("r", "a.py", 3, 1)
    assert cluster["languages"] == ["javascript", "python"]
    assert cluster["bytes_saved"] == files[1].bytes + files[2].bytes
    similar = (116 - 11) / (116 + 11)
    assert cluster["min_similarity"] == pytest.approx(similar)
    assert cluster["mean_similarity"] == pytest.approx((1 + similar) / 2)
    metrics = artifact.manifest.metrics
    assert metrics["clusters"] == 1
    assert metrics["largest_clusters"][0]["path"] == "a.py"


LIMITED = """
import resource, sys
from pathlib import Path
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.data import dedup
from tests.conftest import as_artifact
folder, collect = Path(sys.argv[1]), as_artifact(Path(sys.argv[2]), "collect")
settings = dedup.Dedup.Settings(workers=1, memory_mb=16)
log = EventLog(folder.with_suffix(".jsonl"))
small = as_artifact(Path(sys.argv[3]), "collect")
dedup.Dedup(settings).run({"collect": small}, Output(folder.with_name("small"), log, "dedup"))  # compiles everything
data = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
limit = data + int(sys.argv[4]) * 1_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
dedup.Dedup(settings).run({"collect": collect}, Output(folder, log, "dedup"))
"""


def many_small(folder: Path, count: int) -> Artifact:
    """`count` files of which a quarter are near copies, in shards of 20,000."""
    drawn = random.Random(1)
    words = [f"w{n}" for n in range(5000)]
    texts: list[str] = []
    for at in range(count):
        text = drawn.choices(words, k=90) if at % 4 else texts[-1].split()[:-1] + ["end"] if texts else ["first"]
        texts.append(" ".join(text))
    files = [CodeFile("r", f"{at:07d}.py", text) for at, text in enumerate(texts)]
    return made.collected(folder, files, shard_files=4_000)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA is Linux's")
@pytest.mark.slow
def test_data_larger_than_memory_give_the_same_bytes(make_artifact: Make, tmp_path: Path) -> None:
    """150 MB of signatures, keys and records under a limit of 64 MB for everything that a process allocates."""
    collect = many_small(tmp_path / "collect", 100_000)
    small = made.collected(tmp_path / "tiny", injected(12), shard_files=7)
    limited = tmp_path / "limited"
    # The first run may allocate what it likes: the compiler does, where nothing is compiled yet.
    for folder, megabytes in ((tmp_path / "compiling", "8000"), (limited, "64")):
        subprocess.run(
            [sys.executable, "-c", LIMITED, str(folder), str(collect.folder), str(small.folder), megabytes],
            cwd=Path(__file__).parents[2], check=True,
        )  # fmt: skip
    sizes = [path.stat().st_size for path in limited.rglob("*") if path.is_file()]
    assert sum(sizes) > 150e6, "the files it works on are several times the limit"
    free = make_artifact(Dedup(Dedup.Settings(workers=2, memory_mb=4000)), {"collect": collect}, folder="free")
    assert digest(limited) == digest(free.folder)


@pytest.mark.parametrize("memory_mb", [16, 4096])
def test_memory_changes_no_bytes(make_artifact: Make, tmp_path: Path, memory_mb: int) -> None:
    collect = made.collected(tmp_path / "collect", injected(24), shard_files=7)
    artifact = make_artifact(Dedup(Dedup.Settings(memory_mb=memory_mb, renamed=True)), {"collect": collect}, folder="a")
    other = make_artifact(Dedup(Dedup.Settings(workers=1, renamed=True)), {"collect": collect}, folder="b")
    assert digest(artifact.folder) == digest(other.folder)


def test_rows_in_another_order_are_ranked_by_name_all_the_same(tmp_path: Path) -> None:
    files = [CodeFile("r", f"{at % 7}/{at}.py", f"{at}") for at in range(30)]
    from buril.code.codefile import write_rows
    from buril.data._rows import name_ranks

    shards = []
    for number in range(3):
        shards.append(tmp_path / f"{number}.parquet")
        write_rows(shards[-1], files[number::3])
    order = [file for number in range(3) for file in files[number::3]]
    ranks = name_ranks(shards, tmp_path / "names")
    assert ranks is not None
    assert [order[row].path for row in ranks.argsort()] == sorted(file.path for file in files)
    assert name_ranks(made.collected(tmp_path / "sorted", files).files("rows/*.parquet"), tmp_path / "n") is None


def test_bands_that_do_not_fit() -> None:
    with pytest.raises(BurilError) as raised:
        Dedup.Settings(bands=33)
    assert raised.value.code == "D101"
    assert "33" in raised.value.cause


def injected(count: int = 40) -> list[CodeFile]:
    """Real files and, for each, a copy with some lines changed."""
    files = []
    for at, (name, text) in enumerate(made.stdlib(count)):
        lines = text.split("\n")
        step = (0, 60, 30, 6)[at % 4]
        copy = "\n".join(f"changed({at}, {n})" if step and n % step == 0 else line for n, line in enumerate(lines))
        files += [CodeFile("base", name, text), CodeFile("copy", name, copy, license="MIT")]
    return files


def test_recall_and_precision_on_real_code(make_artifact: Make, tmp_path: Path) -> None:
    files = injected()
    collect = made.collected(tmp_path / "collect", files)
    found = made.table(make_artifact(Dedup(Dedup.Settings(workers=1)), {"collect": collect}), "duplicates.parquet")
    name_of = {file.row_id: (file.repo, file.path) for file in files}
    copies = {name_of[row["row_id"]][1] for row in found if not row["kept"]}
    names = [file.path for file in files[::2]]
    surely = {name for at, name in enumerate(names) if at % 4 < 2}
    assert surely <= copies, "copies of which few lines changed must all be found"
    assert all(name_of[row["row_id"]][1] == name_of[row["of"]][1] for row in found), "no two different files are copies"
    assert all(name_of[row["of"]][0] == "copy" for row in found if not row["kept"]), "the copy with a licence is kept"
    assert all(row["similarity"] >= 0.7 for row in found)


def digest(folder: Path) -> str:
    return sha256_file(folder / "duplicates.parquet") + sha256_file(folder / "clusters.parquet")


def test_workers_and_shards_change_no_bytes(make_artifact: Make, tmp_path: Path) -> None:
    files = injected(24)
    digests = set()
    for workers, shard_files in ((1, 1000), (2, 11), (1, 7)):
        collect = made.collected(tmp_path / f"collect{shard_files}", files, shard_files=shard_files)
        artifact = make_artifact(
            Dedup(Dedup.Settings(workers=workers)), {"collect": collect}, folder=f"out{shard_files}"
        )
        digests.add(digest(artifact.folder))
    assert len(digests) == 1


def test_the_order_of_rows_changes_no_choice(make_artifact: Make, tmp_path: Path) -> None:
    files = injected(12)
    one = run(make_artifact, files, tmp_path)
    renamed = [CodeFile(file.repo, file.path, file.content, license=file.license) for file in reversed(files)]
    assert run(make_artifact, renamed, tmp_path, shard_files=5) == one


VICTIM = """
import sys
from pathlib import Path
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.data.dedup import Dedup
from tests.conftest import as_artifact
folder, collect = Path(sys.argv[1]), as_artifact(Path(sys.argv[2]), "collect")
out = Output(folder, EventLog(folder.with_suffix(".jsonl")), "dedup")
Dedup(Dedup.Settings(workers=2)).run({"collect": collect}, out)
"""


@pytest.mark.slow
@pytest.mark.parametrize("finished", ["near/*.digests.npy", "near/pairs*.u64", "near/sets/*.hashes.npy"])
def test_killed_and_run_again_gives_the_same_bytes(
    make_artifact: Make, output: Callable[..., Any], tmp_path: Path, finished: str
) -> None:
    """Killed while shards are read, while bands are sorted, while sets are written."""
    collect = made.collected(tmp_path / "collect", injected(24), shard_files=4)
    whole = digest(make_artifact(Dedup(Dedup.Settings()), {"collect": collect}, folder="whole").folder)
    victim = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(victim), str(collect.folder)],
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not list(victim.glob(f".scratch/{finished}")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = {path: path.stat().st_mtime_ns for path in victim.glob(f".scratch/{finished}")}
    assert left, "the kill must come after a first result"
    out = output("killed", resumed=True)
    Dedup(Dedup.Settings(workers=1)).run({"collect": collect}, out)
    seen = {path: path.stat().st_mtime_ns for path in left}
    assert digest(victim) == whole
    assert seen == left, "finished work is not done again"


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """Only the parent is killed here; a worker left waiting would hold its end of the pipe open for good."""
    collect = made.collected(tmp_path / "collect", injected(24), shard_files=2)
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(tmp_path / "killed"), str(collect.folder)],
        cwd=Path(__file__).parents[2], pass_fds=[writing],
    )  # fmt: skip
    os.close(writing)
    until = time.monotonic() + 60
    while not list((tmp_path / "killed").glob(".scratch/near/*.npy")) and time.monotonic() < until:
        time.sleep(0.002)
    process.kill()
    process.wait()
    import select

    ready, _, _ = select.select([reading], [], [], 10)
    assert ready
    assert os.read(reading, 1) == b""
    os.close(reading)


def die(job: Path) -> int:
    os._exit(7)


def test_a_worker_that_dies_is_told(output: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(BurilError) as raised:
        _shards.run_jobs(die, [tmp_path, tmp_path], 2, output("dedup"))
    assert raised.value.code == "S009"
