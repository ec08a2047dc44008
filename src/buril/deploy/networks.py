"""Who may speak with whom: all pods of a site are shut off, then each way that is needed is opened by name."""

from __future__ import annotations

from collections.abc import Sequence

from buril.core.errors import BurilError
from buril.deploy import contract
from buril.deploy.names import Component, Tree, metadata, selector
from buril.deploy.pod import Site, place
from buril.deploy.settings import Variant

ENGINE_PORT = 8000
HEAD_PORT = 8265
"""Ray's head, by which the operator starts what is served. It asks nobody who they are: hence only the operator."""
TORCH_PORT = 29400


def server(site: Site, variant: Variant) -> list[Tree]:
    """The policies of the server, and the one that shuts everything off."""
    told = site.settings
    clients = [*told.clients, *([told.monitoring] if told.monitoring else [])]
    ways_in = [{"from": [namespace(name)], "ports": ports(contract.PORT)} for name in clients]
    ways_out = []
    if variant in ("vllm", "ray"):
        ways_out += [{"to": [pods(site, "engine")], "ports": ports(ENGINE_PORT)}]
    if variant == "kserve" or place(site) == "s3":
        ways_out += outside(site)
    return [closed(site), policy(site, "server", ways_in, [*ways_out, *([dns()] if ways_out else [])])]


def engine(site: Site, variant: Variant) -> list[Tree]:
    """The engine answers the server alone; Ray's pods speak among one another and with their operator."""
    told = site.settings
    ways_in: list[Tree] = [{"from": [pods(site, "server")], "ports": ports(ENGINE_PORT)}]
    ways_out: list[Tree] = []
    if told.monitoring:
        ways_in += [{"from": [namespace(told.monitoring)], "ports": ports(ENGINE_PORT)}]
    if variant == "ray":
        operator = {"from": [namespace(told.gpu.operator)], "ports": ports(ENGINE_PORT, HEAD_PORT)}
        ways_in += [operator, {"from": [pods(site, "engine")]}]
        ways_out += [{"to": [pods(site, "engine")]}, dns()]
    if place(site) == "s3":
        ways_out += [*outside(site), dns()]
    return [policy(site, "engine", ways_in, ways_out)]


def training(site: Site, component: Component) -> Tree:
    """Pods that train together speak with one another, and with the networks that the YAML names."""
    together = pods(site, component)
    ways_out = [{"to": [together]}, *outside(site), dns()]
    return policy(site, component, [{"from": [together]}], ways_out)


def closed(site: Site) -> Tree:
    """Nothing goes in or out of any pod of the site."""
    head = metadata(site.name, site.settings.namespace, f"{site.name}-closed", "server")
    spec = {"podSelector": {"matchLabels": selector(site.name)}, "policyTypes": ["Ingress", "Egress"]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": head, "spec": spec}


def policy(site: Site, component: Component, ways_in: Sequence[Tree], ways_out: Sequence[Tree]) -> Tree:
    """The ways in and out of one component."""
    head = metadata(site.name, site.settings.namespace, f"{site.name}-{component}", component)
    spec = {
        "podSelector": {"matchLabels": selector(site.name, component)}, "policyTypes": ["Ingress", "Egress"],
        "ingress": list(ways_in), "egress": list(ways_out),
    }  # fmt: skip
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": head, "spec": spec}


def namespace(name: str) -> Tree:
    """Every pod of a namespace."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def pods(site: Site, component: Component) -> Tree:
    """The pods of a component."""
    return {"podSelector": {"matchLabels": selector(site.name, component)}}


def ports(*numbers: int) -> list[Tree]:
    """Ports of TCP."""
    return [{"port": number, "protocol": "TCP"} for number in numbers]


def outside(site: Site) -> list[Tree]:
    """The networks that the YAML names, over TLS.

    Raises:
        BurilError: V501 where a bundle must be copied from S3 and no network is named.
    """
    if place(site) == "s3" and not site.settings.egress:
        raise BurilError("V501", name="deploy.egress")
    blocks = [{"ipBlock": {"cidr": network}} for network in site.settings.egress]
    return [{"to": blocks, "ports": ports(443)}] if blocks else []


def dns() -> Tree:
    """The cluster's names."""
    where = {**namespace("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    return {"to": [where], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
