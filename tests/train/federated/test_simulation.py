"""Federated training on one machine: the average is exact, one client is central training, bad updates are left out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from buril.audit.lineage import contributors
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.events import read_events
from buril.core.stage import Output
from buril.generators._load import load
from buril.train.batch import PackedFile
from buril.train.defaults import settled
from buril.train.expect import run_length
from buril.train.federated import server
from buril.train.federated.adapter import FIRST, SECOND, Shared, digest, nearest_product
from buril.train.federated.client import Client, Order
from buril.train.federated.parts import divide
from buril.train.federated.privacy import epsilon
from buril.train.federated.settings import Federated
from buril.train.federated.start import repositories
from buril.train.federated.updates import Reply, Update, clipped, judge, norm_of, weights_of
from buril.train.loop import Loop
from buril.train.methods.lora import Lora
from buril.train.recipe import Stand
from buril.train.stage import Train
from buril.web.federation import gather_federation
from buril.web.report import gather, render
from tests.conftest import as_artifact
from tests.train.federated.small import inputs as make_inputs
from tests.train.federated.small import stage
from tests.train.small import write_base, write_tokenizer


def contributions(out: Output) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out.folder / "contributions.parquet").to_pylist()
    return found


def warnings(out: Output) -> list[str]:
    return [event["text"] for event in read_events(out.events_path) if event["kind"] == "warning"]


def weights(out: Output) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    found: dict[str, torch.Tensor] = load_file(out.folder / "adapter/adapter_model.safetensors")
    return found


def shared_model(folder: Path, average: Any = "b") -> tuple[Shared, Any]:
    loaded = load(write_base(folder / "base").folder, write_tokenizer(folder / "t").folder, dtype="fp32", device="cpu")
    trainable = Lora(Lora.Settings(rank=4, dropout=0)).prepare(loaded.model, bf16=False, new_tokens=[], seed=0)
    return Shared(trainable, average), trainable


# --- the average


def test_the_mean_is_the_weighted_mean_by_hand(tmp_path: Path) -> None:
    shared, _trainable = shared_model(tmp_path)
    random = np.random.default_rng(0)
    common, *deltas = random.normal(size=(4, shared.size)).astype(np.float32)
    updates = [Update(delta, tokens) for delta, tokens in zip(deltas, (100, 300, 600), strict=True)]
    found = shared.mean(common, deltas, weights_of(updates, equal=None))
    by_hand = common + 0.1 * deltas[0] + 0.3 * deltas[1] + 0.6 * deltas[2]
    np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-6)
    assert weights_of(updates, equal=5) == [0.2, 0.2, 0.2]


def test_the_mean_is_that_of_flower(tmp_path: Path) -> None:
    aggregate = pytest.importorskip("flwr.server.strategy.aggregate").aggregate
    shared, _trainable = shared_model(tmp_path)
    random = np.random.default_rng(0)
    deltas = list(random.normal(size=(3, shared.size)).astype(np.float32))
    (theirs,) = aggregate([([delta], tokens) for delta, tokens in zip(deltas, (10, 20, 70), strict=True)])
    ours = shared.mean(np.zeros(shared.size, np.float32), deltas, [0.1, 0.2, 0.7])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def products(shared: Shared, vector: np.ndarray, fixed: np.ndarray | None = None) -> dict[str, torch.Tensor]:
    """B·A of every layer, in double precision."""
    named = shared.named(vector)
    firsts = {name: item.detach() for name, item in shared.fixed.items()} if fixed is not None else named
    return {
        name: named[name.replace(FIRST, SECOND)].double() @ firsts[name].double() for name in firsts if FIRST in name
    }


def test_with_a_fixed_first_matrix_the_mean_of_the_models_is_exact(tmp_path: Path) -> None:
    shared, _trainable = shared_model(tmp_path)
    assert shared.fixed and not any(FIRST in name for name in shared.parameters)
    models = list(np.random.default_rng(0).normal(size=(3, shared.size)).astype(np.float32))
    shares = [0.5, 0.3, 0.2]
    mean = shared.mean(np.zeros(shared.size, np.float32), models, shares)
    each = [products(shared, model, shared.fixed_vector()) for model in models]
    for name, product in products(shared, mean, shared.fixed_vector()).items():
        wanted = sum(share * found[name] for share, found in zip(shares, each, strict=True))
        torch.testing.assert_close(product, wanted, rtol=1e-5, atol=1e-5)


def test_the_mean_of_products_is_the_nearest_of_its_rank_and_averaging_apart_is_not(tmp_path: Path) -> None:
    shared, _trainable = shared_model(tmp_path, "product")
    models = list(np.random.default_rng(0).normal(size=(3, shared.size)).astype(np.float32))
    shares = [0.5, 0.3, 0.2]
    zero = np.zeros(shared.size, np.float32)
    ours = products(shared, shared.mean(zero, models, shares))
    apart = products(shared, np.average(models, axis=0, weights=shares).astype(np.float32))
    each = [products(shared, model) for model in models]
    for name, product in ours.items():
        wanted = sum(share * found[name] for share, found in zip(shares, each, strict=True))
        left = torch.linalg.svdvals(wanted)[4:].square().sum().sqrt()  # what no matrix of rank 4 can hold
        assert torch.linalg.norm(product - wanted) == pytest.approx(float(left), rel=1e-3)
        assert torch.linalg.norm(apart[name] - wanted) > 1.2 * left


def test_the_product_of_one_pair_is_that_pair() -> None:
    torch.manual_seed(0)
    second, first = torch.randn(20, 4), torch.randn(4, 30)
    b, a = nearest_product([(second, first)], [1.0])
    torch.testing.assert_close(b @ a, second @ first, rtol=1e-4, atol=1e-4)


# --- one client is training at one place


def central(inputs: dict[str, Artifact], out: Output, *, fixed: bool) -> dict[str, torch.Tensor]:
    """The adapter after the same steps in the ordinary loop."""
    train = stage(eval_tokens=1, max_steps=8)
    task = train._task(inputs)
    if fixed:
        Shared(task.trainable, "b")
    Loop(task, train._recipe(inputs), out=out).run()
    return {name: item.detach().clone() for name, item in task.trainable.parameters.items()}


@pytest.mark.parametrize(("average", "rounds"), [("b", 1), ("b", 4), ("product", 1)])
def test_one_client_is_central_training(
    average: str, rounds: int, inputs: dict[str, Artifact], output: Callable[..., Output]
) -> None:
    """With the moments kept between rounds it is so for any number of them, dropout and learning rate included."""
    told = {"clients": 1, "rounds": rounds, "average": average}
    train = stage(told, eval_tokens=1)
    out = output("federated")
    train.run(inputs, out)
    found = weights(out)
    wanted = central(inputs, output("central"), fixed=average == "b")
    assert wanted
    for name, item in wanted.items():
        key = next(key for key in found if key.endswith(name.split("base_model.model.")[-1].replace(".default", "")))
        torch.testing.assert_close(found[key], item, rtol=1e-6, atol=1e-7)


def test_fedprox_holds_the_weights_near(inputs: dict[str, Artifact], output: Callable[..., Output]) -> None:
    norms = []
    for mu in (0.0, 10.0):
        out = output(f"mu-{mu}")
        stage({"strategy": "fedprox", "mu": mu, "rounds": 1}, learning_rate=1e-3).run(inputs, out)
        norms.append(sum(item["norm"] for item in contributions(out)))
    plain = output("fedavg")
    stage({"rounds": 1}, learning_rate=1e-3).run(inputs, plain)
    assert norms[0] == sum(item["norm"] for item in contributions(plain))
    assert norms[1] < 0.9 * norms[0]


# --- parts


def test_parts_hold_every_token_once_and_no_repository_twice(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, repos=5)
    file, repos = PackedFile(inputs["pack"].path("train.parquet")), repositories(inputs["split"])
    parts, lost = divide(file, repos, 3, 96)
    assert lost == 0 and sum(part.num_tokens for part in parts) == file.num_tokens
    owned = [{repos[row] for index in range(len(part)) for row in part[index].row_ids} for part in parts]
    assert sum(map(len, owned)) == len(set.union(*owned)) == 5
    texts = {}
    for index in range(len(file)):
        begin = 0
        for row, length in zip(file[index].row_ids, file[index].lengths, strict=True):
            texts[row] = file[index].input_ids[begin : begin + length].tolist()
            begin += length
    for part in parts:
        for index in range(len(part)):
            item, begin = part[index], 0
            assert len(item.input_ids) <= 96 and item.index == index
            for row, length in zip(item.row_ids, item.lengths, strict=True):
                assert item.input_ids[begin : begin + length].tolist() == texts.pop(row)
                begin += length
    assert not texts


def test_marks_and_forbidden_tokens_go_with_their_document() -> None:
    from buril.train.batch import Packed

    class One:
        num_tokens = largest_token = 0

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Packed:
            marks, illegal = np.array([0, 2, 1, 2, 0], np.uint8), np.array([[1, 7], [3, 9]])
            return Packed(0, np.arange(5), (2, 3), ("a", "b"), (2, 3), marks, illegal)

    (first, second), _lost = divide(One(), {"a": "x", "b": "y"}, 2, 8)  # type: ignore[arg-type]
    by_row = {part[0].row_ids[0]: part[0] for part in (first, second)}
    assert by_row["b"].marks.tolist() == [1, 2, 0] and by_row["b"].illegal.tolist() == [[1, 9]]  # type: ignore[union-attr]
    assert by_row["a"].marks.tolist() == [0, 2] and by_row["a"].illegal.tolist() == [[1, 7]]  # type: ignore[union-attr]


def test_more_clients_than_repositories_is_refused(inputs: dict[str, Artifact], output: Callable[..., Output]) -> None:
    with pytest.raises(BurilError) as error:
        stage({"clients": 4}).run(inputs, output("train"))
    assert error.value.code == "T176"


# --- what is left out


def replies(**deltas: Sequence[float] | None) -> list[Reply]:
    return [
        Reply(name, None if delta is None else Update(np.array(delta, np.float32), 10))
        for name, delta in deltas.items()
    ]


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (None, "answer"), ([math.nan, 0, 0], "NaN"), ([math.inf, 0, 0], "NaN"), ([1, 2], "2 numbers"),
        ([90, 10, 0], "times as large"), ([-1, -0.9, 0], "against"),
    ],
)  # fmt: skip
def test_a_bad_update_is_left_out_and_the_others_are_not(bad: Any, word: str) -> None:
    found = judge(
        replies(a=[1, 0.5, 0.1], b=[0.5, 1, 0], c=[1, 1, 0.2], bad=bad), size=3, outlier=5, usual=[]
    )  # fmt: skip
    assert found.keys() == {"bad"} and word in found["bad"]


def test_beside_one_that_is_turned_the_honest_ones_are_not_blamed() -> None:
    found = judge(replies(a=[1, 0, 0.2], b=[0.2, 1, 0], bad=[-1.2, -1, 0]), size=3, outlier=5, usual=[])
    assert found.keys() == {"bad"}


def test_of_two_the_earlier_rounds_say_which_is_large() -> None:
    assert judge(replies(a=[1, 0], b=[0, 40]), size=2, outlier=5, usual=[0.9, 1.1]).keys() == {"b"}
    assert judge(replies(a=[1, 0], b=[0, 40]), size=2, outlier=0, usual=[0.9, 1.1]) == {}


def test_a_clipped_update_is_within_its_bound() -> None:
    delta = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert norm_of(clipped(delta, 0.5)) <= 0.5 and norm_of(clipped(delta, 0.5)) == pytest.approx(0.5, rel=1e-4)
    assert clipped(delta, 1e6) is delta
    assert not np.isfinite(clipped(np.array([math.nan, 1], np.float32), 0.5)).all()


class Broken:
    """Clients of whom one sends something else than it learnt."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
        honest = Client.train

        def train(client: Client, order: Order, common: np.ndarray) -> Reply:
            reply = honest(client, order, common)
            if client.name != name or reply.update is None or reply.update.delta is None:
                return reply
            told = {**vars(reply.update), "delta": change(reply.update.delta)}
            return Reply(reply.client, Update(**told))

        monkeypatch.setattr(Client, "train", train)


