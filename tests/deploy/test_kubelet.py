"""What a kubelet would do, as far as a machine without one can: the rendered commands run here, with their volumes.

Paths of mounts become folders of the test, `$(NAME)` is put in from the container's environment, a container that
ends with an error keeps those after it from starting. No container, no other user, no limits: those are the cluster's.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from buril.cli.main import VERBS, cli
from buril.deploy import contract
from tests.deploy.conftest import VARIANTS, write_bundle
from tests.docs.test_docs import parse

Rendered = Callable[..., dict[str, str]]


def find(files: dict[str, str], kind: str) -> dict[str, Any]:
    (found,) = [m for text in files.values() for m in yaml.safe_load_all(text)
                if m["kind"] == kind and m["metadata"]["name"] == "acme-coder"]  # fmt: skip
    return found


class Kubelet:
    """Runs containers of a rendered pod as processes."""

    def __init__(self, root: Path, files: dict[str, str], bundle: Path) -> None:
        self.root, self.files, self.bundle = root, files, bundle
        (root / "bin").mkdir(exist_ok=True)
        program = root / "bin/buril"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m buril "$@"\n')
        program.chmod(0o755)

    def place(self, volumes: list[dict[str, Any]], mount: dict[str, Any]) -> Path:
        """The folder that stands for a mounted volume; a ConfigMap's is written first."""
        (volume,) = [v for v in volumes if v["name"] == mount["name"]]
        if "configMap" in volume:
            (told,) = [m for text in self.files.values() for m in yaml.safe_load_all(text)
                       if (m["kind"], m["metadata"]["name"]) == ("ConfigMap", volume["configMap"]["name"])]  # fmt: skip
            folder = self.root / "config"
            folder.mkdir(exist_ok=True)
            for name, text in told["data"].items():
                (folder / name).write_text(text)
            return folder
        return self.bundle if mount["name"] == "bundle" else self.root / mount["name"]

    def line(self, container: dict[str, Any], volumes: list[dict[str, Any]]) -> tuple[list[str], dict[str, str]]:
        """The command as it can run here, and its environment."""
        places = {m["mountPath"]: str(self.place(volumes, m)) for m in container["volumeMounts"]}
        places.setdefault("/mnt/models", str(self.bundle))  # where KServe puts it
        inside = re.compile(
            "|".join(rf"(?<![\w.-]){re.escape(path)}(?=/|\s|$)" for path in sorted(places, key=len)[::-1])
        )
        given = {item["name"]: item.get("value", f"x-{item['name']}") for item in container.get("env", [])}

        def here(text: str) -> str:
            text = re.sub(r"\$\((\w+)\)", lambda found: given[found[1]], text)
            return inside.sub(lambda found: places[found[0]], text)

        for name in ("config",):
            for path in (self.root / name).glob("*.sha256"):
                path.write_text(here(path.read_text()))
        env = {"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
               **{name: here(value) for name, value in given.items()}}  # fmt: skip
        return [here(word) for word in container["command"]], env

    def run(self, container: dict[str, Any], volumes: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
        """Run a container to its end."""
        words, env = self.line(container, volumes)
        return subprocess.run(words, cwd=self.root, env=env, check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture
def kubelet(tmp_path: Path, rendered: Rendered, bundle: Path) -> Callable[..., Kubelet]:
    return lambda variant="cpu", **told: Kubelet(tmp_path, rendered(variant, **told), bundle)


def spoil_nothing(bundle: Path) -> None:
    """The bundle as it was deployed."""


def spoil_name(bundle: Path) -> None:
    path = bundle / "bundle.json"
    path.write_bytes(path.read_bytes().replace(b"acme", b"acne"))


def spoil_all(bundle: Path) -> None:
    write_bundle(bundle, content=b"another model")


def spoil_away(bundle: Path) -> None:
    (bundle / "bundle.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "starts"), [(spoil_nothing, True), (spoil_name, False), (spoil_all, False), (spoil_away, False)]
)
@pytest.mark.parametrize("variant", ["cpu", "kserve"])
def test_a_pod_starts_with_its_own_bundle_and_with_no_other(
    kubelet: Callable[..., Kubelet], bundle: Path, spoil: Callable[[Path], None], starts: bool, variant: str
) -> None:
    node = kubelet(variant)
    spoil(bundle)
    if variant == "cpu":
        spec = find(node.files, "Deployment")["spec"]["template"]["spec"]
        done = node.run(spec["initContainers"][0], spec["volumes"])
        assert (done.returncode == 0) is starts, done.stdout + done.stderr
        assert ("bundle.json: OK" in done.stdout) is starts
        return
    spec = find(node.files, "ServingRuntime")["spec"]
    done = node.run(spec["containers"][0], spec["volumes"])
    reached = "error[" in done.stderr or "serve" in done.stderr  # buril itself was started, whatever it made of it
    assert reached is starts, done.stdout + done.stderr
    assert ("bundle.json: OK" in done.stdout) is starts


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_commands_of_pods_are_commands_of_buril(rendered: Rendered, variant: str) -> None:
    """Every `buril …` in any container is taken apart as the command line would; verbs of later versions are told."""
    seen, later = 0, set()
    for text in rendered(variant).values():
        for words in re.findall(r"^ +- buril\n((?: +- .*\n)+)", text, re.MULTILINE):
            line = [str(yaml.safe_load(word.strip().removeprefix("- "))) for word in words.splitlines()]
            if line[0] not in VERBS:
                later.add(line[0])
                continue
            parse(cli, line, None, whole=True)
            seen += 1
    assert seen, "`buril run` of the training, at least"
    if later:
        pytest.skip(f"this version has no {', '.join(sorted(later))}; the other commands are in order")


def answer(port: int, path: str) -> tuple[int, str]:
    """Status and text of a path; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, ""
    except OSError:
        return 0, ""


def test_the_server_lives_and_is_ready_where_the_probes_ask(rendered: Rendered, tmp_path: Path) -> None:
    """The Deployment's own command on a real bundle: probes, metrics, and an end within the time that it is given."""
    if "serve" not in VERBS:
        pytest.skip("this version has no `buril serve`")
    told = os.environ.get("BURIL_TEST_BUNDLE")
    if not told:
        pytest.skip("BURIL_TEST_BUNDLE names no bundle to serve")
    node = Kubelet(tmp_path, rendered(), Path(told))
    spec = find(node.files, "Deployment")["spec"]["template"]["spec"]
    (server,) = spec["containers"]
    for name in ("keys", "state", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "keys/keys").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words, env = node.line(server, spec["volumes"])
    process = subprocess.Popen([str(port) if word == "8080" else word for word in words], cwd=tmp_path, env=env)
    try:
        end = time.monotonic() + 300
        while answer(port, server["startupProbe"]["httpGet"]["path"])[0] != 200:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.5)
        assert answer(port, server["livenessProbe"]["httpGet"]["path"])[0] == 200
        status, metrics = answer(port, contract.METRICS)
        assert status == 200 and contract.QUEUE in metrics and f"{contract.DURATION}_bucket" in metrics
        process.terminate()
        assert process.wait(spec["terminationGracePeriodSeconds"]) in (0, -15)
    finally:
        process.kill()
        process.wait()
