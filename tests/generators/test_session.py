"""Sessions: requests come and go while others are written, and each gets what it would have got alone."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from buril.core.errors import BurilError  # noqa: E402
from buril.generators._generator import Request, capabilities  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.generators._paged import Blocks  # noqa: E402
from buril.generators._session import Session, seen  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from tests.generators.tiny import TEXT, make, named_tokenizer  # noqa: E402

ENGINES = ("openvino", "llamacpp", "onnx", "transformers")


def fresh(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """A model that no other engine has taken the weights of."""
    folder = named_tokenizer(tmp_path_factory.mktemp("tok"))
    return Loaded(make("llama"), folder / "tokenizer", json.loads((folder / "fim.json").read_text()))


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    name, loaded = request.param, fresh(tmp_path_factory)
    package = {"llamacpp": "xllamacpp", "onnx": "onnxruntime_genai"}.get(name, name)
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if name == "openvino":
        from buril.generators.openvino import Openvino

        found: Any = Openvino(Openvino.Settings(precision="fp32", threads=1, cache_mb=8, batch_size=3, batch_tokens=64))
    elif name == "llamacpp":
        from buril.generators.llamacpp import Llamacpp

        found = Llamacpp(Llamacpp.Settings(weights="f16", threads=1, cache_mb=8, batch_size=3, batch_tokens=64))
    elif name == "onnx":
        from buril.generators.onnx import Onnx

        found = Onnx(Onnx.Settings(threads=1, cache_mb=8, batch_size=3, batch_tokens=64))
    else:
        found = Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=3))
    found.use(loaded)
    return found


def run(session: Session, rows: list[Any]) -> list[str]:
    """Write rows to their ends; their texts."""
    session.add(rows)
    done: list[Any] = []
    while len(session):
        done += session.step()
    assert {id(row) for row in done} == {id(row) for row in rows}
    return [session.writer.completion(row).text for row in rows]


def alone(engine: Any, request: Request) -> str:
    return str(next(iter(engine.complete([request])))[0].text)


def test_who_comes_later_gets_what_they_would_have_got_alone(engine: Any) -> None:
    assert capabilities(engine).sessions and capabilities(engine).fills
    requests = [Request(TEXT[:place], max_tokens=5 + place % 7, seed=place) for place in (30, 44, 58, 71, 90)]
    expected = [alone(engine, request) for request in requests]
    session = engine.session()
    rows = [session.rows(request)[0] for request in requests]
    done: list[Any] = []
    for row in rows:  # one more joins after each step
        session.add([row])
        done += session.step()
    while len(session):
        done += session.step()
    assert len(done) == len(rows)
    assert [session.writer.completion(row).text for row in rows] == expected
    assert run(session, [session.rows(request)[0] for request in requests]) == expected, "a second time, too"


def test_who_goes_is_written_no_more_and_nobody_else_notices(engine: Any) -> None:
    stays = Request(TEXT[:80] + "x", max_tokens=24)
    goes = Request(TEXT[:80] + "y", max_tokens=60)  # begins as the other does: they may share what is run
    expected = alone(engine, stays)
    for steps in range(4):
        session = engine.session()
        gone, kept, waiting = session.rows(goes)[0], session.rows(stays)[0], session.rows(goes)[0]
        session.add([gone, kept])
        done: list[Any] = []
        for _step in range(steps):
            done += session.step()
        session.add([waiting])
        session.cancel([gone, waiting])
        while len(session):
            done += session.step()
        assert done == [kept] and session.writer.completion(kept).text == expected, steps
        assert len(gone.ids) < 8 and not waiting.ids
        session.cancel([kept])  # it has ended: nothing happens
        assert run(session, session.rows(stays)) == [expected]


def test_what_is_seen_while_writing_is_a_beginning_of_what_comes(engine: Any) -> None:
    plain = alone(engine, Request(TEXT[:55], max_tokens=40))
    stop = plain[20:23]
    for request in (Request(TEXT[:55], max_tokens=40), Request(TEXT[:55], max_tokens=40, stop=(stop, "never"))):
        session = engine.session()
        (row,) = session.rows(request)
        session.add([row])
        texts = [""]
        while len(session):
            session.step()
            found = seen(row, session.writer)
            assert found.text.startswith(texts[-1])
            texts.append(found.text)
        final = session.writer.completion(row).text
        assert texts[-1] == final and len(set(texts)) > 4
        assert not request.stop or stop not in final


def test_what_can_never_be_written_is_refused_to_who_asks(engine: Any) -> None:
    session, loaded = engine.session(), engine.loaded
    blind = Loaded(loaded.model, loaded.tokenizer_dir, {**loaded.fim, "suffix": None})
    engine._loaded, plain = blind, engine._loaded
    try:
        with pytest.raises(BurilError) as refused:
            session.rows(Request("a", suffix="b"))
    finally:
        engine._loaded = plain
    assert refused.value.code == "T015"
    assert run(session, session.rows(Request("a", max_tokens=3))) != []


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_what_an_earlier_request_has_run_is_not_run_again(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from buril.generators.openvino import Openvino

    found = Openvino(Openvino.Settings(precision="fp32", threads=1, cache_mb=8, batch_size=3, batch_tokens=64))
    found.use(fresh(tmp_path_factory))
    ran: list[int] = []
    logits = found.engine._logits
    monkeypatch.setattr(
        found.engine, "_logits", lambda parts, wanted: (ran.append(sum(n for _l, n in parts)), logits(parts, wanted))[1]
    )
    session, prompt = found.session(), TEXT[:150]
    first = run(session, session.rows(Request(prompt, max_tokens=1)))
    cold = sum(ran)
    ran.clear()
    assert run(session, session.rows(Request(prompt, max_tokens=1))) == first
    size = found.engine.blocks.size
    assert cold > size > sum(ran), "all but the last block were there"
    ran.clear()
    other = run(found.session(), found.session().rows(Request(prompt, max_tokens=1)))
    assert other == first and sum(ran) == cold, "another session begins with nothing"


def test_blocks_that_rest_are_known_until_they_are_taken() -> None:
    blocks = Blocks(6, 4, keep=True)
    first = blocks.take(range(9), 12, among=-1)
    assert first == ([0, 1, 2], 0)
    blocks.give(first[0])
    assert blocks.num_free == 6
    again = blocks.take([*range(8), 99], 12, among=-1)
    assert again is not None and again[0][:2] == [0, 1] and again[1] == 8
    blocks.give(again[0])
    assert blocks.take(range(50, 59), 24, among=-1) is not None, "all six are taken for something else"
    blocks.give(range(6))
    assert blocks.take(range(9), 12, among=-1)[1] == 0  # type: ignore[index]  # there is room
    stale = Blocks(3, 2, keep=True)
    one = stale.take([1, 2, 3, 4, 5], 5, among=-1)
    assert one is not None
    stale.give(one[0][1:])
    stale.give(one[0][:1])
    other = stale.take([7, 8], 2, among=-1)  # takes the block that was free longest
    assert other is not None
    full = stale.take([1, 2, 3, 4, 5], 3, among=-1)
    assert full is None or full[1] in (0, 2, 4)


def test_content_behind_a_block_that_was_taken_is_not_mistaken() -> None:
    """The second block says what follows the first's content, not what follows the first block."""
    blocks = Blocks(4, 2, keep=True)
    one = blocks.take([1, 2, 3, 4, 9], 5, among=-1)
    assert one == ([0, 1, 2], 0)
    blocks.give(one[0])
    taken = [blocks.take([50 + number], 2, among=-1) for number in range(2)]  # not registered: no full block
    assert all(taken)
    other = blocks.take([7, 8, 3, 4, 9], 4, among=-1)
    assert other is not None and other[1] == 0, "3, 4 once followed other tokens"
