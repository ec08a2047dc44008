"""Programs that judge rendered files, each where it is installed: what could not be asked is said, never passed over.

None of them is imported: they are of other licences and weigh more than all of this. Nothing here uses a network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from buril.deploy.check import Problem, documents

VERSIONS = ("1.29", "1.33", "1.37")
"""Releases of Kubernetes that manifests are held to: an old one that is still rented out, and the newest known."""
IMAGE_VOLUMES = "1.33"
"""The first release with image volumes on by default."""
CHECKOV_VARIABLE = "BURIL_CHECKOV"
"""Where checkov is when it is not on the PATH: it wants an environment of its own."""
TIMEOUT_S = 300.0
ACCEPTED: dict[str, str] = {
    "CKV_DOCKER_7": "the base is an argument, which checkov does not read; its default is a version",
    "CKV_K8S_35": "what the YAML names by `env:` is asked of the environment, and `aws` reads its keys there",
}
"""What checkov may find, and why it stays."""
YAMLLINT = "{extends: default, rules: {line-length: {max: 200}, document-start: disable, comments: disable}}"
HADOLINT_IGNORED = ("DL3008", "DL3006")
"""git in whatever version Debian has; a base that is an argument."""


def program(name: str) -> str | None:
    """Where a program is: on the PATH, or beside this Python."""
    here = Path(sys.executable).parent / name
    return shutil.which(name) or (str(here) if here.is_file() else None)


def checkov() -> str | None:
    """Where checkov is."""
    told = os.environ.get(CHECKOV_VARIABLE)
    return told if told and Path(told).is_file() else program("checkov")


def run(files: Mapping[str, str]) -> tuple[list[Problem], list[str], list[str]]:
    """What the programs find, which of them were asked, and what could not be.

    Returns:
        Problems; the names of the programs that were asked; what was not looked at.
    """
    problems: list[Problem] = []
    asked: list[str] = []
    left: list[str] = []
    with tempfile.TemporaryDirectory(prefix="buril-deploy-") as name:
        folder = Path(name)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        for tool, needed, ask in TOOLS:
            chosen = [path for path in files if needed(path, files[path])]
            where = checkov() if tool == "checkov" else program(tool)
            if not chosen:
                continue
            if where is None:
                left.append(tool)
                continue
            asked.append(tool)
            problems += ask(where, folder, chosen)
    left += sorted({f"{item['apiVersion']}/{item['kind']}" for _file, item in documents(files) if _is_custom(item)})
    return problems, asked, left


def _run(folder: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": "", "NO_COLOR": "1"}
    return subprocess.run(  # noqa: S603  a fixed command line; files of our own
        words, cwd=folder, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def _kubernetes(where: str, folder: Path, files: Sequence[str]) -> Iterator[Problem]:
    image = any("pullPolicy:" in (folder / path).read_text(encoding="utf-8") for path in files)
    for version in VERSIONS:
        if image and version < IMAGE_VOLUMES:
            continue
        done = _run(folder, [where, "--strict", "--quiet", "-k", version, *files])
        if done.returncode:
            yield from _lines(f"kubernetes-validate {version}", done, files)


def _yamllint(where: str, folder: Path, files: Sequence[str]) -> Iterator[Problem]:
    done = _run(folder, [where, "--strict", "--format", "parsable", "-d", YAMLLINT, *files])
    yield from _lines("yamllint", done, files) if done.returncode else ()


def _hadolint(where: str, folder: Path, files: Sequence[str]) -> Iterator[Problem]:
    ignored = [word for rule in HADOLINT_IGNORED for word in ("--ignore", rule)]
    done = _run(folder, [where, "--no-color", *ignored, *files])
    yield from _lines("hadolint", done, files) if done.returncode else ()


def _compose(where: str, folder: Path, files: Sequence[str]) -> Iterator[Problem]:
    done = _run(folder, [where, "--builtin-schema", "vendor.compose-spec", *files])
    yield from _lines("check-jsonschema", done, files) if done.returncode else ()


def _checkov(where: str, folder: Path, files: Sequence[str]) -> Iterator[Problem]:
    import json

    done = _run(folder, [where, "--directory", ".", "--framework", "kubernetes", "dockerfile", "--skip-download",
                         "--output", "json", "--quiet", "--compact", "--skip-check", ",".join(ACCEPTED)])  # fmt: skip
    try:
        told = json.loads(done.stdout)
    except ValueError:
        yield from _lines("checkov", done, files)
        return
    for report in told if isinstance(told, list) else [told]:
        for item in report.get("results", {}).get("failed_checks", ()):
            what = f"{item['check_id']} {item['check_name']} ({item['resource']})"
            yield Problem("checkov", str(item["file_path"]).lstrip("/"), what)


def _lines(tool: str, done: subprocess.CompletedProcess[str], files: Sequence[str]) -> Iterator[Problem]:
    """What a program said, a problem a line, at the file that the line begins with."""
    for line in (done.stdout + done.stderr).splitlines() or [f"exit code {done.returncode}"]:
        told = next((name for name in files if name in line), "")
        if line.strip():
            yield Problem(tool, told, line.removeprefix(told).lstrip(": "))


def _is_custom(document: Mapping[str, object]) -> bool:
    """Whether a manifest is of an operator, whose schema no program here carries."""
    group = str(document.get("apiVersion", "")).partition("/")[0]
    return "." in group and not group.endswith(".k8s.io") and "kind" in document


def _is_kubernetes(path: str, text: str) -> bool:
    found = [item for _name, item in documents({path: text})]
    return bool(found) and all("kind" in item and not _is_custom(item) for item in found)


Ask = Callable[[str, Path, Sequence[str]], Iterator[Problem]]
TOOLS: tuple[tuple[str, Callable[[str, str], bool], Ask], ...] = (
    ("kubernetes-validate", _is_kubernetes, _kubernetes),
    ("yamllint", lambda path, _text: path.endswith((".yaml", ".yml")), _yamllint),
    ("hadolint", lambda path, _text: path.endswith("Dockerfile"), _hadolint),
    ("check-jsonschema", lambda path, _text: path == "compose.yaml", _compose),
    ("checkov", lambda path, text: path.endswith("Dockerfile") or _is_kubernetes(path, text), _checkov),
)
