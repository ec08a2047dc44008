"""Answers that are held to a grammar: a model of random weights writes JSON of the schema, and calls as they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("llguidance", reason="llguidance is not installed")

from buril.core.errors import BurilError  # noqa: E402
from buril.generators._calls import FORMS, Form, Reader  # noqa: E402
from buril.generators._generator import Request  # noqa: E402
from buril.generators._grammars import Calls, Function, Schema, of_calls, of_json  # noqa: E402
from buril.generators._guide import held  # noqa: E402
from buril.generators._load import Loaded  # noqa: E402
from buril.generators._writer import Row  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from tests.generators.tiny import make, named_tokenizer  # noqa: E402

PERSON: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"$ref": "#/$defs/age"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
    "$defs": {"age": {"type": "integer", "minimum": 0, "maximum": 150}},
}
HERMES, MISTRAL = FORMS
WEATHER = Function("weather", Schema(PERSON, strict=True))
TIME = Function("time")
CALL = '<tool_call>\n{"name": "weather", "arguments": {"name": "x", "age": 3}}\n</tool_call>'
OTHER = '<tool_call>{"name": "time", "arguments": {"any": [1]}}</tool_call>'
WRONG = '<tool_call>\n{"name": "weather", "arguments": {"name": "x"}}\n</tool_call>'
FENCED = '```json\n{\n  "name": "weather",\n  "arguments": {"name": "x", "age": 3}\n}\n```'


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Transformers:
    folder = named_tokenizer(tmp_path_factory.mktemp("tok"))
    found = Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=4))
    fim = json.loads((folder / "fim.json").read_text())
    found.use(Loaded(make("llama", max_position_embeddings=2048), folder / "tokenizer", fim))
    return found


def takes(generator: Transformers, grammar: str, text: str) -> bool:
    """Whether a text is one of the grammar."""
    loaded = generator.loaded
    matcher = loaded.guide.matcher(grammar)
    for token in loaded.encoder.encode(text):
        allowed = matcher.allowed()
        if allowed is None or not allowed[token]:
            return False
        matcher.take(token)
    allowed = matcher.allowed()
    return allowed is not None and bool(allowed[loaded.fim["eos"]])


# --- what is written


def test_random_weights_write_json_of_the_schema(generator: Transformers) -> None:
    asked = Request(
        (20, 21), max_tokens=160, temperature=1.0, num_samples=8, grammar=of_json(Schema(PERSON, strict=True))
    )
    (found,) = generator.complete([asked])
    whole = [json.loads(one.text) for one in found if one.finish_reason == "eos"]
    assert len(whole) >= 6, "nothing in the schema is without end but white space, which is bounded"
    for value in whole:
        jsonschema.validate(value, PERSON)
    assert len({json.dumps(value) for value in whole}) > 4, "the model chooses"


def test_only_what_asks_is_held_and_the_score_stays_the_models(generator: Transformers) -> None:
    grammar = of_json(Schema({"enum": ["left", "right"]}))
    free = Request((20, 21), max_tokens=12)
    ((alone,),) = generator.complete([free])
    (beside,), (one,) = generator.complete([free, Request((20, 21), max_tokens=30, grammar=grammar)])
    assert beside.tokens == alone.tokens and one.text in ('"left"', '"right"') and one.finish_reason == "eos"
    ids, limit = [20, 21, *one.tokens, generator.loaded.fim["eos"]], generator.loaded.encoder.num_ids
    with torch.inference_mode():
        logits = generator.loaded.model(torch.tensor([ids])).logits[0, :-1, :limit].log_softmax(-1)
    ends = generator.writer(heal=False).end_ids
    end = max(float(logits[-1, token]) for token in ends)
    told = sum(float(logits[place, token]) for place, token in enumerate(ids[1:-1]) if place)
    assert one.logprob == pytest.approx(told + end, abs=1e-3)


def test_a_bias_does_not_lead_out_of_the_grammar(generator: Transformers) -> None:
    token = generator.loaded.encoder.encode("x")[0]
    grammar = of_json(Schema({"const": 7}))
    ((found,),) = generator.complete([Request((20,), max_tokens=30, grammar=grammar, logit_bias=((token, 100.0),))])
    assert found.text == "7"


def test_the_logits_that_scores_are_told_of_stay(generator: Transformers) -> None:
    matcher = generator.loaded.guide.matcher(of_json(Schema({"const": 7})))
    rows = [Row((0, 0), Request("a"), (20,)), Row((0, 1), Request("a"), (20,), matcher=matcher)]
    given = torch.zeros(2, 400)
    found = held(rows, given, given)
    assert not given.any() and not found[0].any()
    seven = generator.loaded.encoder.encode("7")
    assert found[1].isfinite().nonzero().flatten().tolist() == seven
    assert held(rows[:1], given, given) is given


def test_what_grows_too_large_to_be_followed_ends_where_it_is(generator: Transformers) -> None:
    kinds = [{"type": "object", "properties": {f"a{i}": {"type": "string", "pattern": f"x.*{i}"}}} for i in range(2000)]
    large, small = of_json(Schema({"anyOf": kinds}, strict=True)), of_json(Schema({"const": 7}))
    asked = [Request((20,), max_tokens=30, grammar=grammar) for grammar in (large, small)]
    (lost,), (other,) = generator.complete(asked)
    assert lost.finish_reason == "length" and len(lost.tokens) < 30
    assert other.text == "7" and other.finish_reason == "eos", "the others go on"


# --- what is a text of the grammar


@pytest.mark.parametrize(
    ("must", "several", "text", "is_one"),
    [
        (True, True, CALL, True),
        (True, True, f"{CALL}\n{OTHER}", True),
        (True, False, f"{CALL}\n{OTHER}", False),
        (True, True, CALL.replace(": ", ":\n "), False),
        (False, True, CALL.replace(": ", ":\n "), True),
        (True, True, WRONG, False),
        (True, True, "text", False),
        (True, True, f"See: {CALL}", False),
        (True, True, "", False),
        (False, True, "", True),
        (False, True, "Text, and <b>more</b>.", True),
        (False, True, f"See: {CALL}{OTHER} and more", True),
        (False, True, f"See: {CALL} and {WRONG}", False),
        (False, True, WRONG, False),
        (False, True, FENCED, True),
        (False, True, f"So:\n{FENCED}\nDone.", True),
        (False, True, '```json\n{"a": 1}\n```', False),
        (False, True, "```python\nx = {}\n```", True),
        (False, True, '{"name": "time", "arguments": {}}', True),
        (False, True, '{"name": "weather", "arguments": {}}', False),
        (False, False, f"See: {CALL}", True),
        (False, False, f"See: {CALL} and more", False),
        (False, False, "no call <tool_c", True),
    ],
)  # fmt: skip
def test_calls_as_they_are_asked_for(
    generator: Transformers, must: bool, several: bool, text: str, is_one: bool
) -> None:
    grammar = of_calls(Calls(HERMES, [WEATHER, TIME], must, several), lambda name: None)
    assert takes(generator, grammar, text) is is_one


@pytest.mark.parametrize(
    ("several", "text", "is_one"),
    [
        (True, '[TOOL_CALLS] [{"name": "time", "arguments": {}}, {"name": "time", "arguments": {}}]', True),
        (False, '[TOOL_CALLS][{"name": "time", "arguments": {}}, {"name": "time", "arguments": {}}]', False),
        (True, '[TOOL_CALLS][{"name": "launch", "arguments": {}}]', False),
        (True, "[TOOL_CALLS][]", False),
    ],
)
def test_mistrals_form(generator: Transformers, several: bool, text: str, is_one: bool) -> None:
    grammar = of_calls(Calls(MISTRAL, [WEATHER, TIME], True, several), lambda name: None)
    assert takes(generator, grammar, text) is is_one


def test_a_control_token_opens_a_call_and_its_letters_do_not(generator: Transformers) -> None:
    loaded = generator.loaded
    control = min(loaded.encoder.control_ids - {loaded.fim["eos"]})
    grammar = of_calls(Calls(HERMES, [TIME], must=True), lambda name: control if name == "<tool_call>" else None)
    matcher = loaded.guide.matcher(grammar)
    allowed = matcher.allowed()
    assert allowed is not None and allowed.nonzero()[0].tolist() == [control]
    free = of_calls(Calls(HERMES, [TIME]), lambda name: control if name == "<tool_call>" else None)
    assert takes(generator, free, "<tool_call> is how a call begins")


def test_an_answer_of_a_schema_or_a_call(generator: Transformers) -> None:
    grammar = of_calls(Calls(HERMES, [TIME]), lambda name: None, Schema(PERSON, strict=True))
    assert takes(generator, grammar, OTHER) and takes(generator, grammar, '{"name": "x", "age": 3}')
    assert not takes(generator, grammar, "text") and not takes(generator, grammar, '{"age": 3}')


@pytest.mark.parametrize("form", FORMS)
def test_what_random_weights_call_is_read_as_calls(generator: Transformers, form: Form) -> None:
    grammar = of_calls(Calls(form, [WEATHER], must=True, several=False), lambda name: None)
    asked = Request((20, 21), max_tokens=200, temperature=1.0, num_samples=3, grammar=grammar)
    (found,) = generator.complete([asked])
    whole = [one.text for one in found if one.finish_reason == "eos"]
    assert whole
    for text in whole:
        (part,) = Reader(form, {"weather"}).feed(text, ended=True)
        (call,) = part.calls
        jsonschema.validate(call.arguments, PERSON)


# --- schemas


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "object", "properties": {"a": {"not": {}}}}, "not"),
        ({"$ref": "https://example.org/schema"}, "example.org"),
        ({"type": "wrong"}, "wrong"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-ahead"),
        ({"type": "string", "format": "colour"}, "colour"),
    ],
)
def test_what_can_not_be_followed_is_refused_by_name(generator: Transformers, schema: Any, told: str) -> None:
    with pytest.raises(BurilError) as problem:
        generator.loaded.guide.matcher(of_json(Schema(schema, strict=True)))
    said = str(problem.value)
    assert problem.value.code == "V064" and told in said and "%json" not in said


def test_what_is_not_strict_leaves_out_what_can_not_be_followed(generator: Transformers) -> None:
    told = {"type": "object", "properties": {"a": {"type": "integer", "not": {"const": 1}}}, "required": ["a"]}
    assert takes(generator, of_json(Schema(told)), '{"a": 1}') and not takes(generator, of_json(Schema(told)), "{}")
    sly = {"type": "integer", "not": {"const": 1}, "x-guidance": {"lenient": True}}
    with pytest.raises(BurilError, match="not"):
        generator.loaded.guide.matcher(of_json(Schema(sly, strict=True)))


def test_white_space_has_an_end(generator: Transformers) -> None:
    grammar = of_json(Schema({"type": "object"}))
    assert takes(generator, grammar, '{\n                        "a": 1}')
    assert not takes(generator, grammar, "{  }") and not takes(generator, grammar, "{\n\n}")
