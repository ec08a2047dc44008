"""Plain manifests of the server, a file for each concern: nothing is needed to read them but Kubernetes itself."""

from __future__ import annotations

from collections.abc import Mapping

from buril.deploy import contract, jobs, networks, variants
from buril.deploy.names import Tree, metadata, selector
from buril.deploy.pod import Site, claim, server_spec, template
from buril.deploy.settings import Variant
from buril.deploy.text import file_of

SCALE_DOWN_S = 300


def render(site: Site, variant: Variant) -> dict[str, str]:
    """The files of a variant, by their path below the folder that is written.

    Raises:
        BurilError: V501 to V505 for what is missing or may not be in a manifest.
    """
    found = {f"server/{name}": made for name, made in server(site, variant).items()}
    if variant in ("vllm", "ray"):
        found |= {f"engine/{name}": made for name, made in variants.engine(site, variant).items()}
    found |= jobs.render(site)
    return {name: file_of(*made) for name, made in sorted(found.items())}


def server(site: Site, variant: Variant) -> dict[str, tuple[str, list[Tree]]]:
    """The server and all that stands around it: name of the file → what it is for, its manifests."""
    told = site.settings
    about = {
        "account.yaml": ("An account of its own, without a token: it asks nothing of the cluster.", [account(site)]),
        "config.yaml": ("What the server reads. Another content has another name, so that a rollback finds its own.",
                        [config(site)]),
        "service.yaml": ("The name under which the cluster reaches the server.", [service(site)]),
        "disruption.yaml": ("Nodes are emptied one pod of the server at a time.", [disruption(site)]),
        "network.yaml": ("Nothing may speak with anything but what is named here.", networks.server(site, variant)),
    }  # fmt: skip
    if variant == "kserve":
        about["inference.yaml"] = (
            "The server as KServe runs it: a runtime, and a service that uses it.",
            variants.kserve(site),
        )
        del about["service.yaml"], about["disruption.yaml"]  # KServe makes its own
    else:
        about["deployment.yaml"] = ("The server. Its pods start only with the bundle whose digest stands here.",
                                    [deployment(site)])  # fmt: skip
    if told.state_gb is not None:
        claims = [claim(site, "state", told.state_gb)]
        about["storage.yaml"] = ("What servers write: ledger and counts, a folder for each pod.", claims)
    if told.max_replicas is not None:
        about["autoscaler.yaml"] = (SCALER, [autoscaler(site, variant)])
    if told.host:
        about["ingress.yaml"] = ("The way in from outside, over TLS.", [ingress(site, variant)])
    if told.monitoring:
        about["monitor.yaml"] = ("Where Prometheus finds the metrics; needs the Prometheus operator.", [monitor(site)])
    return about


SCALER = f"""\
More servers when requests wait. The metric comes from Prometheus by an adapter; prometheus-adapter needs this rule:
  - seriesQuery: '{contract.QUEUE}{{namespace!="",pod!=""}}'
    resources: {{overrides: {{namespace: {{resource: namespace}}, pod: {{resource: pod}}}}}}
    name: {{matches: {contract.QUEUE}}}
    metricsQuery: 'sum(<<.Series>>{{<<.LabelMatchers>>}}) by (<<.GroupBy>>)'"""


def account(site: Site) -> Tree:
    """The pods' account."""
    head = metadata(site.name, site.settings.namespace, site.name, "server")
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": head, "automountServiceAccountToken": False}


def config(site: Site) -> Tree:
    """The YAML of the server, and the digest of the bundle that it may serve."""
    data = {contract.CONFIG_FILE: site.serving, contract.DIGEST_FILE: site.digests}
    head = metadata(site.name, site.settings.namespace, site.config("server"), "server")
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": data, "immutable": True}


def rollout(max_unavailable: int) -> Tree:
    """How pods are replaced: a new one first, or an old one first where there is no room for one more."""
    limits = {"maxSurge": 0 if max_unavailable else 1, "maxUnavailable": max_unavailable}
    return {"type": "RollingUpdate", "rollingUpdate": limits}


def deployment(site: Site) -> Tree:
    """The server. Where a scaler sets the number of pods none stands here, or each `apply` would set it back."""
    told = site.settings
    number = {} if told.max_replicas is not None else {"replicas": told.replicas}
    head = metadata(site.name, told.namespace, site.name, "server")
    spec = {
        **number,
        "revisionHistoryLimit": 5,
        "minReadySeconds": 10,
        "progressDeadlineSeconds": told.startup_s + 120,
        "strategy": rollout(told.max_unavailable),
        "selector": {"matchLabels": selector(site.name, "server")},
        "template": template(site, "server", server_spec(site)),
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": head, "spec": spec}


def service(site: Site) -> Tree:
    """The server's name in the cluster."""
    port = {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}
    spec = {"type": "ClusterIP", "selector": selector(site.name, "server"), "ports": [port]}
    head = metadata(site.name, site.settings.namespace, site.name, "server")
    return {"apiVersion": "v1", "kind": "Service", "metadata": head, "spec": spec}


def autoscaler(site: Site, variant: Variant) -> Tree:
    """As many servers as the queue needs: up at once, down slowly, for a model takes long to load."""
    told = site.settings
    target = f"{site.name}-predictor" if variant == "kserve" else site.name
    metric = {"metric": {"name": contract.QUEUE}, "target": {"type": "AverageValue", "averageValue": str(told.queue)}}
    slow = {"type": "Pods", "value": 1, "periodSeconds": 60}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        "minReplicas": told.replicas,
        "maxReplicas": max(told.replicas, told.max_replicas or told.replicas),
        "metrics": [{"type": "Pods", "pods": metric}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": SCALE_DOWN_S, "policies": [slow]}},
    }
    head = metadata(site.name, told.namespace, site.name, "server")
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": head, "spec": spec}


def disruption(site: Site) -> Tree:
    """How many pods an administrator may take away at a time."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": selector(site.name, "server")}}
    head = metadata(site.name, site.settings.namespace, site.name, "server")
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": head, "spec": spec}


def ingress(site: Site, variant: Variant) -> Tree:
    """The way in from outside."""
    told = site.settings
    name = f"{site.name}-predictor" if variant == "kserve" else site.name
    backend = {"service": {"name": name, "port": {"number": 80}}}
    rule = {"host": told.host, "http": {"paths": [{"path": "/v1", "pathType": "Prefix", "backend": backend}]}}
    kind = {"ingressClassName": told.ingress_class} if told.ingress_class else {}
    spec = {**kind, "tls": [{"hosts": [told.host], "secretName": told.tls}], "rules": [rule]}
    head = metadata(site.name, told.namespace, site.name, "server")
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": head, "spec": spec}


def monitor(site: Site) -> Tree:
    """Where the metrics are, for the Prometheus operator."""
    head = metadata(site.name, site.settings.namespace, site.name, "server")
    endpoint = {"port": "http", "path": contract.METRICS, "interval": "15s"}
    spec: Mapping[str, object] = {
        "selector": {"matchLabels": selector(site.name, "server")}, "podMetricsEndpoints": [endpoint]
    }  # fmt: skip
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": head, "spec": spec}
