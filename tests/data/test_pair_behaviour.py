"""Proof by behaviour: right fixes pass, wrong ones are dropped with the input that shows it, the rest is unproven."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.data.behaviour import prove
from buril.data.behaviour._attacks import attacks
from buril.data.behaviour._inputs import ROOT, Maker
from buril.data.behaviour._judging import compared
from buril.data.behaviour._reading import read
from buril.data.behaviour.prove import Behaviour, Runner, Shown
from buril.data.pair import Pair
from buril.sandboxes._sandbox import Program
from tests.data.behaviour_cases import rights, wrongs
from tests.data.made import table
from tests.data.test_pairs import pair, propose, rows, stage  # noqa: F401  the fixture `propose`

FEW = Behaviour(inputs=6)
QUERY = "def find(db, name):\n    return db.execute({}).fetchall()\n"
WEAK = QUERY.format("f\"SELECT * FROM people WHERE name = '{name}'\"")
RIGHT = QUERY.format('"SELECT * FROM people WHERE name = ?", (name,)')
WRONG = QUERY.format('"SELECT * FROM people WHERE name = ? LIMIT 1", (name + "x",)')
HALF = QUERY.format("f\"SELECT * FROM people WHERE name = '{name}' LIMIT 99\"")


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    found = Runner(FEW, 0)
    yield found
    found.close()


def shown(runner: Runner, cwe: str, weak: str, fix: str) -> Shown:
    return runner.shown(Pair(cwe, "python", fix, weak, "one", "given", "label"))


# --- what was planted: 30 right fixes and 33 wrong ones


@pytest.mark.slow
@pytest.mark.parametrize(("cwe", "weak", "fix"), rights())
def test_a_right_fix_does_the_same_and_is_told_apart_by_an_attack(
    cwe: str, weak: str, fix: str, runner: Runner
) -> None:
    found = shown(runner, cwe, weak, fix)
    assert (found.outcome, found.exploit) == ("equal", "told_apart"), found
    assert found.inputs >= prove.LEAST_EQUAL


@pytest.mark.slow
@pytest.mark.parametrize(("cwe", "weak", "fix"), wrongs())
def test_a_wrong_fix_is_found_with_an_input_that_shows_it(cwe: str, weak: str, fix: str, runner: Runner) -> None:
    found = shown(runner, cwe, weak, fix)
    assert found.outcome == "differs" and found.reason, found
    assert isinstance(json.loads(found.example), dict)


def test_a_text_that_an_attack_still_works_on_is_told(runner: Runner) -> None:
    found = shown(runner, "CWE-89", WEAK, HALF)
    assert (found.outcome, found.exploit) == ("equal", "still_open") and "OR '1'='1'" in found.example


# --- what is unproven, and never called equal


@pytest.mark.parametrize(
    ("weak", "fix", "reason"),
    [
        ("x = eval('1')\n", "x = 1\n", "no_entry"),
        ("def f(:\n", "def f(:\n", "no_entry"),
        # the change is behind a condition that no input meets
        (
            "def f(text):\n    if text == 'open sesame 7741':\n        return eval(text)\n    return len(text)\n",
            "def f(text):\n    if text == 'open sesame 7741':\n        return None\n    return len(text)\n",
            "change_not_reached",
        ),
        # what differs is a call to something that nobody knows
        (
            "from acme import weak, strong\n\n\ndef f(text):\n    return weak(text)\n",
            "from acme import weak, strong\n\n\ndef f(text):\n    return strong(text)\n",
            "unknown",
        ),
        # both fail on whatever they are given
        ("def f(text):\n    return (1).no_such + text\n", "def f(text):\n    return (2).no_such + text\n", "misfit"),
    ],
)
def test_what_cannot_be_driven_is_unproven(weak: str, fix: str, reason: str, runner: Runner) -> None:
    found = shown(runner, "CWE-95", weak, fix)
    assert found.outcome == "unproven" and found.reason.startswith(reason), found


def test_another_language_is_unproven() -> None:
    found = Runner(FEW, 0).shown(pair(language="javascript", secure="f(1)\n", vulnerable="f(2)\n"))
    assert found == Shown("unproven", reason="language")


def test_what_a_text_imports_beside_itself_is_unknown_and_no_hindrance(runner: Runner) -> None:
    """The same calls to it with the same arguments are the same behaviour; other calls say nothing."""
    text = "import html\n\nfrom ..pages import shown\nfrom . import log\n\n\ndef show(name):\n    log.info({0})\n    return shown({0}, 1).body\n"
    found = shown(runner, "CWE-79", text.format("name"), text.format("html.escape(name)"))
    assert found.outcome == "equal" and found.inputs >= 5
    query = "def find(tree, code):\n    return tree.xpath({})\n"
    found = shown(runner, "CWE-643", query.format("f\"//a[@b='{code}']\""), query.format('"//a[@b=$code]", code=code'))
    assert (found.outcome, found.reason) == ("unproven", "unknown: calls")


def test_a_query_and_its_parameters_are_what_they_mean(runner: Runner) -> None:
    """A connection that nobody knows notes the query; one with parameters means the text that they would make."""
    text = "def find(self, name):\n    self.c.execute({})\n    return self.c.fetchone()\n"
    weak = text.format("'SELECT id FROM t WHERE name = \\'' + name + '\\''")
    for fix in ("'SELECT id FROM t WHERE name=?', (name,)", "'SELECT id FROM t WHERE name = %s', name"):
        found = shown(runner, "CWE-89", weak, text.format(fix))
        assert (found.outcome, found.exploit) == ("equal", "told_apart")
    found = shown(runner, "CWE-89", weak, text.format("'SELECT id FROM t WHERE id = %s', name"))
    assert found.outcome == "differs"


def test_chance_is_no_difference_and_a_hash_is_compared_by_what_was_hashed(runner: Runner) -> None:
    drawn = "import random\nimport secrets\n\n\ndef code():\n    return {}\n"
    found = shown(
        runner,
        "CWE-338",
        drawn.format("'%08d' % random.randrange(10**8)"),
        drawn.format("'%08d' % secrets.randbelow(10**8)"),
    )
    assert (found.outcome, found.exploit) == ("equal", "told_apart")
    hashed = "import hashlib\n\n\ndef name(text):\n    return 'v1-' + hashlib.{}(text.encode()).hexdigest()\n"
    found = shown(runner, "CWE-328", hashed.format("md5"), hashed.format("sha256"))
    assert (found.outcome, found.exploit) == ("equal", "told_apart")


# --- what one input says


def _seen(**given: Any) -> dict[str, Any]:
    return {
        "end": "done",
        "value": 1,
        "out": "",
        "files": {},
        "arguments": {},
        "calls": {"list": []},
        "hit": [2],
        **given,
    }


def _raised(name: str, *, own: bool) -> dict[str, Any]:
    told = _seen(raised={"type": name, "of": [name], "own": own, "line": 2, "message": "", "code": None})
    del told["value"]
    return told


@pytest.mark.parametrize(
    ("secure", "vulnerable", "said"),
    [
        (_seen(), _seen(), "equal"),
        (_seen(value=2), _seen(), "differs"),
        (_seen(out="x"), _seen(), "differs"),
        (_seen(files={"/tmp/w/a": "x"}), _seen(), "differs"),
        (_seen(arguments={"a": 1}), _seen(), "differs"),
        (_seen(end="timeout"), _seen(), "differs"),
        (_seen(), _seen(end="timeout"), "misfit"),
        (_raised("NameError", own=False), _seen(), "differs"),
        (_raised("ValueError", own=True), _seen(), "refused"),
        (_seen(), _raised("TypeError", own=False), "misfit"),
        (_seen(), _raised("ValueError", own=True), "differs"),
        (_raised("KeyError", own=True), _raised("ValueError", own=True), "differs"),
        (_raised("ValueError", own=True), _raised("ValueError", own=True), "equal"),
        (_seen(value={"unknown": "a()"}), _seen(value={"unknown": "b()"}), "unknown"),
    ],
)  # fmt: skip
def test_the_word_on_one_input(secure: dict[str, Any], vulnerable: dict[str, Any], said: str) -> None:
    texts = {"secure": "", "vulnerable": ""}
    seen = {"secure": secure, "vulnerable": vulnerable, "again": {"secure": secure, "vulnerable": vulnerable}}
    assert compared(seen, texts, "CWE-79", sure=True).said == said
    if said in ("differs", "refused"):
        assert compared(seen, texts, "CWE-79", sure=False).said == "misfit"


def test_a_name_that_is_missing_is_a_fault_whatever_else_is_unknown() -> None:
    texts = {"secure": "", "vulnerable": ""}
    calls = {"calls": {"list": [{"list": ["acme.ask", {"list": []}, {"dict": []}]}]}}
    for name, said in (("NameError", "differs"), ("TypeError", "unknown")):
        seen = {"secure": {**_raised(name, own=False), **calls}, "vulnerable": _seen(**calls)}
        assert compared(seen, texts, "CWE-79", sure=True).said == said


def test_nothing_in_place_of_something_is_a_refusal_only_where_refusing_cures() -> None:
    seen = {"secure": _seen(value=None), "vulnerable": _seen(value=3)}
    texts = {"secure": "", "vulnerable": ""}
    assert compared(seen, texts, "CWE-22", sure=True).said == "refused"
    assert compared(seen, texts, "CWE-89", sure=True).said == "differs"
    assert compared(seen, texts, "CWE-532", sure=True).said == "unknown"


def test_inputs_are_the_same_for_a_seed_and_attacks_stand_in_each_place() -> None:
    (reading,) = read(RIGHT, WEAK, ROOT)
    one, two, other = (Maker(reading, "CWE-89", seed).make(9) for seed in (3, 3, 4))
    assert one == two != other
    assert reading.tables == {"people": ["name"]} and reading.changed == {"secure": [2], "vulnerable": [2]}
    hostile = list(attacks("CWE-89", one[0].trial, ()))
    assert hostile and all(trial["arguments"]["name"]["value"] == payload for trial, payload in hostile)
    assert not list(attacks("CWE-9999", one[0].trial, ()))


# --- the stage


def test_the_stage_keeps_the_proved_and_drops_the_rest_with_what_shows_it(
    propose: Callable[..., None],  # noqa: F811  the fixture
    make_artifact: Callable[..., Artifact],
) -> None:
    given = [
        pair(secure=fix, vulnerable=WEAK, claim="label", scenario=name)
        for name, fix in (("right", RIGHT), ("wrong", WRONG), ("half", HALF + "# as before\n"))
    ]
    propose(*given)
    artifact = make_artifact(stage(behaviour={"inputs": 6}, scan=["secrets"]))
    (kept,) = rows(artifact)["train"]
    assert kept["scenario"] == "right" and kept["proofs"][-2:] == ["behaviour", "exploit"]
    dropped = {row["reason"]: row for row in table(artifact, "dropped.parquet")}
    assert set(dropped) == {"behaves_differently", "still_exploitable"}
    assert '"name": ' in str(dropped["behaves_differently"]["detail"])
    summary = json.loads(artifact.path("summary.json").read_text())["behaviour"]
    assert summary["outcomes"]["differs"] == 1 and summary["by_source"]["given"]["told_apart"] == 1
    assert artifact.manifest.metrics["behaviour"] > 0
    told = {row["scenario"]: row for row in table(artifact, "behaviour.parquet")}
    assert told["right"]["outcome"] == "equal" and told["wrong"]["outcome"] == "differs"


def test_what_was_run_before_an_interruption_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Runner(FEW, 0, tmp_path / "kept")
    found = shown(first, "CWE-89", WEAK, RIGHT)
    first.close()
    monkeypatch.setattr(Runner, "_run", lambda self, plan: pytest.fail("it was run again"))
    assert shown(Runner(FEW, 0, tmp_path / "kept"), "CWE-89", WEAK, RIGHT) == found


def test_nothing_is_run_unless_asked_and_workers_are_no_identity() -> None:
    assert stage().parts().keys().isdisjoint({"behaviour"})
    told = stage(behaviour={})
    assert told.parts()["behaviour"] == prove.VERSION and told.observe()["python"]
    assert told.settings.identity() == stage(behaviour={"workers": 9}).settings.identity()
    assert told.settings.identity() != stage(behaviour={"inputs": 9}).settings.identity()


def test_a_machine_without_python_in_its_jail_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "PYTHON", "/usr/bin/no-python-here")
    with pytest.raises(BurilError, match="D340"):
        shown(Runner(FEW, 0), "CWE-89", WEAK, RIGHT)


def test_a_jail_that_says_nothing_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def execute(self, program: Program) -> Any:
            from buril.sandboxes._sandbox import Outcome

            return Outcome("error", out="nothing")

    made = Runner(FEW, 0)
    made._sandbox._made = Silent()  # type: ignore[assignment]
    assert shown(made, "CWE-89", WEAK, RIGHT) == Shown("unproven", reason="died")
