"""Objectives: weights, illegal continuations and a teacher, each against plain torch; packed is unpacked to rounding."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.generators._load import load
from buril.train.batch import GIVEN, IGNORE, STRUCTURE, Batch, Packed, PackedFile, lay_out, micro_batches, seen_rows
from buril.train.methods.full import Full
from buril.train.objectives._head import Head, Illegal, head_loss, linear_cross_entropy
from buril.train.objectives._nearness import Nearness
from buril.train.objectives.cross_entropy import CrossEntropy
from buril.train.objectives.syntax import Syntax
from buril.train.stage import Train
from tests.train.small import VOCABULARY, write_base, write_tokenizer
from tests.train.small import inputs as make_inputs

D, V = 16, 50


# --- the head


def both(ours: Callable[..., torch.Tensor], plain: Callable[..., torch.Tensor], *, num_tokens: int) -> None:
    """The same value, and the same gradients of hidden states, head and the rows trained apart."""
    torch.manual_seed(0)
    hidden, weight, rows = torch.randn(num_tokens, D), torch.randn(V, D), torch.randn(3, D)
    index = torch.tensor([4, 7, 49])
    for trained in ("hidden", "head", "rows"):
        found = []
        for function, is_ours in ((ours, True), (plain, False)):
            h = hidden.clone().requires_grad_()
            w = weight.clone().requires_grad_(trained == "head")
            r = rows.clone().requires_grad_(trained == "rows")
            with_rows = trained == "rows"
            used = w.index_copy(0, index, r) if with_rows else w
            loss = function(h, Head(w, r, index) if with_rows else Head(w)) if is_ours else function(h @ used.T)
            (loss / 7).backward()
            found.append([loss.detach(), h.grad, w.grad, r.grad])
        for one, other in zip(*found, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, rtol=3e-4, atol=3e-5)


@pytest.mark.parametrize("num_tokens", [1, 511, 1100])
def test_weights_and_illegal_continuations_are_those_of_plain_torch(num_tokens: int) -> None:
    torch.manual_seed(1)
    targets, weights = torch.randint(0, V, (num_tokens,)), 1 + torch.rand(num_tokens)
    place = torch.randint(0, num_tokens, (40,))
    place[:2] = place[2]  # several at one place, and one of them twice
    token = torch.randint(0, V, (40,))
    token[1] = token[0]

    def plain(logits: torch.Tensor) -> torch.Tensor:
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        wrong = -torch.log1p(-logits.softmax(-1)[place, token])
        return (weights * losses).sum() + 0.7 * wrong.sum()

    both(
        lambda h, head: linear_cross_entropy(h, head, targets, weights, Illegal(place, token, 0.7)),
        plain,
        num_tokens=num_tokens,
    )


def test_a_certain_illegal_token_gives_a_finite_gradient() -> None:
    hidden = (100 * torch.eye(D)[:1]).requires_grad_()
    loss = linear_cross_entropy(
        hidden, Head(torch.eye(V, D)), torch.tensor([1]), None, Illegal(torch.tensor([0]), torch.tensor([0]), 1.0)
    )
    loss.backward()
    assert hidden.grad is not None and bool(torch.isfinite(hidden.grad).all()) and float(hidden.grad[0, 0]) > 0.9


@pytest.mark.parametrize(("top_k", "share"), [(5, 0.3), (1, 1.0), (49, 0.9), (500, 0.5)])
def test_nearness_is_that_of_plain_torch(top_k: int, share: float) -> None:
    torch.manual_seed(2)
    targets, seen, teacher = torch.randint(0, V, (700,)), torch.randn(700, 24), torch.randn(V + 3, 24)

    def plain(logits: torch.Tensor) -> torch.Tensor:
        theirs = ((seen @ teacher[:V].T) / 3).softmax(-1)
        ours = (logits / 3).softmax(-1)
        words = theirs.topk(min(top_k, V)).indices
        likely = torch.zeros_like(theirs).scatter(1, words, 1.0).bool()
        classes = []
        for chance in (theirs, ours):
            rest = chance.masked_fill(likely, 0).sum(-1, keepdim=True)
            classes.append(torch.cat([chance.gather(1, words), rest], -1).clamp(min=1e-12))
        apart = (classes[0] * (classes[0].log() - classes[1].log())).sum()
        return (1 - share) * torch.nn.functional.cross_entropy(logits, targets, reduction="sum") + share * 9 * apart

    both(lambda h, head: head_loss(h, head, Nearness(targets, seen, teacher, share, 3.0, top_k)), plain, num_tokens=700)


# --- batches


def sequence(index: int, lengths: list[int], *, chat: bool = False, seed: int = 0) -> Packed:
    """A sequence with marks; with `chat`, the first half of each document is given."""
    random = np.random.default_rng([seed, index])
    size = sum(lengths)
    marks = (STRUCTURE * (random.random(size) < 0.3)).astype(np.uint8)
    begin = 0
    for length in lengths if chat else []:
        marks[begin : begin + length // 2] |= GIVEN
        begin += length
    starts = {0, *np.cumsum(lengths).tolist()}
    places = [place for place in range(size) if place not in starts and random.random() < 0.2]
    illegal = np.array([(place, random.integers(0, 256)) for place in places], dtype=np.int64).reshape(-1, 2)
    ids = random.integers(0, 256, size).astype(np.int32)
    return Packed(index, ids, tuple(lengths), tuple(map(str, range(len(lengths)))), (), marks, illegal)


def alone(packed: Packed) -> Iterator[Packed]:
    """The documents of a sequence, each as a sequence of its own."""
    begin = 0
    for number, length in enumerate(packed.lengths):
        end = begin + length
        illegal = packed.illegal
        inside = None
        if illegal is not None:
            inside = illegal[(illegal[:, 0] > begin) & (illegal[:, 0] < end)] - np.array([[begin, 0]])
        marks = None if packed.marks is None else packed.marks[begin:end]
        yield Packed(number, packed.input_ids[begin:end], (length,), ("r",), (), marks, inside)
        begin = end


@pytest.fixture(scope="module")
def trainable(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("model")
    base, tokenizer = write_base(folder / "base"), write_tokenizer(folder / "tokenizer")
    model = load(base.folder, tokenizer.folder, dtype="fp32", device="cpu").model
    return Full(Full.Settings()).prepare(model, bf16=False, new_tokens=[], seed=0)


OBJECTIVES = {
    "cross_entropy": CrossEntropy(CrossEntropy.Settings()),
    "syntax": Syntax(Syntax.Settings(structure=0.5, illegal=2.0)),
}


def step(trainable: Any, batches: list[Batch], objective: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """The mean loss of a step and its gradients."""
    total = sum(objective.weight(batch) for batch in batches)
    loss = 0.0
    for batch in batches:
        part = objective.loss_sum(trainable.hidden(batch), trainable.head(), batch) / total
        part.backward()
        loss += float(part.detach())
    found = {name: parameter.grad for name, parameter in trainable.parameters.items()}
    for parameter in trainable.parameters.values():
        parameter.grad = None
    return loss, found


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.integers(2, 30), min_size=1, max_size=4), st.booleans()), min_size=1, max_size=5),
    st.integers(1, 150),
)
def test_packed_is_unpacked_in_loss_and_gradients_however_it_is_split(
    trainable: Any, name: str, drawn: list[tuple[list[int], bool]], size: int
) -> None:
    """Chats, weights and illegal continuations included."""
    sequences = [sequence(index, lengths, chat=chat) for index, (lengths, chat) in enumerate(drawn)]
    singles = [lay_out([document]) for packed in sequences for document in alone(packed)]
    objective = OBJECTIVES[name]
    wanted, gradients = step(trainable, singles, objective)
    for tokens in (10_000, size):
        loss, found = step(trainable, list(micro_batches(sequences, num_tokens=tokens)), objective)
        assert loss == pytest.approx(wanted, rel=1e-4)
        for key, gradient in gradients.items():
            torch.testing.assert_close(found[key], gradient, rtol=2e-3, atol=2e-6)


def test_targets_that_are_given_are_no_targets() -> None:
    packed = sequence(0, [6, 4], chat=True)
    batch = lay_out([packed])
    assert batch.num_targets == packed.num_targets == int((batch.targets_T != IGNORE).sum()) == 3 + 2
    plain = Packed(0, packed.input_ids, packed.lengths, packed.row_ids)
    assert lay_out([plain]).num_targets == 8 and lay_out([plain]).marks_T is None


def test_a_document_of_several_rows_is_one_to_attention_and_many_to_lineage(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from buril.tokens.bins import SCHEMA

    spans = [
        {"row_id": name, "start": start, "length": length, "fim": "none", "offset": 0, "document": document}
        for name, start, length, document in (("a", 0, 3, 0), ("b", 3, 4, 0), ("c", 7, 3, 1))
    ]
    marks = [0] * 9 + [GIVEN]
    row = {"input_ids": list(range(10)), "spans": spans, "marks": marks, "illegal": [{"position": 5, "token": 9}]}
    pq.write_table(pa.Table.from_pylist([row], schema=SCHEMA), tmp_path / "train.parquet")
    file = PackedFile(tmp_path / "train.parquet")
    batch = lay_out([file[0], file[0]])
    assert file[0].lengths == (7, 3) and batch.lengths == (7, 3, 7, 3)
    assert batch.targets_T[:10].tolist() == [1, 2, 3, 4, 5, 6, IGNORE, 8, IGNORE, IGNORE]
    assert batch.illegal_N2 is not None and batch.illegal_N2.tolist() == [[4, 9], [14, 9]]
    assert seen_rows(file, 2, batch_size=1, seed=0) == {"a": 6, "b": 8, "c": 6}


# --- syntax


def test_without_weight_and_penalty_syntax_is_cross_entropy_to_the_bit(trainable: Any) -> None:
    batches = [lay_out([sequence(0, [20, 9]), sequence(1, [30], chat=True)])]
    wanted = step(trainable, batches, OBJECTIVES["cross_entropy"])
    found = step(trainable, batches, Syntax(Syntax.Settings(structure=0, illegal=0)))
    assert found[0] == wanted[0]
    for name, gradient in wanted[1].items():
        assert torch.equal(found[1][name], gradient)
    moved = step(trainable, batches, OBJECTIVES["syntax"])
    assert moved[0] != wanted[0]


def test_syntax_wants_marks(tmp_path: Path, output: Callable[..., Output]) -> None:
    given_ = make_inputs(tmp_path)
    with pytest.raises(BurilError) as raised:
        stage(objective="syntax").run(given_, output("train"))
    assert raised.value.code == "T130"


def stage(**told: Any) -> Train:
    defaults = {"batch_size": 4, "max_steps": 20, "eval_every": 20, "threads": 1, "precision": "fp32"}
    return Train(Train.Settings(**{**defaults, "learning_rate": 3e-3, "method": "full", **told}))


# --- distil


@pytest.fixture
def school(tmp_path: Path) -> tuple[dict[str, Artifact], Path]:
    """What a student reads, and a teacher: the same base, taught."""
    inputs = make_inputs(tmp_path / "in")
    out = run(inputs, tmp_path / "teacher", epochs=10, max_steps=60)
    teacher = out / "model"
    tokenizer = inputs["tokenizer"].folder / "tokenizer"
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (teacher / name).write_bytes((tokenizer / name).read_bytes())
    (teacher / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return inputs, teacher


def run(inputs: dict[str, Artifact], folder: Path, **told: Any) -> Path:
    from buril.core.events import EventLog

    out = Output(folder, EventLog(folder.parent / f"{folder.name}.jsonl"), "train")
    stage(**told).run(inputs, out)
    return folder


def test_a_student_comes_closer_to_its_teacher(school: tuple[dict[str, Artifact], Path], tmp_path: Path) -> None:
    inputs, teacher = school
    told = {"distil": {"teacher": str(teacher), "share": 1.0, "top_k": 20}}
    student = run(inputs, tmp_path / "student", objective=told)
    found = json.loads((student / "train.json").read_text())
    assert found["objective"] == "distil" and found["teacher_license"] == "Apache-2.0"
    assert len(found["teacher_sha256"]) == 64
    before = apart(inputs, teacher, inputs["base"].path("model"))
    after = apart(inputs, teacher, student / "model")
    assert after < 0.6 * before


def apart(inputs: dict[str, Artifact], one: Path, other: Path) -> float:
    """The mean divergence of one model from another on the validation part."""
    file, models = PackedFile(inputs["pack"].path("valid.parquet")), []
    for folder in (one, other):
        models.append(
            load(inputs["base"].folder, inputs["tokenizer"].folder, model_dir=folder, dtype="fp32", device="cpu").model
        )
    ids = torch.from_numpy(np.concatenate([file[0].input_ids, file[1].input_ids]).astype(np.int64))[None]
    with torch.no_grad():
        first, second = (model(input_ids=ids).logits[0].log_softmax(-1) for model in models)
    return float((first.exp() * (first - second)).sum(-1).mean())


def test_a_student_without_a_share_of_the_teacher_learns_the_text_alone(
    school: tuple[dict[str, Artifact], Path], tmp_path: Path
) -> None:
    inputs, teacher = school
    plain = run(inputs, tmp_path / "plain", max_steps=3)
    alone_ = run(inputs, tmp_path / "alone", max_steps=3, objective={"distil": {"teacher": str(teacher), "share": 0}})
    assert (plain / "curve.json").read_bytes() == (alone_ / "curve.json").read_bytes()


def test_what_is_no_teacher_is_said(school: tuple[dict[str, Artifact], Path], output: Callable[..., Output]) -> None:
    inputs, teacher = school

    def refusal(**told: Any) -> str:
        with pytest.raises(BurilError) as raised:
            stage(objective={"distil": told}).run(inputs, output("train"))
        return raised.value.code

    assert refusal(teacher=str(teacher / "nowhere")) == refusal() == "T002"
    (teacher / "README.md").unlink()
    assert refusal(teacher=str(teacher)) == "T132"
    text = (teacher / "tokenizer.json").read_text()
    raw = json.loads(text)
    letters = list(raw["model"]["vocab"])
    raw["model"]["vocab"] = {letter: number for number, letter in enumerate([letters[1], letters[0], *letters[2:]])}
    (teacher / "tokenizer.json").write_text(json.dumps(raw))
    assert refusal(teacher=str(teacher), teacher_license="mit") == "T131"


def test_the_teachers_files_are_part_of_what_a_training_is(school: tuple[dict[str, Artifact], Path]) -> None:
    _inputs, teacher = school
    one = stage(objective={"distil": str(teacher)})
    before = one.observe()
    (teacher / "config.json").write_text((teacher / "config.json").read_text() + "\n")
    assert one.observe() != before
    with pytest.raises(BurilError, match="T002"):
        stage(objective="distil").observe()
    assert VOCABULARY == 260
