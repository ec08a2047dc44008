"""A bundle on disk with real digests, and deployments of it in every form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.deploy.kubernetes import render
from buril.deploy.model import read
from buril.deploy.pod import Site
from buril.deploy.settings import Deploy
from buril.deploy.site import site_of

DIGEST = "sha256:" + hashlib.sha256(b"an image").hexdigest()
IMAGE = f"registry.example.org/buril@{DIGEST}"
VARIANTS = ("cpu", "vllm", "kserve", "ray")
FULL: dict[str, Any] = {
    "image": IMAGE, "bundle": {"claim": "bundles", "path": "acme/1"}, "host": "code.acme.example", "egress": ["10.0.0.0/8"],
    "gpu": {"image": f"docker.io/vllm/vllm-openai@{DIGEST}", "gpus": 2, "replicas": 2},
    "train": {"nodes": 2, "gpus": 8, "cpu": 64, "image": f"registry.example.org/buril-train@{DIGEST}"},
    "refresh": "17 3 * * 6", "storage_class": "files", "ingress_class": "nginx",
}  # fmt: skip
VALUES: dict[str, Any] = {
    "name": "acme-coder", "collect": [{"github": {"org": "acme", "token": "env:GITHUB_TOKEN"}}], "train": {"method": "lora"}
}  # fmt: skip


def write_bundle(folder: Path, name: str = "acme-coder", content: bytes = b"weights") -> Path:
    """A bundle: weights in two formats and `bundle.json` with the digest and size of each."""
    files = {
        "safetensors/model.safetensors": content * 1000,
        "safetensors/adapter/adapter_model.safetensors": content,
        "gguf/model.gguf": content * 300,
        "fim.json": b"{}",
    }
    told = []
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        told.append({"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
    (folder / "bundle.json").write_text(json.dumps({"name": name, "files": told}, indent=1))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def site(bundle: Path) -> Callable[..., Site]:
    """A site: `site("vllm", replicas=3)`; what is given stands in for what `FULL` says."""

    def make(variant: Any = "cpu", values: dict[str, Any] | None = None, **told: Any) -> Site:
        settings = Deploy.model_validate({**FULL, **told})
        return site_of(VALUES if values is None else values, settings, read(bundle), variant)

    return make


@pytest.fixture
def rendered(site: Callable[..., Site]) -> Callable[..., dict[str, str]]:
    """The files of a site."""
    return lambda variant="cpu", values=None, **told: render(site(variant, values, **told), variant)
