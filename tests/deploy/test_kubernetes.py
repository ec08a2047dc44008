"""What is rendered for Kubernetes holds together: pods are found, nothing may do more than it must, no secret is in it."""

from __future__ import annotations

import copy
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from buril.core.errors import BurilError
from buril.deploy import check, contract
from buril.deploy.names import dns, megabytes, processors
from tests.deploy.conftest import DIGEST, FULL, IMAGE, VALUES, VARIANTS, write_bundle

Rendered = Callable[..., dict[str, str]]
TOKEN = "".join(("ghp_", "a1B2c3D4e5", "kR7mQ2xW9vB4nT6yU8pL3sD5fG"))[:40]


def manifests(files: dict[str, str]) -> list[dict[str, Any]]:
    return [document for text in files.values() for document in yaml.safe_load_all(text)]


def one(files: dict[str, str], kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = [m for m in manifests(files) if m["kind"] == kind and name in (None, m["metadata"]["name"])]
    return found


def templates(files: dict[str, str]) -> list[dict[str, Any]]:
    """Every pod template anywhere in the files: found by its shape, not by kind."""
    found: list[dict[str, Any]] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("spec"), dict) and "containers" in value["spec"]:
                labels = value.get("metadata", {}).get("labels") or value["spec"].get("labels")
                found.append({"labels": labels, "spec": value["spec"]})
            for item in value.values():
                look(item)
        elif isinstance(value, list):
            for item in value:
                look(item)

    look(manifests(files))
    return found


def containers(files: dict[str, str]) -> list[dict[str, Any]]:
    return [c for t in templates(files) for c in (*t["spec"].get("initContainers", ()), *t["spec"]["containers"])]


# --- all variants


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_rendered_has_no_problem(rendered: Rendered, variant: str) -> None:
    files = rendered(variant)
    assert check.structure(files) == []
    assert len(templates(files)) >= 3


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_selector_finds_the_pods_that_it_is_meant_for(rendered: Rendered, variant: str) -> None:
    files = rendered(variant)
    pods = [t["labels"] for t in templates(files)]

    def found(wanted: dict[str, str]) -> set[str]:
        return {p["app.kubernetes.io/component"] for p in pods if wanted.items() <= p.items()}

    for item in manifests(files):
        spec, own = item.get("spec", {}), item["metadata"]["labels"]["app.kubernetes.io/component"]
        if item["kind"] == "Service":
            assert found(spec["selector"]) == {own}
        elif item["kind"] in ("PodDisruptionBudget", "PodMonitor", "Deployment"):
            assert found(spec["selector"]["matchLabels"]) == {own}
        elif item["kind"] == "NetworkPolicy":
            everybody = item["metadata"]["name"].endswith("-closed")
            components = {p["app.kubernetes.io/component"] for p in pods}
            assert found(spec["podSelector"]["matchLabels"]) == (components if everybody else {own})
    assert {"Service", "NetworkPolicy"} <= {item["kind"] for item in manifests(files)}


