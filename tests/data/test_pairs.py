"""The stage `pairs`: what a pair has to stand, how pairs are split, and what is told of those left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from buril.audit import lineage
from buril.audit.derived import derived_of, origin_of
from buril.chain import Chain
from buril.code.codefile import CodeFile, write_table
from buril.code.parse import parse
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.plan import run
from buril.core.stage import Output, Stage
from buril.core.store import Store
from buril.data import pairs as stage_module
from buril.data._pair_cut import alike, changes, does_less, parses_alike, shortened
from buril.data._pair_proof import same
from buril.data.pair import PAIR_SCHEMA, Pair, Pairing, read_pairs
from buril.data.pairs import PARTS, Pairs
from tests.data.made import stdlib, table
from tests.data.pairing import MENDED, MENDED_SHELL, PLAIN, WEAK, WEAK_SHELL, inputs, python, repository


def pair(**given: Any) -> Pair:
    told: dict[str, Any] = {
        "cwe": "CWE-89", "language": "python", "secure": MENDED, "vulnerable": WEAK, "scenario": "one",
        "source": "given", "claim": "scanner", "license": "MIT",
    }  # fmt: skip
    return Pair(**{**told, **given})


def stage(**given: Any) -> Pairs:
    found = Chain.from_values({"collect": ["packages"], "pairs": {"valid": 0, "test": 0, **given}}).settings("pairs")
    assert isinstance(found, Pairs.Settings)
    return Pairs(found)


class Given(Pairing):
    """A source whose pairs a test gives."""

    given: tuple[Pair, ...] = ()

    def pairs(self, inputs: Any, seed: int) -> Iterator[Pair]:
        yield from self.given


@pytest.fixture
def propose(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the stage's sources propose these pairs and no others."""

    def set_pairs(*given: Pair) -> None:
        monkeypatch.setattr(Given, "given", given)
        monkeypatch.setattr(Pairs, "_sources", lambda self: [Given() for _ref in self.settings.sources])

    return set_pairs


def rows(artifact: Artifact) -> dict[str, list[dict[str, Any]]]:
    return {part: read_pairs(artifact.path(f"{part}.parquet")) for part in PARTS}


# --- what a pair has to stand

