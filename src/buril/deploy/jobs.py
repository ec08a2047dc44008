"""Training and refreshing on the cluster, on a volume with the store: what is there is reused, the rest goes on."""

from __future__ import annotations

from buril.core.errors import BurilError
from buril.deploy import contract, networks
from buril.deploy.names import Component, Tree, metadata, resources, selector
from buril.deploy.pod import Site, claim, container, mount, pinned, template, unprivileged, variables
from buril.deploy.settings import Job

DATA = "/data"
"""The volume of data and store; paths in the YAML are relative to it."""
STORE = f"{DATA}/store"
Files = dict[str, tuple[str, list[Tree]]]


def render(site: Site) -> Files:
    """The files of training and refreshing, where the YAML asks for them.

    Raises:
        BurilError: V501 where there is a refresh and no training, V502.
    """
    told = site.settings
    if told.train is None:
        if told.refresh:
            raise BurilError("V501", name="deploy.train")
        return {}
    config_ = config(site)
    made: Files = {
        "train/config.yaml": ("The whole YAML. Secrets stay in the environment, by reference.", [config_]),
        "train/network.yaml": ("The pods of a training speak with one another, and with the networks that are named.",
                               [networks.training(site, "training")]),
        "train/job.yaml": ("Training. All pods run one command; one that dies goes on from the last checkpoint.",
                           training(site, told.train)),
    }  # fmt: skip
    if not told.train.claim:
        made["train/storage.yaml"] = ("Data and store.", [claim(site, "data", told.train.disk_gb)])
    if told.refresh:
        about = "The model is refreshed with what is new; one at a time, by the clock of UTC."
        ways = [networks.training(site, "refresh")]
        made["refresh/job.yaml"] = (about, [*ways, refresh(site, told.train, told.refresh)])
    return made


def config(site: Site) -> Tree:
    """The whole YAML."""
    head = metadata(site.name, site.settings.namespace, site.config("training"), "training")
    data = {contract.CONFIG_FILE: site.training}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": data, "immutable": True}


def training(site: Site, job: Job) -> list[Tree]:
    """The Job, and for several machines the Service that gives the first of them a name."""
    name = f"{site.name}-train"
    head = metadata(site.name, site.settings.namespace, name, "training")
    together = {"completionMode": "Indexed", "completions": job.nodes, "parallelism": job.nodes}
    pod = spec(site, job, "training", command(job, name))
    pod["subdomain"] = name
    made: Tree = {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": head,
        "spec": {**together, "backoffLimit": 8, "template": template(site, "training", pod)},
    }  # fmt: skip
    if job.nodes == 1:
        return [made]
    port = {"name": "rendezvous", "port": networks.TORCH_PORT, "protocol": "TCP"}
    names = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector(site.name, "training")}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": head, "spec": {**names, "ports": [port]}}
    return [service, made]


def command(job: Job, name: str) -> list[str]:
    """`buril run`, by itself or once a GPU under torchrun."""
    run = ["run", "--config", f"{DATA}/{contract.CONFIG_FILE}", "--store", STORE]
    if job.nodes == 1 and job.gpus <= 1:
        return ["buril", *run]
    world = [f"--nnodes={job.nodes}", f"--nproc-per-node={max(1, job.gpus)}", "--max-restarts=3"]
    where = ["--node-rank=$(JOB_COMPLETION_INDEX)", f"--master-addr={name}-0.{name}",
             f"--master-port={networks.TORCH_PORT}"]  # fmt: skip
    return ["torchrun", *world, *(where if job.nodes > 1 else ["--standalone"]), "-m", "buril", *run]


def refresh(site: Site, job: Job, schedule: str) -> Tree:
    """The model is made anew with what is new, one at a time."""
    run = ["buril", "refresh", "--config", f"{DATA}/{contract.CONFIG_FILE}", "--store", STORE]
    pod = template(site, "refresh", spec(site, job, "refresh", run))
    head = metadata(site.name, site.settings.namespace, f"{site.name}-refresh", "refresh")
    once = {
        "schedule": schedule, "timeZone": "Etc/UTC", "concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 3,
        "jobTemplate": {"spec": {"backoffLimit": 2, "template": pod}},
    }  # fmt: skip
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": head, "spec": once}


def spec(site: Site, job: Job, component: Component, words: list[str]) -> Tree:
    """The pod of a training; a refresh also reads what the servers wrote."""
    told = site.settings
    image = pinned("train.image", job.image) if job.image else site.image
    size = resources((job.cpu, site.job_mb), (job.cpu, site.job_mb), gpus=job.gpus)
    volumes: list[Tree] = [
        {"name": "data", "persistentVolumeClaim": {"claimName": job.claim or f"{site.name}-data"}},
        {"name": "config", "configMap": {"name": site.config("training")}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "shared", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi" if job.gpus else "1Gi"}},
    ]
    mounts = [
        mount("data", DATA, read_only=False),
        {**mount("config", f"{DATA}/{contract.CONFIG_FILE}"), "subPath": contract.CONFIG_FILE},
        mount("tmp", contract.TEMPORARY, read_only=False), mount("shared", "/dev/shm", read_only=False),  # noqa: S108  the container's own
    ]  # fmt: skip
    if component == "refresh" and told.state_gb is not None:
        volumes += [{"name": "state", "persistentVolumeClaim": {"claimName": f"{site.name}-state", "readOnly": True}}]
        mounts += [mount("state", contract.STATE)]
    found = container(
        "buril", image, words, size, workingDir=DATA, env=variables(site, site.variables, OMP_NUM_THREADS=threads(job)),
        volumeMounts=mounts,
    )  # fmt: skip
    return {
        "serviceAccountName": site.name, "automountServiceAccountToken": False, "enableServiceLinks": False,
        "restartPolicy": "OnFailure", "securityContext": unprivileged(), "containers": [found], "volumes": volumes,
    }  # fmt: skip


def threads(job: Job) -> str:
    """Threads of each process."""
    return str(max(1, int(job.cpu / max(1, job.gpus))))