@pytest.mark.parametrize("egress", [["10.0.0.0/8"], []])
@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_open_that_is_not_named(rendered: Rendered, variant: str, egress: list[str]) -> None:
    """An empty `from` or `to`, or none, would mean everybody."""
    policies = [m for m in manifests(rendered(variant, egress=egress)) if m["kind"] == "NetworkPolicy"]
    closed = [p for p in policies if "ingress" not in p["spec"] and "egress" not in p["spec"]]
    assert len(closed) == 1 and closed[0]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for policy in policies:
        for way in policy["spec"].get("ingress", []):
            assert way["from"] and all(peer for peer in way["from"])
        for way in policy["spec"].get("egress", []):
            assert way["to"] and all(peer for peer in way["to"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_pods_may_do_little(rendered: Rendered, variant: str) -> None:
    files = rendered(variant)
    for container in containers(files):
        right = container["securityContext"]
        assert right["capabilities"] == {"drop": ["ALL"]} and right["runAsNonRoot"]
        assert right["allowPrivilegeEscalation"] is False
        assert right["readOnlyRootFilesystem"] is not container["name"].startswith("ray-")
        assert container["image"].endswith(DIGEST)
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"] or (
            container["name"] in ("same-bundle", "whole-bundle")
        )
    for template in templates(files):
        if "securityContext" in template["spec"]:  # KServe's runtime has none: it stands in the service
            assert template["spec"]["automountServiceAccountToken"] is False
            assert template["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_is_rendered_to_the_same_bytes(rendered: Rendered, variant: str, tmp_path: Path) -> None:
    assert rendered(variant) == rendered(variant)


def test_another_process_renders_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "buril.yaml").write_text(yaml.safe_dump({**VALUES, "deploy": FULL}))
    read = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "GITHUB_TOKEN": TOKEN}
        words = ["deploy", "kubernetes", "--bundle", str(bundle), "--variant", "vllm", "--out", str(tmp_path / seed)]
        done = subprocess.run([sys.executable, "-m", "buril", *words], cwd=tmp_path, env=env, check=False,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        read.append(
            {p.relative_to(tmp_path / seed): p.read_bytes() for p in (tmp_path / seed).rglob("*") if p.is_file()}
        )
        assert TOKEN.encode() not in b"".join(read[-1].values())
    assert read[0] == read[1] and len(read[0]) > 10


# --- the bundle


def test_the_digest_of_the_bundle_stands_in_the_pods_and_in_what_they_are_held_to(
    rendered: Rendered, bundle: Path
) -> None:
    files = rendered()
    digest = hashlib.sha256((bundle / "bundle.json").read_bytes()).hexdigest()
    template = one(files, "Deployment")["spec"]["template"]
    assert template["metadata"]["annotations"]["buril/bundle-digest"] == f"sha256:{digest}"
    names = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    config = one(files, "ConfigMap", names["config"]["configMap"]["name"])
    assert config["data"]["bundle.sha256"].split() == [digest, "/bundle/bundle.json"] and config["immutable"]
    assert [c["name"] for c in template["spec"]["initContainers"]] == ["same-bundle", "whole-bundle"]


def test_another_bundle_is_another_rollout_with_a_configuration_of_its_own(rendered: Rendered, bundle: Path) -> None:
    before = rendered()
    write_bundle(bundle, content=b"other weights")
    after = rendered()
    names = [[m["metadata"]["name"] for m in manifests(files) if m["kind"] == "ConfigMap"] for files in (before, after)]
    assert len(set(names[0]) ^ set(names[1])) == 2  # the server's; that of training stays
    specs = [one(files, "Deployment")["spec"] for files in (before, after)]
    assert specs[0]["template"] != specs[1]["template"] and specs[0]["selector"] == specs[1]["selector"]


@pytest.mark.parametrize(
    ("place", "volume", "containers_"),
    [
        ({"claim": "bundles"}, {"persistentVolumeClaim": {"claimName": "bundles", "readOnly": True}}, 2),
        ({"image": f"r.example/b@{DIGEST}"}, {"image": {"reference": f"r.example/b@{DIGEST}", "pullPolicy": "IfNotPresent"}}, 2),
        ({"s3": "s3://models/acme/1", "s3_image": f"r.example/aws@{DIGEST}", "s3_secret": "s3"}, {"emptyDir": {}}, 3),
    ],
)  # fmt: skip
def test_places_of_the_bundle(
    rendered: Rendered, place: dict[str, Any], volume: dict[str, Any], containers_: int
) -> None:
    spec = one(rendered(bundle=place), "Deployment")["spec"]["template"]["spec"]
    (found,) = [v for v in spec["volumes"] if v["name"] == "bundle"]
    assert {key: value for key, value in found.items() if key != "name"} == volume
    assert len(spec["initContainers"]) == containers_ and spec["initContainers"][-2]["name"] == "same-bundle"
    writes = [c["name"] for c in (*spec["initContainers"], *spec["containers"]) for m in c["volumeMounts"]
              if m["name"] == "bundle" and not m.get("readOnly")]  # fmt: skip
    assert writes == (["copy-bundle"] if "s3" in place else [])


def test_copying_from_s3_needs_a_way_out(rendered: Rendered) -> None:
    place = {"s3": "s3://models/acme/1", "s3_image": f"r.example/aws@{DIGEST}"}
    ways = one(rendered(bundle=place), "NetworkPolicy", "acme-coder-server")["spec"]["egress"]
    assert ways[0] == {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443, "protocol": "TCP"}]}
    assert one(rendered(), "NetworkPolicy", "acme-coder-server")["spec"]["egress"] == []
    with pytest.raises(BurilError) as told:
        rendered(bundle=place, egress=[])
    assert told.value.code == "V501" and told.value.values["name"] == "deploy.egress"


