"""Tasks of lm-evaluation-harness as a suite: what is measured, what is refused, and that its own model says the same."""

from __future__ import annotations

import json
import math
import random
import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from buril.core import plugins
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.evaluate.gates import parse_gates
from buril.evaluate.harness import _tasks
from buril.evaluate.harness._files import imported, read, write
from buril.evaluate.harness._results import measures_of
from buril.evaluate.stage import Evaluate
from buril.evaluate.suite import SuiteContext
from buril.generators._generator import Request
from tests.evaluate import lm_tasks
from tests.evaluate.writer import Writer

pytestmark = pytest.mark.skipif(
    find_spec("lm_eval") is None, reason="lm_eval is not installed: pip install buril[lm-eval]"
)
NOTHING: Any = None


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lm_tasks.write(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real generator with a random llama of 256 positions whose tokens are bytes."""
    pytest.importorskip("torch", reason="torch is not installed")
    from buril.generators.transformers import Transformers
    from tests.train.small import write_base, write_tokenizer

    place = tmp_path_factory.mktemp("tiny")
    write_base(place / "base")
    write_tokenizer(place / "tokenizer")
    made = Transformers(Transformers.Settings(device="cpu", dtype="fp32"))
    made.open(place / "base", place / "tokenizer")
    yield made


def suite(folder: Path | None, *tasks: str, **told: Any) -> Any:
    found = plugins.plugin("suite", "lm_eval")
    return found(found.Settings(tasks=tasks, include_path=folder, **told))


def asked(generator: Any, **told: Any) -> SuiteContext:
    return SuiteContext(generator, NOTHING, NOTHING, **told)


# --- what is measured


def test_each_document_is_a_unit(folder: Path, tiny: Any) -> None:
    made = suite(folder, "my_arc", "my_sums")
    assert made.metrics() == ("my_arc*", "my_sums*")
    made.check(asked(NOTHING))
    assert made.metrics() == ("my_arc acc", "my_arc acc_norm", "my_sums acc")
    found = made.run(asked(tiny, max_items=3))
    assert set(found.measures) == set(made.metrics())
    arc = found.measures["my_arc acc"]
    assert (arc.kind, arc.better, len(arc.units)) == ("share", "higher", 3)
    assert set(arc.units) < {f"my_arc/{place}" for place in range(4)}
    assert arc.numerators == [row["acc"] for row in found.samples if row["task"] == "my_arc"]
    assert [row["id"] for row in found.samples if row["task"] == "my_arc"] == arc.units
    assert all(len(row["logprobs"]) == 4 for row in found.samples if row["task"] == "my_arc")
    again = suite(folder, "my_arc", "my_sums").run(asked(tiny, max_items=3))
    assert (again.to_json(), again.samples) == (found.to_json(), found.samples)
    other = suite(folder, "my_arc").run(asked(tiny, max_items=3, seed=5))
    assert len(other.measures["my_arc acc"].units) == 3, "which are asked is drawn by the seed"


def test_what_must_not_have_been_learnt(folder: Path) -> None:
    found = suite(folder, "my_arc", "my_sums").texts(asked(NOTHING))
    assert found["my_arc/2"] == ["Question: What do bees make?\nAnswer:"]
    assert found["my_sums/0"] == ["Question: What is 12 plus 30?\nAnswer:", " 42"]


def test_the_harness_s_own_model_says_the_same(folder: Path, tiny: Any) -> None:
    """Log-probabilities, what is greedy, and rolling ones, for texts shorter and longer than the model's context."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from buril.evaluate.harness._lm import BurilLM

    theirs = HFLM(pretrained=tiny.loaded.model, tokenizer=tiny.loaded.tokenizer, batch_size=2, max_length=256)
    ours = BurilLM(tiny)
    pairs = [("def add(a, b):", " return a + b"), ("x = ", "1"), ("", "import os"), ("ñ " * 50, "= 1"), ("a \n ", "b")]
    written = next(tiny.complete([Request("while", max_tokens=3)]))[0].text
    pairs.append(("while", written))
    requests = [Instance("loglikelihood", {}, pair, 0, ("t", place, 1)) for place, pair in enumerate(pairs)]
    found, known = ours.loglikelihood(requests), theirs.loglikelihood(requests)
    assert [value for value, _sure in found] == pytest.approx([value for value, _sure in known], abs=1e-3)
    assert [sure for _value, sure in found] == [sure for _value, sure in known] and found[-1][1]
    long = [Instance("loglikelihood", {}, ("y" * 300, "z"), 0, ("t", 0, 1))]
    assert ours.loglikelihood(long)[0][0] == pytest.approx(theirs.loglikelihood(long)[0][0], abs=0.05)
    texts = ["x = 1\n", "def f():\n    return 2\n" * 9]
    rolling = [Instance("loglikelihood_rolling", {}, (text,), 0, ("t", place, 1)) for place, text in enumerate(texts)]
    assert ours.loglikelihood_rolling(rolling) == pytest.approx(theirs.loglikelihood_rolling(rolling), rel=1e-4)
    # its windows begin where the context is one token longer, whose last has no place: a generator scores whole texts
    windows = [Instance("loglikelihood_rolling", {}, ("a = 1\n" * 200,), 0, ("t", 0, 1))]
    assert ours.loglikelihood_rolling(windows) == pytest.approx(theirs.loglikelihood_rolling(windows), rel=2e-3)


def test_what_is_greedy_is_only_asked_where_it_matters(tiny: Any) -> None:
    from lm_eval.api.instance import Instance

    from buril.evaluate.harness._lm import BurilLM

    class Counting:
        loaded = tiny.loaded
        encode, score = tiny.encode, tiny.score
        asked: list[Any] = []

        def complete(self, requests: Any) -> Any:
            self.asked += requests
            return tiny.complete(requests)

    requests = [Instance("loglikelihood", {}, ("x", "yz"), 0, (task, 0, 1)) for task in ("one", "two")]
    counting: Any = Counting()
    BurilLM(counting, greedy={"two"}).loglikelihood(requests)
    assert len(counting.asked) == 1


def test_repeats_differ_and_bounds_hold(tiny: Any) -> None:
    from lm_eval.api.instance import Instance

    from buril.evaluate.harness._lm import BurilLM

    told = {"until": ["\n", ""], "max_gen_toks": 400, "do_sample": True, "temperature": 1.0}
    request = Instance("generate_until", {}, ("x = ", told), 0, ("t", 0, 3))
    found = BurilLM(tiny, max_tokens=12).generate_until([request] * 3)
    assert len(set(found)) == 3 and all(len(text.encode()) <= 40 and "\n" not in text for text in found)
    assert BurilLM(tiny, max_tokens=12).generate_until([request] * 3) == found


def test_a_chat_goes_to_the_generator_as_messages(folder: Path) -> None:
    """Control tokens that a document spells then open no turn; how the answer begins is kept apart."""
    from lm_eval.api.instance import Instance

    from buril.evaluate.harness._lm import BurilLM

    class Keeping(Writer):
        def chat(self, messages: Any) -> str:
            self.messages = messages
            return super().chat(messages)

        def encode(self, text: str) -> list[int]:
            return list(text.encode())

    writer: Any = Keeping({"<|im_end|>": "yes"}, template=True)
    lm = BurilLM(writer)
    context = lm.apply_chat_template(
        [{"role": "user", "content": "<|im_end|> or no?"}, {"role": "assistant", "content": "I say "}], False
    )
    assert "<|im_end|> or no?" in context and isinstance(context, str)
    request = Instance("generate_until", {}, (context, {"until": "\n", "do_sample": False}), 0, ("t", 0, 1))
    assert lm.generate_until([request]) == ["yes"]
    assert [item["role"] for item in writer.messages] == ["user"] and writer.requests[0].prefill == "I say "
    assert writer.requests[0].max_tokens == 256 and writer.requests[0].stop == ("\n",)


def test_few_shots_and_chats_reach_the_prompt(tmp_path: Path) -> None:
    """A real run: the documents, two solved ones before each, put as a chat."""
    path = lm_tasks.rows(tmp_path / "q.jsonl", *({"q": f"word {n}?", "a": f"w{n}"} for n in range(6)))
    lm_tasks.task(tmp_path, "words", (
        f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {path}}}}}\noutput_type: generate_until\n"
        'test_split: test\nfewshot_split: test\ndoc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\n'
        'generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 7}\n'
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    ))  # fmt: skip
    writer = Writer({"word": "w3"}, template=True)
    writer.encode = lambda text: list(text.encode())  # type: ignore[attr-defined]
    made = suite(tmp_path, "words", num_fewshot=2, apply_chat_template=True)
    found = made.run(asked(writer))
    measure = found.measures["words exact_match"]
    assert measure.numerators == [float(unit == "words/3") for unit in measure.units] and measure.kind == "share"
    assert all(request.prompt.startswith("word ") and request.max_tokens == 7 for request in writer.requests)
    assert all(row["finish"] == "stop" and row["prompt"].count("[assistant]") == 2 for row in found.samples)
    assert made.run(asked(writer)).samples == found.samples, "a second model is shown the same examples"


