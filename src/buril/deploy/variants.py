"""Other ways to run the model: vLLM on GPUs behind the server, Ray Serve behind the server, KServe around the server.

Of these a test runs the command of the server's pod alone; the form of the others is that of the types in their
sources: KServe 0.15 (`pkg/apis/serving`), KubeRay 1.4 (`ray-operator/apis/ray/v1`), Ray Serve LLM 2.50, vLLM 0.11.
"""

from __future__ import annotations

from collections.abc import Sequence

from buril.core.errors import BurilError
from buril.deploy import contract, networks
from buril.deploy.names import Tree, metadata, resources, selector
from buril.deploy.pod import (
    MARGIN_S,
    Site,
    bundle_mount,
    bundle_volume,
    confined,
    container,
    init_containers,
    mount,
    own_mounts,
    own_volumes,
    pinned,
    place,
    probe,
    server_container,
    spread,
    template,
    unprivileged,
    variables,
)  # fmt: skip
from buril.deploy.settings import Variant
from buril.deploy.text import dump

MODELS = "/mnt/models"
"""Where KServe puts what `storageUri` names."""
RAY_USER = 1000
"""The user inside Ray's images."""
QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "RAY_USAGE_STATS_ENABLED": "0", "USER": "buril"}
"""No telemetry; and a name for the user, whom torch asks for."""
SAME = 'sha256sum --check --strict "$0" && exec "$@"'
"""Holds the bundle to its digest, then becomes the server: under KServe nothing else runs once the model is there."""
Files = dict[str, tuple[str, list[Tree]]]


def engine_url(site: Site, variant: Variant) -> str:
    """Where the server asks the engine."""
    name = f"{site.name}-ray-serve-svc" if variant == "ray" else f"{site.name}-engine"
    return f"http://{name}:{networks.ENGINE_PORT}/v1"


def weights(site: Site) -> str:
    """The folder of the merged weights, which is what vLLM loads.

    Raises:
        BurilError: V506 where the bundle has none.
    """
    folder = site.model.folder("safetensors")
    if folder is None:
        raise BurilError("V506", format="safetensors")
    return f"{site.bundle}/{folder}".removesuffix("/.")


def engine(site: Site, variant: Variant) -> Files:
    """The files of the engine on GPUs."""
    made: Files = {"network.yaml": ("Only the server may ask the engine.", networks.engine(site, variant))}
    if variant == "ray":
        made["service.yaml"] = ("vLLM under Ray Serve; needs KubeRay's operator.", [ray(site)])
    else:
        made["deployment.yaml"] = ("vLLM on GPUs, with the merged weights of the bundle.", vllm(site))
    return made


# --- vLLM


