"""Aligning: which tokens count, what a preference's loss is, that skill is retained, and that a stop changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.generators._changed import changed_places
from buril.generators._load import load
from buril.train.align import Align, method_of
from buril.train.aligning import Aligning, _sides
from buril.train.batch import Packed, lay_out, micro_batches
from buril.train.methods.full import Full
from buril.train.objectives._head import Head, head_loss
from buril.train.objectives._pick import KeptNearness, likeliest, log_probabilities
from buril.train.paired import PairFile, Writer, written
from buril.train.preferences._preference import Sides
from buril.train.preferences.contrastive import Contrastive
from buril.train.preferences.dpo import Dpo
from buril.train.preferences.orpo import Orpo
from buril.train.preferences.simpo import Simpo
from buril.train.preferences.sven import Sven
from buril.train.retained import Beside
from buril.train.stage import Train
from tests.conftest import as_artifact
from tests.train.small import inputs as make_inputs

PREFERENCES = {"contrastive": Contrastive, "dpo": Dpo, "orpo": Orpo, "simpo": Simpo, "sven": Sven}
FEW, MANY = 4, 24


def rows(number: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Pairs whose secure text asks with a mark and whose vulnerable text pastes."""
    found = []
    for place in range(first, first + number):
        head = f"def f{place}(x):\n    "
        found.append({
            "pair_id": f"pair{place}", "cwe": ("CWE-89", "CWE-78")[place % 2], "language": "python",
            "secure": f"{head}return run('a = ?', x)\n", "vulnerable": f"{head}return run('a = ' + x)\n",
        })  # fmt: skip
    return found


def write_pairs(folder: Path) -> Artifact:
    folder.mkdir(parents=True)
    for part, number, first in (("train", MANY, 0), ("valid", FEW, 100), ("test", FEW, 200)):
        pq.write_table(pa.Table.from_pylist(rows(number, first=first)), folder / f"{part}.parquet")
    return as_artifact(folder, "pairs")


def write_split(folder: Path, *, language: str = "python") -> Artifact:
    """Files with two functions each, one that says what it does and one that is too short to be worth keeping."""
    files = [
        CodeFile(
            "acme/vault", f"mod{number}.py",
            f'def sum_{number}(a, b):\n    """Add {number}."""\n    total = a + b * {number}\n    return total + {number}\n\n\n'
            f"def id_{number}(a):\n    return a\n",
            language=language, license="MIT",
        )
        for number in range(6)
    ]  # fmt: skip
    (folder / "train").mkdir(parents=True)
    write_rows(folder / "train/00000.parquet", files)
    return as_artifact(folder, "split")


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("paired")
    made = {**make_inputs(folder / "inputs"), "pairs": write_pairs(folder / "pairs")}
    return {**made, "split": write_split(folder / "split")}


def stage(**told: Any) -> Align:
    usual = {"batch_size": 4, "max_steps": 6, "eval_every": 3, "threads": 1, "precision": "fp32", "learning_rate": 5e-3,
             "method": "full", "max_length": 128}  # fmt: skip
    return Align(Align.Settings(**{**usual, **told}))


def files_of(paired: dict[str, Artifact], **told: Any) -> dict[str, Any]:
    made = stage(**told)
    _settled, seen = made._settled(paired)
    return made._files(seen)[0]


# --- which tokens count


def test_changed_tokens_are_those_that_the_other_text_has_not() -> None:
    one, other = changed_places([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 40, 50, 6, 7, 8, 9])
    assert one.tolist() == [3, 4] and other.tolist() == [3, 4]


def test_where_text_is_put_in_the_other_side_goes_on_at_once() -> None:
    guarded, bare = changed_places([1, 2, 3, 70, 71, 72, 4, 5, 6], [1, 2, 3, 4, 5, 6])
    assert guarded.tolist() == [3, 4, 5]
    assert bare.tolist() == [3]


