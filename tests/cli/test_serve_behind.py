"""`buril serve` with an engine by URL, as a person runs it: our process before llama.cpp's server, and a bundle's pod."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for package in (
    "torch",
    "transformers",
    "fastapi",
    "uvicorn",
    "httpx",
    "prometheus_client",
    "gguf",
    "xllamacpp",
    "peft",
):
    pytest.importorskip(package, reason=f"{package} is not installed")

import yaml  # noqa: E402
from tests.cli.test_serve import Process, buril  # noqa: E402
from tests.deploy.conftest import FULL  # noqa: E402
from tests.deploy.test_kubelet import Kubelet, answer, find  # noqa: E402
from tests.export.small import export, inputs  # noqa: E402
from tests.serve.upstreams import Llama, free_port, until  # noqa: E402

from buril.deploy import variants  # noqa: E402
from buril.deploy.kubernetes import render  # noqa: E402
from buril.deploy.model import read  # noqa: E402
from buril.deploy.settings import Deploy  # noqa: E402
from buril.deploy.site import site_of  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        return export(inputs(root / "made"), root / "out")


@pytest.fixture(scope="module")
def llama(bundle: Path) -> Iterator[Llama]:
    found = Llama(next(bundle.glob("gguf*/*.gguf")), bundle.parent / "log")
    yield found
    found.end()


def settings(path: Path, url: str, **more: Any) -> Path:
    """A YAML whose server asks another one."""
    told = {"name": "acme", "serve": {"engine": {"openai": {"url": url, "model": "toy", **more}}, "guards": []}}
    path.write_text(json.dumps(told))
    return path


def test_a_bundles_tokenizer_before_another_server(bundle: Path, llama: Llama, tmp_path: Path) -> None:
    settings(tmp_path / "buril.yaml", llama.url)
    server = Process(tmp_path, "--bundle", str(bundle), "--state", "kept", engine=None)
    try:
        engine = server.until("engine")
        assert engine["way"] == "ids" and engine["name"] == "openai" and engine["answer_tokens_s"] > 0
        server.until("ready")
        found = server.client.post("/v1/completions", json={"prompt": "a = ", "suffix": "\nb", "max_tokens": 5}).json()
        told = found["buril"]["model"]
        assert told["engine"]["key"] == "toy" and {"base", "tokenizer", "train"} <= told.keys()
        record = json.loads((tmp_path / f"kept/completions/{found['buril']['records'][0]}.json").read_text())
        assert (
            record["model"]["engine"] == told["engine"] and record["num_tokens"] == found["usage"]["completion_tokens"]
        )
        assert server.client.get("/v1/models").json()["data"][0]["id"] == "acme"
        assert "a = " not in server.log.read_text()
        assert server.end() == 0
        assert server.lines()[-1]["event"] == "ended"
    finally:
        server.end()


def test_without_a_model_of_ours_a_record_names_the_other_servers(llama: Llama, tmp_path: Path) -> None:
    settings(tmp_path / "buril.yaml", llama.url)
    server = Process(tmp_path, "--no-supervise", engine=None)
    try:
        server.until("ready")
        found = server.client.post("/v1/completions", json={"prompt": "class Vault", "max_tokens": 5}).json()
        assert set(found["buril"]["model"]) == {"engine", "fingerprint"}
        record = found["buril"]["records"][0]
        traced = buril(tmp_path, "trace", record)
        assert traced.returncode == 2 and "engine@toy" in traced.stderr, traced.stderr
        hole = server.client.post("/v1/completions", json={"prompt": "a", "suffix": "b"})
        assert hole.status_code == 400 and hole.json()["error"]["code"] == "T015"
    finally:
        assert server.end() == 0


def test_a_server_that_waits_for_its_engine_ends_when_it_is_told(tmp_path: Path) -> None:
    settings(tmp_path / "buril.yaml", f"http://127.0.0.1:{free_port()}/v1")
    server = Process(tmp_path, engine=None)
    waits = server.until("engine_waits")
    assert waits["code"] == "V010" and server.client.get("/readyz").status_code == 503
    assert server.client.get("/healthz").status_code == 200
    assert server.end() == 0


@pytest.mark.parametrize("variant", ["vllm", "ray"])
def test_the_servers_pod_starts_before_its_engine(bundle: Path, llama: Llama, tmp_path: Path, variant: Any) -> None:
    """The command of the rendered pod, in the place where the engine is; llama.cpp stands in for vLLM."""
    told = {**FULL, "replicas": 1}
    files = render(site_of({"name": "acme-coder"}, Deploy.model_validate(told), read(bundle), variant), variant)
    node = Kubelet(tmp_path, files, bundle)
    spec = find(node.files, "Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    for name in ("keys", "state", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "keys/keys").write_text('{"keys": []}')
    words, env = node.line(container, spec["volumes"])
    config = next(Path(word) for word in words if word.endswith(".yaml"))
    served = yaml.safe_load(config.read_text())
    engine = served["serve"]["engine"]["openai"]
    assert engine["url"] == variants.engine_url(
        site_of({"name": "acme-coder"}, Deploy.model_validate(told), read(bundle), variant), variant
    )
    assert engine["model"] == read(bundle).name
    config.write_text(yaml.safe_dump({**served, "serve": {"engine": {"openai": {**engine, "url": llama.url}}}}))
    port = free_port()
    process = subprocess.Popen([str(port) if word == "8080" else word for word in words], cwd=tmp_path, env=env)
    try:
        until(
            lambda: process.poll() is not None or answer(port, container["startupProbe"]["httpGet"]["path"])[0] == 200,
            90,
        )
        assert process.poll() is None
        assert answer(port, container["livenessProbe"]["httpGet"]["path"])[0] == 200
        assert answer(port, container["readinessProbe"]["httpGet"]["path"])[0] == 200
    finally:
        process.terminate()
        assert process.wait(60) in (0, -15)