@pytest.mark.parametrize("change", [lambda delta: delta * np.nan, lambda delta: delta * 100, lambda delta: -delta])
def test_a_poisoned_client_is_left_out_and_told(
    change: Any, inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    Broken(monkeypatch, "client-2", change)
    out = output("train")
    stage({"rounds": 2, "min_clients": 2}).run(inputs, out)
    found = contributions(out)
    assert [item["client"] for item in found if not item["accepted"]] == ["client-2", "client-2"]
    assert all(item["reason"] and item["weight"] == 0 for item in found if not item["accepted"])
    assert sum("client-2" in text for text in warnings(out)) == 2
    told = json.loads((out.folder / "train.json").read_text())["federated"]
    assert told["clients"] == ["client-1", "client-3"] and told["left_out"] == 2
    seen = set(pq.read_table(out.folder / "seen.parquet").column("row_id").to_pylist())
    repos = repositories(inputs["split"])
    theirs = json.loads((out.folder / "clients.json").read_text())["client-2"]["repositories"]
    assert seen and not {repos[row] for row in seen} & set(theirs), "what was left out was not learnt from"


def test_a_round_without_enough_updates_stops_with_the_reasons_and_goes_on_later(
    inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = output("whole")
    stage({"rounds": 2}).run(inputs, whole)
    with monkeypatch.context() as patch:
        Broken(patch, "client-1", lambda delta: delta * np.nan)
        with pytest.raises(BurilError) as error:
            stage({"rounds": 2}).run(inputs, output("train"))
    assert error.value.code == "T178" and "client-1" in str(error.value)
    stage({"rounds": 2}).run(inputs, output("train", resumed=True))
    assert all(torch.equal(item, weights(whole)[name]) for name, item in weights(output("train")).items())


def test_a_client_whose_training_breaks_is_left_out(
    inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Client._run

    def breaking(client: Client, *args: Any) -> Any:
        if client.name == "client-3":
            raise BurilError("T105", quantity="loss", step=1, module="x", rows="row")
        return run(client, *args)

    monkeypatch.setattr(Client, "_run", breaking)
    out = output("train")
    stage({"rounds": 1, "min_clients": 2}).run(inputs, out)
    assert [item["reason"] for item in contributions(out) if item["client"] == "client-3"][0].startswith("the loss")


# --- lineage and resume


def test_every_contribution_is_written_down(inputs: dict[str, Artifact], output: Callable[..., Output]) -> None:
    out = output("train")
    stage({"rounds": 2}).run(inputs, out)
    found = contributions(out)
    assert [(item["round"], item["client"]) for item in found] == [
        (number, f"client-{client}") for number in (0, 1) for client in (1, 2, 3)
    ]
    for number in (0, 1):
        lines = [item for item in found if item["round"] == number]
        total = sum(item["tokens"] for item in lines)
        assert all(item["weight"] == pytest.approx(item["tokens"] / total) for item in lines)
        assert len({item["sha256"] for item in lines}) == len({item["dataset"] for item in lines}) == 3
    assert [item["first_step"] for item in found] == [0, 0, 0, 4, 4, 4] and {item["steps"] for item in found} == {4}
    clients = contributors(as_artifact(out.folder, "train"))
    assert [(item.client, item.rounds) for item in clients] == [(f"client-{number}", 2) for number in (1, 2, 3)]
    assert sum(item.weight for item in clients) == pytest.approx(1)
    curve = json.loads((out.folder / "curve.json").read_text())
    assert [point["round"] for point in curve if "round" in point] == [1, 2]
    assert curve[-1]["valid_loss"] < curve[0]["valid_loss"]


@pytest.mark.parametrize("told", [{"rounds": 2}, {"rounds": 3, "local_steps": 2}, {"rounds": 2, "clients": 2}])
def test_a_plan_counts_the_steps_of_all_clients(
    told: dict[str, Any], inputs: dict[str, Artifact], output: Callable[..., Output]
) -> None:
    out, made = output("train"), stage(told)
    made.run(inputs, out)
    summary = inputs["pack"].json("summary.json")
    tokens, steps = run_length(settled(made.settings, inputs), summary)
    found = contributions(out)
    assert steps == sum(item["steps"] for item in found)
    assert tokens == pytest.approx(
        json.loads((out.folder / "train.json").read_text())["tokens"], rel=0.5
    )  # of eight sequences
    assert f"of {told.get('clients', 3)} clients together" in made.estimate(inputs, []).note


def test_a_server_whose_clients_are_elsewhere_evaluates_only(inputs: dict[str, Artifact]) -> None:
    waiting, alone = stage({"rounds": 2, "listen": "127.0.0.1:0"}), stage({"rounds": 2})
    assert run_length(settled(waiting.settings, inputs), inputs["pack"].json("summary.json")) == (0.0, 0)
    assert 0 < waiting.work(inputs) < alone.work(inputs) / 2
    assert "3 clients train elsewhere" in waiting.estimate(inputs, []).note


def test_the_page_tells_what_each_client_gave(
    inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    Broken(monkeypatch, "client-2", lambda delta: delta * np.nan)
    out = output("train")
    stage({"rounds": 2, "min_clients": 2}).run(inputs, out)
    found = gather_federation(as_artifact(out.folder, "train"))
    assert found is not None and (found.rounds, found.simulated) == (2, True)
    assert [(item.name, item.rounds, item.left_out) for item in found.clients] == [
        ("client-1", 2, 0), ("client-2", 0, 2), ("client-3", 2, 0),
    ]  # fmt: skip
    assert sum(item.weight for item in found.clients) == pytest.approx(1)
    assert "NaN" in found.clients[1].reason and not found.clients[0].reason
    page = render(gather({"train": as_artifact(out.folder, "train")}, name="alliance"))
    assert "What each client gave" in page and "client-2" in page and found.clients[1].reason in page


@pytest.mark.parametrize("place", ["_evaluate", "_save"])
def test_a_server_that_dies_goes_on_from_the_last_whole_round(
    place: str, inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = output("whole")
    stage({"rounds": 3}, max_steps=9).run(inputs, whole)
    with monkeypatch.context() as patch:
        honest, times = getattr(server.Federation, place), iter(range(10))

        def dying(federation: server.Federation) -> None:
            if next(times) == 2:
                raise OSError("the power went")
            honest(federation)

        patch.setattr(server.Federation, place, dying)
        with pytest.raises(OSError, match="power"):
            stage({"rounds": 3}, max_steps=9).run(inputs, output("train"))
    out = output("train", resumed=True)
    stage({"rounds": 3}, max_steps=9).run(inputs, out)
    assert (out.folder / "contributions.parquet").read_bytes() == (whole.folder / "contributions.parquet").read_bytes()
    assert (out.folder / "train.json").read_bytes() == (whole.folder / "train.json").read_bytes()
    assert all(torch.equal(item, weights(whole)[name]) for name, item in weights(out).items())


# --- privacy


def test_epsilon_is_that_of_other_accountants() -> None:
    """Of one round at σ = 1, Opacus 1.6 says 4.387 by its PRV accountant, which errs by 0.01, and 4.729 by RDP."""
    assert epsilon(1.0, rounds=1, delta=1e-5) == pytest.approx(4.3772, abs=1e-3)
    assert epsilon(2.0, rounds=4, delta=1e-5) == pytest.approx(epsilon(1.0, rounds=1, delta=1e-5))
    assert epsilon(1.0, rounds=0, delta=1e-5) == 0 and epsilon(50.0, rounds=1, delta=0.1) == 0
    assert epsilon(0.05, rounds=50, delta=1e-6) > 5_000


@pytest.mark.parametrize(("noise", "rounds"), [(1.0, 1), (4.0, 30), (0.7, 3), (10.0, 60)])
def test_epsilon_agrees_with_opacus(noise: float, rounds: int) -> None:
    accountants = pytest.importorskip("opacus.accountants")
    prv, rdp = accountants.PRVAccountant(), accountants.RDPAccountant()
    for accountant in (prv, rdp):
        accountant.history = [(noise, 1.0, rounds)]
    ours = epsilon(noise, rounds=rounds, delta=1e-5)
    assert ours == pytest.approx(prv.get_epsilon(1e-5), rel=0.02)
    assert ours <= rdp.get_epsilon(1e-5)


def test_noise_has_the_deviation_that_is_told_and_nothing_tells_more(
    inputs: dict[str, Artifact], output: Callable[..., Output]
) -> None:
    private = {"clip": 0.01, "noise": 30.0, "delta": 1e-5}
    out = output("private")
    stage({"rounds": 1, "privacy": private}, eval_tokens=1).run(inputs, out)
    train = json.loads((out.folder / "train.json").read_text())
    assert train["federated"]["privacy"]["epsilon"] == pytest.approx(epsilon(30.0, rounds=1, delta=1e-5))
    assert train["federated"]["privacy"]["sampling_rate"] == 1 and train["reproducible"] is False
    events = [event for event in read_events(out.events_path) if "epsilon" in event]
    assert events[-1]["epsilon"] == train["federated"]["privacy"]["epsilon"]
    for item in contributions(out):
        assert item["loss"] is item["norm"] is item["sha256"] is None and item["weight"] == pytest.approx(1 / 3)


def test_the_noise_on_the_common_weights(inputs: dict[str, Artifact], output: Callable[..., Output]) -> None:
    found = []
    for noise in (30.0, 1e-9):
        train = stage({"rounds": 1, "privacy": {"clip": 0.01, "noise": noise}})
        task, out = train._task(inputs), output(f"noise-{noise}")
        loop = train._loop(task, inputs, out, Stand(), train._monitor(task, out))
        loop.run()
        found.append(loop._common)
    difference = found[0] - found[1]
    assert np.std(difference) == pytest.approx(30.0 * 0.01 / 3, rel=0.1)
    assert norm_of(found[1]) <= 0.01, "the mean of clipped updates is within the bound"


# --- secure sums


def test_a_secure_sum_is_the_sum_and_nothing_else_is_known(
    inputs: dict[str, Artifact], output: Callable[..., Output]
) -> None:
    pytest.importorskip("flwr", reason="needs the extra `federated`")
    open_, secret = output("open"), output("secret")
    stage({"rounds": 1}, eval_tokens=1).run(inputs, open_)
    stage({"rounds": 1, "secure": True}, eval_tokens=1).run(inputs, secret)
    found = weights(secret)
    for name, item in weights(open_).items():
        torch.testing.assert_close(found[name], item, rtol=0, atol=3e-6)
    for item in contributions(secret):
        assert item["accepted"] and item["weight"] > 0 and item["sent_bytes"] > 8192
        assert item["norm"] is item["sha256"] is item["loss"] is None


@pytest.mark.parametrize("change", [lambda delta: delta * np.nan])
def test_under_a_secure_sum_a_client_without_numbers_leaves_itself_out(
    change: Any, inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flwr", reason="needs the extra `federated`")
    four = make_inputs(output("four").folder, repos=4)
    Broken(monkeypatch, "client-4", change)
    out = output("train")
    stage({"rounds": 1, "secure": True, "clients": 4, "min_clients": 3}).run(four, out)
    assert [item["client"] for item in contributions(out) if "NaN" in item["reason"]] == ["client-4"]
    total = sum(item["tokens"] for item in contributions(out) if item["accepted"])
    assert all(item["weight"] == pytest.approx(item["tokens"] / total) for item in contributions(out)[:3])


def test_a_secure_sum_that_is_larger_than_it_can_be_is_refused(
    inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flwr", reason="needs the extra `federated`")
    Broken(monkeypatch, "client-1", lambda delta: delta * 1000)
    with pytest.raises(BurilError) as error:
        stage({"rounds": 1, "secure": True, "privacy": {"clip": 0.01, "noise": 1.0}}).run(inputs, output("train"))
    assert error.value.code == "T179"


# --- settings


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("T171", {"privacy": {"noise": 1.0}}), ("T171", {"privacy": {"clip": 1.0}}),
        ("T172", {"clients": 2, "min_clients": 3}), ("T173", {"average": "product", "secure": True}),
        ("T173", {"average": "product", "privacy": {"clip": 1.0, "noise": 1.0}}),
        ("T174", {"secure": True, "clients": 2}), ("T174", {"secure": True, "clients": 3, "min_clients": 2}),
        ("T175", {"listen": "0.0.0.0:8443"}),
    ],
)  # fmt: skip
def test_what_can_not_work_is_refused(code: str, told: dict[str, Any]) -> None:
    with pytest.raises(BurilError) as error:
        Federated(**told)
    assert error.value.code == code


@pytest.mark.parametrize(
    "told",
    [
        {"method": "full"}, {"method": {"lora": {"dora": True}}}, {"minutes": 1.0}, {"ema": 0.9}, {"parallel": 2},
        {"parallel": {"tensor": 2}},
    ],
)  # fmt: skip
def test_what_a_federation_can_not_follow_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(BurilError) as error:
        stage({}, **told)
    assert error.value.code == "T170"


def test_processes_that_torchrun_started_make_no_federation(
    inputs: dict[str, Artifact], output: Callable[..., Output], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buril.train.parallel.world._world", object())
    with pytest.raises(BurilError) as error:
        stage({}).run(inputs, output("train"))
    assert error.value.code == "T170" and "parallel" in error.value.cause


def test_a_mistake_in_the_yaml_is_shown_where_it_stands(tmp_path: Path) -> None:
    from buril.chain import Chain

    path = tmp_path / "buril.yaml"
    path.write_text("collect: [{folder: src}]\ntrain:\n  federated:\n    privacy: {noise: 1.0}\n")
    with pytest.raises(BurilError) as error:
        Chain.from_yaml(path).stages()
    assert error.value.code == "T171" and error.value.where is not None


def test_certificates_are_looked_for_beside_the_yaml(tmp_path: Path) -> None:
    from buril.chain import Chain

    path = tmp_path / "buril.yaml"
    tls = "{certificate: tls/server.pem, key: /etc/key.pem, ca: tls/ca.pem}"
    path.write_text(f"collect: [{{folder: src}}]\ntrain:\n  federated: {{listen: '0.0.0.0:8443', tls: {tls}}}\n")
    found = Chain.from_yaml(path).settings("train").federated.tls  # type: ignore[attr-defined]
    assert found.certificate == tmp_path / "tls/server.pem" and found.key == Path("/etc/key.pem")


def test_where_clients_are_is_no_part_of_the_identity_but_whether_they_are_simulated_is() -> None:
    here, there = stage({}), stage({"listen": "127.0.0.1:9000"})
    assert here.settings.identity() == there.settings.identity()
    assert here.observe() != there.observe()
    assert here.needs()[-1] == "split" and "split" not in there.needs()
    assert "federated" not in stage().observe() and Train.Settings().federated is None


def test_a_vector_is_what_it_was(tmp_path: Path) -> None:
    shared, trainable = shared_model(tmp_path)
    vector = np.random.default_rng(1).normal(size=shared.size).astype(np.float32)
    shared.put(vector)
    assert np.array_equal(shared.vector(), vector) and digest(vector) == digest(shared.vector())
    fixed = shared.fixed_vector()
    shared.put_fixed(2 * fixed)
    assert np.array_equal(shared.fixed_vector(), 2 * fixed)
    assert all(not item.requires_grad for item in shared.fixed.values()) and trainable.parameters is shared.parameters
