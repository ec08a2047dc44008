"""Clients as processes of their own, over gRPC with TLS on loopback; none of it reaches further."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.events import read_events
from buril.core.stage import Output
from tests.train.federated.small import stage
from tests.train.federated.test_simulation import contributions, warnings
from tests.train.small import write_base, write_pack, write_tokenizer

pytest.importorskip("flwr", reason="needs the extra `federated`")
from tests.train.federated.network import Running, certificates, free_port, start_client

TIMEOUT_S = 120


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return certificates(tmp_path_factory.mktemp("tls") / "pem")


@pytest.fixture
def clients() -> Iterator[list[Running]]:
    found: list[Running] = []
    yield found
    for client in found:
        client.stop()


def site(folder: Path, seed: int, **base: Any) -> Path:
    """A client's own inputs: the same base and tokenizer, other text."""
    write_base(folder / "base", **base)
    write_tokenizer(folder / "tokenizer")
    write_pack(folder / "pack", seed=seed, num_sequences=12)
    return folder


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [site(tmp_path_factory.mktemp(f"site{number}") / "in", number) for number in (1, 2, 3)]


def copied(sites: list[Path], folder: Path) -> list[Path]:
    """The sites as they were, for a test that writes into them."""
    return [Path(shutil.copytree(path, folder / f"site{number}" / "in")) for number, path in enumerate(sites)]


def serve(told: dict[str, Any], inputs: dict[str, Artifact], out: Output, **more: Any) -> threading.Thread:
    """The server, in a thread; `result` is what it returned or raised."""

    def run() -> None:
        try:
            thread.result = stage(told, eval_tokens=1, **more).run(inputs, out)  # type: ignore[attr-defined]
        except BurilError as error:
            thread.result = error  # type: ignore[attr-defined]

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def settings(port: int, tls: dict[str, str], **told: Any) -> dict[str, Any]:
    return {"rounds": 2, "clients": 2, "listen": f"localhost:{port}", "tls": tls, "timeout_s": TIMEOUT_S, **told}


def notes(out: Output) -> list[str]:
    return [event["text"] for event in read_events(out.events_path) if event["kind"] == "note"]


