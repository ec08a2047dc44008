"""Compose, container files, the dashboard, what is written to disk, and the verb itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from buril.core.errors import BurilError
from buril.deploy import compose, contract, dashboard, docker
from buril.deploy.model import read
from buril.deploy.pod import Site
from buril.deploy.write import RECORD, write
from tests.cli.conftest import Answer, call
from tests.deploy.conftest import FULL, IMAGE, VALUES, write_bundle

__all__ = ["call"]  # a fixture
Make = Callable[..., Site]
ROOT = Path(__file__).resolve().parents[2]


# --- Compose


@pytest.fixture
def project(site: Make) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(compose.render(site(), "../bundle")["compose.yaml"])
    return found


def test_services_may_do_little_and_listen_to_this_machine_alone(project: dict[str, Any]) -> None:
    for name, told in project["services"].items():
        assert told["read_only"] and told["cap_drop"] == ["ALL"], name
        assert told["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in told.get("ports", ())), name
    assert project["networks"]["inside"] == {"internal": True}
    assert project["services"]["mlflow"]["profiles"] == ["mlflow"]


def test_the_server_starts_only_after_the_bundle_was_seen(project: dict[str, Any]) -> None:
    server, seen = project["services"]["server"], project["services"]["check"]
    assert server["depends_on"] == {"check": {"condition": "service_completed_successfully"}}
    assert seen["entrypoint"] == ["sha256sum", "--check", "--strict", "/etc/buril/bundle.sha256"]
    mounts = {item["target"]: item for item in server["volumes"]}
    assert mounts["/bundle"] == {"type": "bind", "source": "../bundle", "target": "/bundle", "read_only": True}
    assert server["image"] == IMAGE and server["stop_grace_period"] == "40s"
    assert server["secrets"][0]["target"] == "/run/secrets/buril/keys" and project["secrets"] == {
        "keys": {"file": "./keys.json"}
    }


def test_what_services_use_is_declared(project: dict[str, Any], site: Make) -> None:
    files = compose.render(site(), "../bundle")
    for name, told in project["services"].items():
        for item in told.get("volumes", ()):
            source, target = (item["source"], item["target"]) if isinstance(item, dict) else item.split(":")[:2]
            assert target.startswith("/")
            if source.startswith("./"):
                assert any(path.startswith(source[2:]) for path in files), (name, source)
            elif not source.startswith("../"):
                assert source in project["volumes"], (name, source)
        assert set(told.get("networks", ())) <= set(project["networks"])


def test_names_of_the_environment_reach_the_server_by_reference(site: Make) -> None:
    values = {**VALUES, "serve": {"token": "env:SERVE_TOKEN"}}
    text = compose.render(site(values=values), "../bundle")["compose.yaml"]
    environment = yaml.safe_load(text)["services"]["server"]["environment"]
    assert environment["SERVE_TOKEN"] == "${SERVE_TOKEN:?}" and "GITHUB_TOKEN" not in text


# --- the dashboard


def test_panels_ask_for_metrics_that_the_server_has() -> None:
    found = json.loads(dashboard.dashboard())
    queries = [target["expr"] for panel in found["panels"] for target in panel["targets"]]
    assert len(queries) >= len(found["panels"]) >= 5
    ends = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
    known = {"up", *(f"{name}{end}" for name, kind in contract.COUNTED.items() for end in ends[kind])}
    words = {"sum", "rate", "histogram_quantile", "by", "le", "instance", "job", "buril", "__rate_interval", "status",
             "reason", "action", "gen_ai_token_type"}  # fmt: skip
    for query in queries:
        named = set(re.findall(r"[a-z_]{2,}", query)) - words
        assert named and named <= known, query
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in found["panels"]]
    assert len(set(places)) == len(places) == len({panel["id"] for panel in found["panels"]})


def test_what_is_counted_on_is_what_the_server_counts() -> None:
    """The server's own registry, where this version has a server."""
    if find_spec("buril.serve.metrics") is None:
        pytest.skip("this version has no server")
    from buril.serve import metrics as served

    kinds = {item.name: item.type for item in served.Metrics("m", "d").registry.collect()}
    for name, kind in contract.COUNTED.items():
        assert kinds[name.removesuffix("_total")] == kind


