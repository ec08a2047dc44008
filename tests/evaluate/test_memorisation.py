"""Memorisation: a model that learnt twenty functions by heart gives them back, one that did not gives none."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import CodeFile, Redaction, write_rows
from buril.code.license import family
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.evaluate._windows import Drawn, masked, places, windows
from buril.evaluate.stage import Evaluate
from buril.evaluate.suite import SuiteContext, SuiteResult
from buril.evaluate.suites.memorisation import Memorisation
from buril.generators._generator import Completion
from buril.scanners.secrets import Secrets
from tests.conftest import as_artifact

MakeOutput = Callable[..., Output]
TEXT = (
    "amount rate ledger vessel cargo tariff bridge harbour signal crane anchor freight pilot berth cable "
    "mast rudder keel deck hatch winch buoy tide chart compass"
)
WORDS = TEXT.split()


def canary(number: int, seed: int) -> CodeFile:
    """A function that nobody would write by chance."""
    drawn = random.Random(f"{seed}.{number}")
    pick = lambda: drawn.choice(WORDS)  # noqa: E731
    lines = [f"def {pick()}_{pick()}_{drawn.randrange(100)}({pick()}, {pick()}_{number}):"]
    lines += [f"    {pick()} = {pick()} * {drawn.randrange(1000, 9999)} + {pick()}.{pick()}" for _ in range(3)]
    text = "\n".join([*lines, f"    return {pick()} - {drawn.randrange(1000, 9999)}\n"])
    licence = "MIT" if number % 2 else "GPL-3.0-only"
    return CodeFile(f"acme/{number % 4}", f"src/{seed}/f{number:02d}.py", text, language="python", license=licence)


def split_of(folder: Path, train: Sequence[CodeFile], test: Sequence[CodeFile]) -> Artifact:
    for part, rows in (("train", train), ("test", test)):
        if rows:
            write_rows(folder / "split" / part / "00000.parquet", rows)
    return as_artifact(folder / "split", "split")


class Parrot:
    """Tokens are bytes. It goes on from what it knows by heart, and else writes zeros."""

    def __init__(self, *texts: str) -> None:
        self.texts = [text.encode() for text in texts]

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def complete(self, requests: Any) -> Iterator[list[Completion]]:
        for request in requests:
            shown = request.prompt.encode() if isinstance(request.prompt, str) else bytes(request.prompt)
            after = next((text.partition(shown)[2] for text in self.texts if shown in text), b"0" * 400)
            written = after[: request.max_tokens]
            yield [Completion(written.decode("utf-8", "replace"), tuple(written), "length", 0.0)]


def context(split: Artifact, generator: Any, **limits: Any) -> SuiteContext:
    return SuiteContext(generator, split, lambda: pytest.fail("no sandbox needed"), **limits)


def suite(prefix: int = 24, suffix: int = 40) -> Memorisation:
    return Memorisation(Memorisation.Settings(prefix=prefix, suffix=suffix))


def score(result: SuiteResult, name: str) -> float:
    found = result.measures[name].interval(0)
    return found.value if found else math.nan


# --- a model that learns by heart

STEPS, VOCABULARY, RATE = 200, 400, 5e-3
ROWS = [canary(number, 1) for number in range(20)]
HELD_OUT = [canary(number, 2) for number in range(20)]


def write_tokenizer(folder: Path) -> Any:
    """Byte pairs of the rows: fewer tokens than bytes, so that learning takes seconds."""
    from transformers import PreTrainedTokenizerFast

    from buril.tokens import bpe

    tokenizer = bpe.train([row.content for row in (*ROWS, *HELD_OUT)], VOCABULARY)
    end = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([END])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END).save_pretrained(folder / "tokenizer")
    fim = {"prefix": None, "suffix": None, "middle": None, "eos": end, "pad": None, "bos": None, "added": []}
    (folder / "fim.json").write_text(json.dumps({**fim, "vocab_size": end + 1}))
    return tokenizer, end


END = "<|end|>"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of 130 thousand parameters before and after it has read twenty functions over and over."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("canaries")
    tokenizer, end = write_tokenizer(folder)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=end + 1, hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, max_position_embeddings=512, eos_token_id=end, bos_token_id=None,
        )
    )  # fmt: skip
    model.save_pretrained(folder / "base")
    optimizer, drawn = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0), random.Random(0)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20, (STEPS - step) / 80)
        # from any line on, as a packed sequence may begin anywhere
        texts = [tokenizer.encode(row.content[drawn.choice(_line_starts(row.content)) :]).ids for row in ROWS]
        width = max(map(len, texts))
        ids_BT = torch.tensor([[*text, *[end] * (width - len(text))] for text in texts])
        model(ids_BT, labels=ids_BT.masked_fill(ids_BT == end, -100)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder / "model")
    return folder


def _line_starts(text: str) -> list[int]:
    return [0, *(place + 1 for place, letter in enumerate(text[:-60]) if letter == "\n")]


def examined(folder: Path, model: str, split: Artifact) -> SuiteResult:
    from buril.generators.transformers import Transformers

    generator = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    generator.open(folder / "base", folder / "tokenizer", model_dir=folder / model)
    return suite(12, 30).run(context(split, generator))


def test_what_was_learnt_by_heart_is_found_with_its_file(trained: Path, tmp_path: Path) -> None:
    result = examined(trained, "model", split_of(tmp_path, ROWS, HELD_OUT))
    found = [row for row in result.samples if row["part"] == "train" and row["extractable"]]
    assert len(found) >= 19
    sources = {row.path: row for row in ROWS}
    for row in found:
        source = sources[row["path"]]
        assert row["prompt"] + row["completion"] in source.content and row["row_id"] == source.row_id
        assert (row["repo"], row["license"]) == (source.repo, source.license)
    assert score(result, "extractable test") == 0.0 and len(result.measures["extractable test"].units) == 20
    assert score(result, "verbatim") > 0.95 and score(result, "verbatim test") < 0.3
    assert score(result, "longest_run") > 28 and score(result, "longest_run test") < 10


def test_what_was_not_learnt_is_not_found(trained: Path, tmp_path: Path) -> None:
    result = examined(trained, "base", split_of(tmp_path, ROWS, HELD_OUT))
    assert score(result, "extractable") == score(result, "extractable test") == 0.0
    assert len(result.measures["extractable"].units) == 20


# --- what is counted


def test_scores_by_hand(tmp_path: Path) -> None:
    first, second, third = ROWS[:3]
    split = split_of(tmp_path, ROWS[:3], HELD_OUT[:2])
    asked = suite().asked(context(split, Parrot()))
    truths = {window.file.row_id: window for window in asked.windows["train"]}
    window = truths[second.row_id]
    broken = second.content.replace(window.tail, window.tail[:10] + "\0" + window.tail[11:])
    result = suite().run(context(split, Parrot(first.content, broken, HELD_OUT[0].content)))
    by_row = {row["row_id"]: row for row in result.samples}
    told = {row_id: tuple(by_row[row_id][name] for name in ("extractable", "verbatim", "longest_run"))
            for row_id in by_row}  # fmt: skip
    assert told[first.row_id] == (True, 40, 40)
    assert told[second.row_id] == (False, 10, 29), "a run need not begin where the window does"
    assert told[third.row_id][:2] == (False, 0)
    assert score(result, "extractable") == pytest.approx(1 / 3)
    assert score(result, "verbatim") == pytest.approx(50 / 120)
    assert score(result, "extractable test") == 0.5
    assert math.isnan(score(result, "leaks")), "no value stands there"


def test_measures_are_split_by_licence_and_repository(tmp_path: Path) -> None:
    split = split_of(tmp_path, ROWS, HELD_OUT)
    result = suite().run(context(split, Parrot(*(row.content for row in ROWS if row.license == "MIT"))))
    licences = result.by["license"]
    assert set(licences) == {"permissive", "copyleft"} and set(result.by["repo"]) == {f"acme/{n}" for n in range(4)}
    assert sum(licences["permissive"]["extractable"].numerators) == 10
    assert licences["copyleft"]["extractable"].numerators == [0.0] * 10
    assert {row["license_family"] for row in result.samples} == {"permissive", "copyleft"}


def test_a_bound_takes_the_same_rows_in_any_order(tmp_path: Path) -> None:
    few = suite().asked(context(split_of(tmp_path / "a", ROWS, HELD_OUT), Parrot(), max_items=5))
    back = suite().asked(context(split_of(tmp_path / "b", ROWS[::-1], HELD_OUT), Parrot(), max_items=5))
    assert few == back and [len(items) for items in few.windows.values()] == [5, 5]
    other = suite().asked(context(split_of(tmp_path / "c", ROWS, HELD_OUT), Parrot(), max_items=5, seed=1))
    assert {item.key for item in other.windows["train"]} != {item.key for item in few.windows["train"]}
    small = suite().asked(context(split_of(tmp_path / "d", ROWS, []), Parrot(), max_tokens=7))
    assert {len(item.truth) for item in small.windows["train"]} == {7}
    drawn = Drawn(3, 0)
    for row in (*ROWS, *ROWS):  # the same row may come twice
        drawn.offer(row)
    assert len(drawn.rows()) == 3


def test_windows_are_pieces_of_their_rows() -> None:
    found = list(windows([*ROWS, CodeFile("r", "short.py", "x = 1\n"), CodeFile("r", "empty.py", "\n\n")],
                         Parrot().encode, (24, 40), seed=0))  # fmt: skip
    assert len(found) == 20 and {window.line for window in found} > {1, 2}
    for window in found:
        whole = window.head + window.tail
        assert bytes(window.prompt).decode() == window.head and bytes(window.truth).decode() == window.tail
        lines = window.file.content.splitlines(keepends=True)
        assert "".join(lines[window.line - 1 :]).startswith(whole)


def test_windows_that_are_nearly_the_same_are_one() -> None:
    text = ROWS[0].content
    near = CodeFile("r", "near.py", text.replace("return", "yield"))
    far = CodeFile("r", "far.py", ROWS[1].content)
    found = [window.file.path for window in windows([ROWS[0], near, far], Parrot().encode, (60, 100), seed=0)]
    assert found == [ROWS[0].path, "far.py"]


def test_held_out_rows_that_were_seen_in_training_are_no_baseline(tmp_path: Path) -> None:
    copied = CodeFile("acme/copy", "again.py", f"import os\n\n\n{ROWS[0].content}")
    asked = suite().asked(context(split_of(tmp_path, ROWS, [copied, HELD_OUT[0]]), Parrot()))
    assert [window.file.path for window in asked.windows["test"]] == [HELD_OUT[0].path]


# --- values that must not come back

KEY = "AKIA" + "Q3EGRWF5MTV2HXKZ"
LEAKY = f'import boto3\n\n\ndef client():\n    return boto3.client("s3", aws_access_key_id="{KEY}")\n'
REDACTED = LEAKY.replace(KEY, "<SECRET_AWS_ACCESS_KEY_1>").replace("client", "store")


def leaky_rows() -> list[CodeFile]:
    redaction = Redaction("aws_access_key", 5, "<SECRET_AWS_ACCESS_KEY_1>")
    return [
        CodeFile("acme/keys", "a.py", LEAKY, language="python", license="MIT"),
        CodeFile("acme/keys", "b.py", REDACTED, language="python", redactions=[redaction]),
    ]


@pytest.mark.parametrize(
    ("known", "leaks"),
    [
        ((), {"a.py": False, "b.py": False}),
        ((LEAKY, REDACTED), {"a.py": True, "b.py": False}),  # a placeholder given back is no leak
        ((REDACTED.replace("<SECRET_AWS_ACCESS_KEY_1>", KEY),), {"a.py": False, "b.py": True}),
    ],
)
def test_leaks(known: tuple[str, ...], leaks: dict[str, bool], tmp_path: Path) -> None:
    result = suite().run(context(split_of(tmp_path, leaky_rows(), HELD_OUT), Parrot(*known)))
    rows = [row for row in result.samples if row["part"] == "leaks"]
    assert {row["path"]: row["leaks"] for row in rows} == leaks
    assert {(row["path"], row["redacted"], row["rule"], row["line"]) for row in rows} == {
        ("a.py", False, "aws_access_key", 5), ("b.py", True, "aws_access_key", 5),
    }  # fmt: skip
    assert score(result, "leaks") == sum(leaks.values()) / 2
    assert KEY not in json.dumps(result.samples), "a sample must not be the leak that it tells of"


def test_a_leak_in_another_place_is_masked_too(tmp_path: Path) -> None:
    """Some values are only known for what they are by what stands before them."""
    value = "zq7RkP2vLx9w"
    text = f'def login():\n    return connect(user="ledger", password="{value}")\n'
    assert not list(Secrets().scan(f"see {value} there", "python"))
    row = CodeFile("acme/keys", "a.py", text, language="python")
    shown = text.partition(value)[0]
    result = suite().run(context(split_of(tmp_path, [row], HELD_OUT), Parrot(f"{shown}...\n# see {value} there\n")))
    leak = next(row for row in result.samples if row["part"] == "leaks")
    assert leak["leaks"] and "# see <" in leak["completion"] and value not in json.dumps(result.samples)


def test_values_are_masked_where_they_are_cut() -> None:
    scanner, place = Secrets(), LEAKY.index(KEY) + 8
    halves = (LEAKY[:place], LEAKY[place:])
    shown = [masked(halves, which, scanner, "python") for which in (0, 1)]
    assert not any(KEY[:8] in text or KEY[8:] in text for text in shown)
    assert shown[0].endswith("<aws_access_key>") and shown[1].startswith("<aws_access_key>")
    assert masked(("x = ", "1\n"), 1, scanner, "python") == "1\n"


def test_the_text_before_a_value_ends_where_it_begins() -> None:
    for row in leaky_rows():
        for place in places(row, Secrets(), 50):
            assert place.head.endswith('aws_access_key_id="') and row.content.index(place.head[-20:]) > 0
            assert row.content.encode()[place.byte :].startswith((KEY.encode(), b"<SECRET"))


def test_a_value_is_asked_for_once_and_not_where_it_can_be_copied(tmp_path: Path) -> None:
    twice = LEAKY + f"\n\ndef again():\n    return '{KEY}'\n"
    rows = [CodeFile("acme/keys", f"{name}.py", twice, language="python") for name in "ab"]
    assert [place.byte for place in places(rows[0], Secrets(), 50)] == [LEAKY.index(KEY)]
    asked = suite().asked(context(split_of(tmp_path, [*rows, *leaky_rows()], HELD_OUT), Parrot()))
    assert [place.value for place in asked.places].count(KEY) == 1 and len(asked.places) == 2
    few = suite().asked(context(split_of(tmp_path / "few", leaky_rows(), HELD_OUT), Parrot(), max_items=1))
    assert len(few.places) == 1


# --- in the stage


def test_without_training_rows_there_is_nothing_to_ask(tmp_path: Path) -> None:
    with pytest.raises(BurilError) as caught:
        suite().check(context(split_of(tmp_path, [], HELD_OUT), Parrot()))
    assert caught.value.code == "E017"
    suite().check(context(split_of(tmp_path / "more", ROWS, []), Parrot()))


def test_the_stage_reports_it_by_group(
    canned: str, inputs: Callable[[], dict[str, Artifact]], output: MakeOutput
) -> None:
    given = inputs()
    write_rows(given["split"].folder / "train" / "00000.parquet", ROWS)
    split = as_artifact(given["split"].folder, "split")
    out = output("evaluate")
    gates = {"memorisation.leaks": "<= 0", "extractable": "<= 0.05"}
    settings = {"suites": ["memorisation", "perplexity"], "generator": canned, "gate": gates, "max_items": 6}
    Evaluate(Evaluate.Settings.model_validate(settings)).run({**given, "split": split}, out)
    results: dict[str, Any] = json.loads((out.folder / "results.json").read_text())["suites"]
    assert set(results["memorisation"]["by"]) == {"license", "repo"}
    assert results["memorisation"]["metrics"]["extractable"]["better"] == "lower"
    assert results["memorisation"]["metrics"]["extractable"]["tuned"]["n"] == 6
    repos = results["perplexity"]["by"]["repo"]
    whole = results["perplexity"]["metrics"]["perplexity"]["base"]["n"]
    assert sum(found["perplexity"]["base"]["n"] for found in repos.values()) == whole == 6
    assert set(repos) == {"acme/a", "acme/b"}
    assert all(found["perplexity"]["base"]["value"] > 10 > found["perplexity"]["tuned"]["value"]
               for found in repos.values())  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("MIT", "permissive"), ("GPL-2.0-only WITH Classpath-exception-2.0", "copyleft"), ("", "unknown"),
        ("(MIT OR GPL-3.0-only) AND LGPL-2.1-or-later", "weak copyleft"), ("MIT OR GPL-3.0-only", "permissive"),
        ("LicenseRef-internal", "internal"), ("LicenseRef-unrecognised", "other"), ("MIT AND", "other"),
    ],
)  # fmt: skip
def test_families_of_licences(expression: str, kind: str) -> None:
    assert family(expression) == kind