def test_chance_is_seeded_as_the_harness_seeds_it() -> None:
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

    assert (_tasks.RANDOM_SEED, _tasks.OTHER_SEED) == (DEFAULT_RANDOM_SEED, DEFAULT_OTHER_SEED)
    random.seed(5)
    wanted = random.random()
    random.seed(5)
    with _tasks._seeded():
        assert random.random() == random.Random(DEFAULT_RANDOM_SEED).random()
    assert random.random() == wanted, "and as it was afterwards"


def test_values_become_the_measure_that_gives_the_harness_s_score() -> None:
    def row(doc_id: int, chosen: str = "none", **values: Any) -> dict[str, Any]:
        return {"doc_id": doc_id, "filter": chosen, "metrics": list(values), **values}

    samples = {
        "a": [row(0, acc=1, ppl=[-2.0, 4], bpb=(-2.0, 8), f1=[1, 0], nll=-0.5), row(1, acc=0, ppl=[-6.0, 4], bpb=(-6.0, 8), f1=[1, 1], nll=-1.5)],
        "b": [row(n, acc=1) for n in range(4)],
        "c": [row(0, "strict", exact_match=1), row(0, "loose", exact_match=0)],
    }  # fmt: skip
    told = {
        "results": {
            "a": {"acc,none": 0.5, "ppl,none": math.e, "bpb,none": 0.5 / math.log(2), "f1,none": 0.9, "nll,none": math.e},
            "b": {"acc,none": 1.0}, "c": {"exact_match,strict": 1.0, "exact_match,loose": 0.0},
        },
        "higher_is_better": {"a": {"ppl": False, "bpb": False, "acc": True}},
        "groups": {"micro": {"acc,none": 5 / 6, "alias": "x"}, "macro": {"acc,none": 0.75}, "odd": {"acc,none": 0.1}},
        "group_subtasks": {"micro": ["a", "b"], "macro": ["inner"], "inner": ["a", "b"], "odd": ["a", "b"]},
    }  # fmt: skip
    found, left = measures_of(told, samples)
    assert left == ["a f1"], "of F1 no document has a part"
    assert {name: (item.kind, item.better) for name, item in found.items()} == {
        "a acc": ("share", "higher"), "a ppl": ("exp", "lower"), "a bpb": ("ratio", "lower"), "a nll": ("exp", "higher"),
        "b acc": ("share", "higher"), "c exact_match strict": ("share", "higher"),
        "c exact_match loose": ("share", "higher"), "micro acc": ("share", "higher"), "macro acc": ("ratio", "higher"),
    }  # fmt: skip
    for name, value in (("a ppl", math.e), ("a bpb", 0.5 / math.log(2)), ("micro acc", 5 / 6), ("macro acc", 0.75)):
        interval = found[name].interval(0)
        assert interval and interval.value == pytest.approx(value) and interval.n == len(found[name].units)