def vllm(site: Site) -> list[Tree]:
    """VLLM's OpenAI server, and its name."""
    told, name = site.settings.gpu, f"{site.name}-engine"
    head = metadata(site.name, site.settings.namespace, name, "engine")
    labels = {"matchLabels": selector(site.name, "engine")}
    spec = {
        "replicas": told.replicas, "revisionHistoryLimit": 5, "minReadySeconds": 10,
        "progressDeadlineSeconds": site.settings.startup_s + 120,
        # a GPU more is seldom free, so an old pod ends first; with several replicas the others go on
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        "selector": labels, "template": template(site, "engine", vllm_spec(site)),
    }  # fmt: skip
    port = {"name": "http", "port": networks.ENGINE_PORT, "targetPort": "http", "protocol": "TCP"}
    ways = {"type": "ClusterIP", "selector": selector(site.name, "engine"), "ports": [port]}
    found: list[Tree] = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": head, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": head, "spec": ways},
    ]
    if told.replicas > 1:
        limit = {"maxUnavailable": 1, "selector": labels}
        found += [{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": head, "spec": limit}]
    return found


def vllm_spec(site: Site) -> Tree:
    """The pod of vLLM."""
    told = site.settings
    tries = max(1, -(-told.startup_s // 10))
    command = [
        "vllm", "serve", weights(site), "--served-model-name", site.model.name, "--host", "0.0.0.0",  # noqa: S104  reached by the server alone
        "--port", str(networks.ENGINE_PORT), "--tensor-parallel-size", str(told.gpu.gpus),
        "--max-model-len", str(told.gpu.context), "--gpu-memory-utilization", str(told.gpu.share),
    ]  # fmt: skip
    size = (told.gpu.cpu, told.gpu.memory_gb * 1000)
    found = container(
        "engine", pinned("gpu.image", told.gpu.image), command, resources(size, size, gpus=told.gpu.gpus),
        env=variables(site, **QUIET, VLLM_CACHE_ROOT=f"{contract.TEMPORARY}/vllm"),
        ports=[{"name": "http", "containerPort": networks.ENGINE_PORT, "protocol": "TCP"}],
        startupProbe=probe("/health", every_s=10, failures=tries),
        livenessProbe=probe("/health", every_s=10, failures=6), readinessProbe=probe("/health", every_s=5, failures=2),
        lifecycle={"preStop": {"exec": {"command": ["sleep", "5"]}}}, volumeMounts=engine_mounts(site),
    )  # fmt: skip
    return {
        "serviceAccountName": site.name, "automountServiceAccountToken": False, "enableServiceLinks": False,
        "securityContext": unprivileged(), "terminationGracePeriodSeconds": told.grace_s + MARGIN_S + 5,
        "topologySpreadConstraints": spread(site, "engine"), "initContainers": init_containers(site),
        "containers": [found], "volumes": engine_volumes(site),
    }  # fmt: skip


def engine_mounts(site: Site) -> list[Tree]:
    """The bundle to read, a temporary folder and shared memory to write."""
    writable = [mount("tmp", contract.TEMPORARY, read_only=False), mount("shared", "/dev/shm", read_only=False)]  # noqa: S108  the container's own
    return [bundle_mount(site), *writable]


def engine_volumes(site: Site) -> list[Tree]:
    """The volumes of `engine_mounts`, and the digest that the init containers ask for."""
    return [
        bundle_volume(site), {"name": "config", "configMap": {"name": site.config("server")}},
        {"name": "tmp", "emptyDir": {}}, {"name": "shared", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
    ]  # fmt: skip


# --- Ray Serve


def ray(site: Site) -> Tree:
    """A RayService: a head without work, workers with GPUs, and Ray's own application for language models."""
    told = site.settings.gpu
    scale = {"min_replicas": told.replicas, "max_replicas": told.replicas}
    llm = {
        "model_loading_config": {"model_id": site.model.name, "model_source": weights(site)},
        "engine_kwargs": {"tensor_parallel_size": told.gpus, "max_model_len": told.context,
                          "gpu_memory_utilization": told.share},
        "deployment_config": {"autoscaling_config": scale},
    }  # fmt: skip
    application = {
        "name": "buril", "import_path": "ray.serve.llm:build_openai_app", "route_prefix": "/",
        "args": {"llm_configs": [llm]},
    }  # fmt: skip
    head = {"num-cpus": "0", "num-gpus": "0", "dashboard-host": "0.0.0.0"}  # noqa: S104  the operator asks it; the network policy says who else may
    workers = {
        "groupName": "gpus", "replicas": told.replicas, "minReplicas": told.replicas, "maxReplicas": told.replicas,
        "rayStartParams": {"num-gpus": str(told.gpus)},
        "template": ray_pod(site, "ray-worker", resources(*2 * [(told.cpu, told.memory_gb * 1000)], gpus=told.gpus)),
    }  # fmt: skip
    cluster = {
        "rayVersion": told.ray_version,
        "headGroupSpec": {
            "rayStartParams": head,
            "template": ray_pod(site, "ray-head", resources((2, 4000), (2, 4000))),
        },
        "workerGroupSpecs": [workers],
    }
    spec = {"serveConfigV2": dump({"applications": [application]}), "rayClusterConfig": cluster}
    named = metadata(site.name, site.settings.namespace, f"{site.name}-ray", "engine")
    return {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": named, "spec": spec}


def ray_pod(site: Site, name: str, size: Tree) -> Tree:
    """A pod of Ray; the operator says what it runs. Ray writes into its own folders, so its root is writable."""
    port = [{"name": "serve", "containerPort": networks.ENGINE_PORT, "protocol": "TCP"}]
    head = [{"name": "dashboard", "containerPort": networks.HEAD_PORT}, {"name": "gcs-server", "containerPort": 6379}]
    found: Tree = {
        "name": name, "image": pinned("gpu.image", site.settings.gpu.image), "imagePullPolicy": "IfNotPresent",
        "resources": size, "securityContext": confined(read_only=False), "env": variables(site, **QUIET),
        "ports": [*port, *(head if name == "ray-head" else [])], "volumeMounts": engine_mounts(site),
    }  # fmt: skip
    spec = {
        "serviceAccountName": site.name, "automountServiceAccountToken": False, "enableServiceLinks": False,
        "securityContext": unprivileged(RAY_USER), "initContainers": init_containers(site), "containers": [found],
        "volumes": engine_volumes(site),
    }  # fmt: skip
    return template(site, "engine", spec)


# --- KServe


def storage_uri(site: Site) -> str:
    """The bundle's place as KServe names it."""
    told = site.settings.bundle
    if place(site) == "claim":
        return f"pvc://{told.claim}/{told.path}".rstrip("/")
    return f"oci://{pinned('bundle.image', told.image)}" if place(site) == "image" else str(told.s3)


def kserve(site: Site) -> list[Tree]:
    """A runtime that knows bundles, and a service of it; plain Deployments, without Knative."""
    told = site.settings
    digest = {"buril/bundle-digest": f"sha256:{site.model.digest}"}
    head = metadata(site.name, told.namespace, site.name, "server")
    runtime = {
        "supportedModelFormats": [{"name": "buril", "version": "1", "autoSelect": True}],
        "labels": selector(site.name, "server"), "annotations": digest,
        "containers": [kserve_container(site)], "volumes": own_volumes(site),
    }  # fmt: skip
    model = {"modelFormat": {"name": "buril", "version": "1"}, "runtime": site.name, "storageUri": storage_uri(site)}
    predictor = {
        "minReplicas": told.replicas, "maxReplicas": max(told.replicas, told.max_replicas or 0),
        "labels": selector(site.name, "server"),
        "serviceAccountName": site.name, "automountServiceAccountToken": False, "enableServiceLinks": False,
        "securityContext": unprivileged(), "terminationGracePeriodSeconds": 5 + told.grace_s + MARGIN_S,
        "topologySpreadConstraints": spread(site, "server"), "model": model,
    }  # fmt: skip
    modes = {"serving.kserve.io/deploymentMode": "RawDeployment", "serving.kserve.io/autoscalerClass": "external"}
    served = {**head, "annotations": {**modes, **digest}}
    return [
        {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "ServingRuntime", "metadata": head, "spec": runtime},
        {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": served,
         "spec": {"predictor": predictor}},
    ]  # fmt: skip


def kserve_container(site: Site) -> Tree:
    """The server where KServe has put the bundle, once it has seen that it is the right one."""
    told = site.settings
    command = contract.serve(MODELS, state=f"{contract.STATE}/$(POD_NAME)", grace_s=told.grace_s)
    checked: Sequence[str] = ["sh", "-c", SAME, f"{contract.CONFIG}/{contract.DIGEST_FILE}", *command]
    return {**server_container(site, checked, "kserve-container"), "volumeMounts": own_mounts()}