@pytest.mark.slow
def test_two_processes_over_tls_train_as_a_simulation_does(
    inputs: dict[str, Artifact], sites: list[Path], tls: dict[str, str], output: Callable[..., Output], tmp_path: Path,
    clients: list[Running], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FEDERATION", "tell nobody")
    port, out = free_port(), output("train")
    server = serve(settings(port, tls, secret="env:FEDERATION"), inputs, out)
    for path, name in zip(copied(sites[:2], tmp_path), ("north", "south"), strict=True):
        clients.append(start_client(path, name, f"localhost:{port}", ca=tls["ca"], secret="tell nobody"))
    server.join(TIMEOUT_S)
    said = [client.said() for client in clients]
    assert [client.process.exitcode for client in clients] == [0, 0], said
    assert all("rounds 2 telemetry 0" in text for text in said), said
    found = contributions(out)
    assert [(item["round"], item["client"]) for item in found] == [
        (0, "north"), (0, "south"), (1, "north"), (1, "south"),
    ]  # fmt: skip
    assert all(item["accepted"] and item["steps"] == 4 and item["norm"] > 0 for item in found)
    assert pq.read_metadata(out.folder / "seen.parquet").num_rows == 0, "nothing of the server's own was learnt"
    told = json.loads((out.folder / "train.json").read_text())
    assert told["federated"]["clients"] == ["north", "south"] and told["federated"]["simulated"] is False
    assert not list(tmp_path.rglob(".flwr")), "Flower left a mark in somebody's home"
    assert sum("has joined" in text for text in notes(out)) == 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    again = same_by_hand(inputs, sites[:2], tmp_path)
    assert [item["sha256"] for item in found if item["round"] == 0] == again


def same_by_hand(inputs: dict[str, Artifact], sites: list[Path], folder: Path) -> list[str]:
    """The SHA-256 of what each site's data teach in the first round, without a network."""
    from buril.train.federated.adapter import Shared, digest
    from buril.train.federated.client import Client
    from buril.train.federated.server import Federation
    from buril.train.federated.settings import Federated
    from tests.conftest import as_artifact

    found = []
    for number, path in enumerate(sites):
        train = stage()
        task = train._task({**inputs, "pack": as_artifact(path / "pack", "pack")})
        shared = Shared(task.trainable, "b")
        told = Federated(rounds=2, clients=2)
        order = Federation._order(_Asking(told, train._recipe(inputs), 8), 0)  # type: ignore[arg-type]
        client = Client("x", task, shared, folder=folder / f"by-hand-{number}", machine={"micro_batch_tokens": 2048})
        update = client.train(order, shared.vector()).update
        assert update is not None and update.delta is not None
        found.append(digest(update.delta))
    return found


class _Asking:
    """As much of a server as an order needs."""

    def __init__(self, told: Any, recipe: Any, num_steps: int) -> None:
        self.told, self.recipe, self.num_steps = told, recipe, num_steps


@pytest.mark.slow
@pytest.mark.parametrize("secure", [False, True])
def test_a_client_that_is_killed_and_one_that_sends_no_numbers_are_left_out(
    secure: bool, inputs: dict[str, Artifact], sites: list[Path], tls: dict[str, str],
    output: Callable[..., Output], tmp_path: Path, clients: list[Running],
) -> None:  # fmt: skip
    """Under `secure` a fourth client takes the place of the one without numbers: nobody could tell which it is."""
    port, out = free_port(), output("train")
    told = {"clients": 4 if secure else 3, "min_clients": 3 if secure else 1, "secure": secure, "rounds": 3}
    server = serve(settings(port, tls, **told), inputs, out, max_steps=6)
    behaviour = {"good": "", "dies": "die", **({"fine": "", "well": ""} if secure else {"nan": "nan"})}
    places = copied([*sites, sites[0]][: len(behaviour)], tmp_path)
    for path, (name, how) in zip(places, behaviour.items(), strict=True):
        clients.append(start_client(path, name, f"localhost:{port}", ca=tls["ca"], behave=how))
    server.join(TIMEOUT_S)
    assert isinstance(getattr(server, "result", None), dict), (server, notes(out), warnings(out))
    found = {(item["round"], item["client"]): item for item in contributions(out)}
    assert found[0, "dies"]["accepted"] and not found[1, "dies"]["accepted"] and (2, "dies") not in found
    assert "connection broke" in found[1, "dies"]["reason"]
    assert all(found[number, "good"]["accepted"] for number in range(3))
    if not secure:
        assert "NaN" in found[0, "nan"]["reason"] and any("`nan`" in text for text in warnings(out))
    else:
        assert all(item["norm"] is None and item["sha256"] is None for item in found.values())


@pytest.mark.slow
def test_who_does_not_belong_is_turned_away_with_the_reason(
    inputs: dict[str, Artifact], sites: list[Path], tls: dict[str, str], output: Callable[..., Output], tmp_path: Path,
    clients: list[Running], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FEDERATION", "tell nobody")
    port, out = free_port(), output("train")
    server = serve(settings(port, tls, secret="env:FEDERATION", timeout_s=25, clients=2), inputs, out)
    other = site(tmp_path / "other" / "in", 1, tied=False)
    good = copied(sites[:1], tmp_path)[0]
    address, ca = f"localhost:{port}", tls["ca"]
    wrong = certificates(tmp_path / "wrong")["ca"]
    clients.append(start_client(good, "good", address, ca=ca, secret="tell nobody"))
    while not any("has joined" in text for text in notes(out)) and server.is_alive():
        time.sleep(0.1)
    clients += [
        start_client(sites[1], "guesser", address, ca=ca, secret="guess"),
        start_client(other, "stranger", address, ca=ca, secret="tell nobody"),
        start_client(sites[1], "good", address, ca=ca, secret="tell nobody"),
        start_client(sites[1], "lost", address, ca=wrong, secret="tell nobody", wait="1"),
    ]
    said = [client.said() for client in clients[1:]]
    for text, code in zip(said, ("T181", "T180", "T182", "T183"), strict=True):
        assert f"error[{code}]" in text, said
    assert sum("turns" in text for text in warnings(out)) == 3
    server.join(TIMEOUT_S)
    error = server.result  # type: ignore[attr-defined]
    assert isinstance(error, BurilError) and error.code == "T177" and "1 of at least 2" in str(error)


@pytest.mark.slow
def test_a_client_that_is_late_is_left_out(
    inputs: dict[str, Artifact], sites: list[Path], tls: dict[str, str], output: Callable[..., Output], tmp_path: Path,
    clients: list[Running],
) -> None:  # fmt: skip
    port, out = free_port(), output("train")
    told = settings(port, tls, rounds=1, min_clients=1, timeout_s=20)
    for path, (name, how) in zip(copied(sites[:2], tmp_path), {"good": "", "slow": "late"}.items(), strict=True):
        clients.append(start_client(path, name, f"localhost:{port}", ca=tls["ca"], behave=how))
    server = serve(told, inputs, out)
    server.join(TIMEOUT_S)
    assert isinstance(getattr(server, "result", None), dict), (server, notes(out), warnings(out))
    found = {item["client"]: item for item in contributions(out)}
    assert found["good"]["accepted"] and not found["slow"]["accepted"] and "in time" in found["slow"]["reason"]


@pytest.mark.slow
def test_clients_come_back_to_a_server_that_comes_back(
    inputs: dict[str, Artifact], sites: list[Path], tls: dict[str, str], output: Callable[..., Output], tmp_path: Path,
    clients: list[Running],
) -> None:  # fmt: skip
    """The round that could not be averaged is repeated; the one before it is not."""
    port, address = free_port(), ""
    for number, (path, how) in enumerate(zip(copied(sites[:2], tmp_path), ("", "once"), strict=True)):
        address = f"localhost:{port}"
        clients.append(start_client(path, f"client-{number}", address, ca=tls["ca"], behave=how))
    first = serve(settings(port, tls), inputs, output("train"))
    first.join(TIMEOUT_S)
    error = first.result  # type: ignore[attr-defined]
    assert isinstance(error, BurilError) and error.code == "T178" and "client-1" in str(error)
    out = output("train", resumed=True)
    second = serve(settings(port, tls), inputs, out)
    second.join(TIMEOUT_S)
    assert isinstance(second.result, dict), second.result  # type: ignore[attr-defined]
    said = [client.said() for client in clients]
    assert all("rounds 3 telemetry" in text and "it is made again" in text for text in said), said
    assert [(item["round"], item["first_step"]) for item in contributions(out)] == [(0, 0), (0, 0), (1, 4), (1, 4)]


@pytest.mark.slow
def test_buril_join_runs_its_own_chain_and_trains(
    sites: list[Path], tls: dict[str, str], tmp_path: Path, clients: list[Running], capsys: pytest.CaptureFixture[str]
) -> None:
    from buril.chain import Chain
    from buril.cli.main import main
    from buril.core.store import Store

    model = tmp_path / "model"
    shutil.copytree(sites[0] / "base/model", model)
    shutil.copytree(sites[0] / "tokenizer/tokenizer", model, dirs_exist_ok=True)
    port = free_port()
    here = chain_of(tmp_path / "server", model, functions=30)
    path = chain_of(tmp_path / "north", model, functions=60)
    command = f"-c\n{path}\n--ca\n{tls['ca']}\n--store\n{tmp_path / 'north/store'}"
    clients.append(start_client(path, "north", f"localhost:{port}", command=command))
    chain = Chain.from_yaml(here).set("train.federated", settings(port, tls, rounds=1, clients=1))
    done = chain.run(Store(tmp_path / "server/store"))
    said = clients[0].said()
    assert clients[0].process.exitcode == 0 and "rounds were trained here" in said, said
    found = pq.read_table(done.artifacts["train"].path("contributions.parquet")).to_pylist()
    assert [item["client"] for item in found] == ["north"] and all(item["accepted"] for item in found)
    assert {item["dataset"] for item in found}.isdisjoint({done.artifacts["pack"].digest})
    with pytest.raises(SystemExit):
        main(["trace", "model", "-c", str(here), "--store", str(tmp_path / "server/store")])
    told = capsys.readouterr().out
    assert "learnt with 1 clients" in told and "learnt from 0 files" in told, told
    assert f"north  digest {found[0]['dataset'][:12]}  1 rounds, weight 100%" in told, told


def chain_of(folder: Path, model: Path, *, functions: int) -> Path:
    """A configuration of a folder of code that is made up here."""
    source = folder / "code"
    source.mkdir(parents=True)
    for number in range(functions):
        body = f"def f_{folder.name}_{number}(value):\n    total = value + {number}\n    return total * {number + 2}\n"
        (source / f"m{number}.py").write_text(body * 3)
    path = folder / "buril.yaml"
    path.write_text(
        f"name: {folder.name}\ncollect: [{{folder: {{path: code, license: mit}}}}]\ndedup: {{method: exact}}\n"
        "prepare: {}\nselect: {}\nsplit: {train: 0.8, valid: 0.2, test: 0.0}\npack: {fim_rate: 0, workers: 1}\n"
        f"train: {{base: {model}, max_length: 96, max_steps: 4, batch_size: 4, threads: 1, precision: fp32}}\n"
    )
    return path


@pytest.mark.parametrize(
    ("code", "words"), [("T183", ["nowhere"]), ("T186", ["localhost:1", "--ca", "missing.pem"])]
)  # fmt: skip
def test_a_wrong_address_or_certificate_is_said_at_once(
    code: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from buril.cli.main import main

    with pytest.raises(SystemExit) as error:
        main(["join", *words])
    assert error.value.code == 4 and f"error[{code}]" in capsys.readouterr().err


def test_orders_that_read_more_than_the_clients_text_are_refused(sites: list[Path], tmp_path: Path) -> None:
    from buril.train.federated.start import open_client
    from buril.train.federated.wire import Terms

    terms = Terms("", "", "", {"name": "lora", "settings": {}}, {"name": "distil", "settings": {}}, "b", 0)
    with pytest.raises(BurilError) as error:
        open_client(stage().settings, {}, Terms.read(terms.text()), "x", tmp_path)
    assert error.value.code == "T184"


def test_a_client_that_sends_masked_updates_only_sends_no_other() -> None:
    import numpy as np

    from buril.train.federated.client import Order
    from buril.train.federated.join import Guest, instructions_of
    from buril.train.federated.wire import Hello

    guest = Guest(Hello("x", "", "", "", "", 1, 1), lambda _terms: pytest.fail("opened"), print, secure_only=True)
    with pytest.raises(BurilError) as error:
        guest.fit(instructions_of(Order(0, 1, 1, 0.0, None, False, {}), np.zeros(3), np.zeros(1)))
    assert error.value.code == "T185"


def test_without_flower_the_pip_line_is_said(
    inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import util

    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "flwr" else real(name))
    with pytest.raises(BurilError) as error:
        stage({"listen": "127.0.0.1:0"}).run(inputs, output("train"))
    assert error.value.code == "P002" and "pip install" in str(error.value)


@pytest.mark.parametrize(("key", "value"), [("steps", -3), ("read", 2**60), ("first", "x"), ("steps", None)])
def test_an_answer_whose_counts_can_not_be_is_no_answer(key: str, value: Any) -> None:
    import numpy as np

    from buril.train.federated.join import result_of
    from buril.train.federated.remote import reply_of
    from buril.train.federated.updates import Reply, Update

    result = result_of(Reply("x", Update(np.ones(3, np.float32), 10, 0, 4, 100, 1.0, 12)))
    good = reply_of("x", result)
    assert good.update is not None and good.update.steps == 4 and not good.reason
    result.metrics[key] = value
    if value is None:
        del result.metrics[key]
    assert "can't be read" in reply_of("x", result).reason


@pytest.mark.parametrize("value", [None, ""])
def test_a_secret_that_is_not_set_lets_nobody_in(
    value: str | None, inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEDERATION", raising=False)
    if value is not None:
        monkeypatch.setenv("FEDERATION", value)
    with pytest.raises(BurilError) as error:
        stage({"listen": "127.0.0.1:0", "secret": "env:FEDERATION"}).run(inputs, output("train"))
    assert error.value.code == "C006"


def test_a_port_or_certificate_that_can_not_be_used_is_said(
    inputs: dict[str, Artifact], output: Callable[..., Output], tls: dict[str, str], tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = {"listen": f"127.0.0.1:{taken.getsockname()[1]}", "timeout_s": 1}
        with pytest.raises(BurilError) as error:
            stage(told).run(inputs, output("train"))
        assert error.value.code == "T187"
    (tmp_path / "empty.pem").write_text("no certificate")
    for path in ("missing.pem", "empty.pem"):
        told = {"listen": "127.0.0.1:0", "tls": {**tls, "key": str(tmp_path / path)}}
        with pytest.raises(BurilError) as error:
            stage(told).run(inputs, output("train"))
        assert error.value.code == "T186"
