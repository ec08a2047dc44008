"""What `augment` makes of a training part: texts that mean the same or have one slip, each with its origin."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from buril.audit import lineage
from buril.audit.derived import derived_of, derived_rows, origin_of
from buril.chain import Chain
from buril.code.codefile import CodeFile, write_rows
from buril.code.pair import INSTRUCTION, RESPONSE, pair
from buril.code.scope import Refused
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.plugins import PluginKind
from buril.core.stage import Output
from buril.data import augmentation
from buril.data.augment._alpha import same_but_for_locals
from buril.data.augment.comments import Comments
from buril.data.augment.rename import Rename
from buril.data.augment.syntax_noise import SyntaxNoise
from buril.data.augmentation import Augment
from buril.data.augmenter import Made, Refusal, derived
from buril.sandboxes._sandbox import Call, Job
from buril.sandboxes.namespaces import Namespaces
from tests.conftest import as_artifact
from tests.data.made import contents, stdlib, table

JAVASCRIPT = "function total(items, rate) {\n  let result = 0;\n  for (const item of items) { result += item * rate; }\n  return result;\n}\n"
PROGRAM = '''def solve(numbers, /):
    """Even numbers by their halves."""
    def half(value):
        return value // 2
    found = {}
    for number in numbers:
        if number % 2 == 0:
            found[number] = [half(number) for number in (number, number + 2)]
    total = sum(pair[0] for pair in found.values())
    return sorted(found.items()), total
'''


def split(folder: Path, *, shards: int = 2, count: int = 12) -> Artifact:
    files = [
        CodeFile("cpython", name, text, commit="3", language="python", license="PSF-2.0")
        for name, text in stdlib(count)
    ]
    files += [
        CodeFile("acme/web", f"{n}.js", JAVASCRIPT.replace("total", f"total{n}"), language="javascript", license="MIT")
        for n in range(4)
    ]
    files.append(CodeFile("acme/h", "a.hs", "f x = x\n", language="haskell"))
    for number in range(shards):
        write_rows(folder / "train" / f"{number:05d}.parquet", files[number::shards])
    for part in ("valid", "test"):
        write_rows(folder / part / "00000.parquet", [])
    return as_artifact(folder, "split")


def stage(**given: Any) -> Augment:
    found = Chain.from_values({"collect": ["packages"], "augment": given}).settings("augment")
    assert isinstance(found, Augment.Settings)
    return Augment(found)


def made(augmenter: Any, text: str, language: str = "python", seed: int = 1) -> Made | Refusal:
    found: Made | Refusal = augmenter.make(CodeFile("acme", "a", text, language=language), random.Random(seed))
    return found


# --- the stage


def test_every_text_has_its_origin_its_licence_and_a_name_of_its_own(
    tmp_path: Path, make_artifact: Callable[..., Artifact]
) -> None:
    given = split(tmp_path / "split")
    artifact = make_artifact(stage(rename=1.0, syntax_noise=1.0), {"split": given})
    before = {file.row_id: file for file in contents(given, "train/*.parquet")}
    after = {file.row_id: file for file in contents(artifact, "train/*.parquet")}
    origins = {str(row["row_id"]): row for row in table(artifact, "origins.parquet")}
    assert after.keys() == origins.keys() and not after.keys() & before.keys()
    for row_id, file in after.items():
        was = before[str(origins[row_id]["origin"])]
        assert (file.repo, file.commit, file.path, file.license) == (was.repo, was.commit, was.path, was.license)
        assert file.content != was.content and file.bytes == len(file.content.encode())
        assert origin_of({"augment": artifact}, row_id) == was.row_id
        assert row_id in {row["row_id"] for row in derived_of({"augment": artifact}, was.row_id)}
        if origins[row_id]["by"] == "rename" and file.language == "python":
            assert same_but_for_locals(was.content, file.content)
    summary = json.loads(artifact.path("summary.json").read_text())
    assert summary["rows"] == len(after) == sum(summary["made"].values())
    # nothing is left out without a reason: what was tried is made or refused
    assert len(after) + len(table(artifact, "refused.parquet")) == 2 * len(before) - 1  # rename can't do Haskell
    assert summary["made"]["rename"] >= 8 and summary["made"]["syntax_noise"] >= 6
    assert sum(len(item) for item in derived_rows({"augment": artifact}, ["row_id"])) == len(after)


def test_bytes_depend_on_seed_and_rows_alone(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    given = split(tmp_path / "split", shards=3)
    told: dict[str, Any] = {"rename": 0.6, "syntax_noise": {"share": 0.5, "slips": ["drop", "swap"]}}
    one = make_artifact(stage(**told, workers=1), {"split": given}, folder="one")
    two = make_artifact(stage(**told, workers=2), {"split": given}, folder="two")
    other = make_artifact(stage(**told, seed=9), {"split": given}, folder="other")
    assert one.digest == two.digest != other.digest
    # another shard layout makes the same texts of the same files
    again = make_artifact(stage(**told), {"split": split(tmp_path / "joined", shards=1)}, folder="again")
    names = [{file.row_id for file in contents(item, "train/*.parquet")} for item in (one, again)]
    assert names[0] == names[1]


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tmp_path: Path,
    make_artifact: Callable[..., Artifact],
    output: Callable[..., Output],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = split(tmp_path / "split", shards=3)
    whole = make_artifact(stage(rename=1.0, workers=1), {"split": given}, folder="whole")
    done: list[str] = []
    real = augmentation.augment_shard

    def breaks(job: augmentation.Job) -> int:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.shard.name)
        return real(job)

    monkeypatch.setattr(augmentation, "augment_shard", breaks)
    with pytest.raises(KeyboardInterrupt):
        stage(rename=1.0, workers=1).run({"split": given}, output("cut"))
    done.clear()
    resumed = make_artifact(stage(rename=1.0, workers=1), {"split": given}, folder="cut")
    assert len(done) == 1 and resumed.digest == whole.digest


def test_languages_share_and_bounds(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    given = split(tmp_path / "split")
    only = make_artifact(stage(rename={"share": 1.0, "languages": ["javascript"]}), {"split": given}, folder="only")
    assert {file.language for file in contents(only, "train/*.parquet")} == {"javascript"}
    few = make_artifact(stage(syntax_noise=1.0, max_rows=3), {"split": given}, folder="few")
    assert len(contents(few, "train/*.parquet")) + len(table(few, "refused.parquet")) == 3
    some = {
        file.row_id
        for file in contents(make_artifact(stage(rename=0.4), {"split": given}, folder="some"), "train/*.parquet")
    }
    more = {
        file.row_id
        for file in contents(make_artifact(stage(rename=0.9), {"split": given}, folder="more"), "train/*.parquet")
    }
    assert some < more, "a larger share adds to a smaller one"


def test_a_broken_augmenter_costs_its_row_alone(
    tmp_path: Path, make_artifact: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(self: Any, file: CodeFile, drawn: random.Random) -> Made | Refusal:
        if file.language == "javascript":
            raise LookupError("lost")
        return Made(file.content)

    monkeypatch.setattr(SyntaxNoise, "make", breaks)
    artifact = make_artifact(stage(syntax_noise=1.0, workers=1), {"split": split(tmp_path / "split")})
    reasons = {str(row["reason"]) for row in table(artifact, "refused.parquet")}
    assert reasons == {"broken_row", "unchanged"} and not contents(artifact, "train/*.parquet")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"rename": {"languages": ["haskell"]}}, "D301"),
        ({"rename": {"languages": ["pyton"]}}, "D301"),
        ({"comments": {"share": 0.1}}, "D302"),
        ({}, "D304"),
        ({"seed": 3}, "D304"),
        ({"renam": 0.1}, "P001"),
        ({"rename": 2.0}, "C002"),
        ({"rename": {"shares": 0.1}}, "C001"),
    ],
)
def test_wrong_settings(given: dict[str, Any], code: str) -> None:
    with pytest.raises(BurilError) as told:
        stage(**given)
    assert told.value.code == code, told.value


def test_keys_that_name_augmenters() -> None:
    one, two = stage(rename=0.2, seed=3), stage(plugins=[{"rename": 0.2}], seed=3)
    assert one.settings.identity() == two.settings.identity()
    assert [ref.name for ref in stage(rename=0.2, **{"syntax-noise": 0.1}).settings.plugins] == [
        "rename",
        "syntax_noise",
    ]
    assert PluginKind.listed(None) == [] and PluginKind.listed("rename") == ["rename"]


def test_pack_reads_what_was_made() -> None:
    values = {"collect": ["packages"], "train": {"base": "scratch"}}
    alone = {item.name: item for item in Chain.from_values(values).stages()}
    both = {item.name: item for item in Chain.from_values({**values, "augment": {"rename": 0.1}}).stages()}
    assert alone["pack"].needs() == ("split", "tokenizer")
    assert both["pack"].needs() == ("split", "tokenizer", "augment") and both["augment"].needs() == ("split",)
    assert [*both].index("augment") < [*both].index("pack")


def test_made_rows_are_packed_with_the_training_part(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from buril.tokens.pack import Pack
    from tests.train.small import write_tokenizer

    given = {"split": split(tmp_path / "split", count=2), "tokenizer": write_tokenizer(tmp_path / "tokenizer")}
    given["augment"] = make_artifact(stage(rename=1.0, workers=1), given)
    packed = make_artifact(Pack(Pack.Settings(also=("augment",), workers=1)), given)
    spans = [span for row in table(packed, "train.parquet") for span in row["spans"]]  # type: ignore[attr-defined]
    read = {span["row_id"] for span in spans}
    rows = {file.row_id for name in ("split", "augment") for file in contents(given[name], "train/*.parquet")}
    assert read == rows and len(contents(given["augment"], "train/*.parquet")) > 3
    assert not table(packed, "valid.parquet")
    learnt = lineage.learnt_rows({**given, "pack": packed})
    assert learnt is not None and set(learnt[0]["row_id"].to_pylist()) == rows and learnt[1] == "pack"


# --- rename


def test_programs_behave_the_same_in_the_sandbox() -> None:
    jobs, expected = [], ([(2, [1, 2]), (4, [2, 3])], 3)
    for seed in range(4):
        found = made(Rename(Rename.Settings()), PROGRAM, seed=seed)
        assert isinstance(found, Made) and "numbers" in found.content
        jobs.append(Job(found.content, "solve", (Call(([1, 2, 3, 4],), expected),)))
    with Namespaces(Namespaces.Settings()) as sandbox:
        assert [verdict.status for verdict in sandbox.run_all(jobs)] == ["pass"] * 4


def test_new_names_are_names_of_the_file_and_never_builtins() -> None:
    text = "def f():\n  list_of = 1\n  list = 2\n  return list_of, list\ndef g():\n  first, second = 1, 2\n  return len([first, second])\n"
    found = made(Rename(Rename.Settings()), text)
    assert isinstance(found, Made)
    words = {node.id for node in ast.walk(ast.parse(found.content)) if isinstance(node, ast.Name)}
    assert words <= {"list_of", "list", "first", "second", "len"} and "len(" in found.content
    assert "list = 2" in found.content, "a local that is named like a builtin stays"
    neutral = made(Rename(Rename.Settings(names="neutral")), text)
    assert isinstance(neutral, Made) and "v1" in neutral.content


@pytest.mark.parametrize(
    ("text", "language", "reason"),
    [
        ("def f():\n  a = b = 1\n  return eval('a')\n", "python", "dynamic_names"),
        ("def f(:\n", "python", "parse_errors"),
        ("x = 1\n", "python", "few_names"),
        ("print 'two'\ndef f():\n  a, b = 1, 2\n  print a, b\n", "python", "dynamic_names"),
        ("f x = x\n", "haskell", "no_rules"),
    ],
)
def test_rename_refuses(text: str, language: str, reason: str) -> None:
    found = made(Rename(Rename.Settings()), text, language)
    assert isinstance(found, Refusal) and found.reason == reason


def test_a_renaming_that_is_not_proved_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the scopes were wrong, the compiler would say so."""
    from buril.data.augment import rename

    monkeypatch.setattr(rename, "renamed", lambda source, unit, plan: source.replace(b"sum", b"max"))
    assert made(Rename(Rename.Settings()), PROGRAM) == Refusal("not_proved")


