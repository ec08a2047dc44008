"""The action, the hook and the job for GitLab: their own steps, run with bash on a real change in a real repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.gate.conftest import Repository

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / "deploy/github-action/action.yml"
WORKFLOW = ROOT / "deploy/github-action/workflow.yml"
GITLAB = ROOT / "deploy/gitlab/buril-scan.yml"
TOKEN = "".join(("ghp_", "a1B2c3D4e5", "kR7mQ2xW9vB4nT6yU8pL3sD5fG"))[:40]
PLANTED = {
    "shell.py": "import subprocess\n\n\ndef run(x):\n    subprocess.run(x, shell=True)\n",
    "tls.py": "import requests\n\n\ndef get(x):\n    return requests.get(x, verify=False, timeout=9)\n",
    "settings.txt": f"github_token = '{TOKEN}'\n",
}
INNOCENT = {
    "list.py": "import subprocess\n\n\ndef run(x):\n    subprocess.run(['/bin/ls', '--', x], check=True)\n",
    "text.py": 'HELP = "never write subprocess.run(x, shell=True) or verify=False"\n',
    "sample.txt": "github_token = '${GITHUB_TOKEN}'\n",
}


def loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    return found


def schema(name: str) -> dict[str, Any]:
    """A schema that check-jsonschema carries."""
    package = pytest.importorskip("check_jsonschema")
    text = (resources.files(package) / "builtin_schemas" / "vendor" / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


# --- form


@pytest.mark.parametrize(
    ("path", "name"), [(ACTION, "github-actions"), (WORKFLOW, "github-workflows"), (GITLAB, "gitlab-ci")]
)
def test_the_schemas_accept_them(path: Path, name: str) -> None:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    if True in found:  # YAML 1.1 reads the key `on` as true
        found["on"] = found.pop(True)
    rules = schema(name)
    jsonschema.validators.validator_for(rules)(rules).validate(found)


def test_no_expression_stands_in_a_script() -> None:
    """What an author of a change may choose reaches a script through the environment alone."""
    steps = [
        *loaded(ACTION)["runs"]["steps"],
        *(step for job in loaded(WORKFLOW)["jobs"].values() for step in job["steps"]),
    ]
    scripts = [step["run"] for step in steps if "run" in step]
    assert len(scripts) == 2 and not any("${{" in script for script in scripts)
    assert all(re.fullmatch(r"\$\{\{ inputs\.[\w-]+ \}\}|C\.UTF-8", value)
               for step in steps for value in step.get("env", {}).values())  # fmt: skip


def test_the_inputs_are_those_that_are_used() -> None:
    action = loaded(ACTION)
    used = re.findall(r"inputs\.([\w-]+)", ACTION.read_text(encoding="utf-8"))
    assert sorted(action["inputs"]) == sorted(set(used))
    assert all(
        given in action["inputs"] for step in loaded(WORKFLOW)["jobs"]["scan"]["steps"][1:2] for given in step["with"]
    )


def test_the_workflow_may_do_little() -> None:
    workflow = loaded(WORKFLOW)
    assert "pull_request" in workflow["on"] and "pull_request_target" not in workflow["on"]
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["scan"]["permissions"] == {"contents": "read", "security-events": "write"}


def test_python_never_looks_into_the_checked_out_folder() -> None:
    scripts = [step["run"] for step in loaded(ACTION)["runs"]["steps"]] + loaded(GITLAB)["buril-scan"]["script"]
    calls = [line for script in scripts for line in script.splitlines() if re.search(r"python3?\"? ", line)]
    assert len(calls) >= 5
    assert all(re.search(r"python3?\"? -I ", line) for line in calls), calls


# --- the action's steps


@dataclass
class Runner:
    """What GitHub's runner gives a step, in folders of the test."""

    folder: Path
    repository: Repository
    event: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "buril/bin").mkdir(parents=True)
        for name, text in {
            "buril": f"import sys\nsys.path.insert(0, {str(ROOT / 'src')!r})\nfrom buril.cli.main import main\nmain()\n",
        }.items():
            path = self.folder / "buril/bin" / name
            path.write_text(f"#!{sys.executable}\n{text}")
            path.chmod(0o755)
        (self.folder / "buril/bin/python").symlink_to(sys.executable)

    def step(self, number: int, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run one `run:` of the action as GitHub does."""
        action = loaded(ACTION)
        step = action["runs"]["steps"][number]
        values = {name: told.get("default", "") for name, told in action["inputs"].items()}
        values |= {name.replace("_", "-"): value for name, value in inputs.items()}
        given = {
            name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: values[found[1]], text)
            for name, text in step["env"].items()
        }
        script, event = self.folder / "step.sh", self.folder / "event.json"
        script.write_text(step["run"])
        event.write_text(json.dumps(self.event))
        runner = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "RUNNER_TEMP": str(self.folder),
            "GITHUB_OUTPUT": str(self.folder / "output"), "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            "GITHUB_EVENT_PATH": str(event), "GITHUB_ACTION_PATH": str(ACTION.parent), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)], cwd=self.repository.root,
            env={**runner, **given}, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    @property
    def results(self) -> list[tuple[str, str]]:
        """Files and levels, once each: several scanners may see one weakness, each in a run of its own."""
        log = json.loads((self.folder / "buril.sarif").read_text(encoding="utf-8"))
        return sorted({
            (item["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], item["level"])
            for run in log["runs"] for item in run["results"]
        })  # fmt: skip


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """A change with three weaknesses and three look-alikes, on old code with a weakness of its own."""
    repository = Repository((tmp_path / "checkout").resolve())
    base = repository.commit(old="import os\nos.system(x)\n")
    repository.git("checkout", "-q", "-b", "change")
    for name, text in {**PLANTED, **INNOCENT}.items():
        repository.write(name, text)
    repository.commit()
    yield Runner(tmp_path / "temp", repository, {"pull_request": {"base": {"sha": base}}})


def test_the_action_finds_what_is_planted_and_nothing_else(runner: Runner) -> None:
    done = runner.step(1)
    assert done.returncode == 3, done.stderr
    told = re.findall(r"^::(\w+) file=([^,]+),line=(\d+)", done.stdout, re.MULTILINE)
    assert sorted(told) == [("error", "settings.txt", "1"), ("error", "shell.py", "5"), ("error", "tls.py", "5")]
    assert runner.results == [(name, "error") for name in sorted(PLANTED)]
    assert (runner.folder / "output").read_text() == f"sarif={runner.folder}/buril.sarif\n"
    summary = (runner.folder / "summary.md").read_text()
    assert "failed" in summary and all(name.replace(".", ".") in summary for name in PLANTED)
    assert TOKEN not in done.stdout + done.stderr + summary


def test_without_a_pull_request_all_lines_count(runner: Runner) -> None:
    runner.event = {"ref": "refs/heads/main"}
    assert runner.step(1).returncode == 3
    assert [name for name, _level in runner.results] == ["old.py", *sorted(PLANTED)]


def test_a_change_without_weaknesses_passes(runner: Runner) -> None:
    for name in PLANTED:
        (runner.repository.root / name).unlink()
    runner.repository.commit()
    done = runner.step(1)
    assert (done.returncode, done.stdout, runner.results) == (0, "", [])


def test_the_merge_queue_and_an_input_name_the_base(runner: Runner) -> None:
    base = runner.event["pull_request"]["base"]["sha"]
    runner.event = {"merge_group": {"base_sha": base}}
    runner.step(1)
    assert [name for name, _level in runner.results] == sorted(PLANTED)
    runner.event = {}
    runner.step(1, base="main")
    assert [name for name, _level in runner.results] == sorted(PLANTED)


def test_a_base_that_is_not_there_does_not_pass(runner: Runner) -> None:
    runner.event["pull_request"]["base"]["sha"] = "1" * 40
    done = runner.step(1)
    assert done.returncode == 2 and "W232" in done.stderr
    assert not (runner.folder / "buril.sarif").exists()


def test_a_shallow_checkout_fetches_the_base(runner: Runner, tmp_path: Path) -> None:
    runner.repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    shallow = Repository(tmp_path / "shallow")
    shallow.git("remote", "add", "origin", runner.repository.root.as_uri())
    shallow.git("fetch", "-q", "--depth=1", "origin", "change")
    shallow.git("checkout", "-q", "FETCH_HEAD")
    runner.repository = shallow
    assert runner.step(1).returncode == 3
    assert [name for name, _level in runner.results] == sorted(PLANTED)


def test_the_baseline_is_that_of_the_base(runner: Runner) -> None:
    """A change can't add its own weaknesses to what is known."""
    known = ["--no-config", "--scanner", "ruff", "--baseline", "known.json", "--write-baseline"]
    subprocess.run(
        [runner.folder / "buril/bin/buril", "scan", *known], cwd=runner.repository.root, capture_output=True, check=True
    )
    runner.repository.commit()
    done = runner.step(1, baseline="known.json")
    assert done.returncode not in (0, 3), "the base has no such file"
    runner.event = {}
    runner.step(1, baseline="known.json", scanners="ruff")
    assert (runner.folder / "summary.md").read_text().count("known before: 4") == 1


def test_a_change_can_not_lend_us_its_modules(runner: Runner) -> None:
    for name in ("json", "sys", "venv", "pip", "buril", "click", "ruff", "sitecustomize"):
        runner.repository.write(f"{name}.py", "open('taken', 'w')\n")
    runner.repository.write("buril.yaml", "prepare: {scan: [{ruff: {ignore: [S602, S501]}}]}\n")
    runner.repository.write("ruff.toml", "exclude = ['*']\n")
    runner.repository.write(".gitattributes", "* binary\n")
    runner.repository.commit()
    assert runner.step(1).returncode == 3
    assert {name for name, _level in runner.results} >= set(PLANTED)
    assert not (runner.repository.root / "taken").exists()


def test_inputs_are_words_and_never_commands(runner: Runner) -> None:
    nasty = "$(touch taken) `touch taken`; touch taken #"
    for name in ("paths", "scanners", "base", "baseline", "import", "config", "fail_on", "ledger", "generated_fail_on"):
        assert runner.step(1, **{name: nasty}).returncode not in (0, 3), name
    assert runner.step(0, version=nasty).returncode == 2
    assert not (runner.repository.root / "taken").exists()


def test_several_scanners_and_paths(runner: Runner) -> None:
    runner.step(1, scanners="ruff\nsecrets: {rules: [secrets]}\n", paths="shell.py\nsettings.txt\n")
    assert [name for name, _level in runner.results] == ["settings.txt", "shell.py"]


# --- lines that a model wrote

BODY = PLANTED["shell.py"].split("\n\n\n")[1] + "    return [line for line in x.splitlines()]\n"

MILD = BODY.replace("shell=True", "timeout=eval(x)")


@pytest.fixture
def ledger(runner: Runner, tmp_path: Path) -> Path:
    """Fingerprints of a completion that is in the change."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    from buril.serve.ledger import Entry, Ledger

    path = tmp_path / "written.parquet"
    kept = Ledger(tmp_path / "ledger")
    model = {"train": "7a" * 32}
    kept.append(Entry("abc123abc123", BODY, "openvino", model), Entry("def456def456", MILD, "openvino", model))
    kept.fingerprints().write(path)
    runner.repository.write("shell.py", PLANTED["shell.py"].split("\n\n\n")[0] + "\n\n\n" + BODY)
    runner.repository.commit()
    return path


def generated(runner: Runner) -> dict[str, list[Any]]:
    """By file, what the results say of who wrote their lines."""
    found: dict[str, list[Any]] = {}
    for run in json.loads((runner.folder / "buril.sarif").read_text(encoding="utf-8"))["runs"]:
        for item in run["results"]:
            path = item["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            found.setdefault(path, []).append(item["properties"].get("generated"))
    return found


def test_lines_that_a_model_wrote_are_told(runner: Runner, ledger: Path) -> None:
    for given in (str(ledger), str(ledger.parent / "ledger")):  # a file, a ledger's folder
        (runner.folder / "summary.md").unlink(missing_ok=True)
        done = runner.step(1, ledger=given)
        assert done.returncode == 3, done.stderr
        wrote = {"completion": "abc123abc123", "model": "7a" * 6, "share": 1.0}
        found = generated(runner)
        assert {path for path, told in found.items() if wrote in told} == {"shell.py"}
        assert all(told in (wrote, None) for items in found.values() for told in items)
        error = re.search(r"^::error file=shell.py,.*", done.stdout, re.MULTILINE)
        assert error and "written by the model 7a7a7a7a7a7a (completion abc123abc123)" in error[0]
        assert re.search(r"^::notice file=shell.py,line=4,endLine=6,", done.stdout, re.MULTILINE)
        summary = (runner.folder / "summary.md").read_text()
        assert re.search(r"lines that a model wrote&#58; 3 of \d+, findings on them&#58; 1; by 7a7a7a7a7a7a", summary)
    without = runner.step(1)
    assert "written by" not in without.stdout and "model" not in (runner.folder / "buril.sarif").read_text()


def test_such_lines_may_be_held_to_more(runner: Runner, ledger: Path) -> None:
    for name in PLANTED:
        (runner.repository.root / name).unlink()
    runner.repository.write("gen.py", "import subprocess\n\n\n" + MILD)
    runner.repository.commit()
    assert runner.step(1, ledger=str(ledger)).returncode == 0
    assert runner.step(1, ledger=str(ledger), generated_fail_on="medium").returncode == 3
    assert runner.step(1, ledger=str(ledger), generated_fail_on="all").returncode == 2
    assert runner.step(1, generated_fail_on="medium").returncode == 2, "without a ledger it can't be heeded"
    assert runner.step(1, ledger="/nowhere").returncode == 2


@pytest.mark.parametrize("folder", [False, True])
def test_the_ledger_is_that_of_the_base(runner: Runner, ledger: Path, tmp_path: Path, folder: bool) -> None:
    """A change can't take its own completions out of it."""
    repository, name = runner.repository, "written" if folder else "written.parquet"
    repository.git("checkout", "-q", "main")
    if folder:
        shutil.copytree(tmp_path / "ledger", repository.root / name)
    else:
        shutil.copy(ledger, repository.root / name)
    runner.event["pull_request"]["base"]["sha"] = repository.commit()
    repository.git("checkout", "-q", "change")
    repository.git("merge", "-q", "main")
    if folder:
        shutil.rmtree(repository.root / name)
    repository.write("written.parquet", "nothing")
    repository.commit()
    assert runner.step(1, ledger=name).returncode == 3
    assert any(generated(runner)["shell.py"])


def test_a_ledger_that_the_change_brings_along_is_not_believed(runner: Runner, ledger: Path) -> None:
    repository = runner.repository
    (repository.root / "cache").symlink_to("docs")
    repository.write("docs/written.parquet", ledger.read_bytes())
    repository.commit()
    for name in ("docs/written.parquet", "cache/written.parquet", f"{repository.root}/docs/written.parquet"):
        done = runner.step(1, ledger=name)
        assert done.returncode == 2 and "::error::" in done.stdout, name
    repository.write("later.parquet", ledger.read_bytes())
    assert runner.step(1, ledger="later.parquet").returncode == 3, "what an earlier step has put there is used"


# --- GitLab, pre-commit


def test_the_job_of_gitlab(runner: Runner, ledger: Path) -> None:
    job = loaded(GITLAB)["buril-scan"]
    env = {"PATH": os.environ["PATH"], "HOME": str(runner.folder), "CI_BUILDS_DIR": str(runner.folder), **job["variables"],
           "CI_MERGE_REQUEST_DIFF_BASE_SHA": runner.event["pull_request"]["base"]["sha"]}  # fmt: skip
    done = subprocess.run(["bash", "-e", "-c", job["script"][-1]], cwd=runner.repository.root, env=env, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert {line.split(":")[0] for line in done.stdout.splitlines()} == set(PLANTED)
    assert (runner.repository.root / job["artifacts"]["paths"][0]).exists()

    def again(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-e", "-c", job["script"][-1]], cwd=runner.repository.root, env={**env, **more},
                              capture_output=True, text=True, check=False)  # fmt: skip

    assert "written by" not in done.stdout and "written by the model" in again(BURIL_LEDGER=str(ledger)).stdout
    runner.repository.write("mine.parquet", ledger.read_bytes())
    runner.repository.commit()
    assert again(BURIL_LEDGER="mine.parquet").returncode == 2
    assert again(BURIL_GENERATED_FAIL_ON="medium").returncode == 2


def test_the_hook_stops_a_commit(runner: Runner) -> None:
    """pre-commit itself, with the hook's own words, on what is about to be committed."""
    if shutil.which("pre-commit") is None and not (Path(sys.executable).parent / "pre-commit").exists():
        pytest.skip("pre-commit is not installed")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    program, *words = hook["entry"].split()
    assert program == "buril" and hook["language"] == "python"
    here = {"entry": " ".join([str(runner.folder / "buril/bin/buril"), *words]), "language": "system"}
    local = {
        key: value for key, value in {**hook, **here}.items() if key not in ("additional_dependencies", "description")
    }
    repository = runner.repository
    repository.write(".pre-commit-config.yaml", yaml.safe_dump({"repos": [{"repo": "local", "hooks": [local]}]}))
    repository.commit()
    repository.write("fine.py", INNOCENT["list.py"])
    repository.git("add", "-A")
    command = [sys.executable, "-m", "pre_commit", "run"]
    env = {**os.environ, "PRE_COMMIT_HOME": str(runner.folder / "cache")}
    passed = subprocess.run(command, cwd=repository.root, env=env, capture_output=True, text=True, check=False)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    repository.write("bad.py", PLANTED["shell.py"])
    repository.git("add", "-A")
    stopped = subprocess.run(command, cwd=repository.root, env=env, capture_output=True, text=True, check=False)
    assert stopped.returncode == 1 and "bad.py:5" in stopped.stdout and "old.py" not in stopped.stdout
