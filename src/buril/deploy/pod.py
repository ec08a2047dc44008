"""Pods that may do little: no root, no writable root file system, no capabilities, no token of the cluster.

Every pod that loads a model first sees, in init containers, that the bundle is the one that was deployed and that each
of its files is whole. A pod with another bundle never starts its server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from buril.core.errors import BurilError
from buril.deploy import contract
from buril.deploy.model import Model
from buril.deploy.names import Component, Tree, metadata, resources, selector
from buril.deploy.settings import Deploy
from buril.deploy.size import CHECK, Size

DRAIN_S = 5
"""Seconds before SIGTERM in which the cluster stops sending requests to a pod that will end."""
MARGIN_S = 10


@dataclass(frozen=True)
class Site:
    """One model on one cluster: what all renderers are given."""

    name: str
    """The model's name as DNS takes it; what is made is called after it."""
    model: Model
    settings: Deploy
    serving: str
    """The part of the YAML that the server reads."""
    training: str
    """The whole YAML without secrets and without `deploy:`."""
    size: Size
    job_mb: float
    """Memory of a training pod."""
    variables: tuple[str, ...] = ()
    """Names of the environment that the whole YAML refers to."""
    serving_variables: tuple[str, ...] = ()
    bundle: str = contract.BUNDLE
    """Where containers see the bundle."""

    def config(self, component: Component) -> str:
        """The name of the ConfigMap of a component; another text has another name, so that a rollback finds the old."""
        text = self.training if component in ("training", "refresh") else self.serving + self.digests
        return f"{self.name}-config-{sha256(text.encode()).hexdigest()[:8]}"

    @property
    def digests(self) -> str:
        """The bundle's digest as `sha256sum --check` reads it."""
        return f"{self.model.digest}  {self.bundle}/{contract.MANIFEST}\n"

    @property
    def image(self) -> str:
        """Buril's image.

        Raises:
            BurilError: V501, V502.
        """
        return pinned("image", self.settings.image)


def pinned(name: str, image: str | None) -> str:
    """An image that is named by its digest.

    Raises:
        BurilError: V501 where there is none, V502 where a tag names it.
    """
    if not image:
        raise BurilError("V501", name=f"deploy.{name}")
    if "@sha256:" not in image:
        raise BurilError("V502", name=f"deploy.{name}", image=image)
    return image


def confined(*, read_only: bool = True) -> Tree:
    """What a container may do."""
    return {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": read_only,
        "runAsNonRoot": True,
    }  # fmt: skip


def unprivileged(user: int = contract.USER) -> Tree:
    """Who a pod runs as."""
    return {
        "runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip


def variables(site: Site, names: Sequence[str] = (), **more: str) -> list[Tree]:
    """The environment: nothing is asked of the network, caches lie in the temporary folder, secrets by reference."""
    plain = {"HF_HUB_OFFLINE": "1", "HOME": contract.TEMPORARY, "PYTHONDONTWRITEBYTECODE": "1", **more}
    secret = {"name": site.settings.variables}
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        *({"name": name, "valueFrom": {"secretKeyRef": {**secret, "key": name}}} for name in names),
    ]


def container(name: str, image: str, command: Sequence[str], size: Tree, **more: Any) -> Tree:
    """A confined container."""
    return {
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": list(command), "resources": size,
        "securityContext": confined(), **more,
    }  # fmt: skip


def mount(name: str, path: str, *, read_only: bool = True) -> Tree:
    """Where a container sees a volume."""
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}


def place(site: Site) -> str:
    """The one place of the bundle.

    Raises:
        BurilError: V503 where none is given or several are.
    """
    found = site.settings.bundle.places()
    if len(found) != 1:
        raise BurilError("V503", given=", ".join(found) or "—")
    return found[0]


def bundle_volume(site: Site) -> Tree:
    """The volume that holds the bundle."""
    told, kind = site.settings.bundle, place(site)
    if kind == "claim":
        return {"name": "bundle", "persistentVolumeClaim": {"claimName": told.claim, "readOnly": True}}
    if kind == "image":
        reference = pinned("bundle.image", told.image)
        return {"name": "bundle", "image": {"reference": reference, "pullPolicy": "IfNotPresent"}}
    return {"name": "bundle", "emptyDir": {}}


def bundle_mount(site: Site) -> Tree:
    """Where a container sees it; inside a claim it may be a folder."""
    inside = site.settings.bundle.path.strip("/") if place(site) == "claim" else ""
    return {**mount("bundle", site.bundle), **({"subPath": inside} if inside else {})}