# --- syntax noise


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("slip", ["drop", "duplicate", "swap", "bracket", "indent"])
def test_a_pair_is_broken_and_whole(slip: str) -> None:
    found = [made(SyntaxNoise(SyntaxNoise.Settings(slips=(slip,))), PROGRAM, seed=seed) for seed in range(6)]
    pairs = [item for item in found if isinstance(item, Made)]
    assert len(pairs) >= 4
    for item in pairs:
        assert item.detail == slip and item.content.startswith(INSTRUCTION)
        asked, _mark, answer = item.content.partition(RESPONSE)
        broken = asked.removeprefix(INSTRUCTION).split("\n", 1)[1]
        assert answer == PROGRAM
        with pytest.raises(SyntaxError):
            ast.parse(broken)


def test_a_long_file_gives_one_of_its_functions() -> None:
    text = "x = 1\n" * 900 + "class A:\n" + "".join(f"    {line}\n" for line in PROGRAM.splitlines())
    found = made(SyntaxNoise(SyntaxNoise.Settings()), text)
    assert isinstance(found, Made) and found.content.partition(RESPONSE)[2] == PROGRAM
    assert made(SyntaxNoise(SyntaxNoise.Settings()), "x = 1\n" * 900) == Refusal("no_piece")
    assert made(SyntaxNoise(SyntaxNoise.Settings()), "def f(:\n") == Refusal("parse_errors")
    assert made(SyntaxNoise(SyntaxNoise.Settings()), "x", "cobol") == Refusal("no_grammar", "cobol")
    spelt = made(SyntaxNoise(SyntaxNoise.Settings()), f"def f(a):\n    return (a)\n{RESPONSE}")
    assert spelt == Refusal("spells_marks")


