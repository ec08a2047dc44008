"""Models beside the served one, as clients see them: one base, several adapters, each by its name."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "transformers", "peft", "fastapi", "uvicorn", "httpx", "prometheus_client", "openai"):
    pytest.importorskip(package, reason=f"{package} is not installed")

import openai  # noqa: E402
from peft import PeftModel  # noqa: E402
from pydantic import ValidationError  # noqa: E402

from buril.core.errors import BurilError  # noqa: E402
from buril.generators._generator import Adapter, Request  # noqa: E402
from buril.generators._load import Loaded, merged  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from buril.serve.adapters import AdapterSettings, Beside, Shelf  # noqa: E402
from buril.serve.answer import Served  # noqa: E402
from buril.serve.engine import Engine  # noqa: E402
from buril.serve.keys import Keys, Refused, add, allows  # noqa: E402
from buril.serve.metrics import Metrics  # noqa: E402
from buril.serve.settings import ServeSettings  # noqa: E402
from tests.generators.test_adapters import KINDS, write_adapter  # noqa: E402
from tests.generators.tiny import make  # noqa: E402
from tests.serve.running import Running, loaded_in, running  # noqa: E402

TOKENS = 12


class Shared(Running):
    """A server with adapters beside its base; what is wanted can be changed while it runs."""

    wanted: dict[str, Adapter | tuple[Adapter, Adapter]] | None
    shelf: Shelf

    def _load(self) -> Served:
        generator = Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=6))
        self.wanted = self._more["adapters"]
        generator.adapters({})
        generator.use(self._loaded)
        session = generator.session()
        session.writer.end_ids = frozenset()
        links = {"base": {"stage": "base", "digest": "d" * 64}, "fingerprint": "f" * 12}
        served = Served("tiny", Engine(session, most_waiting=64), generator, (), Metrics("tiny", "f" * 12), links, self)

        def find() -> dict[str, Beside] | None:
            given, self.wanted = self.wanted, None
            if given is None:
                return None

            def model(name: str, adapter: Adapter) -> Served:
                more = {"metrics": served.metrics.named(name), "links": {**links, "train": {"digest": name}}}
                return replace(served, name=name, adapter=f"{adapter.folder.name}*{adapter.strength}", **more)

            found = {}
            for name, adapters in given.items():
                one, other = adapters if not isinstance(adapters, Adapter) else (adapters, None)
                chats = model(name, other) if other else None
                found[name] = Beside(replace(model(name, one), chats=chats), one, other)
            return found

        self.shelf = Shelf(served, {}, find)
        assert self.shelf.look()
        return served


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    return {name: write_adapter(root / name, 9 + place, **KINDS[name]) for place, name in enumerate(KINDS)}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded_in(tmp_path_factory.mktemp("served"))


@pytest.fixture
def server(loaded: Loaded, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    monkeypatch.setattr("tests.serve.running.Running", Shared)
    keys = loaded.tokenizer_dir.parent / "keys.json"
    keys.unlink(missing_ok=True)
    told = ServeSettings(port=0, guards=[])
    given = {"wide": Adapter(folders["wide"]), "half": Adapter(folders["wide"], 0.5), "thin": Adapter(folders["thin"])}
    fresh = Loaded(make("llama", max_position_embeddings=4096), loaded.tokenizer_dir, loaded.fim)
    with running(told, fresh, adapters=given) as found:
        assert isinstance(found, Shared)
        yield found


def expected(loaded: Loaded, folder: Path | None, prompt: str, strength: float = 1.0) -> str:
    """What the model with the adapter merged into it writes."""
    model: Any = make("llama", max_position_embeddings=4096)
    if folder is not None:
        model = PeftModel.from_pretrained(model, str(folder))
        for module in model.modules():
            if hasattr(module, "set_scale"):
                module.set_scale("default", strength)
        model = merged(model)
    alone = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    alone.use(Loaded(model, loaded.tokenizer_dir, loaded.fim))
    (row,) = (session := alone.session()).rows(Request(prompt, max_tokens=TOKENS))
    session.writer.end_ids = frozenset()
    session.add([row])
    while len(session):
        session.step()
    return str(session.writer.completion(row).text)


def test_openais_client_chooses_among_the_models_of_one_base(
    server: Shared, loaded: Loaded, folders: dict[str, Path]
) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == ["tiny", "wide", "half", "thin"]
    assert client.models.retrieve("half").id == "half"
    prompt = "def add(left"
    right = {
        "tiny": expected(loaded, None, prompt), "wide": expected(loaded, folders["wide"], prompt),
        "half": expected(loaded, folders["wide"], prompt, 0.5), "thin": expected(loaded, folders["thin"], prompt),
    }  # fmt: skip
    assert len(set(right.values())) == 4

    def ask(name: str) -> Any:
        return client.completions.create(model=name, prompt=prompt, max_tokens=TOKENS)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, [*right] * 2))
    assert [answer.choices[0].text for answer in found] == [*right.values()] * 2
    assert [answer.model for answer in found] == [*right] * 2
    assert found[1].model_extra["buril"]["model"]["train"]["digest"] == "wide"
    assert {record.request.adapter for record in server.records} == {"", "wide*1.0", "wide*0.5", "thin*1.0"}
    counted = server.client.get("/metrics").text
    assert 'gen_ai_server_request_duration_seconds_count{gen_ai_request_model="half"} 2.0' in counted
    with pytest.raises(openai.NotFoundError) as unknown:
        ask("wider")
    assert unknown.value.code == "model_not_found"
    infill = {"input_prefix": prompt, "input_suffix": "\n", "n_predict": TOKENS}
    one, other = (server.post("/infill", **infill, model=name).json() for name in ("thin", "wide"))
    assert one["content"] != other["content"] and (one["model"], other["model"]) == ("thin", "wide")


def test_adapters_come_and_go_while_answers_are_written(
    server: Shared, loaded: Loaded, folders: dict[str, Path]
) -> None:
    prompt, texts = "class Vault", {}

    def ask() -> None:
        texts["long"] = server.post("/v1/completions", model="thin", prompt=prompt, max_tokens=400).json()

    asking = threading.Thread(target=ask)
    asking.start()
    until = time.monotonic() + 20
    while not server.engine.num_running:
        assert time.monotonic() < until
        time.sleep(0.005)
    server.wanted = {"mixed": Adapter(folders["mixed"])}
    assert server.shelf.look() and not server.shelf.look()
    assert asking.is_alive(), "it came between"
    assert server.post("/v1/completions", model="thin", prompt=prompt).status_code == 404
    found = server.post("/v1/completions", model="mixed", prompt=prompt, max_tokens=TOKENS).json()
    assert found["choices"][0]["text"] == expected(loaded, folders["mixed"], prompt)
    asking.join()
    assert texts["long"]["choices"][0]["text"].startswith(expected(loaded, folders["thin"], prompt))
    assert texts["long"]["usage"]["completion_tokens"] == 400
    generator = server.serving.server.served.generator  # type: ignore[union-attr]  # it is there
    server.wanted = {"mixed": Adapter(folders["mixed"])}
    assert server.shelf.look()
    assert set(generator._stack._given) == {"mixed*1.0"}, "what nobody is written by any more is let go of"


def test_a_broken_adapter_leaves_the_others_serving(
    server: Shared, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"no")
    before = server.post("/v1/completions", model="thin", prompt="def", max_tokens=5).json()["choices"]
    server.wanted = {"thin": Adapter(tmp_path, title="slim"), "wide": Adapter(folders["wide"])}
    assert not server.shelf.look()
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines() if "adapters_kept" in line]
    assert (
        said
        and "V030" in said[-1]["problem"]
        and "`slim`" in said[-1]["problem"]
        and said[-1]["names"] == ["half", "thin", "wide"]
    )
    assert server.post("/v1/completions", model="thin", prompt="def", max_tokens=5).json()["choices"] == before


def test_a_request_that_comes_too_late_for_its_adapter_gets_404(server: Shared) -> None:
    served = server.serving.server.served
    assert served is not None
    served.beside["gone"] = replace(served, name="gone", adapter="gone*1.0")  # named before, taken out meanwhile
    found = server.post("/v1/completions", model="gone", prompt="def")
    assert found.status_code == 404 and found.json()["error"]["code"] == "V032"


def test_a_key_may_be_for_some_models_alone(server: Shared, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = add(path, "ana", models=["wide", "thin"])
    server.serving.server.keys = Keys(path)
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)
    assert [model.id for model in client.models.list()] == ["wide", "thin"]
    assert client.completions.create(model="wide", prompt="def", max_tokens=2).model == "wide"
    for name in ("half", "tiny", ""):
        with pytest.raises(openai.PermissionDeniedError):
            client.completions.create(model=name, prompt="def", max_tokens=2)
    with pytest.raises(openai.PermissionDeniedError):
        client.models.retrieve("half")
    everything = Keys(path).admit(f"Bearer {add(path, 'eva')}", "complete")
    assert allows(everything, "half") and allows(None, "half")
    with pytest.raises(Refused):
        Keys(path).admit("Bearer no", "complete")


def test_chats_may_have_a_strength_of_their_own(server: Shared, folders: dict[str, Path]) -> None:
    whole, half = Adapter(folders["wide"]), Adapter(folders["wide"], 0.5)
    server.wanted = {"whole": whole, "half": half, "apart": (whole, half)}
    assert server.shelf.look()

    def completed(name: str) -> str:
        found = server.post("/v1/completions", model=name, prompt="class Vault", max_tokens=TOKENS).json()
        return str(found["choices"][0]["text"])

    def chatted(name: str) -> str:
        asked = [{"role": "user", "content": "class Vault"}]
        found = server.post("/v1/chat/completions", model=name, messages=asked, max_tokens=TOKENS).json()
        assert found["model"] == name
        return str(found["choices"][0]["message"]["content"])

    assert completed("apart") == completed("whole") != completed("half")
    assert chatted("apart") == chatted("half") != chatted("whole")


def test_settings_of_adapters() -> None:
    told = ServeSettings(adapters={"a": "run", "b": {"ref": "run", "strength": 0.5}})
    assert told.adapters == {"a": AdapterSettings(ref="run"), "b": AdapterSettings(ref="run", strength=0.5)}
    for wrong in (
        {"a b": "run"},
        {"a": {"ref": "run", "strength": 2}},
        {"a": {"ref": "run", "chat_strength": -1}},
        {"a": {"ref": "run", "scale": 1}},
    ):
        with pytest.raises(ValidationError):
            ServeSettings(adapters=wrong)


def test_an_engine_that_has_ended_changes_nothing(server: Shared) -> None:
    server.engine.close()
    with pytest.raises(BurilError) as ended:
        server.engine.between(lambda: None)
    assert ended.value.code == "V004"
