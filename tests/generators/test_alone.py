"""Rows that ask to be alone: to the last bit of their log-probability they are the same, whatever else is written."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from buril.generators._generator import Request  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.generators._session import Session  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from tests.generators.tiny import TEXT, make, named_tokenizer  # noqa: E402

ENGINES = ("openvino fp32", "openvino bf16", "llamacpp", "transformers fp32", "transformers bf16")
MOST = 4


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    name, _space, precision = request.param.partition(" ")
    package = {"llamacpp": "xllamacpp"}.get(name, name)
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    folder = named_tokenizer(tmp_path_factory.mktemp("tok"))
    # wide enough that a batch is summed in another order than a row by itself
    model = make("llama", hidden_size=256, intermediate_size=512, num_attention_heads=8)
    loaded = Loaded(model, folder / "tokenizer", json.loads((folder / "fim.json").read_text()))
    sizes: dict[str, Any] = {"batch_size": MOST}
    if name == "openvino":
        from buril.generators._openvino import cpu_runs_bf16
        from buril.generators.openvino import Openvino

        if precision == "bf16" and not cpu_runs_bf16():
            pytest.skip("this CPU has no instructions for bf16")
        found: Any = Openvino(
            Openvino.Settings(precision=precision, threads=1, cache_mb=8, batch_tokens=64, **sizes)  # type: ignore[arg-type]  # one of two words
        )
    elif name == "llamacpp":
        from buril.generators.llamacpp import Llamacpp

        found = Llamacpp(Llamacpp.Settings(weights="f16", threads=1, cache_mb=8, batch_tokens=64, **sizes))
    else:
        if precision == "bf16":
            loaded = Loaded(model.bfloat16(), loaded.tokenizer_dir, loaded.fim)
        found = Transformers(Transformers.Settings(dtype=precision, device="cpu", **sizes))  # type: ignore[arg-type]  # as above
    found.use(loaded)
    return found


ASKED = (
    Request(TEXT[:120], max_tokens=14, alone=True),
    Request(TEXT[:61], suffix=TEXT[70:95], max_tokens=14, alone=True),
    Request(TEXT[:90], max_tokens=14, temperature=0.9, seed=7, alone=True),
)


def write(session: Session, request: Request, others: list[Request], before: int) -> tuple[list[int], float, int]:
    """A row's tokens and log-probability, others joining before it and at each step beside it; most at a time."""
    rows = [session.rows(other)[0] for other in others]
    for row in rows[:before]:
        session.add([row])
        session.step()
    (mine,) = session.rows(request)
    session.add([mine])
    most = 0
    for row in [*rows[before:], *[None] * 400]:
        if row is not None:
            session.add([row])
        session.step()
        most = max(most, len(session.writing))
        if mine.ended and not len(session):
            break
    assert mine.ended and not len(session)
    return mine.ids, mine.logprob, most


@pytest.mark.parametrize("asked", ASKED, ids=["text", "hole", "sampled"])
def test_what_else_is_written_changes_no_bit_of_it(engine: Any, asked: Request) -> None:
    expected = write(engine.session(), asked, [], 0)[:2]
    session = engine.session()
    crowds = [
        [Request(TEXT[place : place + 80], max_tokens=4 + place % 9, seed=place) for place in range(start, 70, 11)]
        for start in range(4)
    ]
    for number, crowd in enumerate(crowds):
        crowd += [Request(TEXT[:130], max_tokens=6), Request(TEXT[:55], max_tokens=3, alone=True)]  # begin alike
        ids, logprob, most = write(session, asked, crowd, number * 2)
        assert (ids, logprob) == expected, number
        assert most > 1


def test_others_are_not_held_up_where_lanes_are_apart(engine: Any) -> None:
    session = engine.session()
    (mine,) = session.rows(Request(TEXT[:40], max_tokens=30, alone=True))
    (other,) = session.rows(Request(TEXT[:50], max_tokens=3))
    session.add([mine, other])
    for _step in range(8):
        session.step()
    apart = getattr(session._running.engine, "apart", False)
    assert bool(other.ended) is apart
    while len(session):
        session.step()
    assert mine.ended and other.ended


def test_it_is_computed_by_itself_and_takes_nothing_over(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = engine.session()
    batching = session._running.engine
    ran: list[list[bool]] = []
    step = batching.step

    def told(lanes: Any, *more: Any) -> None:
        ran.append([lane.row.request.alone for lane in lanes])
        step(lanes, *more)

    monkeypatch.setattr(batching, "step", told)
    rows = [session.rows(Request(TEXT[:130], max_tokens=9, alone=number == 1))[0] for number in range(3)]
    for row in rows:
        session.add([row])
        session.step()
    while len(session):
        session.step()
    assert all(len(lanes) == 1 or not any(lanes) for lanes in ran) and [True] in ran
    assert rows[1].cached == 0
