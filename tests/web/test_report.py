"""The report: that it shows what the artifacts hold, in any state of the chain, and that nothing hostile gets out."""

from __future__ import annotations

import dataclasses
import gettext
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_fixture

from buril.core import text
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.text import set_language
from buril.web import words
from buril.web.report import gather, headlines, render, sentence, to_json, write_report
from buril.web.samples import Answer, Sample, chosen

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and collects what a test asks for."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open and self.open[-1] != "style":
            self.texts.append((self.open[-1], data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    return report_fixture.build(tmp_path_factory.mktemp("chain"))


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    set_language("en")
    yield
    set_language("en")


def test_a_whole_chain_is_well_formed_and_accessible(artifacts: dict[str, Artifact]) -> None:
    page = Page(render(gather(artifacts, name="acme-coder", events=report_fixture.events(artifacts))))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    identifiers = [attributes["id"] for _tag, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for attributes in (attributes for _tag, attributes in page.tags):
        for name in (attributes.get("aria-labelledby") or "").split():
            assert name in identifiers
    for attributes in page.all("a"):
        assert (attributes["href"] or "").removeprefix("#") in identifiers
    assert len(page.all("caption")) == len(page.all("table"))
    figures = [attributes for attributes in page.all("svg") if attributes.get("aria-hidden") != "true"]
    assert len(figures) == len(page.all("figure")) >= 6
    assert all(attributes["role"] == "img" and attributes["aria-labelledby"] for attributes in figures)
    levels = [int(tag[1]) for tag, _attributes in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(later - earlier <= 1 for earlier, later in zip(levels, levels[1:], strict=False))


def test_it_asks_the_network_for_nothing_and_runs_nothing(artifacts: dict[str, Artifact]) -> None:
    html = render(gather(artifacts, name="acme-coder"))
    page = Page(html)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in (policy or "")
    assert "script-src" not in (policy or "")
    assert not re.search(r"https?://|url\(|@import", html)
    assert not {tag for tag, _a in page.tags} & {"script", "link", "img", "iframe", "object", "form", "base"}


def test_hostile_names_and_code_stay_text(tmp_path: Path) -> None:
    artifacts = report_fixture.build(tmp_path, hostile=True)
    events = [{"kind": "run_start", "command": report_fixture.HOSTILE, "run": report_fixture.HOSTILE}]
    page = Page(render(gather(artifacts, name=report_fixture.HOSTILE, events=events)))
    assert not {tag for tag, _a in page.tags} & {"script", "img"}
    assert not [name for _tag, attributes in page.tags for name in attributes if name.startswith("on")]
    assert sum(report_fixture.HOSTILE in data for _tag, data in page.texts) >= 8


@pytest.mark.parametrize(
    ("last", "language"), [("", "es"), ("evaluate", "es"), ("", "en"), *((name, "en") for name in report_fixture.NEEDS)]
)
def test_any_state_of_the_chain_renders(artifacts: dict[str, Artifact], last: str, language: str) -> None:
    set_language(language)
    names = list(artifacts)[: list(artifacts).index(last) + 1] if last else []
    made = {name: artifacts[name] for name in names}
    html = render(gather(made, name="acme-coder"))
    assert Page(html).all("html") == [{"lang": language}]
    for name, missing in (("train", "train"), ("evaluate", "evaluate"), ("collect", "collect")):
        assert (f"buril run --until {missing}" in html) == (name not in made)


@pytest.mark.parametrize("stage", list(report_fixture.NEEDS))
def test_one_missing_stage_is_tolerated(artifacts: dict[str, Artifact], stage: str) -> None:
    Page(render(gather({name: item for name, item in artifacts.items() if name != stage}, name="acme-coder")))


def test_empty_artifacts_are_tolerated(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    empty = {name: Artifact(tmp_path, artifact.manifest) for name, artifact in artifacts.items()}
    Page(render(gather(empty, name="acme-coder")))


def test_the_numbers_are_those_of_the_data(artifacts: dict[str, Artifact]) -> None:
    files = report_fixture.all_files()
    kept, learnt = report_fixture.kept(files), report_fixture.learnt(files)
    data = gather(artifacts, name="acme-coder")
    assert data.data is not None
    assert data.data.read == (len(files), sum(file.bytes for file in files))
    assert data.data.found.files == len(files) + 23
    assert data.data.kept == (len(kept), sum(file.bytes for file in kept))
    languages = {value.name: value for value in data.data.facets[0].values}
    python = [file for file in kept if file.language == "python"]
    assert languages["python"].kept == (len(python), sum(file.bytes for file in python))
    assert languages["java"].kept.files == 0
    assert languages["java"].found.files == sum(file.language == "java" for file in files)
    assert sum(reason.files for reason in data.data.reasons) == len(files) - len(kept) + 23
    assert sum(count.files for count in data.data.split_total) == len(kept)
    assert data.lineage.learnt == (len(learnt), sum(file.bytes for file in learnt))
    assert sum(row.files for row in data.lineage.repositories) == len(learnt)
    assert {name for name, _count in data.lineage.licenses} == {file.license for file in learnt}
    assert data.training is not None
    assert (len(data.training.train_loss), len(data.training.valid_loss)) == (420, 7)
    assert data.run.made_s == pytest.approx(sum(report_fixture.SECONDS.values()))
    assert data.run.made_kwh == pytest.approx(data.run.made_s * 65 / 3.6e6)


def test_rules_count_times_and_files(artifacts: dict[str, Artifact]) -> None:
    data = gather(artifacts, name="acme-coder").data
    assert data is not None
    email = next(rule for rule in data.redactions if rule.rule == "email")
    assert email.times == 2 * email.files > 0
    assert [rule.severity for rule in data.findings] == ["high", "medium", "low"]


def test_facets_and_lists_are_capped_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buril.web.facets.MAX_VALUES", 3)
    monkeypatch.setattr("buril.web.lineage.MAX_REPOSITORIES", 2)
    data = gather(report_fixture.build(tmp_path), name="acme-coder")
    assert data.data is not None
    by_repository = data.data.facets[2]
    assert (len(by_repository.values), by_repository.num_others) == (3, len(report_fixture.REPOSITORIES) - 3)
    assert by_repository.others.kept.files + sum(v.kept.files for v in by_repository.values) == data.data.kept.files
    assert (
        data.lineage.more_repositories.files + sum(r.files for r in data.lineage.repositories)
        == data.lineage.learnt.files
    )  # type: ignore[union-attr]
    assert "and 11 more" in render(data)


def test_verdicts_follow_interval_and_direction(artifacts: dict[str, Artifact]) -> None:
    evaluation = gather(artifacts, name="acme-coder").evaluation
    assert evaluation is not None
    verdicts = {score.metric: score.verdict for score in evaluation.scores}
    assert verdicts == {
        "perplexity": "better", "bits_per_byte": "better", "exact_match": "better", "edit_similarity": "better",
        "pass@1": "none", "insecure_rate": "worse", "robust_pass": "unknown",
    }  # fmt: skip
    assert evaluation.seen is not None and (evaluation.seen.asked, evaluation.seen.num_seen) == (164, 2)
    assert [(item.task, item.share, item.place) for item in evaluation.seen.sightings] == [
        ("basics/median", 1.0, "acme/ledger/src/core/median.py"), ("basics/mode", 0.61, "acme/ledger/src/core/mode.py"),
    ]  # fmt: skip
    assert [(score.metric, score.tuned and score.tuned.n) for score in evaluation.seen.without] == [("pass@1", 162)]
    assert [gate.met for gate in evaluation.gates] == [True, False]
    assert [score.verdict for score in evaluation.languages] == ["better", "none"]


def test_the_headline_speaks_plainly(artifacts: dict[str, Artifact]) -> None:
    found = headlines(gather(artifacts, name="acme-coder").evaluation)
    said = [sentence(score).replace("\u202f", " ").replace("\u00a0", " ") for score in found]
    assert (
        said[0]
        == "Perplexity on held-out code fell from 8.41 to 6.13 (95 % interval of the difference: −2.51 to −2.07)."
    )
    assert "no measurable difference" in said[1]
    assert said[2].startswith("Completions with a security finding rose from 9.3 % to 12.1 %")


def test_samples_show_gains_losses_and_ties(artifacts: dict[str, Artifact]) -> None:
    evaluation = gather(artifacts, name="acme-coder").evaluation
    assert evaluation is not None
    pairs = [(s.base.passed, s.tuned.passed) for s in evaluation.samples if s.base and s.tuned]
    assert {(False, True), (True, False)} < set(pairs)
    assert any(base == tuned for base, tuned in pairs)
    assert evaluation.num_samples == 13
    failed = next(s for s in evaluation.samples if s.tuned and s.tuned.passed is False)
    assert failed.tuned
    assert failed.tuned.note == "([1, 2, 3, 4]) → 3 ≠ 2.5"
    held_out = next(s for s in evaluation.samples if s.suite == "completion")
    assert held_out.base
    assert (held_out.task, held_out.place, held_out.base.score) == ("median", "acme/ledger · src/core/price_3.py", 0.42)


def test_what_was_lost_has_the_most_room() -> None:
    def sample(suite: str, number: int, before: float, after: float) -> Sample:
        answers = (Answer("x", None, "", score) for score in (before, after))
        return Sample(suite, f"t/{number}", "", "", "", "", *answers)

    many = [
        sample(suite, number, *pair)
        for suite in ("a", "b") for number in range(60) for pair in ((1, 0), (0, 1), (1, 1))
    ]  # fmt: skip
    shown = chosen(many)
    assert [sum(one.change == change for one in shown) for change in (-1, 1, 0)] == [40, 20, 12]
    assert [one.suite for one in shown[:4]] == ["a", "b", "a", "b"]
    assert shown[0].change == -1, "first"


def test_targets_strips_and_what_programs_took(artifacts: dict[str, Artifact]) -> None:
    evaluation = gather(artifacts, name="acme-coder").evaluation
    assert evaluation is not None
    assert [(item.metric, item.met, item.sure) for item in evaluation.targets] == [
        ("perplexity", False, False), ("pass@1", True, False), ("pass@10", None, False),
    ]  # fmt: skip
    (strip,) = evaluation.strips
    assert (strip.suite, strip.form, len(strip.cells)) == ("basics", "plain", 12)
    kinds = [strip.count(*kind) for kind in ((True, True), (False, True), (True, False), (False, False))]
    assert kinds == [2, 6, 1, 3] and sum(kinds) == 12
    answers = [sample.tuned for sample in evaluation.samples if sample.tuned]
    assert {(one.cpu_ms, one.rss_kb) for one in answers} == {(12, 23040), (None, None)}
    assert "2: S608 · CWE-89 · medium" in next(one.findings for one in answers if one.findings)
    page = render(gather(artifacts, name="acme-coder"))
    assert page.count('class="cell lost"') == 1 and page.count('class="cell gained"') == 6
    assert "reached, but not surely" in page and "not measured" in page and "only what was lost (1)" in page


def test_statuses_come_from_the_last_run(artifacts: dict[str, Artifact]) -> None:
    made = {name: item for name, item in artifacts.items() if name != "evaluate"}
    events = report_fixture.events(artifacts) + report_fixture.events(
        made, reused=("collect", "base"), failed="evaluate"
    )
    data = gather(made, name="acme-coder", events=events)
    statuses = {stage.name: stage.status for stage in data.stages}
    assert (statuses["collect"], statuses["train"], statuses["evaluate"]) == ("reused", "run", "failed")
    assert data.command == "buril run"
    assert data.run.seconds == 1800.0
    assert {stage.status for stage in gather(made, name="acme-coder").stages} == {"made"}


def test_a_figure_has_its_numbers_in_a_table(artifacts: dict[str, Artifact]) -> None:
    html = render(gather(artifacts, name="acme-coder"))
    figure = html[html.index('<figure id="loss">') : html.index("</figure>")]
    loss = gather(artifacts, name="acme-coder").training
    assert loss is not None
    assert f"<td>{words.number(loss.train_loss[0][0])}</td>" in figure
    assert f'<td class="n">{words.number(loss.valid_loss[-1][1])}</td>' in figure
    assert f"and {420 - 30} more" in figure


def test_the_twin_is_plain_json(artifacts: dict[str, Artifact]) -> None:
    twin = to_json(gather(artifacts, name="acme-coder"))
    again = json.loads(json.dumps(twin, allow_nan=False))
    assert again == twin
    assert again["data"]["kept"]["files"] == len(report_fixture.kept(report_fixture.all_files()))
    assert again["evaluation"]["scores"][0]["tuned"]["value"] == pytest.approx(6.127)


def test_settings_named_like_secrets_are_not_shown(artifacts: dict[str, Artifact]) -> None:
    data = gather(artifacts, name="acme-coder")
    assert "hunter2" not in render(data)
    assert "hunter2" not in json.dumps(to_json(data))


def test_scores_by_repository_stand_below_those_by_language(artifacts: dict[str, Artifact]) -> None:
    found = gather(artifacts, name="acme-coder").evaluation
    assert found is not None and [split.group for split in found.splits] == ["repo"]
    told = [(score.language, score.tuned.value, score.verdict) for score in found.splits[0].scores if score.tuned]
    assert told == [("acme/tool", 6.4, "better"), ("acme/ledger", 5.5, "better")], "the one with most units first"
    html = render(gather(artifacts, name="acme-coder"))
    section = html.partition("<summary>The same by repository</summary>")[2].partition("<summary>")
    figure, (numbers, _found, table) = section[0], section[2].partition('<table class="scores languages">')
    assert ">repository</th>" in numbers and ">language</th>" not in numbers
    assert 'id="ladder-repo-perplexity"' in figure and figure.index("acme/tool") < figure.index("acme/ledger")
    table = table.partition("</table>")[0]
    assert table.index("acme/tool") < table.index("acme/ledger") and ">repository</th>" in table


def test_one_case_alone_shows_no_difference() -> None:
    from buril.web.evaluation import Measure, _verdict

    sure = Measure(-0.5, -0.5, -0.5, 1)
    assert _verdict(sure, None, "lower", 1) == "none" and _verdict(sure, None, "lower", 2) == "better"


def test_the_same_artifacts_give_the_same_page(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    for name in ("first.html", "second.html"):
        write_report(tmp_path / name, gather(dict(reversed(artifacts.items())), name="acme-coder"))
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"first.html", "second.html"}


def test_a_place_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BurilError) as caught:
        write_report(tmp_path / "file" / "report.html", gather({}, name="acme-coder"))
    assert caught.value.code == "W110"
    assert "buril report" in caught.value.hint


def test_a_damaged_artifact_is_an_error_that_names_the_store(tmp_path: Path) -> None:
    artifacts = report_fixture.build(tmp_path)
    artifacts["evaluate"].path("results.json").write_text("{")
    with pytest.raises(BurilError) as caught:
        gather(artifacts, name="acme-coder")
    assert caught.value.code == "S002"


class _Marked(gettext.NullTranslations):
    """Stands for a language: every text that was translated carries a mark."""

    def gettext(self, message: str) -> str:
        return f"\u27e6{message}\u27e7"


def test_everything_a_person_reads_is_translated(
    artifacts: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_current", _Marked())
    page = Page(render(gather(artifacts, name="acme-coder", events=report_fixture.events(artifacts))))
    prose = {"h1", "h2", "h3", "p", "caption", "summary", "dt", "title", "desc", "a", "li"}
    plain = [
        data for tag, data in page.texts if tag in prose and re.search(r"[A-Za-z]{3}", data) and "\u27e6" not in data
    ]
    settings = {key for values in report_fixture.SETTINGS.values() for key in values}
    assert {data for data in plain if not re.search("≠|edit_similarity|CWE-|^[a-z]+ · [a-z]+$", data)} <= {
        "acme-coder"
    } | settings
    heads = [data for tag, data in page.texts if tag == "th" and "\u27e6" in data]
    assert len(heads) > 60


@pytest.mark.parametrize(
    ("value", "english_text", "spanish_text"),
    [(41207, "41,207", "41\u202f207"), (1234.0, "1,234", "1234"), (8.412, "8.41", "8,41"), (-0.5, "−0.500", "−0,500"),
     (5e-5, "5·10⁻⁵", "5·10⁻⁵"), (-2.54e-5, "−2.54·10⁻⁵", "−2,54·10⁻⁵"), (0, "0", "0"), (None, "–", "–"),
     (float("nan"), "–", "–"), (123456.7, "123,457", "123\u202f457")],
)  # fmt: skip
def test_numbers_are_written_as_the_language_does(value: float | None, english_text: str, spanish_text: str) -> None:
    assert words.number(value) == english_text
    set_language("es")
    assert words.number(value) == spanish_text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.84, "0.8 s"), (45.2, "45 s"), (59.7, "1 min 00 s"), (232, "3 min 52 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds).replace(words.THIN, " ") == said


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    full = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
    parts = [int(full[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1, 2])
def test_colours_have_the_contrast_of_wcag_aa(theme: int) -> None:
    css = (Path(words.__file__).parent / "static" / "report.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[theme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block))
    pairs = [(ink, paper) for ink in ("ink", "quiet") for paper in ("paper", "raised")]
    pairs += [(name, f"{name}-wash") for name in ("good", "bad", "warn")] + [
        ("first", "paper"),
        ("good", "paper"),
        ("bad", "paper"),
    ]
    for ink, paper in pairs:
        light, dark = sorted((_luminance(colours[ink]), _luminance(colours[paper])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)
    for mark in ("second", "base"):
        light, dark = sorted((_luminance(colours[mark]), _luminance(colours["paper"])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, mark


def test_without_a_model_nothing_is_said_to_be_learnt(artifacts: dict[str, Artifact]) -> None:
    without = {name: item for name, item in artifacts.items() if name != "train"}
    for made, said in ((artifacts, True), (without, False)):
        html = render(gather(made, name="acme-coder"))
        titles = ("Learnt from", "Repositories learnt from", "what was learnt from")
        assert [title in html for title in titles] == [said] * 3


def test_gradients_and_samples_are_drawn_where_they_were_logged() -> None:
    from buril.web.figures import training_figures
    from buril.web.training import Training

    empty = Training(*["lora", "toy", "folder", ""], *[None] * 9, 1.0, (), (), (), ())  # type: ignore[arg-type]
    assert training_figures(empty) == []
    points = ((1.0, 0.5), (2.0, 0.25))
    told = dataclasses.replace(
        empty, gradients={"attention": points, "mlp": points}, samples={"bleu": points, "exact_match": ()}
    )
    gradients, samples = training_figures(told)
    assert gradients.name == "gradients" and gradients.head == ("step", "attention", "feed-forward")
    assert samples.name == "samples" and samples.head == ("step", "BLEU") and len(samples.rows) == 2