DEEP = "def f(x):\n" + "".join(f"    value_{n} = x + {n}\n" for n in range(400)) + "    return x\n"
BROKEN = "def f(:\n    return 1\n"
MACRO = "FOO(bar) int f(int a) {{ return a + {}; }}\n"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"secure": " \n"}, "empty"),
        ({"secure": WEAK + "\n"}, "no_difference"),
        ({"secure": DEEP, "vulnerable": DEEP.replace("x + 7\n", "x + 8\n"), "claim": "label"}, "too_long"),
        ({"secure": PLAIN, "claim": "label"}, "other_code"),
        ({"license": ""}, "unknown_license"),
        ({"license": "GPL-3.0-only"}, "license"),
        ({"secure": BROKEN, "vulnerable": PLAIN, "claim": "construction"}, "does_not_parse"),
        ({"vulnerable": MENDED + "# nothing\n"}, "nothing_seen"),
        ({"secure": WEAK + "# nothing\n"}, "still_seen"),
        ({"secure": WEAK + "# nothing\n", "claim": "construction"}, "still_seen"),
        ({"secure": "f x = x\ng = 1\n", "vulnerable": "f x = x\ng = 2\n", "language": "haskell"}, "inconclusive"),
    ],
)
def test_what_does_not_hold_is_dropped_with_its_reason(
    given: dict[str, Any], reason: str, propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    good = pair(secure=MENDED_SHELL, vulnerable=WEAK_SHELL, cwe="CWE-78", scenario="two")
    propose(good, pair(**given))
    artifact = make_artifact(stage())
    (dropped,) = table(artifact, "dropped.parquet")
    assert (dropped["stage"], dropped["step"], dropped["reason"]) == ("pairs", "given", reason)
    (kept,) = rows(artifact)["train"]
    assert kept["pair_id"] == good.pair_id and kept["proofs"] == ["parses", "scanner"]
    assert json.loads(artifact.path("summary.json").read_text())["dropped"] == {f"given: {reason}": 1}


def test_the_second_of_two_copies_is_dropped(
    propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    propose(pair(), pair(scenario="other"))
    artifact = make_artifact(stage())
    assert [row["reason"] for row in table(artifact, "dropped.parquet")] == ["duplicate"]
    assert [row["scenario"] for row in rows(artifact)["train"]] == ["one"]


def test_licences_are_those_that_are_allowed(
    propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    propose(pair(license="GPL-3.0-only"), pair(license="", secure=MENDED_SHELL, vulnerable=WEAK_SHELL, cwe="CWE-78"))
    for number, allowed in enumerate((["gpl-3.0-only"], ["gpl-3.0-only", "unknown"], None), 1):
        artifact = make_artifact(stage(licenses=allowed), folder=f"allowed{number}")
        assert len(rows(artifact)["train"]) == min(number, 2)


def test_a_task_that_models_are_examined_with_is_dropped(
    tmp_path: Path, propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    """The task stands in the weak text alone: it is left out all the same."""
    task = {"task_id": "T/1", "prompt": "", "canonical_solution": WEAK_SHELL}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(task) + "\n")
    propose(pair(), pair(secure=MENDED_SHELL, vulnerable=WEAK_SHELL, cwe="CWE-78"))
    artifact = make_artifact(stage(against=[str(tmp_path / "tasks.jsonl")]))
    (dropped,) = table(artifact, "dropped.parquet")
    assert dropped["reason"] == "contaminated" and "T/1" in str(dropped["detail"])


def test_held_out_code_is_dropped_where_the_split_is_read(
    tmp_path: Path, propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    given = inputs(tmp_path / "made", [python("a.py", PLAIN)], held_out=[python("h.py", "\n\n" + WEAK + PLAIN)])
    held = pair(claim="label")
    propose(held, pair(secure=MENDED_SHELL, vulnerable=WEAK_SHELL, cwe="CWE-78"))
    chosen = stage(held_out=True)
    assert chosen.needs() == ("split",)
    artifact = make_artifact(chosen, {"split": given["split"]})
    assert [row["reason"] for row in table(artifact, "dropped.parquet")] == ["in_held_out"]
    assert len(rows(make_artifact(stage(), {}, folder="without"))["train"]) == 2


def test_only_languages_that_are_named_are_looked_at(
    propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    script = pair(language="javascript", secure="f(1);\n", vulnerable="f(2);\n", claim="construction")
    propose(pair(), script)
    artifact = make_artifact(stage(languages=["javascript"]))
    assert [row["language"] for row in rows(artifact)["train"]] == ["javascript"]
    with pytest.raises(BurilError, match="P001"):
        stage(languages=["klingon"])


def test_a_pair_of_a_damaged_text_is_kept_when_both_are_damaged_alike() -> None:
    one = pair(language="c", secure=MACRO.format(1) + DEEP_C, vulnerable=MACRO.format(2) + DEEP_C)
    assert parse("c", one.secure.encode()).root_node.has_error
    assert parses_alike(one)
    assert not parses_alike(one._replace(vulnerable=one.vulnerable + "int g( {\n"))


DEEP_C = "".join(f"int g{n}(int a) {{ return a * {n}; }}\n" for n in range(30))


def test_names_of_one_weakness_are_the_same() -> None:
    assert same("CWE-78", "CWE-77") and same("CWE-89", "CWE-89") and not same("CWE-89", "CWE-78")


def test_a_call_that_is_gone_without_another_in_its_place_is_no_mend() -> None:
    assert does_less("os.system(command(x))", "command(x)")
    assert not does_less("os.system(f'{x}')", "subprocess.run([x])")
    assert not does_less("db.execute('{}'.format(x))", "db.execute('?', (x,))")
    assert not does_less("open(x)", "open(checked(x))")


# --- what comes of no pair


def test_no_pair_to_learn_from_is_told_with_the_reasons(
    propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    propose(pair(secure=" "), pair(license=""), pair(license="", secure=MENDED + "\n"))
    with pytest.raises(BurilError, match="D330") as problem:
        make_artifact(stage())
    assert "unknown_license 2" in str(problem.value) and "empty 1" in str(problem.value)


def test_pairs_that_are_all_held_out_are_told(
    propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    names = [f"scenario {number}" for number in range(40)]
    held = next(name for name in names if stage(test=0.2)._part(pair(scenario=name)) == "test")
    propose(pair(scenario=held))
    with pytest.raises(BurilError, match="D335"):
        make_artifact(stage(test=0.2))


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(BurilError, match="C0"):
        stage(valid=0.5, test=0.5)


# --- splitting


def test_the_part_of_a_scenario_does_not_depend_on_the_others(
    propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    def made(number: int) -> Pair:
        name = f"t{number}" + "_more" * (number // 40 * 30)  # texts of a scenario differ in length too
        texts = {"secure": MENDED.replace("people", name), "vulnerable": WEAK.replace("people", name)}
        return pair(scenario=f"scenario {number % 40}", **texts)

    few, many = [made(number) for number in range(0, 80, 2)], [made(number) for number in range(80)]
    places = []
    for number, given in enumerate((few, many)):
        propose(*given)
        found = rows(make_artifact(stage(valid=0.2, test=0.2, seed=3), folder=f"part{number}"))
        places.append({row["scenario"]: part for part, kept in found.items() for row in kept})
        # a scenario is in one part only
        assert sum(len({row["scenario"] for row in kept}) for kept in found.values()) == len(places[-1])
        assert all(found[part] for part in PARTS)
    assert places[0].items() <= places[1].items()
    propose(*many)
    other = rows(make_artifact(stage(valid=0.2, test=0.2, seed=4), folder="seed"))
    assert {row["scenario"]: part for part, kept in other.items() for row in kept} != places[1]


def test_a_bound_is_spread_over_the_weaknesses(
    propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    queries = [
        pair(secure=MENDED.replace("people", f"t{n}"), vulnerable=WEAK.replace("people", f"t{n}")) for n in range(9)
    ]
    shell = pair(secure=MENDED_SHELL, vulnerable=WEAK_SHELL, cwe="CWE-78")
    propose(*queries, shell)
    kept = rows(make_artifact(stage(max_pairs=4)))["train"]
    assert [row["cwe"] for row in kept] == ["CWE-89"] * 3 + ["CWE-78"]
    assert [row["pair_id"] for row in kept[:3]] == [item.pair_id for item in queries[:3]]
    assert len(rows(make_artifact(stage(max_proposed=3), folder="few"))["train"]) == 3


def test_a_small_chain_looks_at_few_and_keeps_few() -> None:
    chain = Chain.from_values({"pairs": {"sources": ["templates"]}}).small()
    found = chain.settings("pairs")
    assert isinstance(found, Pairs.Settings) and (found.max_pairs, found.max_proposed) == (64, 400)


# --- bytes, plans, resuming


def test_the_same_settings_give_the_same_bytes(make_artifact: Callable[..., Artifact]) -> None:
    one, two = (make_artifact(stage(sources=["templates"], valid=0.1), folder=name) for name in ("one", "two"))
    other = make_artifact(stage(sources=["templates"], valid=0.1, seed=5), folder="other")
    assert one.digest == two.digest != other.digest
    found = rows(one)
    assert set(found["train"][0]) == set(PAIR_SCHEMA.names)
    assert all(row["license"] == "Apache-2.0" and row["repo"] == "buril/templates" for row in found["train"])


def test_a_chain_of_pairs_alone_runs_and_is_taken_from_the_store(tmp_path: Path) -> None:
    chain = Chain.from_values({"pairs": ["templates"]})
    store = Store(tmp_path / "store")
    (step,) = chain.plan(store)
    assert step.estimate is not None and 0 < step.estimate.seconds < 60
    first = chain.run(store)
    assert first.artifacts["pairs"].digest == chain.run(store).artifacts["pairs"].digest
    assert chain.plan(store)[0].action == "reuse"


def test_an_interrupted_run_reads_no_commit_twice(
    tmp_path: Path, output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    from buril.data.pairing import history

    monkeypatch.setattr(history, "CHUNK", 2)
    versions: list[tuple[str, dict[str, str | bytes]]] = []
    for number in range(4):
        name = f"{number}.py"
        versions += [(f"add {name}", {name: WEAK.replace("find", f"find{number}")})]
        versions += [(f"mend {name}", {name: MENDED.replace("find", f"find{number}")})]
    paths = repository(tmp_path / "shop", versions)
    told = {"sources": [{"history": {"paths": str(paths), "license": "MIT"}}]}
    whole = output("whole")
    stage(**told).run({}, whole)

    reads: list[tuple[int, int]] = []
    read = history.commits

    def counted(folder: Path, tip: str, window: tuple[int, int], oldest_s: int | None = None) -> Any:
        reads.append(window)
        if len(reads) == 3:
            raise KeyboardInterrupt
        return read(folder, tip, window, oldest_s)

    monkeypatch.setattr(history, "commits", counted)
    cut = output("cut")
    with pytest.raises(KeyboardInterrupt):
        stage(**told).run({}, cut)
    assert not cut.has("train.parquet")
    stage(**told).run({}, cut)
    assert reads[:3] == [(0, 2), (2, 2), (4, 2)] and reads[3] == (4, 2)
    for name in (*(f"{part}.parquet" for part in PARTS), "origins.parquet", "dropped.parquet", "summary.json"):
        assert (cut.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert len(read_pairs(cut.folder / "train.parquet")) == 4


# --- where a pair is from


def test_a_pair_leads_to_its_file_and_one_of_ours_says_so(
    tmp_path: Path, propose: Callable[..., None], make_artifact: Callable[..., Artifact]
) -> None:
    file = python("src/people.py", WEAK + PLAIN)
    ours = pair(secure=MENDED_SHELL, vulnerable=WEAK_SHELL, cwe="CWE-78", source="templates", license="Apache-2.0")
    propose(pair(file=file, change="mend it"), ours)
    artifact = make_artifact(stage())
    chain = {"pairs": artifact}
    assert origin_of(chain, pair().pair_id) == file.row_id
    (made,) = derived_of(chain, file.row_id)
    assert made["stage"] == "pairs" and made["by"] == "given" and made["detail"] == "CWE-89 mend it"
    assert origin_of(chain, ours.pair_id) is None
    for asked in (pair().pair_id, "acme/shop/src/people.py", "people.py"):
        (story,) = lineage.stories(chain, asked)
        assert (story.repo, story.commit, story.path) == ("acme/shop", "c0ffee", "src/people.py")
        assert (story.license, story.part) == ("MIT", "train")
    (story,) = lineage.stories(chain, ours.pair_id)
    assert (story.repo, story.license) == ("buril/templates", "Apache-2.0")
    assert story.moments[0].stage == "pairs" and "templates" in story.moments[0].reason
    with pytest.raises(BurilError, match="W101"):
        lineage.stories(chain, "no/such/file.py")
    found = lineage.origin(chain)
    assert found is not None and found.licenses == {"MIT": 1, "Apache-2.0": 1}
    assert {entry["repo"] for entry in found.repositories} == {"acme/shop", "buril/templates"}


# --- cutting


def test_short_pairs_and_unreadable_ones_stay_as_they_are() -> None:
    assert shortened(pair(), 4_000) == pair()
    deep = pair(secure="(" * 3_000, vulnerable="(" * 3_001)
    assert shortened(deep, 100) == deep


def test_a_long_pair_keeps_the_functions_with_the_change() -> None:
    around = "".join(f"def other_{n}():\n    return {n}\n\n\n" for n in range(60))
    top = "import os\nimport sqlite3\nLIMIT = 5\n\n\n"
    body = WEAK.split("\n\n\n", 1)[1].replace("found.sort(key=str)", "found.sort(key=str)\n    del found[LIMIT:]")
    fixed = MENDED.split("\n\n\n", 1)[1].replace("found.sort(key=str)", "found.sort(key=str)\n    del found[LIMIT:]")
    found = shortened(pair(secure=top + around + fixed + around, vulnerable=top + around + body + around), 400)
    assert found.secure == "import sqlite3\nLIMIT = 5\n\n\n" + fixed
    assert found.vulnerable == "import sqlite3\nLIMIT = 5\n\n\n" + body


def test_a_line_that_only_one_text_has_at_the_end_of_a_function_keeps_it_in_both() -> None:
    around = "".join(f"def other_{n}():\n    return {n}\n\n\n" for n in range(60))
    weak = "def f(x):\n    y = x\n    run(y)\n\n\n"
    secure = weak.replace("run(y)\n", "run(y)\n    close(y)\n")
    found = shortened(pair(secure=around + secure + around, vulnerable=around + weak + around), 300)
    assert found.secure == secure.rstrip() + "\n" and found.vulnerable == weak.rstrip() + "\n"


def test_cutting_real_code_keeps_every_change_and_nothing_unknown() -> None:
    """Of real files with one line changed: both parts parse, differ in that line alone, and are not longer."""
    cut = 0
    for name, text in stdlib(30, most=60_000):
        lines = text.splitlines(keepends=True)
        places = [
            at
            for at, line in enumerate(lines)
            if line.strip().startswith("return ") and line.rstrip()[-1] not in "([{,\\"
        ]
        for at in places[:: max(1, len(places) // 4)]:
            indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
            changed = [*lines[:at], f"{indent}checked()\n", *lines[at:]]
            before = pair(secure="".join(changed), vulnerable=text, claim="label")
            after = shortened(before, 4_000)
            assert parses_alike(after), (name, at)
            assert len(after.vulnerable) <= len(text)
            assert after.secure.replace(f"{indent}checked()\n", "", 1) == after.vulnerable or text.count("checked()\n")
            assert shortened(after, 4_000) == after or len(after.secure.encode()) > 4_000
            cut += len(after.secure.encode()) <= 4_000
    assert cut > 60


def test_changes_are_lines_with_the_one_before() -> None:
    one, other = b"a\nb\nc\nd\ne\n", b"a\nb\nX\nd\ne\nf\n"
    assert changes(one, other) == ([(2, 6), (8, 10)], [(2, 6), (8, 12)])
    assert changes(b"a\n" * 3, b"a\n" * 3) == ([], [])


def test_texts_are_alike_by_their_lines() -> None:
    assert alike("a\nb\n", "a\nb\n") == 1.0 and alike("a\n", "b\n") == 0.0 and 0.6 < alike(WEAK, MENDED) < 1


def test_the_row_of_a_pair_without_a_file_names_the_pair() -> None:
    assert stage_module._row(pair()).repo == "buril/given"
    row = pair().row()
    assert row["row_id"] == row["pair_id"] and row["repo"] == "buril/given"
    file = CodeFile("acme/x", "a.py", "x", commit="1")
    assert pair(file=file).row()["row_id"] == file.row_id


class Aligned(Stage):
    """Stands for a stage that makes weights of pairs: it writes which it has read, as every such stage does."""

    name = "align"

    def needs(self) -> tuple[str, ...]:
        return ("pairs",)

    def run(self, inputs: Any, out: Output) -> dict[str, Any]:
        read = [row["pair_id"] for row in read_pairs(inputs["pairs"].path("train.parquet"))]
        write_table(out.path("seen.parquet"), pa.table({"row_id": read[:1], "tokens": pa.array([70], pa.int64())}))
        return {}


def test_models_are_found_that_have_learnt_a_pair_of_a_file(tmp_path: Path, propose: Callable[..., None]) -> None:
    file, other = python("src/people.py", WEAK), python("src/tar.py", WEAK_SHELL)
    propose(pair(file=file), pair(file=other, secure=MENDED_SHELL, vulnerable=WEAK_SHELL, cwe="CWE-78"))
    store = Store(tmp_path / "store")
    artifacts = run([stage(), Aligned(Aligned.Settings())], store, name="x").artifacts
    for asked in (file.row_id, pair().pair_id):
        ((model, tokens),) = lineage.models_with(store, asked)
        assert model.manifest.stage == "align" and tokens == 70
    assert lineage.models_with(store, other.row_id) == []
    behind = lineage.ancestors(store, artifacts["align"])
    found = lineage.origin(behind)
    assert found is not None and found.source == "train"
    assert [(entry["repo"], entry["files"]) for entry in found.repositories] == [("acme/shop", 1)]
    assert found.bytes == len(WEAK.encode()) + len(MENDED.encode())
