"""What must hold of rendered files whatever is installed: names, quantities, selectors, images, probes, no secret."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from buril.core.text import _
from buril.deploy import contract
from buril.deploy.names import Tree
from buril.deploy.secrets import found_in

DNS = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
RUNS = {"Deployment", "Job"}
INJECTED = ("ray.io", "serving.kserve.io")
"""Groups of operators that say themselves what their containers run, or how they are asked whether they live."""


class Problem(NamedTuple):
    """Something that is wrong: who says so, where, and what."""

    tool: str
    file: str
    what: str


def documents(files: Mapping[str, str]) -> Iterator[tuple[str, Tree]]:
    """Every manifest with its file."""
    for name, text in files.items():
        if name.endswith((".yaml", ".yml")):
            yield from ((name, document) for document in yaml.safe_load_all(text) if document)


def structure(files: Mapping[str, str]) -> list[Problem]:
    """What is wrong with manifests of Kubernetes."""
    found = list(documents(files))
    told = [*_names(found), *_quantities(found), *_containers(found), *_selectors(found)]
    return [Problem("buril", name, what) for name, what in told] + secrets(files)


def secrets(files: Mapping[str, str]) -> list[Problem]:
    """Values in the files that look like secrets; they are never told, only where they stand."""
    return [
        Problem(
            "buril", name, _("line {line} looks like a secret ({rule})").format(line=finding.line, rule=finding.rule)
        )
        for name, text in files.items()
        for finding in found_in(text)
    ]


def pods(document: Tree) -> Iterator[Tree]:
    """The templates of pods inside a manifest, those of operators too."""
    spec = document.get("spec") or {}
    kind = document["kind"]
    if kind in RUNS:
        yield spec["template"]
    elif kind == "CronJob":
        yield spec["jobTemplate"]["spec"]["template"]
    elif kind == "RayService":
        cluster = spec["rayClusterConfig"]
        yield cluster["headGroupSpec"]["template"]
        yield from (group["template"] for group in cluster["workerGroupSpecs"])
    elif kind == "ServingRuntime":
        yield {
            "metadata": {"labels": spec["labels"]},
            "spec": {"containers": spec["containers"], "volumes": spec["volumes"]},
        }


def containers(template: Tree) -> Iterator[Tree]:
    """All containers of a pod."""
    yield from template["spec"].get("initContainers", [])
    yield from template["spec"]["containers"]


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a tree with its value, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key), item
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)


def _names(found: Sequence[tuple[str, Tree]]) -> Iterator[tuple[str, str]]:
    seen = Counter((item["kind"], item["metadata"]["name"]) for _file, item in found)
    for file, item in found:
        name = item["metadata"]["name"]
        if not DNS.fullmatch(name):
            yield file, _("`{name}` is no name for {kind}").format(name=name, kind=item["kind"])
        if seen[item["kind"], name] > 1:
            yield file, _("{kind} `{name}` stands twice").format(kind=item["kind"], name=name)


def _quantities(found: Sequence[tuple[str, Tree]]) -> Iterator[tuple[str, str]]:
    for file, item in found:
        for key, value in walk(item.get("spec")):
            if key in ("requests", "limits") and isinstance(value, Mapping):
                wrong = [str(amount) for amount in value.values() if not QUANTITY.fullmatch(str(amount))]
                yield from ((file, _("`{amount}` is no quantity").format(amount=amount)) for amount in wrong)


def _containers(found: Sequence[tuple[str, Tree]]) -> Iterator[tuple[str, str]]:
    for file, item in found:
        for template in pods(item):
            volumes = {volume["name"] for volume in template["spec"]["volumes"]}
            for told in containers(template):
                yield from ((file, f"{told['name']}: {what}") for what in _container(told, volumes))


def _container(told: Tree, volumes: set[str]) -> Iterator[str]:
    if "@sha256:" not in told["image"]:
        yield _("the image is not named by its digest")
    if set(told["resources"]) != {"requests", "limits"}:
        yield _("requests and limits must both stand")
    lost = [mount["name"] for mount in told.get("volumeMounts", ()) if mount["name"] not in volumes]
    yield from (_("there is no volume `{name}`").format(name=name) for name in lost)
    right = told["securityContext"]
    if not right.get("runAsNonRoot") or right.get("capabilities") != {"drop": ["ALL"]}:
        yield _("it may do more than it needs")
    if told["command"][:2] == ["buril", "serve"] if told.get("command") else False:
        paths = {
            name: told.get(name, {}).get("httpGet", {}).get("path") for name in ("livenessProbe", "readinessProbe")
        }
        if paths != {"livenessProbe": contract.LIVE, "readinessProbe": contract.READY}:
            yield _("its probes ask other paths than the server has")


def _selectors(found: Sequence[tuple[str, Tree]]) -> Iterator[tuple[str, str]]:
    """Whoever selects pods must find some, and a controller its own."""
    labels = [template["metadata"]["labels"] for _file, item in found for template in pods(item)]
    for file, item in found:
        spec = item.get("spec") or {}
        if item["kind"] == "Deployment" and not _matches(
            spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]
        ):
            yield file, _("the Deployment does not find its own pods")
        for wanted in selected(item):
            if not any(_matches(wanted, given) for given in labels):
                yield file, _("{kind} `{name}` finds no pod").format(kind=item["kind"], name=item["metadata"]["name"])
        if item["kind"] == "HorizontalPodAutoscaler":
            yield from ((file, what) for what in _target(spec["scaleTargetRef"], found))


def _target(wanted: Tree, found: Sequence[tuple[str, Tree]]) -> Iterator[str]:
    """What a scaler names must be there; KServe names its Deployment after its service."""
    there = {(item["kind"], item["metadata"]["name"]) for _file, item in found}
    made = {("Deployment", f"{name}-predictor") for kind, name in there if kind == "InferenceService"}
    if (wanted["kind"], wanted["name"]) not in there | made:
        yield _("the scaler names `{name}`, which is not there").format(name=wanted["name"])


def selected(document: Tree) -> Iterator[dict[str, str]]:
    """The labels by which a manifest looks for pods of the site."""
    spec = document.get("spec") or {}
    if document["kind"] == "Service":
        yield spec["selector"]
    if document["kind"] in ("PodDisruptionBudget", "PodMonitor"):
        yield spec["selector"]["matchLabels"]
    if document["kind"] == "NetworkPolicy":
        yield spec["podSelector"]["matchLabels"]
        ways = [*spec.get("ingress", ()), *spec.get("egress", ())]
        peers = [peer for way in ways for peer in (*way.get("from", ()), *way.get("to", ()))]
        yield from (peer["podSelector"]["matchLabels"] for peer in peers if peer.keys() == {"podSelector"})


def _matches(wanted: Mapping[str, str], given: Mapping[str, str]) -> bool:
    return wanted.items() <= given.items()
