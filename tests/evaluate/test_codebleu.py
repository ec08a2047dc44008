from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from buril.core.artifact import Artifact
from buril.evaluate.metrics.codebleu import Codebleu
from buril.evaluate.suites.completion import Completion
from buril.generators._generator import Completion as Written
from tests.evaluate.test_suites import context

REFERENCE = "def f(a):\n    b = a + 1\n    return b\n"


def parts(text: str, reference: str = REFERENCE, **more: str) -> dict[str, float]:
    return Codebleu().parts(text, reference, **{"language": "python", **more})


def test_by_hand() -> None:
    found = parts("def f(a):\n    b = a - 1\n    return a\n")
    # 13 tokens: def f ( a ) : b = a + 1 return b; the sign and the last name differ
    assert found["ngram"] == pytest.approx((11 / 13 * 10 / 13 * 8 / 12 * 7 / 11) ** 0.25)
    # def and return weigh five: 11 tokens of 13 become 19 of 21
    assert found["keyword"] == pytest.approx((19 / 21 * 10 / 13 * 8 / 12 * 7 / 11) ** 0.25)
    assert found["syntax"] == 1.0, "signs and names are no shape"
    # b < a, a = a, b = b; the text has b < a, a = a, a = a
    assert found["dataflow"] == pytest.approx(2 / 3)
    assert Codebleu().score("def f(a):\n    b = a - 1\n    return a\n", REFERENCE, language="python") == pytest.approx(
        sum(found.values()) / 4
    )


def test_other_names_are_the_same_tree_and_flow() -> None:
    found = parts("def g(left):\n    right = left + 1\n    return right\n")
    assert found["syntax"] == found["dataflow"] == 1.0 and found["ngram"] < 0.5


def test_what_stands_twice_must_stand_twice() -> None:
    twice = "def f(a):\n    g(a)\n    g(a)\n    g(a)\n"
    found = parts("def f(a):\n    g(a)\n", twice)
    # of ten: the parameters, and once of three times call and arguments; module, function and block differ
    assert found["syntax"] == pytest.approx(3 / 10)
    assert found["dataflow"] == pytest.approx(1 / 3)


def test_a_part_that_the_reference_lacks_is_left_out() -> None:
    assert set(parts("return 2", "return 1")) == {"ngram", "keyword", "syntax"}
    assert set(parts("f x = x", "f y = y", language="haskell")) == {"ngram", "keyword", "syntax"}
    assert set(parts("a b", "a c", language="")) == set(parts("a b", "a c", language="cobol")) == {"ngram"}
    assert set(parts("x", "")) == {"ngram", "keyword"}
    found, score = parts("return 2", "return 1"), Codebleu().score("return 2", "return 1", language="python")
    assert score == pytest.approx(sum(found.values()) / 3)


def test_no_flow_where_the_reference_has_some_counts_as_none() -> None:
    assert parts("def f(a):\n    return 1\n")["dataflow"] == 0.0


def test_weights() -> None:
    metric = Codebleu(Codebleu.Settings(ngram=1, keyword=0, syntax=0, dataflow=3))
    found = metric.parts("x = a\n", REFERENCE, language="python")
    assert metric.score("x = a\n", REFERENCE, language="python") == pytest.approx(
        (found["ngram"] + 3 * found["dataflow"]) / 4
    )
    for wrong in ({"ngram": 0}, {"syntax": -1}):
        with pytest.raises(ValidationError):
            Codebleu.Settings(**wrong)


def test_the_head_gives_meaning_and_is_not_scored() -> None:
    head, body = "    def f(self, a):\n", "        b = a\n        return b\n"
    right = parts("\n        b = a\n        return b", body, head=head)
    assert right == dict.fromkeys(("ngram", "keyword", "syntax", "dataflow"), 1.0)
    assert "dataflow" in parts("return a", "return a", head="def f(a):\n    ")
    assert "dataflow" not in parts("return a", "return a")
    wrong = parts("\n        pass", body, head=head)
    assert wrong["syntax"] == wrong["dataflow"] == 0.0, "what is given is no merit"
    assert parts("pass", "return a", head="def f(a, b=a):\n    ")["dataflow"] == 0.0


def test_php_is_code_without_its_mark_too() -> None:
    found = parts(" $b = $a; return $b; }", " $c = $a; return $c; }", language="php", head="function f($a) {")
    assert found["syntax"] == found["dataflow"] == 1.0


def test_what_no_parser_may_be_asked_is_compared_as_tokens() -> None:
    deep = "(" * 2000
    assert set(parts("x = 1", deep)) == {"ngram", "keyword"}
    assert parts(deep)["syntax"] == parts(deep)["dataflow"] == 0.0


class Author:
    """Writes each function as its author did."""

    def __init__(self, bodies: dict[str, str]) -> None:
        self.bodies = bodies

    def complete(self, requests: Any) -> Any:
        for request in requests:
            yield [Written("\n" + self.bodies[request.prompt], (), "eos", 0.0)]


def test_the_suite_tells_the_language_and_the_head(inputs: Callable[[], dict[str, Artifact]]) -> None:
    split, suite = inputs()["split"], Completion(Completion.Settings.model_validate({"metrics": ["codebleu"]}))
    holes = suite.holes(context(split))
    wrong = {
        hole.prompt.rstrip(): "        total = amount * 2\n        return total\n"
        if "self" in hole.head
        else "    return 0\n"
        for hole in holes
    }
    for bodies, low, high in (({hole.prompt.rstrip(): hole.body for hole in holes}, 1.0, 1.0), (wrong, 0.0, 0.9)):
        found = suite.run(context(split, Author(bodies)))
        assert all(low <= score <= high for score in found.measures["codebleu"].numerators)
        assert len(found.measures["codebleu"].units) == len(holes) and found.measures["codebleu"].kind == "ratio"
    heads, metric = {hole.key: hole.head for hole in holes}, Codebleu()
    more, less = (
        [
            metric.score(row["completion"], row["reference"], language=row["language"], head=heads[row["id"]] * known)
            for row in found.samples
        ]
        for known in (1, 0)
    )
    assert found.measures["codebleu"].numerators == more != less, "a flow begins at the parameters"
