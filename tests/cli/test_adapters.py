"""`buril serve` with adapters that were really trained: a process, its YAML changed while it runs, and what it keeps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "transformers", "peft", "fastapi", "uvicorn", "httpx", "prometheus_client"):
    pytest.importorskip(package, reason=f"{package} is not installed")

from tests.cli.test_complete import Split  # noqa: E402
from tests.cli.test_serve import Process, buril, served  # noqa: E402
from tests.export.small import inputs as made_inputs  # noqa: E402
from tests.generators.tiny import make, named_tokenizer  # noqa: E402

from buril.cli.adapting import Shared, adapted, links_of  # noqa: E402
from buril.cli.bundle import Bundled  # noqa: E402
from buril.cli.in_use import InUse, model_in_use, open_on  # noqa: E402
from buril.core import plan  # noqa: E402
from buril.core.errors import BurilError  # noqa: E402
from buril.core.store import Store  # noqa: E402
from buril.export.record import made_from, write_record  # noqa: E402
from buril.generators._bundle import read_bundle  # noqa: E402
from buril.generators._generator import Request  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from buril.serve.settings import ServeSettings  # noqa: E402
from buril.tokens.pack import Pack  # noqa: E402
from buril.tokens.tokenizer import Tokenizer  # noqa: E402
from buril.train.base import Base  # noqa: E402
from buril.train.stage import Train  # noqa: E402

pytestmark = pytest.mark.slow

PROMPT = "def add("


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store in which two adapters were trained on one base, and one on another."""
    found = tmp_path_factory.mktemp("adapted")
    for name, seed in (("base", 3), ("other", 4)):
        model = make("llama", intermediate_size=96 + 16 * (seed - 3))
        model.save_pretrained(found / name)
        shutil.copytree(named_tokenizer(found / f"{name}-tok") / "tokenizer", found / name, dirs_exist_ok=True)
    store = Store(found / ".buril")
    for name, base, seed in (("far", "other", 0), ("one", "base", 1), ("two", "base", 2)):
        told = {"method": {"lora": {"rank": 4, "dropout": 0.0}}, "max_steps": 12, "learning_rate": 0.05, "seed": seed,
                "threads": 1, "precision": "fp32", "batch_size": 2}  # fmt: skip
        stages = [
            Split(Split.Settings()), Base(Base.Settings.model_validate({"base": str(found / base)})),
            Tokenizer(Tokenizer.Settings.model_validate({})),
            Pack(Pack.Settings.model_validate({"max_length": 96})), Train(Train.Settings.model_validate(told)),
        ]  # fmt: skip
        plan.run(stages, store, name=name)
    return found


def written(model: InUse) -> str:
    """What the reference writes with a model by itself, its adapter as PEFT puts it on."""
    alone = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    open_on(alone, model)
    return next(iter(alone.complete([Request(PROMPT, max_tokens=9)])))[0].text


def ask(server: Process, model: str) -> Any:
    return server.client.post("/v1/completions", json={"model": model, "prompt": PROMPT, "max_tokens": 9})


def test_a_team_serves_its_adapters_from_one_process(root: Path) -> None:
    store = Store(root / ".buril")
    models = {name: model_in_use(store, name) for name in ("one", "two")}
    base = InUse(models["one"].base, models["one"].tokenizer, None)
    right = {"acme": written(models["two"]), "plain": written(base), **{n: written(m) for n, m in models.items()}}
    assert len({right["one"], right["two"], right["plain"]}) == 3
    config = root / "serve.yaml"
    engine = "engine: {transformers: {dtype: fp32, device: cpu}}"
    yaml = (
        f"name: acme\nserve:\n  {engine}\n  guards: []\n  adapters: {{one: one, plain: {{ref: one, strength: 0}}%s}}\n"
    )
    config.write_text(yaml % "")
    with served(root, "two", "-c", "serve.yaml", "--no-supervise", engine=None) as server:
        assert {name: ask(server, name).json()["choices"][0]["text"] for name in ("acme", "one", "plain")} == {
            name: right[name] for name in ("acme", "one", "plain")
        }
        answer = ask(server, "one").json()["buril"]
        assert answer["model"]["train"]["digest"] == models["one"].tuned.digest  # type: ignore[union-attr]  # it is
        record = json.loads((root / f".buril/completions/{answer['records'][0]}.json").read_text())
        assert record["model"]["train"] == answer["model"]["train"] and "strength" not in record["parameters"]
        traced = buril(root, "trace", answer["records"][0])
        assert traced.returncode == 0 and "train@" + models["one"].tuned.key[:12] in traced.stdout  # type: ignore[union-attr]
        event = {"id": answer["records"][0], "event": "accepted", "chars": 4}
        assert server.client.post("/v1/events", json=event).status_code == 204
        weak = ask(server, "plain").json()["buril"]
        assert weak["model"]["strength"] == 0.0 and weak["model"]["fingerprint"] != answer["model"]["fingerprint"]
        record = json.loads((root / f".buril/completions/{weak['records'][0]}.json").read_text())
        assert record["parameters"]["strength"] == 0.0
        assert ask(server, "two").status_code == 404
        config.write_text(yaml % ", two: two")
        server.until("adapters", 2)
        assert ask(server, "two").json()["choices"][0]["text"] == right["two"]
        config.write_text(yaml % ", two: far")
        problem = server.until("adapters_kept")["problem"]
        assert "V030" in problem and "another `base`" in problem
        assert ask(server, "two").json()["choices"][0]["text"] == right["two"], "those before go on"
        answered = [line["model"] for line in server.lines() if line["event"] == "request" and line["status"] == "ok"]
        assert answered[:3] == ["acme", "one", "plain"]
    text = "".join(path.read_text() for path in (root / ".buril/traffic").glob("*.jsonl"))
    counted = [json.loads(line) for line in text.splitlines() if line]
    assert {models[name].tuned.digest for name in ("one", "two")} <= {line["model"] for line in counted}  # type: ignore[union-attr]
    accepted = [line for line in counted if any("accepted" in name for name in line["numbers"])]
    assert {line["model"] for line in accepted} == {models["one"].tuned.digest}, "whose answer it was"  # type: ignore[union-attr]