def init_containers(site: Site) -> list[Tree]:
    """Copy the bundle where it must be; then hold it to the digest that was deployed, then every file to its own."""
    told, small = site.settings.bundle, resources(*CHECK)
    config = mount("config", contract.CONFIG)
    seen = {"volumeMounts": [bundle_mount(site), config, mount("tmp", contract.TEMPORARY, read_only=False)]}
    digests = f"{contract.CONFIG}/{contract.DIGEST_FILE}"
    checks = [
        container("same-bundle", site.image, contract.same(digests), small, **seen),
        container("whole-bundle", site.image, contract.check(site.bundle), small, env=variables(site), **seen),
    ]
    if place(site) != "s3":
        return checks
    at = ["--endpoint-url", told.s3_endpoint] if told.s3_endpoint else []
    command = ["aws", "s3", "sync", "--only-show-errors", *at, str(told.s3).rstrip("/"), site.bundle]
    into = [mount("bundle", site.bundle, read_only=False), mount("tmp", contract.TEMPORARY, read_only=False)]
    secret = [{"secretRef": {"name": told.s3_secret}}] if told.s3_secret else []
    copy = container(
        "copy-bundle", pinned("bundle.s3_image", told.s3_image), command, small,
        env=[{"name": "HOME", "value": contract.TEMPORARY}], envFrom=secret, volumeMounts=into,
    )  # fmt: skip
    return [copy, *checks]


def spread(site: Site, component: Component) -> list[Tree]:
    """Pods of one component on different machines and zones, where there are some."""
    labels = {"matchLabels": selector(site.name, component)}
    return [
        {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": labels}
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]


def template(site: Site, component: Component, spec: Tree) -> Tree:
    """A pod's template: how it is found, what it was made from, and what it does."""
    annotations = {"buril/bundle-digest": f"sha256:{site.model.digest}"}
    return {"metadata": {"labels": selector(site.name, component), "annotations": annotations}, "spec": spec}


def probe(path: str, port: str = "http", *, every_s: int, failures: int, wait_s: int = 5) -> Tree:
    """A question of the cluster to a container, by HTTP."""
    return {
        "httpGet": {"path": path, "port": port}, "periodSeconds": every_s, "failureThreshold": failures,
        "timeoutSeconds": wait_s,
    }  # fmt: skip


def probes(site: Site) -> Tree:
    """The server's: until it has started nothing else is asked, so that a slow load is no reason to be killed."""
    tries = max(1, -(-site.settings.startup_s // 5))
    return {
        "startupProbe": probe(contract.READY, every_s=5, failures=tries),
        "livenessProbe": probe(contract.LIVE, every_s=10, failures=6),
        "readinessProbe": probe(contract.READY, every_s=5, failures=2),
    }


def server_container(site: Site, command: Sequence[str], name: str = "server") -> Tree:
    """The container that listens."""
    size = resources(site.size.requests, site.size.limits)
    threads = str(max(1, int(site.size.limits[0])))
    pod = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return container(
        name, site.image, command, size,
        env=[*variables(site, site.serving_variables, OMP_NUM_THREADS=threads), pod],
        ports=[{"name": "http", "containerPort": contract.PORT, "protocol": "TCP"}],
        **probes(site),
        lifecycle={"preStop": {"exec": {"command": ["sleep", str(DRAIN_S)]}}},
    )  # fmt: skip


def server_spec(site: Site) -> Tree:
    """The pod of the server."""
    told = site.settings
    command = contract.serve(site.bundle, state=f"{contract.STATE}/$(POD_NAME)", grace_s=told.grace_s)
    mounts = [bundle_mount(site), *own_mounts()]
    return {
        "serviceAccountName": site.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": unprivileged(),
        "terminationGracePeriodSeconds": DRAIN_S + told.grace_s + MARGIN_S,
        "topologySpreadConstraints": spread(site, "server"),
        "initContainers": init_containers(site),
        "containers": [{**server_container(site, command), "volumeMounts": mounts}],
        "volumes": [bundle_volume(site), *own_volumes(site)],
    }


def own_mounts() -> list[Tree]:
    """What the server sees beside the bundle: its YAML and keys to read, its state and a temporary folder to write."""
    return [
        mount("config", contract.CONFIG), mount("keys", contract.KEYS),
        mount("state", contract.STATE, read_only=False), mount("tmp", contract.TEMPORARY, read_only=False),
    ]  # fmt: skip


def own_volumes(site: Site) -> list[Tree]:
    """The volumes of `own_mounts`."""
    kept = site.settings.state_gb is not None
    state = {"persistentVolumeClaim": {"claimName": f"{site.name}-state"}} if kept else {"emptyDir": {}}
    return [
        {"name": "config", "configMap": {"name": site.config("server")}},
        {"name": "keys", "secret": {"secretName": site.settings.keys, "defaultMode": 0o440}},
        {"name": "state", **state},
        {"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}},
    ]


def claim(site: Site, name: str, gigabytes: int) -> Tree:
    """A claim that many pods write to."""
    told = site.settings
    spec: Tree = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": f"{gigabytes}G"}}}
    if told.storage_class:
        spec["storageClassName"] = told.storage_class
    head = metadata(site.name, told.namespace, f"{site.name}-{name}", "server" if name == "state" else "training")
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": head, "spec": spec}
