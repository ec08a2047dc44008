"""A federated training made from what the stage has, and the list of contributions after it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.plugins import Ref, settings_of
from buril.core.text import _
from buril.train.expect import resolve_layers
from buril.train.federated.adapter import Shared
from buril.train.federated.client import Client
from buril.train.federated.members import Member, Members, Simulated
from buril.train.federated.parts import Part, divide
from buril.train.federated.server import Federation, Scene
from buril.train.federated.settings import Federated
from buril.train.federated.updates import Contribution
from buril.train.federated.wire import Terms

CONTRIBUTIONS = "contributions.parquet"


def federation(settings: Any, scene: Scene, inputs: Mapping[str, Artifact], machine: dict[str, Any]) -> Federation:
    """The federated training of a stage's settings.

    Raises:
        BurilError: T176 when repositories are too few to simulate clients, P002, T186, T187 when none can be let in.
    """
    told: Federated = settings.federated
    steps = told.local_steps * told.rounds if told.local_steps else scene.recipe.max_steps
    if told.listen:
        return Federation(told, scene, _remote(settings, scene, inputs), steps)
    members: Members = _simulated(told, scene, inputs, machine)
    if told.secure:
        from buril.train.federated.secure import Local

        members = Local(members, told)
    return Federation(told, scene, members, steps)


def _remote(settings: Any, scene: Scene, inputs: Mapping[str, Artifact]) -> Members:
    from buril.train.federated.remote import Remote

    method = {"name": settings.method.name, "settings": settings.method.settings.identity()}
    objective = {"name": settings.objective.name, "settings": settings.objective.settings.identity()}
    terms = Terms(
        inputs["base"].digest, inputs["tokenizer"].digest, scene.shared.layout, method, objective,
        scene.shared.average, settings.seed,
    )  # fmt: skip
    return Remote(settings.federated, terms, scene.shared, scene.out)


def _simulated(told: Federated, scene: Scene, inputs: Mapping[str, Artifact], machine: dict[str, Any]) -> Simulated:
    length = int(inputs["pack"].json("summary.json")["max_length"])
    repos = repositories(inputs["split"]) if told.clients > 1 else {}
    parts, lost = divide(scene.task.train, repos, told.clients, length)
    if lost:
        text = _("{tokens} tokens are of no repository of the split and are left out of the simulation")
        scene.out.warn(text.format(tokens=lost))
    found, members = [], []
    for number, part in enumerate(parts, 1):
        name = f"client-{number}"
        task = replace(scene.task, train=part)
        folder = scene.out.scratch / "clients" / name
        found.append(Client(name, task, scene.shared, folder=folder, machine=machine))
        members.append(Member(name, part.digest, len(part), part.num_tokens))
    _tell(scene, parts, repos)
    return Simulated(found, members)


def _tell(scene: Scene, parts: list[Part], repos: Mapping[str, str]) -> None:
    """`clients.json`: whose text each simulated client has."""
    told = {}
    for number, part in enumerate(parts, 1):
        rows = sorted({name for index in range(len(part)) for name in part[index].row_ids})
        told[f"client-{number}"] = {
            "repositories": sorted({repos[row] for row in rows if row in repos}), "rows": len(rows),
            "sequences": len(part), "tokens": part.num_tokens,
        }  # fmt: skip
    scene.out.text("clients.json", json.dumps(told, indent=1) + "\n")


def open_client(settings: Any, inputs: Mapping[str, Artifact], terms: Terms, name: str, folder: Path) -> Client:
    """A client of a federation elsewhere, with its model loaded and its adapter begun as everybody's.

    Args:
        settings: of its own stage `train`: what of them concerns this machine.
        inputs: its base, tokenizer and pack.
        terms: what the server says of the method.
        name: what it is called.
        folder: what it remembers between rounds lies there.

    Raises:
        BurilError: T180 when its adapter would have other names or shapes, T184 when the server wants a method or
            an objective that reads more than the client's text, T10x as for any training.
    """
    from buril.train.machine import prepare_torch, quieten
    from buril.train.stage import Train

    for what, allowed in (("method", ("lora", "qlora")), ("objective", ("cross_entropy", "syntax"))):
        wanted = getattr(terms, what)["name"]
        if wanted not in allowed:
            raise BurilError("T184", what=what, value=wanted)
    quieten()
    machine = prepare_torch(settings.threads) | {"micro_batch_tokens": settings.micro_batch_tokens}
    changes = {what: reference(what, getattr(terms, what)) for what in ("method", "objective")}
    stage = Train(settings.model_copy(update={**changes, "seed": terms.seed, "federated": None}))
    task = stage._task(inputs)
    machine["device"] = str(task.trainable.device)
    task.trainable.recompute(resolve_layers(stage.settings, inputs).twice)
    shared = Shared(task.trainable, "product" if terms.average == "product" else "b")
    if shared.layout != terms.layout:
        raise BurilError("T180", client=name, what="adapter")
    return Client(name, task, shared, folder=folder, machine=machine)


def reference(kind: str, told: Mapping[str, Any]) -> Ref:
    """A plugin by its name and settings, as they came in a message."""
    return Ref(kind=kind, name=told["name"], settings=settings_of(kind, told["name"]).model_validate(told["settings"]))


def repositories(split: Artifact) -> dict[str, str]:
    """The repository of each training row."""
    import pyarrow.parquet as pq

    found: dict[str, str] = {}
    for path in split.files("train/*.parquet"):
        table = pq.read_table(path, columns=["row_id", "repo"])
        found |= dict(zip(table.column("row_id").to_pylist(), table.column("repo").to_pylist(), strict=True))
    return found


def write_contributions(loop: Federation) -> None:
    """`contributions.parquet`: what came from every client in every round, and why it was left out where it was."""
    import pyarrow as pa

    from buril.code.codefile import write_table

    types = {"int": pa.int64(), "str": pa.string(), "bool": pa.bool_(), "float": pa.float64()}
    schema = pa.schema([(item.name, types[str(item.type).partition(" |")[0]]) for item in fields(Contribution)])
    rows = [asdict(item) for item in loop.contributions]
    write_table(loop.out.path(CONTRIBUTIONS), pa.Table.from_pylist(rows, schema=schema))
    loop.out.rows[CONTRIBUTIONS] = len(rows)