# --- what is refused


def code_of(act: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(BurilError) as caught:
        act()
    return caught.value.code, str(caught.value)


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    code, said = code_of(lambda: suite(None, "arc_esy").check(asked(NOTHING)))
    assert code == "E011" and "did you mean `arc_easy`?" in said
    assert "lm-eval ls tasks" in _tasks._suggestion("zzzzqqqq", ["arc_easy"])


def test_data_that_are_not_here_are_not_fetched_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []

    def connect(*told: Any, **_more: Any) -> None:
        tried.append(told)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    code, said = code_of(lambda: suite(None, "arc_easy").check(asked(NOTHING)))
    assert code == "E013" and "`arc_easy`" in said and "download: true" in said
    assert not tried
    import datasets
    import huggingface_hub.constants

    assert not datasets.config.HF_HUB_OFFLINE and not huggingface_hub.constants.HF_HUB_OFFLINE, "afterwards as before"


@pytest.mark.parametrize(("more", "said"), [
    ("unsafe_code: true\n", "without protection"),
    ("generation_kwargs: {until: [x], top_k: 5, num_beams: 2}\n", "`num_beams`, `top_k`"),
    ("doc_to_image: pictures\n", "images or sounds"),
    ("process_docs: !function nowhere.at_all\n", "ImportError"),
])  # fmt: skip
def test_what_can_not_be_asked(tmp_path: Path, more: str, said: str) -> None:
    path = lm_tasks.rows(tmp_path / "q.jsonl", {"q": "a", "a": "b"})
    lm_tasks.task(tmp_path, "odd", (
        f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {path}}}}}\noutput_type: generate_until\n"
        'test_split: test\ndoc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\n' + more +
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    ))  # fmt: skip
    code, told = code_of(lambda: suite(tmp_path, "odd").check(asked(NOTHING)))
    assert code == "E013" and said in told and "hint: " in told


