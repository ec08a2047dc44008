"""What the YAML's key `deploy:` says: the image, the bundle's place, how many, how large, and who may reach it.

It is no stage: nothing is made of it that a model depends on, so all of it is runtime and enters no identity.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from buril.core.settings import Settings

Variant = Literal["cpu", "vllm", "kserve", "ray"]
IMAGE = r"^[a-z0-9][a-z0-9._/:-]*(@sha256:[0-9a-f]{64})?$"
NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
NETWORK = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"
S3 = r"^s3://[a-z0-9.-]+(/[^\s/]+)*/?$"


class BundlePlace(Settings):
    """Where pods find the bundle: one of `claim`, `image` and `s3`."""

    claim: str | None = Field(None, pattern=NAME)
    """A PersistentVolumeClaim that holds it; it is mounted read-only. The server's own claim is another one."""
    path: str = Field("", pattern=r"^[A-Za-z0-9._/-]*$")
    """The bundle's folder inside the claim; empty where the claim holds nothing else."""
    image: str | None = Field(None, pattern=IMAGE)
    """An OCI image that holds it and nothing else, by digest; an image volume needs Kubernetes 1.33 or later."""
    s3: str | None = Field(None, pattern=S3)
    """`s3://bucket/folder`: an init container copies it to the node's disk every time that a pod starts."""
    s3_image: str | None = Field(None, pattern=IMAGE)
    """The image with the program `aws` that copies it, by digest."""
    s3_secret: str | None = Field(None, pattern=NAME)
    """The Secret whose keys become that container's environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`)."""
    s3_endpoint: str | None = Field(None, pattern=r"^https?://[^\s@]+$")
    """The address of an S3 that is not Amazon's, e.g. MinIO."""

    def places(self) -> list[str]:
        """Which of the three are given."""
        return [name for name in ("claim", "image", "s3") if getattr(self, name)]


class Gpu(Settings):
    """The engine on GPUs that the server asks by URL: vLLM, by itself or under Ray Serve."""

    image: str | None = Field(None, pattern=IMAGE)
    """The engine's image, by digest: one of vLLM's OpenAI server, or of Ray with vLLM for the variant `ray`."""
    gpus: int = Field(1, ge=1)
    """GPUs of each replica; the model is cut into as many parts."""
    replicas: int = Field(1, ge=1)
    """Pods (vLLM) or workers (Ray) with GPUs."""
    cpu: float = Field(4, gt=0)
    """Processors of each replica."""
    memory_gb: float = Field(24, gt=0)
    """Memory of each replica in GB, the shared part (`/dev/shm`) included."""
    context: int = Field(8192, ge=256)
    """Most tokens of a prompt and its answer together; the engine keeps room for them on the GPU."""
    share: float = Field(0.9, gt=0, lt=1)
    """Part of the GPU's memory that the engine may take."""
    ray_version: str = Field("2.55.0", pattern=r"^\d+\.\d+\.\d+$")
    """The version of Ray in `image`, for the variant `ray`: the operator asks for it."""
    operator: str = Field("kuberay-operator", pattern=NAME)
    """The namespace of KubeRay's operator, which must reach the head of the variant `ray`."""


class Job(Settings):
    """The Job that trains, and the pods it takes."""

    nodes: int = Field(1, ge=1)
    """Pods that train together, a machine each; `torchrun` starts them."""
    gpus: int = Field(0, ge=0)
    """GPUs of each pod; 0 trains on its processors."""
    cpu: float = Field(4, gt=0)
    """Processors of each pod."""
    memory_gb: float | None = Field(None, gt=0)
    """Memory of each pod in GB; by default what the plan expects, and half as much again."""
    image: str | None = Field(None, pattern=IMAGE)
    """The image that trains, by digest; by default the server's, which has no CUDA."""
    claim: str | None = Field(None, pattern=NAME)
    """A PersistentVolumeClaim that is there already, with the data and the store; by default one is made."""
    disk_gb: int = Field(100, ge=1)
    """Size in GB of the claim that is made."""


class Deploy(Settings):
    """How the model is served on a cluster or in containers."""

    image: str | None = Field(None, pattern=IMAGE)
    """buril's image; for Kubernetes by digest (`name@sha256:…`), so that every pod runs the same bytes."""
    bundle: BundlePlace = BundlePlace.model_validate({})
    """Where the pods find the bundle."""
    namespace: str = Field("buril", pattern=NAME)
    """The namespace of everything; it must be there."""
    replicas: int = Field(2, ge=1)
    """Pods of the server, at least."""
    max_replicas: int | None = Field(6, ge=1)
    """Pods of the server at most, by the length of the queue; nothing for a fixed number."""
    queue: int = Field(4, ge=1)
    """Requests that wait in a pod, on average, from which another pod is started."""
    max_unavailable: int = Field(0, ge=0)
    """Pods that may be missing during an update. 0 starts a new pod first, which needs room for one more; where there
    is none (a GPU each), 1."""
    cpu: float | None = Field(None, gt=0)
    """Processors of each server; by default 2, as more help one request little."""
    memory_gb: float | None = Field(None, gt=0)
    """Memory limit of each server in GB; by default computed from the bundle's largest weights."""
    state_gb: int | None = Field(10, ge=1)
    """Size in GB of the claim for what servers write (ledger, counts), a folder for each pod; nothing for a folder that
    ends with its pod."""
    storage_class: str | None = Field(None, pattern=NAME)
    """The StorageClass of the claims that are made; it must offer ReadWriteMany. By default the cluster's own."""
    keys: str = Field("buril-keys", pattern=NAME)
    """The Secret with the file `keys` of hashed API keys; it is referred to, never written."""
    variables: str = Field("buril-env", pattern=NAME)
    """The Secret with a key for each `env:NAME` of the YAML; it is referred to, never written."""
    host: str | None = Field(None, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    """The name under which people reach it, over TLS; without it there is no Ingress."""
    tls: str = Field("buril-tls", pattern=NAME)
    """The Secret with the certificate for `host`."""
    ingress_class: str | None = Field(None, pattern=NAME)
    """The class of the Ingress; by default the cluster's own."""
    clients: tuple[str, ...] = ("ingress-nginx",)
    """Namespaces whose pods may ask the server; no others may."""
    monitoring: str | None = Field("monitoring", pattern=NAME)
    """The namespace of Prometheus, which may read the metrics too and finds a PodMonitor; nothing for none."""
    egress: tuple[str, ...] = ()
    """Networks (`10.0.0.0/8`) that training, refresh and the copying from S3 may reach, on port 443; no others."""
    grace_s: int = Field(30, ge=1)
    """Seconds that a server which must end gives the answers on their way."""
    startup_s: int = Field(600, ge=30)
    """Seconds in which a pod must have loaded its model."""
    gpu: Gpu = Gpu.model_validate({})
    """The engine of the variants `vllm` and `ray`."""
    train: Job | None = None
    """The Job that trains; without it there is none."""
    refresh: str | None = Field(None, pattern=r"^[0-9*/,A-Za-z-]+( [0-9*/,A-Za-z-]+){4}$")
    """When the model is refreshed, as cron writes it (`17 3 * * 6`); nothing for never. It needs `train`."""
