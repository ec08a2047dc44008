"""`buril deploy`: what a cluster or a container needs to serve a bundle, rendered from the YAML and the bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from buril.cli.common import (
    config_option,
    following,
    json_option,
    load_chain,
    put,
    say,
    set_option,
    store_folder,
    store_option,
)
from buril.core.errors import BurilError, GateFailed
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.chain import Chain
    from buril.deploy.pod import Site
    from buril.deploy.settings import Variant

Command = TypeVar("Command", bound=Callable[..., Any])
TRAINING = {"train", "align"}
SHOWN = 20
"""Problems that are told one by one."""


@click.group()
def command() -> None:
    """Render what a cluster or a container needs to serve a bundle."""


def _out(name: str) -> Callable[[Command], Command]:
    """The options that all of them have."""

    def add(found: Command) -> Command:
        options = (
            click.option("-o", "--out", type=click.Path(path_type=Path), default=Path(name), show_default=True,
                         help=N_("The folder that is written.")),
            click.option("--check", is_flag=True, help=N_("Judge what was rendered, with what is installed; a problem "
                                                          "ends with exit code 3.")),
            click.option("--force", is_flag=True, help=N_("Write over files that were changed by hand.")),
            json_option,
        )  # fmt: skip
        for option in reversed(options):
            found = option(found)
        return found

    return add


bundle_option = click.option(
    "--bundle", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help=N_("The bundle, as it is here.")
)


# --- Kubernetes


@command.command(help=N_("Plain manifests for Kubernetes: server, network, scaler, training, refresh."))
@bundle_option
@click.option(
    "--variant", type=click.Choice(("cpu", "vllm", "kserve", "ray")), default="cpu", show_default=True,
    help=N_("The server by itself on CPUs; vLLM or Ray Serve on GPUs behind it; or under KServe."),
)  # fmt: skip
@config_option
@store_option
@set_option
@_out("deploy/kubernetes")
def kubernetes(
    bundle: Path, variant: Variant, config_path: Path, store_path: Path | None, changes: tuple[str, ...], out: Path,
    check: bool, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Render manifests."""
    from buril.deploy.kubernetes import render

    chain = load_chain(config_path, changes)
    site = _site(chain, bundle, variant, store_folder(config_path, store_path))
    files = render(site, variant)
    _finish(
        out,
        files,
        {"check": check, "force": force, "as_json": as_json},
        {"name": site.name, "digest": site.model.digest},
    )
    if not as_json:
        told = site.settings
        for line in (
            f"kubectl -n {told.namespace} create secret generic {told.keys} --from-file=keys=keys.json",
            f"kubectl apply -f {out}/server" + (f" -f {out}/engine" if variant in ("vllm", "ray") else ""),
        ):
            following(line)


def _site(chain: Chain, bundle: Path, variant: Variant, store: Path) -> Site:
    """What is deployed, and how; the plan says how much memory training takes."""
    from buril.deploy.model import read
    from buril.deploy.settings import Deploy
    from buril.deploy.site import site_of

    told = chain.top.deploy or Deploy.model_validate({})
    expected = _expected_mb(chain, store) if told.train and told.train.memory_gb is None else 0.0
    return site_of(chain.document.values, told, read(bundle), variant, expected_mb=expected)


def _expected_mb(chain: Chain, folder: Path) -> float:
    """The most memory that a stage is expected to take; 0 where the plan does not know it of training.

    That is so before the first stages have run here, and where the data are elsewhere.
    """
    from buril.core.store import Store

    try:
        steps = chain.plan(Store(folder, make=False))
    except BurilError as problem:
        say(_("the plan can't be made here ({cause}), so training is given a common size").format(cause=problem.cause))
        return 0.0
    known = {step.stage.name: step.estimate.ram_mb for step in steps if step.estimate}
    return max(known.values()) if known.keys() & TRAINING else 0.0


# --- Compose


@command.command(help=N_("A Compose file for one machine: server, Prometheus, Grafana, MLflow where it is asked for."))
@bundle_option
@config_option
@set_option
@_out("deploy/compose")
def compose(
    bundle: Path, config_path: Path, changes: tuple[str, ...], out: Path, check: bool, force: bool, as_json: bool
) -> None:
    """Render a Compose file and what stands around it."""
    from buril.deploy.compose import render

    chain = load_chain(config_path, changes)
    site = _site(chain.set("deploy.train", None), bundle, "cpu", Path())
    files = render(site, Path(os.path.relpath(bundle, out)).as_posix())
    _finish(
        out,
        files,
        {"check": check, "force": force, "as_json": as_json},
        {"name": site.name, "digest": site.model.digest},
    )
    if not as_json:
        following(f"docker compose --project-directory {out} up --wait")


# --- images


@command.command(help=N_("Container files: the server on CPUs, training on GPUs, a bundle as an image."))
@click.option(
    "--wheel",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=N_("buril's wheel, copied beside the container files."),
)
@_out("deploy/docker")
def docker(wheel: Path | None, out: Path, check: bool, force: bool, as_json: bool) -> None:
    """Render container files and the context of their builds."""
    from buril.deploy.docker import WHEEL, render

    data = None
    if wheel is not None:
        if wheel.name != WHEEL:
            raise BurilError("V509", path=wheel, wanted=WHEEL)
        try:
            data = wheel.read_bytes()
        except OSError as problem:
            raise BurilError("V509", path=wheel, wanted=WHEEL) from problem
    _finish(out, render(data), {"check": check, "force": force, "as_json": as_json}, {"wheel": WHEEL})
    if not as_json:
        if wheel is None:
            say(_("`{folder}/wheels` must hold {wheel}: give it with `--wheel`").format(folder=out, wheel=WHEEL))
        following(f"docker buildx build -f {out}/server.Dockerfile {out}")


# --- what all of them end with


def _finish(out: Path, files: Mapping[str, str | bytes], asked: Mapping[str, bool], about: Mapping[str, str]) -> None:
    """Write, judge where that is asked, and tell."""
    from buril.deploy.write import write

    gone = write(out, files, force=asked["force"])
    told: dict[str, Any] = {**about, "out": str(out), "files": sorted(files), "removed": gone}
    if asked["check"]:
        told |= _judged({name: text for name, text in files.items() if isinstance(text, str)})
    if asked["as_json"]:
        put(told)
    else:
        _tell(told)
    if told.get("problems"):
        raise GateFailed("V508", number=len(told["problems"]))


def _judged(files: Mapping[str, str]) -> dict[str, Any]:
    from buril.deploy import tools
    from buril.deploy.check import secrets, structure

    manifests = {
        name: text for name, text in files.items() if name.partition("/")[0] in ("server", "engine", "train", "refresh")
    }
    rest = {name: text for name, text in files.items() if name not in manifests and name != "constraints.txt"}
    found, asked, left = tools.run(files)
    problems = [*structure(manifests), *secrets(rest), *found]
    return {"problems": [item._asdict() for item in problems], "checked_by": ["buril", *asked], "not_checked": left}


def _tell(told: Mapping[str, Any]) -> None:
    for name in told["files"]:
        click.echo(f"{told['out']}/{name}")
    for name in told["removed"]:
        say(_("removed, as it is not rendered any more: {path}").format(path=f"{told['out']}/{name}"))
    for item in told.get("problems", [])[:SHOWN]:
        say(f"{item['file']}: {item['what']}  [{item['tool']}]")
    if "checked_by" in told:
        say(_("checked by {tools}").format(tools=", ".join(told["checked_by"])))
    if told.get("not_checked"):
        say(_("not checked, as nothing here knows how: {names}").format(names=", ".join(told["not_checked"])))