def test_what_is_alike_by_chance_between_two_changes_counts_as_changed() -> None:
    one, other = changed_places([1, 2, 3, 50, 9, 51, 4, 5, 6], [1, 2, 3, 60, 9, 61, 4, 5, 6])
    assert one.tolist() == [3, 4, 5] and other.tolist() == [3, 4, 5]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=30), st.lists(st.integers(0, 4), min_size=2, max_size=30))
def test_each_side_of_any_pair_has_something_to_score(one: list[int], other: list[int]) -> None:
    for places, ids in zip(changed_places(one, other), (one, other), strict=True):
        assert len(places) and places.min() >= 1 and places.max() < len(ids)
        assert (np.diff(places) > 0).all()


def test_a_sequence_holds_both_texts_and_ordinary_code_and_says_whose_it_is(paired: dict[str, Artifact]) -> None:
    file = files_of(paired, form="text", retain={"source": "code", "tokens": 72})["train"]
    sequence = file[3]
    rows_of_files = pq.read_table(paired["split"].path("train/00000.parquet")).column("row_id").to_pylist()
    assert len(sequence.lengths) == 3 and sequence.lengths[2] <= 72
    assert sequence.row_ids[:2] == ("pair3", "pair3") and sequence.row_ids[2] in rows_of_files
    begin = sum(sequence.lengths[:2])
    kept = b"".join(bytes_of(sequence.input_ids[place + 1]) for place in sequence.near if place >= begin)
    assert kept.startswith(b"    total = a + b"), "what is kept of a function begins with its body"
    assert sum(length for _row, length in sequence.rows()) == len(sequence.input_ids)
    text = [bytes_of(sequence.input_ids[place + 1]) for place in sequence.changed[0]]
    assert b"".join(text) == b"?',"
    assert b"".join(bytes_of(sequence.input_ids[place + 1]) for place in sequence.changed[1]) == b"' +"
    for answer, changed in zip(sequence.answer, sequence.changed, strict=True):
        assert set(changed) <= set(answer)
    begun = sequence.near[: np.searchsorted(sequence.near, sequence.lengths[0])]
    assert not set(begun + 1) & set(sequence.answer[0] + 1), "what is retained is what both texts begin with"


def bytes_of(token: int) -> bytes:
    from tokenizers import pre_tokenizers

    letter = sorted(pre_tokenizers.ByteLevel.alphabet())[token]
    shown = {letter: number for number, letter in _BYTES.items()}
    return bytes([shown[letter]])