# --- running


def test_probes_ask_what_the_server_has_and_wait_for_the_model(rendered: Rendered) -> None:
    (server,) = one(rendered(startup_s=301), "Deployment")["spec"]["template"]["spec"]["containers"]
    paths = {name: server[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/readyz", "liveness": "/healthz", "readiness": "/readyz"}
    assert server["startupProbe"]["periodSeconds"] * server["startupProbe"]["failureThreshold"] >= 301
    assert not any("initialDelaySeconds" in server[f"{name}Probe"] for name in ("startup", "liveness", "readiness"))
    (port,) = server["ports"]
    assert (port["name"], port["containerPort"]) == ("http", 8080)


@pytest.mark.parametrize("grace", [1, 30, 600])
def test_a_server_that_ends_has_time_for_its_answers(rendered: Rendered, grace: int) -> None:
    spec = one(rendered(grace_s=grace), "Deployment")["spec"]["template"]["spec"]
    (server,) = spec["containers"]
    drain = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    assert server["command"][-2:] == ["--grace", str(grace)]
    assert spec["terminationGracePeriodSeconds"] > grace + drain


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_an_update_never_takes_more_pods_than_may_be_missing(rendered: Rendered, missing: int) -> None:
    limits = one(rendered(max_unavailable=missing), "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert limits["maxUnavailable"] == missing
    assert limits["maxUnavailable"] + limits["maxSurge"] > 0  # else no update would ever begin


def test_the_scaler_counts_what_waits_and_the_deployment_leaves_the_number_to_it(rendered: Rendered) -> None:
    files = rendered(replicas=3, max_replicas=2)
    scaler = one(files, "HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 3)
    assert scaler["metrics"][0]["pods"]["metric"] == {"name": contract.QUEUE}
    assert "replicas" not in one(files, "Deployment")["spec"]
    fixed = rendered(replicas=3, max_replicas=None)
    assert one(fixed, "Deployment")["spec"]["replicas"] == 3 and "server/autoscaler.yaml" not in fixed


def test_memory_is_computed_from_the_largest_weights(site: Callable[..., Any]) -> None:
    small = site().size
    assert small.limits == (2.0, 1600.0)  # 0.5 GB of program, 1 GB of cache, weights of nothing
    big = site()
    object.__setattr__(big.model, "weights", {"safetensors:.": 988_097_824})
    from buril.deploy.size import server_size

    assert server_size(big.model, big.settings, remote=False).limits[1] == 6000.0
    assert site(memory_gb=3.5, cpu=0.5).size.limits == (0.5, 3500.0)


def test_what_is_not_asked_for_is_not_there(rendered: Rendered) -> None:
    files = rendered(host=None, monitoring=None, train=None, refresh=None, state_gb=None, max_replicas=None)
    kinds = {m["kind"] for m in manifests(files)}
    assert kinds == {"ServiceAccount", "ConfigMap", "Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment"}
    volumes = one(files, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "state", "emptyDir": {}} in volumes


def test_a_namespace_and_tls(rendered: Rendered) -> None:
    files = rendered(namespace="models")
    assert {m["metadata"]["namespace"] for m in manifests(files)} == {"models"}
    spec = one(files, "Ingress")["spec"]
    assert spec["tls"] == [{"hosts": ["code.acme.example"], "secretName": "buril-tls"}]
    assert [path["path"] for path in spec["rules"][0]["http"]["paths"]] == ["/v1"]  # metrics and probes stay inside


# --- training


def test_training_on_several_machines(rendered: Rendered) -> None:
    files = rendered()
    job = one(files, "Job")["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 2, 2)
    spec = job["template"]["spec"]
    (found,) = spec["containers"]
    service = one(files, "Service", spec["subdomain"])
    assert service["spec"]["clusterIP"] == "None"
    assert f"--master-addr=acme-coder-train-0.{service['metadata']['name']}" in found["command"]
    assert found["resources"]["limits"]["nvidia.com/gpu"] == "8" and found["image"].startswith(
        "registry.example.org/buril-train@"
    )
    assert found["command"][0] == "torchrun" and "--nproc-per-node=8" in found["command"]


def test_training_by_itself_needs_no_launcher(rendered: Rendered) -> None:
    files = rendered(train={"cpu": 2}, refresh=None)
    (found,) = one(files, "Job")["spec"]["template"]["spec"]["containers"]
    assert found["command"][:2] == ["buril", "run"] and found["image"] == IMAGE
    assert [m["metadata"]["name"] for m in manifests(files) if m["kind"] == "Service"] == ["acme-coder"]


def test_refresh_runs_one_at_a_time_and_reads_what_servers_wrote(rendered: Rendered) -> None:
    job = one(rendered(), "CronJob")["spec"]
    assert (job["schedule"], job["concurrencyPolicy"], job["timeZone"]) == ("17 3 * * 6", "Forbid", "Etc/UTC")
    (found,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert found["command"][:2] == ["buril", "refresh"]
    assert {"name": "state", "mountPath": "/state", "readOnly": True} in found["volumeMounts"]


def test_the_yaml_reaches_training_whole_and_the_server_without_what_it_does_not_read(rendered: Rendered) -> None:
    files = rendered(values={**VALUES, "deploy": FULL})
    texts = [yaml.safe_load(m["data"]["buril.yaml"]) for m in manifests(files) if m["kind"] == "ConfigMap"]
    assert sorted(texts, key=len) == [{"name": "acme-coder"}, VALUES]
    (job,) = one(files, "Job")["spec"]["template"]["spec"]["containers"]
    (secret,) = [item for item in job["env"] if "valueFrom" in item]
    assert secret == {
        "name": "GITHUB_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "buril-env", "key": "GITHUB_TOKEN"}},
    }
    (server,) = one(files, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert "GITHUB_TOKEN" not in str(server["env"])


# --- operators: the fields of their types (KServe pkg/apis/serving, KubeRay ray-operator/apis/ray/v1, Ray Serve LLM)


def test_vllm_loads_the_merged_weights_and_only_the_server_asks_it(rendered: Rendered) -> None:
    files = rendered("vllm")
    deployment = one(files, "Deployment", "acme-coder-engine")["spec"]
    (engine,) = deployment["template"]["spec"]["containers"]
    assert engine["command"][:3] == ["vllm", "serve", "/bundle/safetensors"]
    assert engine["resources"]["limits"]["nvidia.com/gpu"] == "2" and "--tensor-parallel-size" in engine["command"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    ways = one(files, "NetworkPolicy", "acme-coder-engine")["spec"]
    assert ways["egress"] == []
    assert ways["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "server"
    (config,) = yaml.safe_load_all(files["server/config.yaml"])
    engine_told = yaml.safe_load(config["data"]["buril.yaml"])["serve"]["engine"]["openai"]
    service = one(files, "Service", "acme-coder-engine")
    assert engine_told["url"] == f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}/v1"
    assert engine_told["model"] == engine["command"][engine["command"].index("--served-model-name") + 1]


def test_the_engine_of_the_server_is_one_that_the_generator_takes(rendered: Rendered) -> None:
    from buril.core.plugins import settings_of

    for variant in ("vllm", "ray"):
        (config,) = yaml.safe_load_all(rendered(variant)["server/config.yaml"])
        ((name, told),) = yaml.safe_load(config["data"]["buril.yaml"])["serve"]["engine"].items()
        settings_of("generator", name).model_validate(told)


def test_ray_serves_by_its_own_application(rendered: Rendered) -> None:
    files = rendered("ray")
    service = one(files, "RayService")
    assert service["apiVersion"] == "ray.io/v1" and set(service["spec"]) == {"serveConfigV2", "rayClusterConfig"}
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    assert application["import_path"] == "ray.serve.llm:build_openai_app"
    (llm,) = application["args"]["llm_configs"]
    assert llm["model_loading_config"] == {"model_id": "acme-coder", "model_source": "/bundle/safetensors"}
    cluster = service["spec"]["rayClusterConfig"]
    assert set(cluster) == {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
    (group,) = cluster["workerGroupSpecs"]
    assert set(group) == {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())
    assert group["template"]["spec"]["initContainers"][0]["name"] == "same-bundle"
    (config,) = yaml.safe_load_all(files["server/config.yaml"])
    url = yaml.safe_load(config["data"]["buril.yaml"])["serve"]["engine"]["openai"]["url"]
    assert url == f"http://{service['metadata']['name']}-serve-svc:8000/v1"  # as the operator names it


def test_kserve_finds_its_runtime_and_the_runtime_its_bundle(rendered: Rendered) -> None:
    files = rendered("kserve")
    runtime, service = one(files, "ServingRuntime"), one(files, "InferenceService")
    assert (runtime["apiVersion"], service["apiVersion"]) == ("serving.kserve.io/v1alpha1", "serving.kserve.io/v1beta1")
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"] and model["storageUri"] == "pvc://bundles/acme/1"
    formats = [(item["name"], item["version"]) for item in runtime["spec"]["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in formats
    assert set(runtime["spec"]) == {"supportedModelFormats", "labels", "annotations", "containers", "volumes"}
    (container,) = runtime["spec"]["containers"]
    assert container["name"] == "kserve-container" and "/mnt/models" in container["command"]
    assert one(files, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "acme-coder-predictor"
    (config,) = yaml.safe_load_all(files["server/config.yaml"])
    assert config["data"]["bundle.sha256"].endswith("  /mnt/models/bundle.json\n")


@pytest.mark.parametrize(
    ("place", "uri"),
    [
        ({"image": f"r.example/b@{DIGEST}"}, f"oci://r.example/b@{DIGEST}"),
        ({"s3": "s3://models/acme"}, "s3://models/acme"),
    ],
)
def test_kserve_names_places_its_own_way(rendered: Rendered, place: dict[str, str], uri: str) -> None:
    assert one(rendered("kserve", bundle=place), "InferenceService")["spec"]["predictor"]["model"]["storageUri"] == uri


# --- what is refused


@pytest.mark.parametrize(
    ("code", "told", "name"),
    [
        ("V501", {"image": None}, "deploy.image"), ("V502", {"image": "registry.example.org/buril:1.0"}, "deploy.image"),
        ("V503", {"bundle": {}}, "—"), ("V503", {"bundle": {"claim": "a", "image": IMAGE}}, "claim, image"),
        ("V501", {"train": None}, "deploy.train"), ("V502", {"train": {"image": "train:1"}}, "deploy.train.image"),
        ("V502", {"bundle": {"image": "r.example/b:1"}}, "deploy.bundle.image"),
        ("V501", {"bundle": {"s3": "s3://models/1"}}, "deploy.bundle.s3_image"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(rendered: Rendered, code: str, told: dict[str, Any], name: str) -> None:
    with pytest.raises(BurilError) as problem:
        rendered(**told)
    assert problem.value.code == code and name in problem.value.cause


@pytest.mark.parametrize("variant", ["vllm", "ray"])
def test_an_engine_needs_its_image_and_weights_that_it_reads(rendered: Rendered, bundle: Path, variant: str) -> None:
    with pytest.raises(BurilError) as problem:
        rendered(variant, gpu={})
    assert (problem.value.code, problem.value.values["name"]) == ("V501", "deploy.gpu.image")
    told = (bundle / "bundle.json").read_text().replace("safetensors", "text")
    (bundle / "bundle.json").write_text(told)
    with pytest.raises(BurilError) as problem:
        rendered(variant)
    assert problem.value.code == "V506"


@pytest.mark.parametrize("key", ["token", "note"])
def test_a_secret_in_the_yaml_is_refused_and_never_told(rendered: Rendered, key: str) -> None:
    with pytest.raises(BurilError) as problem:
        rendered(values={**VALUES, "collect": [{"github": {key: TOKEN}}]})
    assert problem.value.code == "V504" and f"collect.github.{key}" in str(problem.value)
    assert TOKEN not in str(problem.value)


def test_a_file_that_pods_do_not_have_is_refused(rendered: Rendered) -> None:
    with pytest.raises(BurilError) as problem:
        rendered(values={**VALUES, "collect": [{"github": {"token": "file:token.txt"}}]})
    assert problem.value.code == "V505" and "token.txt" in str(problem.value)


# --- the checks see what is wrong


def _broken(files: dict[str, str], file: str, change: Callable[[list[Any]], None]) -> list[str]:
    found = list(yaml.safe_load_all(files[file]))
    change(found)
    return [item.what for item in check.structure({**files, file: yaml.safe_dump_all(found)})]


def _pod(found: list[Any]) -> dict[str, Any]:
    return next(item for item in found if item["kind"] == "Deployment")["spec"]["template"]


BREAKS: dict[str, tuple[str, Callable[[list[Any]], Any]]] = {
    "finds no pod": ("server/service.yaml", lambda d: d[0]["spec"]["selector"].update({"app.kubernetes.io/component": "serverr"})),
    "does not find its own": ("server/deployment.yaml",
                              lambda d: _pod(d)["metadata"]["labels"].update({"app.kubernetes.io/component": "x"})),
    "is no quantity": ("server/deployment.yaml",
                       lambda d: _pod(d)["spec"]["containers"][0]["resources"]["limits"].update({"memory": "1.6 GB"})),
    "is no name": ("server/service.yaml", lambda d: d[0]["metadata"].update({"name": "Acme_Coder"})),
    "stands twice": ("server/service.yaml", lambda d: d.append(copy.deepcopy(d[0]))),
    "not named by its digest": ("server/deployment.yaml", lambda d: _pod(d)["spec"]["containers"][0].update({"image": "buril:1"})),
    "no volume": ("server/deployment.yaml", lambda d: _pod(d)["spec"]["volumes"].pop()),
    "may do more": ("server/deployment.yaml",
                    lambda d: _pod(d)["spec"]["containers"][0]["securityContext"].update({"capabilities": {}})),
    "other paths": ("server/deployment.yaml",
                    lambda d: _pod(d)["spec"]["containers"][0]["livenessProbe"]["httpGet"].update({"path": "/live"})),
    "the scaler names": ("server/autoscaler.yaml", lambda d: d[0]["spec"]["scaleTargetRef"].update({"name": "other"})),
    "looks like a secret": ("server/config.yaml", lambda d: d[0]["data"].update({"token": TOKEN})),
    "must both stand": ("server/deployment.yaml", lambda d: _pod(d)["spec"]["containers"][0]["resources"].pop("limits")),
}  # fmt: skip


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_manifest_is_seen(rendered: Rendered, what: str) -> None:
    file, change = BREAKS[what]
    found = _broken(rendered(), file, change)
    assert any(what in item for item in found), found
    assert not any(TOKEN in item for item in found)


# --- names and quantities


@given(st.text(min_size=1, max_size=64))
def test_every_name_becomes_one_of_dns(name: str) -> None:
    found = dns(name)
    assert check.DNS.fullmatch(found) and len(found) <= 47
    assert dns(found) == found or found != name


def test_names_that_differ_stay_different() -> None:
    assert dns("acme-coder") == "acme-coder"
    assert len({dns("acme.coder"), dns("acme_coder"), dns("Acme-Coder"), dns("acme-coder")}) == 4


@given(st.floats(0.001, 1e4), st.floats(0.1, 1e7))
def test_quantities_are_of_kubernetes_and_near_what_was_meant(cpus: float, memory: float) -> None:
    text = processors(cpus)
    assert check.QUANTITY.fullmatch(text)
    read = int(text[:-1]) / 1000 if text.endswith("m") else int(text)
    assert abs(read - cpus) <= 0.00051
    assert check.QUANTITY.fullmatch(megabytes(memory))
