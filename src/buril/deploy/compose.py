"""A Compose file for one machine: the server, Prometheus and Grafana beside it, MLflow where it is asked for."""

from __future__ import annotations

from typing import Any

from buril import __version__
from buril.deploy import contract
from buril.deploy.dashboard import dashboard, scrape
from buril.deploy.names import Tree
from buril.deploy.pod import Site
from buril.deploy.text import file_of

PROMETHEUS, GRAFANA, MLFLOW = "prom/prometheus:v3.5.0", "grafana/grafana:12.1.0", "ghcr.io/mlflow/mlflow:v3.4.0"
"""Give other images, by digest, in a `compose.override.yaml`."""
LOCAL = "127.0.0.1"
"""Ports are those of this machine alone; what lets others in is a proxy with TLS."""


def render(site: Site, bundle: str) -> dict[str, str]:
    """The files of a folder; `bundle` is the bundle's path, relative to it."""
    grafana = "grafana/provisioning"
    return {
        "compose.yaml": file_of(ABOUT, [project(site, bundle)]),
        f"config/{contract.CONFIG_FILE}": site.serving,
        f"config/{contract.DIGEST_FILE}": site.digests,
        "prometheus.yml": file_of("What Prometheus asks.", [scrape()]),
        f"{grafana}/datasources/prometheus.yml": file_of("Where Grafana reads.", [_source()]),
        f"{grafana}/dashboards/buril.yml": file_of("Where Grafana finds its dashboards.", [_provider()]),
        "grafana/dashboards/buril.json": dashboard(),
    }


ABOUT = """\
The server on one machine. Put the file of API keys beside this one as `keys.json`, then: docker compose up --wait
Passwords: GRAFANA_PASSWORD from the environment or a file `.env`. MLflow too: the option --profile mlflow."""


def project(site: Site, bundle: str) -> Tree:
    """The whole of it."""
    image = site.settings.image or f"buril:{__version__}"
    volumes = ["state", "prometheus", "grafana", "mlflow"]
    return {
        "name": site.name,
        "services": {
            "check": _check(site, image, bundle), "server": _server(site, image, bundle), "prometheus": _prometheus(),
            "grafana": _grafana(), "mlflow": _mlflow(),
        },
        "networks": {"default": {}, "inside": {"internal": True}},
        "secrets": {"keys": {"file": "./keys.json"}},
        "volumes": {name: {} for name in volumes},
    }  # fmt: skip


def confined(image: str, **more: Any) -> Tree:
    """A service that may do little."""
    return {
        "image": image, "read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
        "tmpfs": [contract.TEMPORARY], **more,
    }  # fmt: skip


def _bundle(site: Site, bundle: str) -> list[Tree]:
    return [
        {"type": "bind", "source": bundle, "target": site.bundle, "read_only": True},
        {"type": "bind", "source": "./config", "target": contract.CONFIG, "read_only": True},
    ]


def _check(site: Site, image: str, bundle: str) -> Tree:
    """Ends well only when the bundle is the one that was deployed; the server holds its files to their digests."""
    command = contract.same(f"{contract.CONFIG}/{contract.DIGEST_FILE}")
    return confined(
        image, entrypoint=command, command=[], user=_user(), network_mode="none", volumes=_bundle(site, bundle)
    )  # fmt: skip


def _server(site: Site, image: str, bundle: str) -> Tree:
    told = site.settings
    command = contract.serve(site.bundle, state=contract.STATE, grace_s=told.grace_s)
    limits = {"cpus": str(site.size.limits[0]), "memory": f"{round(site.size.limits[1] * 1e6)}b"}
    return confined(
        image, entrypoint=command[:1], command=command[1:], user=_user(), restart="unless-stopped",
        environment={"HF_HUB_OFFLINE": "1", "HOME": contract.TEMPORARY,
                     "OMP_NUM_THREADS": str(max(1, int(site.size.limits[0]))),
                     **{name: f"${{{name}:?}}" for name in site.serving_variables}},
        depends_on={"check": {"condition": "service_completed_successfully"}},
        ports=[f"{LOCAL}:{contract.PORT}:{contract.PORT}"], networks=["default", "inside"],
        secrets=[{"source": "keys", "target": f"{contract.KEYS}/{contract.KEYS_FILE}"}],
        volumes=[*_bundle(site, bundle), {"type": "volume", "source": "state", "target": contract.STATE}],
        stop_grace_period=f"{told.grace_s + 10}s", healthcheck=_health(contract.READY, told.startup_s),
        deploy={"resources": {"limits": limits}},
    )  # fmt: skip


def _health(path: str, start_s: int) -> Tree:
    ask = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{contract.PORT}{path}', timeout=4)"
    return {
        "test": ["CMD", "python", "-c", ask], "interval": "10s", "timeout": "5s", "retries": 3,
        "start_period": f"{start_s}s",
    }  # fmt: skip


def _user() -> str:
    return f"{contract.USER}:{contract.USER}"


def _prometheus() -> Tree:
    volumes = ["./prometheus.yml:/etc/prometheus/prometheus.yml:ro", "prometheus:/prometheus"]
    return confined(
        PROMETHEUS, restart="unless-stopped", networks=["inside"], volumes=volumes, depends_on=["server"],
        command=["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.retention.time=30d"],
    )  # fmt: skip


def _grafana() -> Tree:
    """Without a password of yours it does not start."""
    told = {
        "GF_SECURITY_ADMIN_PASSWORD": "${GRAFANA_PASSWORD:?set a password}", "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false", "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_USERS_ALLOW_SIGN_UP": "false",
    }  # fmt: skip
    volumes = [
        "./grafana/provisioning:/etc/grafana/provisioning:ro", "./grafana/dashboards:/etc/grafana/buril:ro",
        "grafana:/var/lib/grafana",
    ]  # fmt: skip
    return confined(
        GRAFANA, restart="unless-stopped", environment=told, networks=["default", "inside"],
        ports=[f"{LOCAL}:3000:3000"],         volumes=volumes, depends_on=["prometheus"],
    )  # fmt: skip


def _mlflow() -> Tree:
    """Without job execution: that takes eight processes more and 2 GB."""
    command = ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--backend-store-uri",  # noqa: S104  of its container; the port is this machine's alone
               "sqlite:////mlflow/mlflow.db", "--artifacts-destination", "/mlflow/artifacts"]  # fmt: skip
    return confined(
        MLFLOW, profiles=["mlflow"], restart="unless-stopped", command=command, networks=["default"],
        environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "HOME": contract.TEMPORARY},
        ports=[f"{LOCAL}:5000:5000"], volumes=["mlflow:/mlflow"],
    )  # fmt: skip


def _source() -> Tree:
    source = {
        "name": "Prometheus",
        "uid": "prometheus",
        "type": "prometheus",
        "url": "http://prometheus:9090",
        "isDefault": True,
    }
    return {"apiVersion": 1, "datasources": [source]}


def _provider() -> Tree:
    return {
        "apiVersion": 1,
        "providers": [{"name": "buril", "type": "file", "options": {"path": "/etc/grafana/buril"}}],
    }