def test_other_languages_have_slips_too() -> None:
    assert isinstance(made(SyntaxNoise(SyntaxNoise.Settings()), JAVASCRIPT, "javascript"), Made)


def test_pairs_and_derived_rows() -> None:
    assert pair("do it", "done\n\n") == "### Instruction\ndo it\n### Response\ndone\n"
    assert pair("### Response", "x") is None
    file = CodeFile("acme", "a.py", "x = 1\n", license="MIT")
    one, two = derived(file, "y = 1\n", by="a"), derived(file, "y = 1\n", by="b", license="X")
    assert one.row_id != two.row_id != file.row_id and (one.license, two.license) == ("MIT", "X")


# --- comments

SPANISH = "total: total\nresult: resultado\nthe sum: la suma\nof: de\nall: todos los\nprices: precios\n"
COMMENTED = '''"""Sum of prices."""
# noqa: the sum


def total(prices):  # the sum of all prices
    # Result of all
    return "the sum"  # type: ignore
'''


def test_a_glossary_changes_comments_and_docstrings_alone(tmp_path: Path) -> None:
    (tmp_path / "es.yaml").write_text(SPANISH)
    augmenter = Comments(Comments.Settings(glossary=tmp_path / "es.yaml"))
    augmenter.open({})
    found = made(augmenter, COMMENTED)
    assert isinstance(found, Made)
    assert "def total(prices):  # la suma de todos los precios\n    # Resultado de todos los\n" in found.content
    assert 'return "the sum"  # type: ignore' in found.content and "# noqa: the sum" in found.content
    assert found.content.startswith('"""Sum de precios."""')
    assert made(augmenter, "x = 1  # nothing here\n") == Refusal("unchanged")
    assert made(augmenter, "x = 1\n") == Refusal("no_comments")
    web = made(augmenter, "/* the sum\n * of prices\n */\nf(1); // all\n", "javascript")
    assert isinstance(web, Made) and web.content == "/* la suma\n * de precios\n */\nf(1); // todos los\n"
    assert augmenter.observe() and augmenter.needs() == ()


