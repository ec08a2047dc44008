"""The figures of the report: which numbers each one shows, its words, and the same numbers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from buril.core.text import N_, _
from buril.web import draw, words
from buril.web.evaluation import Evaluation, Measure, Score
from buril.web.lineage import Lineage
from buril.web.samples import Strip
from buril.web.training import Training

MAX_ROWS = 30
"""Rows of the table beside a curve; longer curves are shown at equal steps, first and last point included."""


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption, the keys of its colours (style, words), and its numbers as a table."""

    name: str
    caption: str
    svg: Markup
    legend: tuple[tuple[str, str], ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_more: int = 0


def training_figures(training: Training) -> list[Figure]:
    """Loss, gradients, samples, learning rate and speed, as far as they were recorded."""
    loss = (
        draw.Series(_("training"), training.train_loss, "first"),
        draw.Series(_("validation"), training.valid_loss, "second", dots=len(training.valid_loss) <= 40),
    )
    rate = (draw.Series(_("learning rate"), training.learning_rate),)
    speed = (draw.Series(_("tokens/s"), training.speed),)
    gradients = _pair((_("attention"), _("feed-forward")), list(training.gradients.values()))
    samples = _pair(("BLEU", _("first line right")), list(training.samples.values()), dots=True)
    words_of = (
        draw.Labels("loss", _("Loss"), _("Cross-entropy of a token; lower is better."), _("step"), _("nats a token")),
        draw.Labels("gradients", _("Gradients"), _("Norm of a step's gradient by part, before clipping."), _("step")),
        draw.Labels("samples", _("Samples"), _("Validation texts that the model continued."), _("step"), _("0 to 1")),
        draw.Labels("rate", _("Learning rate"), _("The learning rate of each step."), _("step")),
        draw.Labels("speed", _("Speed"), _("Tokens a second, as measured while training."), _("step"), _("tokens/s")),
    )
    every = (loss, gradients, samples, rate, speed)
    figures = [
        _curve(labels, series, 470.0 if labels.name == "loss" else 210.0)
        for labels, series in zip(words_of, every, strict=True)
    ]
    return [figure for figure in figures if figure]


def _pair(
    names: tuple[str, str], lines: Sequence[tuple[draw.Point, ...]], *, dots: bool = False
) -> tuple[draw.Series, ...]:
    """Two lines of one chart, in the two colours."""
    return tuple(
        draw.Series(name, points, style, dots=dots and len(points) <= 40)
        for name, points, style in zip(names, lines, ("first", "second"), strict=False)
    )


def _curve(labels: draw.Labels, series: Sequence[draw.Series], height: float) -> Figure | None:
    there = [line for line in series if line.points]
    if not there:
        return None
    full = labels._replace(name=f"figure-{labels.name}", desc=f"{labels.desc} {_said(there)}")
    svg = draw.line_chart(there, full, say_x=words.ticks, say_y=words.ticks, height=height)
    steps = sorted({step for line in there for step, _value in line.points})
    shown = _spread(steps)
    columns = [dict(line.points) for line in there]
    rows = tuple((words.number(step), *(words.number(column.get(step)) for column in columns)) for step in shown)
    legend = tuple((line.style, line.label) for line in there) if len(there) > 1 else ()
    head = (_("step"), *(line.label for line in there))
    return Figure(labels.name, labels.title, svg, legend, head, rows, len(steps) - len(shown))


def _said(series: Sequence[draw.Series]) -> str:
    """Each line in words: where it starts and ends."""
    template = _("{name}: from {first} to {last}.")
    said = [
        template.format(name=line.label, first=words.number(line.points[0][1]), last=words.number(line.points[-1][1]))
        for line in series
    ]
    return " ".join(said)


def _spread(steps: Sequence[float]) -> list[float]:
    if len(steps) <= MAX_ROWS:
        return list(steps)
    return [steps[round(index * (len(steps) - 1) / (MAX_ROWS - 1))] for index in range(MAX_ROWS)]


def score_figures(evaluation: Evaluation) -> list[Figure]:
    """A ladder for all shares together (they have one axis), first, and one for each other metric."""
    groups: dict[str, list[Score]] = {}
    for score in evaluation.scores:
        groups.setdefault("" if score.unit == "share" else score.metric, []).append(score)
    metrics = sorted(groups, key=lambda metric: metric != "")
    return [_ladder(str(index), metric, groups[metric]) for index, metric in enumerate(metrics)]


def language_figures(evaluation: Evaluation) -> list[Figure]:
    """For each suite that met several languages, a ladder of them by the suite's first metric."""
    return _ladders("languages", evaluation.languages)


def split_figures(evaluation: Evaluation) -> dict[str, list[Figure]]:
    """The same for each other group that scores are split by: repositories, licences, weaknesses."""
    return {split.group: _ladders(split.group, split.scores) for split in evaluation.splits}


def _ladders(name: str, scores: Sequence[Score]) -> list[Figure]:
    suites: dict[str, list[Score]] = {}
    for score in scores:
        known = suites.setdefault(score.suite, [])
        if not known or known[0].metric == score.metric:
            known.append(score)
    return [
        _ladder(
            f"{name}-{suite}",
            found[0].metric,
            found[:MAX_RUNGS],
            title=f"{suite} · {found[0].metric}",
            head=HEADS.get(name, name),
        )
        for suite, found in suites.items()
        if len(found) > 1
    ]


HEADS = {"languages": N_("language"), "repo": N_("repository"), "license": N_("licence"), "cwe": N_("weakness")}
"""What the groups of a figure are called."""
MAX_RUNGS = 24
"""Groups that a figure shows, those with most units; the table below it has more."""
CELLS = {
    (True, True): ("both", N_("solved by both")),
    (False, True): ("gained", N_("solved by the tuned model alone")),
    (True, False): ("lost", N_("solved by the base alone")),
    (False, False): ("neither", N_("solved by neither")),
}
"""Kinds of tasks: the class of a cell and its words."""


def strip_figures(evaluation: Evaluation) -> list[Figure]:
    """For each suite that was judged, its tasks as cells."""
    return [_strip(index, strip) for index, strip in enumerate(evaluation.strips)]


def _strip(index: int, strip: Strip) -> Figure:
    counts = {kind: strip.count(*kind) for kind in CELLS}
    title = f"{strip.suite} · {strip.form}" if strip.form else strip.suite
    said = [f"{_(said)}: {words.number(counts[kind])}" for kind, (_style, said) in CELLS.items()]
    cells = [(CELLS[before, after][0], f"{name}: {_(CELLS[before, after][1])}") for name, before, after in strip.cells]
    svg = draw.strip(cells, draw.Labels(f"figure-strip-{index}", title, ". ".join(said) + "."))
    legend = tuple((f"cell {CELLS[kind][0]}", line) for kind, line in zip(CELLS, said, strict=True))
    rows = tuple((_(said), words.number(counts[kind])) for kind, (_style, said) in CELLS.items())
    return Figure(f"strip-{index}", title, svg, legend, (_("tasks"), _("number")), rows)


def _ladder(name: str, metric: str, scores: Sequence[Score], *, title: str = "", head: str = "") -> Figure:
    """Base and tuned of some scores; those of languages are told apart by these."""
    shares = all(score.unit == "share" for score in scores)
    title = title or (words.metric_name(metric) if metric else _("Shares of cases"))
    rungs = [
        draw.Rung(score.language or f"{score.suite} · {score.metric}", _reading(score), _marks(score))
        for score in scores
    ]
    desc = (
        _("Base and tuned model with 95 % intervals.")
        + " "
        + " ".join(f"{rung.label}: {rung.reading}." for rung in rungs)
    )
    say = words.percent_ticks if shares else words.ticks
    svg = draw.ladder(rungs, draw.Labels(f"figure-ladder-{name}", title, desc), say=say, from_zero=shares)
    rows = tuple(
        (
            score.language or score.suite,
            score.metric,
            *(cell for side in (score.base, score.tuned) for cell in _cells(side, score.unit)),
        )
        for score in scores
    )
    columns = (
        _(head) if head else _("suite"),
        _("metric"),
        _("base"),
        _("95 % interval"),
        _("tuned"),
        _("95 % interval"),
    )
    return Figure(f"ladder-{name}", title, svg, (("base", _("base")), ("first", _("tuned"))), columns, rows)


def _reading(score: Score) -> str:
    sides = [words.quantity(side.value, score.unit) for side in (score.base, score.tuned) if side]
    return " → ".join(sides)


def _marks(score: Score) -> tuple[draw.Mark, ...]:
    sides = ((score.base, "base"), (score.tuned, "first"))
    return tuple(draw.Mark(side.value, side.low, side.high, style) for side, style in sides if side)


def _cells(side: Measure | None, unit: str) -> tuple[str, str]:
    if side is None:
        return words.NOTHING, words.NOTHING
    return words.quantity(side.value, unit), words.interval(side.low, side.high, unit)


def lineage_figure(lineage: Lineage) -> Figure | None:
    """The graph of artifacts as a column with arcs."""
    if not lineage.links:
        return None
    nodes = [draw.Node(link.stage, words.short(link.digest), link.inputs) for link in lineage.links]
    labels = draw.Labels(
        "figure-flow",
        _("What was made from what"),
        _("Each stage with the digest of its bytes; the table names its inputs."),
    )
    rows = tuple(
        (link.stage, words.short(link.digest), ", ".join(link.inputs) or words.NOTHING) for link in lineage.links
    )
    return Figure("flow", labels.title, draw.flow(nodes, labels), (), (_("stage"), _("digest"), _("made from")), rows)
