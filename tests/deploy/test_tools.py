"""Programs of others judge what is rendered; and each of them sees what is broken on purpose, or its word is worth nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from buril.deploy import compose, docker, tools
from buril.deploy.pod import Site
from tests.cli.conftest import Answer, call
from tests.deploy.conftest import DIGEST, VARIANTS, write_bundle

__all__ = ["call"]  # a fixture
Rendered = Callable[..., dict[str, str]]
ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ROOT / "build/tools/checkov/bin/checkov"
HINTS = {"checkov": "scripts/checkov-venv"}


@pytest.fixture(autouse=True)
def checkov(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `scripts/checkov-venv` installs it, unless it is said."""
    if tools.checkov() is None and INSTALLED.exists():
        monkeypatch.setenv(tools.CHECKOV_VARIABLE, str(INSTALLED))


def needs(name: str) -> None:
    found = tools.checkov() if name == "checkov" else tools.program(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {HINTS.get(name, 'make install-dev')}")


def judged(monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, str]) -> list[str]:
    """What one program finds in files."""
    monkeypatch.setattr(tools, "TOOLS", tuple(item for item in tools.TOOLS if item[0] == name))
    problems, asked, _left = tools.run(files)
    assert asked == [name]
    return [f"{item.file}: {item.what}" for item in problems]


def everything(rendered: Rendered, site: Callable[..., Site]) -> dict[str, str]:
    """All variants and forms in one folder."""
    files = {f"{variant}/{name}": text for variant in VARIANTS for name, text in rendered(variant).items()}
    s3 = {
        "s3": "s3://models/1",
        "s3_image": f"r.example/aws@{DIGEST}",
        "s3_secret": "s3",
        "s3_endpoint": "http://minio:9000",
    }
    files |= {f"s3/{name}": text for name, text in rendered(bundle=s3).items()}
    images = {name: text for name, text in docker.render(None).items() if isinstance(text, str)}
    return {**files, **images, **compose.render(site(), "../bundle")}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, *_rest in tools.TOOLS])
def test_all_that_is_rendered_passes(
    monkeypatch: pytest.MonkeyPatch, rendered: Rendered, site: Callable[..., Site], name: str
) -> None:
    needs(name)
    assert judged(monkeypatch, name, everything(rendered, site)) == []


@pytest.mark.slow
def test_an_image_that_holds_the_bundle_passes_where_there_are_such_volumes(
    monkeypatch: pytest.MonkeyPatch, rendered: Rendered
) -> None:
    needs("kubernetes-validate")
    files = rendered(bundle={"image": f"r.example/bundle@{DIGEST}"})
    assert judged(monkeypatch, "kubernetes-validate", files) == []
    monkeypatch.setattr(tools, "IMAGE_VOLUMES", "1.00")  # an older release does not know them, and says so
    assert any("image" in item for item in judged(monkeypatch, "kubernetes-validate", files))


@pytest.mark.slow
def test_no_exception_is_granted_that_is_not_needed(
    monkeypatch: pytest.MonkeyPatch, rendered: Rendered, site: Callable[..., Site]
) -> None:
    needs("checkov")
    accepted = set(tools.ACCEPTED)
    monkeypatch.setattr(tools, "ACCEPTED", {"CKV_NONE_0": "none"})
    found = judged(monkeypatch, "checkov", everything(rendered, site))
    assert {item.split(": ")[1].split()[0] for item in found} == accepted


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kubernetes-validate", "yamllint"])
def test_manifests_written_by_hand_pass(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Those of `deploy/kubernetes`; what is of an operator has no schema here."""
    needs(name)
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "deploy/kubernetes").glob("*.yaml")}
    assert len(files) >= 4
    monkeypatch.setattr(
        tools, "YAMLLINT", tools.YAMLLINT.replace("comments: disable", "comments: disable, braces: disable")
    )
    assert judged(monkeypatch, name, files) == []


BROKEN = {
    "kubernetes-validate": [
        ("server/deployment.yaml", "maxUnavailable: 0", "maxUnavailabel: 0"),
        ("server/service.yaml", "port: 80", "port: eighty"),
        ("train/job.yaml", "completions: 2", "completions: two"),
    ],
    "yamllint": [("server/service.yaml", "type: ClusterIP", "type: ClusterIP\n  type: ClusterIP")],
    "checkov": [
        ("server/deployment.yaml", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
        ("server/deployment.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
        ("server.Dockerfile", "USER 10001:10001", "USER root"),
    ],
    "hadolint": [
        ("server.Dockerfile", "WORKDIR /src", "WORKDIR src"),
        ("train.Dockerfile", " --no-install-recommends", ""),
    ],
    "check-jsonschema": [("compose.yaml", "restart: unless-stopped", "restrat: unless-stopped")],
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "change"), [(name, change) for name, changes in BROKEN.items() for change in changes])
def test_a_program_sees_what_is_broken(
    monkeypatch: pytest.MonkeyPatch,
    rendered: Rendered,
    site: Callable[..., Site],
    name: str,
    change: tuple[str, str, str],
) -> None:
    needs(name)
    file, before, after = change
    images = {name: text for name, text in docker.render(None).items() if isinstance(text, str)}
    text = {**rendered(), **images, **compose.render(site(), "../bundle")}[file]
    assert before in text
    found = judged(monkeypatch, name, {file: text.replace(before, after)})
    assert any(file in item for item in found), found


def test_what_can_not_be_asked_is_said(
    call: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing installed buril's own checks are left; a problem ends with the exit code of a gate."""
    monkeypatch.setattr(tools, "program", lambda _name: None)
    monkeypatch.delenv(tools.CHECKOV_VARIABLE, raising=False)
    write_bundle(tmp_path / "bundle")
    (tmp_path / "buril.yaml").write_text(
        f"name: acme\ncollect: [packages]\ndeploy: {{image: 'r.example/buril@{DIGEST}', bundle: {{claim: bundles}}}}\n"
    )
    words = ("deploy", "kubernetes", "--bundle", "bundle", "--out", "out", "--check")
    answer = call(*words, "--json")
    assert answer.code == 0 and answer.json["problems"] == [] and answer.json["checked_by"] == ["buril"]
    assert set(answer.json["not_checked"]) == {
        "kubernetes-validate", "yamllint", "checkov", "monitoring.coreos.com/v1/PodMonitor"
    }  # fmt: skip
    from buril.deploy import contract

    monkeypatch.setattr(contract, "LIVE", "/livez")  # as if the server had moved its path after the pods were written
    from buril.deploy import kubernetes

    files = kubernetes.render
    monkeypatch.setattr(
        kubernetes, "render", lambda *told: {n: t.replace("/livez", "/old") for n, t in files(*told).items()}
    )
    answer = call(*words)
    assert answer.code == 3 and "V508" in answer.err and "other paths" in answer.err
    assert shutil.which("buril") is None or "not checked" in answer.err