def test_a_translation_that_ends_its_comment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text('sum: "*/ evil(); /*"\n')
    augmenter = Comments(Comments.Settings(glossary=tmp_path / "bad.yaml"))
    augmenter.open({})
    assert made(augmenter, "/* the sum */\nf(1);\n", "javascript") == Refusal("breaks_code")


@pytest.mark.parametrize("text", ["", "- a\n", "a: [b]\n", "a: {\n"])
def test_a_glossary_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    augmenter = Comments(Comments.Settings(glossary=tmp_path / "bad.yaml"))
    with pytest.raises(BurilError, match="D303"):
        augmenter.open({})


def test_a_generator_translates_line_by_line(tmp_path: Path, make_artifact: Callable[..., Artifact]) -> None:
    pytest.importorskip("httpx", reason="httpx is not installed")
    from tests.generators.api import Api

    def reply(prompt: str) -> str:
        assert "into Portuguese" in prompt
        text = prompt.rsplit("\n", 1)[1]
        return "dois\nlinhas" if "Result" in text else f"pt {text}"

    write_rows(tmp_path / "split/train/00000.parquet", [CodeFile("acme", "a.py", COMMENTED, language="python")])
    with Api(reply) as api:
        told = {"share": 1.0, "to": "Portuguese", "generator": {"openai": {"url": api.url, "model": "m"}}}
        artifact = make_artifact(stage(comments=told), {"split": as_artifact(tmp_path / "split", "split")})
    (file,) = contents(artifact, "train/*.parquet")
    assert "# pt the sum of all prices" in file.content and '"""pt Sum of prices."""' in file.content
    assert "# Result of all" in file.content, "an answer of two lines is no comment's text"


def test_a_local_engine_needs_the_base() -> None:
    found = stage(comments={"share": 0.1, "generator": "transformers"})
    assert found.needs() == ("split", "base", "tokenizer")


def test_refusals_are_of_one_form(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        raise Refused("no_rules")
    assert str(Refused("no_rules")) == "no_rules"
    artifact = split(tmp_path)
    assert pq.read_metadata(artifact.path("train/00000.parquet")).num_rows