def test_what_is_no_adapter_of_this_base_is_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / ".buril", tmp_path / ".buril")
    store = Store(tmp_path / ".buril")
    model = model_in_use(store, "one")
    assert model.tuned is not None
    base = InUse(model.base, model.tokenizer, None)

    def refused(**entries: str) -> str:
        with pytest.raises(BurilError) as problem:
            adapted(ServeSettings.model_validate({"name": "acme", "adapters": entries}), store, base)
        return f"{problem.value.code} {problem.value.cause}"

    assert "another `base`" in refused(a="far")
    assert "whole model" in refused(a="base") or "another" in refused(a="base")
    assert refused(a="nothing").startswith("S001")
    assert "has this name" in refused(acme="one")
    weights = model.tuned.path("adapter/adapter_model.safetensors")
    weights.chmod(0o600)
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert "other bytes" in refused(a="one")


def test_a_folder_of_peft_is_named_by_its_content(root: Path, tmp_path: Path) -> None:
    store = Store(root / ".buril")
    model = model_in_use(store, "one")
    assert model.tuned is not None
    base = InUse(model.base, model.tokenizer, None)
    shutil.copytree(model.tuned.path("adapter"), tmp_path / "own")

    def found(**more: float) -> Any:
        entry = {"ref": str(tmp_path / "own"), "strength": 0.5, **more}
        return adapted(ServeSettings.model_validate({"adapters": {"own": entry}}), store, base)["own"]

    before = found()
    assert links_of(before.model)["adapter"]["digest"] == before.adapter.digest and before.key.endswith("*0.5")
    assert before.both() == (before,) == found(chat_strength=0.5).both(), "one strength is one adapter"
    assert [one.key.partition("*")[2] for one in found(chat_strength=0.25).both()] == ["0.5", "0.25"]
    assert [one.model.strength for one in found(chat_strength=0.25).both()] == [0.5, 0.25]
    (tmp_path / "own/adapter_model.safetensors").chmod(0o600)
    with (tmp_path / "own/adapter_model.safetensors").open("ab") as stream:
        stream.write(b" ")
    assert found().key != before.key and found().adapter.identity != before.adapter.identity


def test_a_bundle_lends_the_adapter_that_it_holds(tmp_path: Path) -> None:
    given = made_inputs(tmp_path / "made")
    base = InUse(given["base"], given["tokenizer"], None)
    folder = tmp_path / "acme"
    shutil.copytree(given["train"].path("adapter"), folder / "safetensors/adapter")

    def found(*stages: str) -> Any:
        links = made_from({name: given[name] for name in stages})
        write_record(folder, {"name": "acme", "formats": [], "made_from": links}, "2026-11-30T00:00:00Z")
        told = ServeSettings.model_validate({"adapters": {"ours": str(folder)}})
        return adapted(told, None, base)["ours"]

    ours = found("base", "tokenizer", "train")
    assert ours.adapter.folder == folder / "safetensors/adapter" and ours.adapter.digest == given["train"].digest
    assert links_of(ours.model)["train"]["digest"] == given["train"].digest, "as the store would name it"
    with pytest.raises(BurilError, match="another `tokenizer`"):
        found("base", "train")
    shutil.rmtree(folder / "safetensors/adapter")
    with pytest.raises(BurilError, match="whole model"):
        found("base", "tokenizer", "train")
    told = ServeSettings.model_validate({"adapters": {}})
    with pytest.raises(BurilError, match="holds its model whole"):
        Shared(told, None, Bundled(read_bundle(folder)))


def test_no_adapters_are_put_on_a_model_that_was_trained_whole(tmp_path: Path) -> None:
    given = made_inputs(tmp_path, adapter=False)
    told = ServeSettings.model_validate({"adapters": {}})
    with pytest.raises(BurilError, match="trained whole") as refused:
        Shared(told, None, InUse(given["base"], given["tokenizer"], given["train"]))
    assert refused.value.code == "V030"


def test_what_can_not_be_served_with_adapters_is_said(root: Path) -> None:
    (root / "llama.yaml").write_text("serve: {engine: llamacpp, guards: [], adapters: {one: one}}\n")
    said = buril(root, "serve", "two", "-c", "llama.yaml", "--port", "0", "--no-supervise")
    assert said.returncode == 4 and "V031" in said.stderr
    (root / "far.yaml").write_text("serve: {guards: [], adapters: {far: far}}\n")
    said = buril(root, "serve", "two", "-c", "far.yaml", "--port", "0", "--no-supervise")
    assert said.returncode == 2 and "V030" in said.stderr


def test_keys_may_be_for_some_models(root: Path) -> None:
    assert buril(root, "keys", "add", "bo", "--models", "one, two").returncode == 0
    assert json.loads(buril(root, "keys", "list", "--json").stdout)[0]["models"] == ["one", "two"]
    assert "one, two" in buril(root, "keys", "list").stdout