def test_the_dashboard_finds_its_source_and_prometheus_the_server(site: Make) -> None:
    files = compose.render(site(), "../bundle")
    source = yaml.safe_load(files["grafana/provisioning/datasources/prometheus.yml"])["datasources"][0]["uid"]
    panels = json.loads(files["grafana/dashboards/buril.json"])["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source}
    (job,) = yaml.safe_load(files["prometheus.yml"])["scrape_configs"]
    assert job["job_name"] == "buril" and job["metrics_path"] == "/metrics"  # `up{job="buril"}` is on the dashboard
    assert job["static_configs"] == [{"targets": ["server:8080"]}]


# --- container files


@pytest.mark.parametrize("steps", [docker.server(), docker.train()], ids=["server", "train"])
def test_images_run_without_root_and_without_what_built_them(steps: list[docker.Step]) -> None:
    words = [step.word for step in steps]
    last = len(words) - 1 - words[::-1].index("FROM")
    final = {step.word: step.told for step in steps[last:]}
    assert final["USER"] == "10001:10001" and final["STOPSIGNAL"] == "SIGTERM"
    assert words.index("USER") > last and words[:last].count("FROM") == 1
    assert not any("pip install" in str(step.told) for step in steps[last:])
    assert steps[0] == ("ARG", f"BASE={docker.base()}") and steps[last].told == "${BASE}"


def test_the_server_asks_itself_whether_it_lives() -> None:
    told = {step.word: step.told for step in docker.server()}
    assert "http://127.0.0.1:8080/healthz" in told["HEALTHCHECK"] and told["EXPOSE"] == "8080"
    assert [*told["ENTRYPOINT"], *told["CMD"]][:2] == ["buril", "serve"]


@pytest.mark.parametrize("steps", [docker.server(), docker.train()], ids=["server", "train"])
def test_what_is_copied_is_in_the_context_and_not_ignored(steps: list[docker.Step]) -> None:
    files = docker.render(b"a wheel")
    ignored = str(files[".dockerignore"]).split()
    copied = docker.sources(steps)
    assert ignored[0] == "*" and copied
    assert all(name in files and f"!{name}" in ignored for name in copied)


@pytest.mark.parametrize("image", docker.EXTRAS)
def test_versions_are_those_that_the_extras_ask_for(image: str) -> None:
    """pip would find what it wants: each package of each extra is pinned, and to a version within its range."""
    pinned = dict(line.split("==") for line in docker.constraints(metadata.distributions()))
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads pyproject.toml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras, pending, texts = project["optional-dependencies"], [*docker.EXTRAS[image]], [*project["dependencies"]]
    while pending:
        for text in extras[pending.pop()]:
            item = Requirement(text)
            pending += item.extras if item.name == "buril" else ()
            texts += [text] if item.name != "buril" else []
    chosen = [item for item in map(Requirement, texts) if not item.marker or item.marker.evaluate()]
    assert len(chosen) > 15
    for item in chosen:
        name = item.name.lower().replace("_", "-")
        assert item.specifier.contains(pinned[name], prereleases=True), item


def test_a_build_is_no_part_of_a_version() -> None:
    class Found:
        metadata = {"Name": "Torch"}
        version = "2.13.0+cpu"

    assert docker.constraints([Found()]) == ["torch==2.13.0"]  # type: ignore[list-item]  what is read of a distribution


# --- the bundle


@pytest.mark.parametrize(
    ("text", "told"),
    [(None, "bundle.json"), ("{", "form"), ("[]", "form"), ('{"name": "a"}', "form"), ('{"name": "a", "files": {"x": {}}}', "form"),
     ('{"name": "a", "files": [{"path": "README.md", "bytes": 3}]}', "no weights")],
)  # fmt: skip
def test_what_is_no_bundle_is_refused(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(BurilError) as problem:
        read(tmp_path)
    assert problem.value.code == "V500" and told in problem.value.cause


def test_formats_are_told_apart_and_the_largest_counts(bundle: Path) -> None:
    model = read(bundle)
    assert model.weights == {"gguf:gguf": 2100, "safetensors:safetensors": 7000, "safetensors:safetensors/adapter": 7}
    assert (model.largest, model.folder("safetensors"), model.folder("onnx")) == (7000, "safetensors", None)


# --- on disk


def test_what_is_not_rendered_any_more_goes_and_what_a_person_changed_stays(tmp_path: Path) -> None:
    write(tmp_path, {"server/a.yaml": "a", "server/b.yaml": "b"})
    (tmp_path / "mine.yaml").write_text("mine")
    assert write(tmp_path, {"server/a.yaml": "A"}) == ["server/b.yaml"]
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [RECORD, "a.yaml", "mine.yaml"]
    (tmp_path / "server/a.yaml").write_text("by hand")
    for files in ({"server/a.yaml": "A2"}, {"server/c.yaml": "c"}, {"mine.yaml": "ours"}):
        with pytest.raises(BurilError) as problem:
            write(tmp_path, files)
        assert problem.value.code == "V507"
    assert (tmp_path / "server/a.yaml").read_text() == "by hand"
    assert write(tmp_path, {"server/a.yaml": "A2"}, force=True) == []
    assert (tmp_path / "server/a.yaml").read_text() == "A2"


def test_a_record_that_names_files_elsewhere_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_text("x")
    (tmp_path / "out" / RECORD).write_text(json.dumps({"../precious": "0", str(tmp_path / "precious"): "0"}))
    assert write(tmp_path / "out", {"a.yaml": "a"}, force=True) == []
    assert (tmp_path / "precious").exists()


# --- the verb

Call = Callable[..., Answer]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GITHUB_TOKEN", "x")
    write_bundle(tmp_path / "bundle")
    (tmp_path / "buril.yaml").write_text(yaml.safe_dump({**VALUES, "deploy": FULL}))
    return tmp_path


def test_kubernetes(call: Call, told: Path) -> None:
    answer = call("deploy", "kubernetes", "--bundle", "bundle", "--out", "out", "--set", "deploy.host=null", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["name"] == "acme-coder" and "server/ingress.yaml" not in answer.json["files"]
    assert (
        sorted(p.relative_to(told / "out").as_posix() for p in (told / "out").rglob("*.yaml")) == answer.json["files"]
    )
    again = call("deploy", "kubernetes", "--bundle", "bundle", "--out", "out")
    assert "out/server/ingress.yaml" in again.out and "kubectl apply -f out/server" in again.err
    gone = call("deploy", "kubernetes", "--bundle", "bundle", "--out", "out", "--set", "deploy.refresh=null")
    assert gone.code == 0 and "out/refresh/job.yaml" in gone.err and not (told / "out/refresh/job.yaml").exists()


def test_compose_names_the_bundle_from_where_it_is_written(call: Call, told: Path) -> None:
    answer = call("deploy", "compose", "--bundle", "bundle", "--out", "a/b", "--json")
    assert answer.code == 0, answer.err
    server = yaml.safe_load((told / "a/b/compose.yaml").read_text())["services"]["server"]
    assert (told / "a/b" / server["volumes"][0]["source"]).resolve() == told / "bundle"


def test_docker_takes_the_wheel_of_this_version(call: Call, tmp_path: Path) -> None:
    answer = call("deploy", "docker", "--out", "out")
    assert answer.code == 0 and docker.WHEEL in answer.err
    (tmp_path / docker.WHEEL).write_bytes(b"a wheel")
    assert call("deploy", "docker", "--out", "out", "--wheel", docker.WHEEL).code == 0
    assert (tmp_path / "out/wheels" / docker.WHEEL).read_bytes() == b"a wheel"
    for name in ("buril-0.0.1-py3-none-any.whl", f"missing/{docker.WHEEL}"):
        (tmp_path / "buril-0.0.1-py3-none-any.whl").write_bytes(b"old")
        wrong = call("deploy", "docker", "--out", "out", "--wheel", name)
        assert wrong.code == 2 and "V509" in wrong.err


def test_mistakes_are_told_at_their_place(call: Call, told: Path) -> None:
    answer = call("deploy", "kubernetes", "--bundle", "nowhere")
    assert answer.code == 2 and "V500" in answer.err
    (told / "buril.yaml").write_text("name: a\ncollect: [packages]\ndeploy:\n  replica: 2\n")
    answer = call("deploy", "kubernetes", "--bundle", "bundle")
    assert answer.code == 2 and "buril.yaml:4:3" in answer.err and "replicas" in answer.err
    assert call("config", "check").code == 2
    (told / "buril.yaml").write_text("name: a\ncollect: [packages]\ndeploy: {image: 'Registry/X'}\n")
    assert "C002" in call("config", "check").err


def memory_of_training(out: Path) -> str:
    (job,) = [m for m in yaml.safe_load_all((out / "train/job.yaml").read_text()) if m["kind"] == "Job"]
    return str(job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"])


def test_a_training_of_which_nothing_is_known_is_given_a_common_size(call: Call, told: Path) -> None:
    """Nothing has run here, so the plan can't say; what is set counts."""
    answer = call("deploy", "kubernetes", "--bundle", "bundle", "--out", "out")
    assert answer.code == 0, answer.err
    assert memory_of_training(told / "out") == "16000M"
    call("deploy", "kubernetes", "--bundle", "bundle", "--out", "out", "--set", "deploy.train.memory_gb=3")
    assert memory_of_training(told / "out") == "3000M"


@pytest.mark.slow
def test_a_training_that_the_plan_knows_is_given_half_as_much_again(call: Call, tmp_path: Path) -> None:
    """A small chain runs up to its packing; then the plan says what training takes, and the Job is that large."""
    (tmp_path / "src").mkdir()
    for number in range(12):
        body = "".join(f"def f{number}_{n}(x):\n    return x * {n} + {number}\n\n\n" for n in range(20))
        (tmp_path / f"src/m{number}.py").write_text(body)
    write_bundle(tmp_path / "bundle")
    chain = {
        "name": "acme", "collect": [{"folder": {"path": "src", "license": "internal"}}],
        "split": {"together": [], "train": 0.6, "valid": 0.2, "test": 0.2}, "tokenizer": {"train": "bpe", "vocab": 512},
        "train": {"base": "scratch", "method": "full", "depth": 2, "max_length": 128},
        "deploy": {"image": IMAGE, "bundle": {"claim": "b"}, "train": {}},
    }  # fmt: skip
    (tmp_path / "buril.yaml").write_text(yaml.safe_dump(chain))
    assert call("run", "--until", "pack", "--small").code == 0
    assert call("run", "--until", "base", "--small").code == 0
    steps = {step["stage"]: step for step in call("plan", "--json").json["stages"]}
    expected = max(step["estimate"]["ram_mb"] for step in steps.values() if step["estimate"])
    assert steps["train"]["estimate"]
    assert call("deploy", "kubernetes", "--bundle", "bundle", "--out", "out").code == 0
    assert 1.5 * expected <= float(memory_of_training(tmp_path / "out").rstrip("M")) < 1.5 * expected + 100


def test_the_template_for_a_team_is_rendered_and_its_plan_sizes_the_training(call: Call, tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "mod.py").write_text("x = 1\n")
    text = (ROOT / "examples/own-repositories.yaml").read_text(encoding="utf-8")
    (tmp_path / "examples/team.yaml").write_text(text)
    write_bundle(tmp_path / "bundle")
    answer = call("deploy", "kubernetes", "--bundle", "bundle", "-c", "examples/team.yaml", "--out", "out", "--json")
    assert answer.code == 0, answer.err
    assert "train/job.yaml" in answer.json["files"] and "plan" not in answer.err  # it could be made
