"""Container files: the server on a CPU, training on GPUs, and a bundle as an image of its own.

They are lists of instructions, so that what stands in them can be looked at before it is text. The folder that is
written is the whole context of a build: the wheel, the versions that are installed here, nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import NamedTuple

from buril import __version__
from buril.deploy import contract
from buril.deploy.text import lines_of

HOME = "/opt/buril"
WHEEL = f"buril-{__version__}-py3-none-any.whl"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where torch is without CUDA, which is 2 GB that a server on a CPU never uses."""
EXTRAS = {"server": ("serve", "openvino", "llamacpp", "remote"), "train": ("train", "qlora", "scan", "remote", "track")}
IGNORED = ("*", "!constraints.txt", "!wheels", f"!wheels/{WHEEL}")


class Step(NamedTuple):
    """An instruction. A list of words is written as JSON, so that no shell reads it."""

    word: str
    told: str | Sequence[str]

    @property
    def line(self) -> str:
        """The instruction as a container file has it."""
        return f"{self.word} {self.told if isinstance(self.told, str) else json.dumps(list(self.told))}"


def render(wheel: bytes | None) -> dict[str, str | bytes]:
    """The files of a build's context; with the wheel where there is one."""
    made: dict[str, str | bytes] = {
        "server.Dockerfile": lines_of(SERVER, [step.line for step in server()]),
        "train.Dockerfile": lines_of(TRAIN, [step.line for step in train()]),
        "bundle.Dockerfile": lines_of(BUNDLE, [step.line for step in bundle()]),
        ".dockerignore": "\n".join(IGNORED) + "\n",
        "constraints.txt": lines_of("What is installed where this was rendered: pip takes these versions alone.",
                                    constraints(metadata.distributions())),
    }  # fmt: skip
    return made | ({f"wheels/{WHEEL}": wheel} if wheel is not None else {})


SERVER = f"""\
The server on a CPU. Build it here, with the base by its digest and a list of what is inside:
  docker buildx build --sbom=true --provenance=true --build-arg BASE=python@sha256:… -f server.Dockerfile -t buril:{__version__} .
"""  # noqa: E501  a command to copy
TRAIN = f"""\
Training on GPUs: torch brings CUDA with it, the host brings the driver. Build it here:
  docker buildx build --sbom=true --provenance=true --build-arg BASE=python@sha256:… -f train.Dockerfile -t buril-train:{__version__} .
"""  # noqa: E501  a command to copy
BUNDLE = """\
A bundle as an image that holds nothing else, for `deploy.bundle.image`. Build it in the folder of the bundle:
  docker buildx build -f bundle.Dockerfile -t registry.example.org/bundle:1 FOLDER_OF_THE_BUNDLE
"""


def base() -> str:
    """The base image by default: the Python that the versions were chosen for."""
    return f"python:{sys.version_info.major}.{sys.version_info.minor}-slim-bookworm"


def build(extras: Iterable[str], torch_index: str | None) -> list[Step]:
    """The stage that installs; what it needs for that does not reach the image."""
    pip = f"{HOME}/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt"
    torch = [f'{pip} --index-url "$TORCH_INDEX" torch'] if torch_index else []
    wanted = f'{pip} "buril[{",".join(extras)}] @ file:///src/wheels/{WHEEL}"'
    return [
        Step("ARG", f"BASE={base()}"), Step("FROM", "${BASE} AS build"), Step("WORKDIR", "/src"),
        Step("COPY", ["constraints.txt", "./"]), Step("COPY", [f"wheels/{WHEEL}", "wheels/"]),
        *([Step("ARG", f"TORCH_INDEX={torch_index}")] if torch_index else []),
        Step("RUN", " && ".join([f"python -m venv {HOME}", *torch, wanted])),
    ]  # fmt: skip


def final(about: str, environment: Mapping[str, str]) -> list[Step]:
    """The stage that is kept: no pip's cache, no root."""
    told = {
        "PATH": f"{HOME}/bin:$PATH",
        "HOME": contract.TEMPORARY,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    user = contract.USER
    return [
        Step("FROM", "${BASE}"),
        Step("LABEL", f'org.opencontainers.image.title="{about}" org.opencontainers.image.version="{__version__}" '
                      'org.opencontainers.image.licenses="Apache-2.0"'),
        Step("RUN", f"install -d -o {user} -g {user} {contract.STATE} /data"),
        Step("COPY", f"--from=build {HOME} {HOME}"),
        Step("ENV", " ".join(f'{name}="{value}"' for name, value in {**told, **environment}.items())),
        Step("USER", f"{user}:{user}"),
        Step("STOPSIGNAL", "SIGTERM"),
    ]  # fmt: skip


def server() -> list[Step]:
    """The server's container file."""
    ask = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{contract.PORT}{contract.LIVE}', timeout=4)"
    command = contract.serve(contract.BUNDLE, state=contract.STATE, grace_s=30)
    return [
        *build(EXTRAS["server"], CPU_INDEX), *final("buril", {"HF_HUB_OFFLINE": "1"}),
        Step("WORKDIR", contract.STATE), Step("EXPOSE", str(contract.PORT)),
        Step("HEALTHCHECK", f"--interval=30s --timeout=5s --start-period=120s CMD {json.dumps(['python', '-c', ask])}"),
        Step("ENTRYPOINT", command[:1]), Step("CMD", command[1:]),
    ]  # fmt: skip


def train() -> list[Step]:
    """The container file of training. It listens to nothing, so there is nothing to ask whether it lives."""
    gpus = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    first, *rest = final("buril-train", gpus)
    git = "apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*"
    return [
        *build(EXTRAS["train"], None), first, Step("RUN", git), *rest, Step("WORKDIR", "/data"),
        Step("HEALTHCHECK", "NONE"), Step("ENTRYPOINT", ["buril"]), Step("CMD", ["run"]),
    ]  # fmt: skip


def bundle() -> list[Step]:
    """The container file of a bundle: files and nothing that runs."""
    return [
        Step("FROM", "scratch"), Step("COPY", [".", "/"]), Step("USER", f"{contract.USER}:{contract.USER}"),
        Step("HEALTHCHECK", "NONE"),
    ]  # fmt: skip


def constraints(found: Iterable[metadata.Distribution]) -> list[str]:
    """`name==version` of what is installed, but for buril itself. `+cpu` and the like name a build, not a version."""
    pinned = {
        item.metadata["Name"].lower().replace("_", "-"): item.version.partition("+")[0]
        for item in found
        if item.metadata["Name"]
    }
    return [f"{name}=={version}" for name, version in sorted(pinned.items()) if name != "buril"]


def sources(steps: Iterable[Step]) -> list[str]:
    """What a container file copies from its context; what it copies from another stage is written without a list."""
    copies = [step.told for step in steps if step.word == "COPY" and not isinstance(step.told, str)]
    return [item for told in copies for item in told[:-1]]