def _byte_letters() -> dict[int, str]:
    """The letters that byte-level tokenizers write bytes with."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {number: chr(number) for number in plain}
    for place, number in enumerate(number for number in range(256) if number not in letters):
        letters[number] = chr(256 + place)
    return letters


_BYTES = _byte_letters()


def test_a_long_text_loses_its_beginning_and_one_that_differs_too_late_is_left_out() -> None:
    pair = {"pair_id": "a", "cwe": "CWE-89"}
    found, left_out = written([pair], lambda _row, _place: ([1] * 50 + [2, 3, 4], [1] * 50 + [5, 3, 4]), 20)
    assert left_out == 0 and found[0].secure == [1] * 17 + [2, 3, 4] and len(found[0].vulnerable) == 20
    found, left_out = written([pair], lambda _row, _place: ([1, *range(2, 50)], [1, *range(52, 100)]), 20)
    assert left_out == 1 and not found


# --- the losses


def test_log_probabilities_and_their_gradients_are_those_of_plain_torch() -> None:
    torch.manual_seed(0)
    hidden, weight, rows_RD = torch.randn(1100, 16), torch.randn(50, 16), torch.randn(3, 16)
    index, targets, wanted = torch.tensor([4, 7, 49]), torch.randint(0, 50, (1100,)), torch.randn(1100)
    found = []
    for ours in (True, False):
        h, w, r = (one.clone().requires_grad_() for one in (hidden, weight, rows_RD))
        if ours:
            picked = log_probabilities(h, Head(w, r, index), targets)
        else:
            picked = (h @ w.index_copy(0, index, r).T).log_softmax(-1)[torch.arange(1100), targets]
        (picked * wanted).sum().backward()
        plain_w = w.grad.clone()
        plain_w[index] = 0  # rows that are trained apart: ours leaves their gradient to them
        found.append([picked.detach(), h.grad, plain_w, r.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=3e-4, atol=3e-5)


@pytest.mark.parametrize("top_k", [1, 5, 50])
def test_nearness_is_the_divergence_over_the_kept_words_and_the_rest(top_k: int) -> None:
    torch.manual_seed(0)
    before, hidden, weight = torch.randn(700, 16), torch.randn(700, 16), 0.4 * torch.randn(50, 16)
    words, chances = likeliest(before, Head(weight), top_k)
    weights = torch.rand(700)
    found = []
    for ours in (True, False):
        h = hidden.clone().requires_grad_()
        if ours:
            loss = head_loss(h, Head(weight), KeptNearness(words.long(), chances, weights))
        else:
            p = (h @ weight.T).softmax(-1).gather(1, words.long())
            if top_k < 50:
                p, q = (torch.cat([one, 1 - one.sum(-1, keepdim=True)], -1) for one in (p, chances))
            else:
                q = chances
            loss = (weights * (q * (q.log() - p.clamp(min=1e-12).log())).sum(-1)).sum()
        loss.backward()
        found.append([loss.detach(), h.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-4)
    assert float(head_loss(before, Head(weight), KeptNearness(words.long(), chances, weights))) < 1e-3


def sides(secure: list[float], vulnerable: list[float], reference: tuple[float, float] = (0.0, 0.0)) -> Sides:
    """One pair with these probabilities."""
    logp_N = torch.tensor([*secure, *vulnerable]).log()
    cell_N = torch.tensor([0] * len(secure) + [1] * len(vulnerable))
    sum_P2 = torch.zeros(2).index_add(0, cell_N, logp_N).view(1, 2)
    number = torch.tensor([[float(len(secure)), float(len(vulnerable))]])
    state = torch.tensor([[1.0, 0.0]]), torch.tensor([[[1.0, 1.0], [0.0, 1.0]]])
    return Sides(sum_P2, number, torch.tensor([reference]), logp_N, cell_N, *state)


def test_losses_are_those_of_the_papers() -> None:
    pair = sides([0.5, 0.25], [0.8], (float(np.log(0.25)), float(np.log(0.5))))
    secure, vulnerable = np.log(0.125), np.log(0.8)
    mean = secure / 2

    def sigmoid(value: float) -> float:
        return float(1 / (1 + np.exp(-value)))

    def check(preference: Any, wanted: float) -> None:
        assert preference.losses(pair).item() == pytest.approx(wanted, rel=1e-5)

    gained = (secure - np.log(0.25)) - (vulnerable - np.log(0.5))
    check(Dpo(Dpo.Settings(beta=0.1, likelihood=0)), -np.log(sigmoid(0.1 * gained)))
    check(Dpo(Dpo.Settings(likelihood=0.5)), -np.log(sigmoid(0.1 * gained)) - 0.5 * mean)
    check(Simpo(Simpo.Settings(beta=2, margin=1)), -np.log(sigmoid(2 * (mean - vulnerable) - 1)))
    odds = [value - np.log(1 - np.exp(value)) for value in (mean, vulnerable)]
    check(Orpo(Orpo.Settings(weight=0.5)), -mean - 0.5 * np.log(sigmoid(odds[0] - odds[1])))
    contrast = -np.log(sigmoid(mean - vulnerable))
    check(Sven(Sven.Settings(unlikelihood=0.5, contrast=1)), -mean - 0.5 * np.log(1 - 0.8) + contrast)
    near = (np.sqrt(0.5) - 0.0) / 0.1
    check(Contrastive(Contrastive.Settings(states=0.5)), 0.5 * -np.log(sigmoid(near)) + contrast - mean)


def aligning(name: str, retain: float = 1.0) -> Aligning:
    return Aligning(PREFERENCES[name](PREFERENCES[name].Settings()), retain=retain, top_k=8)


@pytest.mark.parametrize("name", PREFERENCES)
def test_a_step_is_the_same_however_it_is_split(name: str, paired: dict[str, Artifact], tmp_path: Path) -> None:
    file = files_of(paired)["train"]
    loaded = load(paired["base"].folder, paired["tokenizer"].folder, dtype="fp32", device="cpu")
    trainable = Full(Full.Settings()).prepare(loaded.model, bf16=False, new_tokens=[], seed=0)
    objective = aligning(name)
    objective.refer(trainable, [file], tmp_path, lambda _done: None)
    found = []
    for num_tokens in (10_000, 300, 1):
        trainable.base.zero_grad()
        total = sum(
            objective.loss_sum(trainable.hidden(batch), trainable.head(), batch)
            for batch in micro_batches([file[index] for index in range(7)], num_tokens=num_tokens)
        )
        total.backward()
        grad = torch.cat([one.grad.flatten() for one in trainable.parameters.values() if one.grad is not None])
        found.append((total.detach(), grad))
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, rtol=1e-4, atol=1e-5)


def test_before_training_nothing_diverges_and_what_was_read_is_read_once(
    paired: dict[str, Artifact], tmp_path: Path
) -> None:
    file = files_of(paired)["valid"]
    loaded = load(paired["base"].folder, paired["tokenizer"].folder, dtype="fp32", device="cpu")
    trainable = Full(Full.Settings()).prepare(loaded.model, bf16=False, new_tokens=[], seed=0)
    first, again = aligning("dpo"), aligning("dpo")
    first.refer(trainable, [file], tmp_path, lambda _done: None)
    stored = (tmp_path / "reference-valid.safetensors").stat().st_mtime_ns
    again.refer(trainable, [file], tmp_path, lambda _done: None)
    assert (tmp_path / "reference-valid.safetensors").stat().st_mtime_ns == stored
    assert first.margins("valid") == again.margins("valid")
    (batch,) = micro_batches([file[0]], num_tokens=10_000)
    alone = _sides(trainable.hidden(batch), trainable.head(), batch, "changed")
    means = (alone.sum_P2 / alone.num_P2)[0].tolist()
    assert first.margins("valid")[0].changed == pytest.approx(means[0] - means[1], abs=1e-5)
    (batch,) = micro_batches([file[0]], num_tokens=10_000)
    near = again._nearness(trainable.hidden(batch), trainable.head(), batch)
    assert float(near) == pytest.approx(0, abs=1e-4)


# --- the stage


@pytest.mark.parametrize("name", PREFERENCES)
def test_the_secure_text_becomes_the_likelier_one_also_where_it_was_held_out(
    name: str, paired: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    done = make_artifact(stage(objective=name, max_steps=16, retain=0.1), paired)
    told = done.json("align.json")
    for part in ("train", "test"):
        found = told["margins"][part]
        assert found["mean_after"] > found["mean_before"] + 0.2, (part, found)
    assert told["margins"]["test"]["preferred_after"] == 1.0 and told["pairs"] == {"train": 24, "valid": 4, "test": 4}
    seen = pq.read_table(done.path("seen.parquet")).column("row_id").to_pylist()
    functions = pq.read_table(paired["split"].path("train/00000.parquet")).column("row_id").to_pylist()
    assert "pair3" in seen and set(functions) & set(seen) and "pair200" not in seen
    each = pq.read_table(done.path("margins.parquet")).to_pylist()
    assert len(each) == 32 and {row["part"] for row in each} == {"train", "valid", "test"}


def test_retention_keeps_ordinary_code_as_it_was(
    paired: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    """How far a function moved that stood beside the pairs, with and without the term, after the same steps."""

    def moved(weight: float) -> float:
        done = make_artifact(stage(max_steps=16, retain={"weight": weight, "tokens": 64}), paired)
        total = []
        for folder in (None, done.path("model")):
            loaded = load(
                paired["base"].folder, paired["tokenizer"].folder, model_dir=folder, dtype="fp32", device="cpu"
            )
            trainable = Full(Full.Settings()).prepare(loaded.model, bf16=False, new_tokens=[], seed=0)
            text = 'def sum_3(a, b):\n    """Add 3."""\n    total = a + b * 3\n    return total + 3\n'
            ids = np.array(loaded.encoder.encode(text))
            batch = lay_out([Packed(0, ids, (len(ids),), ("a",))])
            with torch.no_grad():
                total.append((trainable.hidden(batch) @ trainable.head().weight_VD.T).log_softmax(-1))
        before, after = total
        return float((before.exp() * (before - after)).sum(-1).mean())

    without, with_it = moved(0.0), moved(4.0)
    assert with_it < 0.7 * without


def test_it_goes_on_with_the_adapter_that_train_made(
    paired: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    usual = {"threads": 1, "precision": "fp32", "batch_size": 4, "max_steps": 6, "eval_every": 3}
    trained = make_artifact(
        Train(Train.Settings(method={"lora": {"rank": 4, "dropout": 0}}, learning_rate=2e-2, **usual)), paired
    )
    both = {**paired, "train": trained}
    assert method_of(trained).settings.rank == 4
    done = make_artifact(stage(method=None, start="train", max_steps=1, learning_rate=1e-9), both)
    assert done.json("align.json")["method"] == "lora" and done.path("adapter/adapter_model.safetensors").is_file()
    from safetensors.torch import load_file

    first, second = (load_file(artifact.path("adapter/adapter_model.safetensors")) for artifact in (trained, done))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=1e-6, rtol=1e-5)
    with pytest.raises(BurilError) as refused:
        stage(start="train", method={"lora": {"rank": 8}}).run(both, output_of(done))
    assert refused.value.code == "T202"


def output_of(near: Artifact) -> Output:
    from buril.core.events import EventLog

    folder = near.folder.with_name("refused")
    return Output(folder, EventLog(folder.with_suffix(".jsonl")), "align")


def test_it_goes_on_from_the_model_that_train_made(
    paired: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    usual = {"threads": 1, "precision": "fp32", "batch_size": 4, "max_steps": 6, "eval_every": 3}
    trained = make_artifact(Train(Train.Settings(method="full", learning_rate=2e-2, **usual)), paired)
    both = {**paired, "train": trained}
    fresh, further = (
        make_artifact(stage(max_steps=1, learning_rate=1e-9, **told), given).json("align.json")["margins"]["test"]
        for told, given in (({}, paired), ({"start": "train", "method": "full"}, both))
    )
    assert fresh["mean_before"] != pytest.approx(further["mean_before"], abs=1e-3)


def test_an_interrupted_alignment_goes_on_to_the_same_bytes(paired: dict[str, Artifact], tmp_path: Path) -> None:
    from buril.core.events import EventLog
    from buril.train.loop import Loop

    def run(name: str, stop_at: int | None) -> Output:
        out = Output(tmp_path / name, EventLog(tmp_path / f"{name}.jsonl"), "align")
        if stop_at is not None:
            kept = Loop._step

            def step(self: Any) -> None:
                if self.progress.step == stop_at:
                    raise KeyboardInterrupt
                kept(self)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Loop, "_step", step)
                with pytest.raises(KeyboardInterrupt):
                    stage(objective="dpo").run(paired, out)
        stage(objective="dpo").run(paired, out)
        return out

    whole, stopped = run("whole", None), run("stopped", 4)
    for name in ("model/model.safetensors", "curve.json", "align.json", "margins.parquet"):
        assert whole.path(name).read_bytes() == stopped.path(name).read_bytes(), name


def test_chats_ask_for_the_rest_of_what_both_texts_begin_with(paired: dict[str, Artifact], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(paired["tokenizer"].folder, tmp_path / "tokenizer")
    config = tmp_path / "tokenizer/tokenizer/tokenizer_config.json"
    told = json.loads(config.read_text())
    told["chat_template"] = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<answer>"
    config.write_text(json.dumps(told))
    for leftover in config.parent.glob("chat_template*"):
        leftover.unlink()
    writer = Writer(tmp_path / "tokenizer", "auto")
    assert writer.form == "mixed"
    (row,) = rows(1)
    chat, text = writer.both(row, 0)[0], writer.both(row, 1)[0]
    decode = writer._loaded.encoder.decode
    assert decode(text) == row["secure"]
    assert decode(chat).startswith("<user>Finish this python code:\n\n```python\ndef f0(x):\n```<answer>```python\ndef")
    with pytest.raises(BurilError) as refused:
        Writer(paired["tokenizer"].folder, "chat")
    assert refused.value.code == "T203"


def test_what_can_not_be_aligned_is_said(paired: dict[str, Artifact], output: Callable[..., Output]) -> None:
    for setting in ({"parallel": 2}, {"federated": {"rounds": 1}}):
        with pytest.raises(BurilError) as refused:
            stage(**setting)
        assert refused.value.code in ("T200", "T170")
    with pytest.raises(BurilError) as refused:
        stage(max_length=32).run({**paired, "pairs": longer(paired["pairs"])}, output("align"))
    assert refused.value.code == "T201"


def longer(pairs: Artifact) -> Artifact:
    folder = pairs.folder.with_name("longer")
    folder.mkdir(exist_ok=True)
    row = {**rows(1)[0], "secure": "a" * 200, "vulnerable": "b" * 200}
    for part in ("train", "valid", "test"):
        pq.write_table(pa.Table.from_pylist([row]), folder / f"{part}.parquet")
    return as_artifact(folder, "pairs")


def test_without_ordinary_code_only_beginnings_are_retained(paired: dict[str, Artifact]) -> None:
    assert stage(retain={"source": "none"}).needs() == ("base", "tokenizer", "pairs")
    assert stage(retain=0, start="train").needs() == ("base", "tokenizer", "pairs", "train")
    without = {name: artifact for name, artifact in paired.items() if name != "split"}
    file = files_of(without, retain={"source": "none"})["train"]
    assert len(file[0].lengths) == 2 and len(file[0].near)


def test_the_plan_knows_what_it_costs(paired: dict[str, Artifact]) -> None:
    found = stage().estimate(paired, [])
    assert found.seconds > 0 and found.ram_mb > 100
    assert isinstance(files_of(paired)["test"], PairFile)


def test_functions_are_taken_that_say_what_they_do_and_leave_room(paired: dict[str, Artifact]) -> None:
    shards = paired["split"].files("train/*.parquet")

    def beside(languages: frozenset[str], **told: int) -> Beside:
        return Beside(shards, languages, **{"number": 10, "num_tokens": 90, "seed": 0, **told})

    def put(function: Any, _place: int) -> tuple[list[int], list[int]]:
        assert '"""' in function.head and "total" in function.body
        return list(function.head.encode()), list(function.body.encode())

    found = beside(frozenset(["python"]))
    assert len(found) == 6, "functions of one line are none"
    pieces = [found.piece(index, put) for index in range(6)]
    assert all(piece is not None and len(piece.ids) <= 90 for piece in pieces)
    assert len({piece.row_id for piece in pieces if piece}) == 6
    assert [piece.row_id for piece in pieces if piece] != [
        piece.row_id for index in range(6) if (piece := beside(frozenset(["python"]), seed=1).piece(index, put))
    ]
    assert len(beside(frozenset(["go"]))) == 6, "where none is in a language of the pairs all are taken"
    assert (
        len(beside(frozenset(["python"]), num_tokens=20)) == 0
        and Beside([], frozenset(), number=3, num_tokens=9, seed=0).piece(0, put) is None
    )


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_adapters_learn_it_too(
    method: str, paired: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    if method == "qlora":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    done = make_artifact(stage(method={method: {"rank": 4}}, max_steps=8, learning_rate=1e-2), paired)
    found = done.json("align.json")["margins"]["test"]
    assert found["preferred_before"] < found["preferred_after"] == 1.0
    assert done.path("adapter/adapter_config.json").is_file()
