"""From the YAML and the bundle to what renderers are given; and what of the YAML may not leave this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from buril.deploy import contract, variants
from buril.deploy.model import Model
from buril.deploy.names import dns
from buril.deploy.pod import Site
from buril.deploy.secrets import refuse_secrets, variables_in
from buril.deploy.settings import Deploy, Variant
from buril.deploy.size import job_mb, server_size
from buril.deploy.text import plain

SERVED = ("name", "serve")
"""Keys of the YAML that the server reads; the others say how the model was made."""
OWN = "deploy"
CLUSTER_VARIANTS = ("vllm", "ray")
"""Those in which the server asks an engine on GPUs."""


def site_of(
    values: Mapping[str, Any], told: Deploy, model: Model, variant: Variant = "cpu", *, expected_mb: float = 0.0
) -> Site:
    """All that is known of a deployment.

    Args:
        values: the YAML as plain values, `env:` and `file:` unread.
        told: its `deploy:`, checked.
        model: the bundle.
        variant: how it is run.
        expected_mb: memory that the plan expects of training; 0 where it does not know.

    Raises:
        BurilError: V504 for what looks like a secret, V505 for a `file:`, which no pod would find.
    """
    values = {name: value for name, value in values.items() if name != OWN}
    refuse_secrets(values)
    name, remote = dns(str(values.get("name", model.name))), variant in CLUSTER_VARIANTS
    served = {key: values[key] for key in SERVED if key in values}
    draft = Site(
        name, model, told, "", plain(values), server_size(model, told, remote=remote),
        job_mb(expected_mb, told.train.memory_gb if told.train else None),
        tuple(sorted(set(variables_in(values)))), (), variants.MODELS if variant == "kserve" else contract.BUNDLE,
    )  # fmt: skip
    if remote:
        engine = {"openai": {"url": variants.engine_url(draft, variant), "model": model.name, "api": "completions"}}
        served = {**served, "serve": {**(served.get("serve") or {}), "engine": engine}}
    return _with_serving(draft, served)


def _with_serving(draft: Site, served: Mapping[str, Any]) -> Site:
    return replace(draft, serving=plain(served), serving_variables=tuple(sorted(set(variables_in(served)))))