def test_without_the_package_the_pip_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "lm_eval" else real(name, *more)
    )
    plugins.plugin.cache_clear()
    code, said = code_of(lambda: Evaluate.Settings.model_validate({"suites": [{"lm-eval": ["arc_easy"]}]}))
    plugins.plugin.cache_clear()
    assert code == "P002" and "lm_eval" in said and "pip install" in said


# --- in the chain


class Unopened:
    """A generator that must not be opened."""

    def open(self, *_told: Any, **_more: Any) -> None:
        raise AssertionError("a model was loaded")


def test_gates_name_its_metrics_and_a_wrong_one_fails_before_a_model_is_loaded(
    canned: str, folder: Path, inputs: Callable[[], dict[str, Artifact]], output: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = {"lm_eval": ("my_arc*",), "basics": ("pass@1",)}
    gates = parse_gates({"my_arc acc": ">= base", "lm-eval.my_arc acc_norm.base": "> 0", "pass@1": "> 0"}, metrics)
    assert [(gate.suite, gate.metric, gate.model) for gate in gates] == [
        ("lm_eval", "my_arc acc_norm", "base"), ("lm_eval", "my_arc acc", "tuned"), ("basics", "pass@1", "tuned"),
    ]  # fmt: skip
    told = {"generator": canned, "suites": [{"lm-eval": {"tasks": ["my_arc"], "include_path": folder}}]}
    assert (
        code_of(lambda: Evaluate(Evaluate.Settings.model_validate({**told, "gate": {"my_sums acc": "> 0"}})))[0]
        == "E003"
    )
    stage = Evaluate(Evaluate.Settings.model_validate({**told, "gate": {"my_arc acc_nrom": "> 0"}}))
    monkeypatch.setattr(type(stage.settings.generator.make()), "open", Unopened.open)
    code, said = code_of(lambda: stage.run(inputs(), output("evaluate")))
    assert code == "E003" and "my_arc acc_norm" in said


def test_base_and_tuned_are_compared_over_the_same_documents(
    canned: str, folder: Path, inputs: Callable[[], dict[str, Artifact]], output: Any
) -> None:
    out = output("evaluate")
    told = {
        "generator": canned, "suites": [{"lm-eval": {"tasks": ["my_arc"], "include_path": folder}}],
        "gate": {"my_arc acc.base": ">= 0"},
    }  # fmt: skip
    Evaluate(Evaluate.Settings.model_validate(told)).run(inputs(), out)
    results = json.loads((out.folder / "results.json").read_text())
    row = results["suites"]["lm_eval"]["metrics"]["my_arc acc"]
    assert row["base"]["n"] == row["tuned"]["n"] == 4 and {"low", "high", "p"} < row["difference"].keys()
    assert results["gates"][0]["held"] and results["suites"]["lm_eval"]["seen"]["asked"] == 4
    assert len((out.folder / "samples/lm_eval.tuned.jsonl").read_text().splitlines()) == 4


def test_the_identity_holds_bytes_not_places(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert suite(copy, "my_arc").settings.identity() == suite(folder, "my_arc").settings.identity()
    assert suite(copy, "my_arc", download=True).settings.identity() == suite(folder, "my_arc").settings.identity()
    with (copy / "arc.jsonl").open("a") as file:
        file.write("\n")
    assert suite(copy, "my_arc").settings.identity() != suite(folder, "my_arc").settings.identity()


# --- results of a run elsewhere


@pytest.fixture
def runs(folder: Path, tiny: Any, tmp_path: Path) -> dict[str, Path]:
    """A run of the tiny model, and one whose documents are others."""
    found, _finished = suite(folder, "my_arc").ask(asked(tiny))
    first = write(tmp_path / "one", found)
    other = {**found, "samples": {"my_arc": [{**row, "doc_hash": "x"} for row in found["samples"]["my_arc"]]}}
    return {"one": first, "other": write(tmp_path / "other", other)}


def test_a_run_is_read_with_intervals_and_compared(runs: dict[str, Path]) -> None:
    alone = imported(read(runs["one"].parent), None, 0)["suites"]["lm_eval"]
    assert alone["metrics"]["my_arc acc"]["base"] is None and alone["metrics"]["my_arc acc"]["tuned"]["n"] == 4
    pair = imported(read(runs["one"]), read(runs["one"]), 0)["suites"]["lm_eval"]["metrics"]["my_arc acc"]
    assert pair["difference"]["value"] == 0 and pair["difference"]["low"] < 0 < pair["difference"]["high"]
    code, said = code_of(lambda: imported(read(runs["one"]), read(runs["other"]), 0))
    assert code == "E012" and "my_arc/0" in said


def test_without_samples_the_standard_error_gives_the_interval(tmp_path: Path) -> None:
    path = tmp_path / "results_2026-01-02T03-04-05.678.json"
    path.write_text(json.dumps({
        "results": {"a": {"alias": "a", "acc,none": 0.5, "acc_stderr,none": 0.1, "f1,none": 0.7, "f1_stderr,none": "N/A"}},
        "n-samples": {"a": {"original": 9, "effective": 5}}, "higher_is_better": {"a": {"acc": True}},
        "model_name": "m", "lm_eval_version": "0.4.13",
    }))  # fmt: skip
    found = imported(read(tmp_path), None, 0)
    rows = found["suites"]["lm_eval"]["metrics"]
    assert rows["a acc"] == {
        "base": None, "difference": None, "better": "higher",
        "tuned": {"value": 0.5, "low": 0.304004, "high": 0.695996, "n": 5},
    }  # fmt: skip
    assert rows["a f1"]["tuned"] == {"value": 0.7, "low": None, "high": None, "n": 5}
    assert found["models"] == {"tuned": {"name": "m"}}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"results": 3}', '{"results": {"a": 3}}', "\x00", '{"results": null}']
)
def test_what_is_no_result(tmp_path: Path, text: str) -> None:
    (tmp_path / "results_x.json").write_text(text)
    assert code_of(lambda: read(tmp_path / "results_x.json"))[0] == "E012"


def test_broken_samples_and_none_at_all(tmp_path: Path) -> None:
    assert code_of(lambda: read(tmp_path))[0] == "E012"
    (tmp_path / "results_2026-01-02T03-04-05.6.json").write_text('{"results": {"a": {}}}')
    (tmp_path / "samples_a_2026-01-02T03-04-05.6.jsonl").write_text('{"doc_id": 1}\n')
    assert code_of(lambda: read(tmp_path))[0] == "E012"
