"""Drift of served traffic: what is found, what is raised for nothing, and how late, on real code.

    python benchmarks/drift.py [--size small|full] [--only found|days|delays]

The training set, the validation part and the innocent days are Python packages that are installed here, a repository
each; what drifts is JavaScript, other Python packages (torch, transformers) and C headers. Windows of requests are
drawn in three ways: file by file; from five repositories that are new every day; and from the twelve repositories of
one team, in other shares every day. Limits of all statistics are set at 5 % on windows drawn in the same way, and the
peers are small implementations of what is usual: the population stability index of lengths, the maximum mean
discrepancy and a classifier's AUROC on character trigrams. Then whole days go through all clocks at the chance of 1 %
a day. Last, the delay of the cumulative sum when acceptance falls. `small` takes three minutes of a processor.
"""

from __future__ import annotations

import argparse
import json
import random
import sysconfig
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from buril.code.tokenbag import bag
from buril.code.traffic import DAY_S, LATENCY_MS, Counts, Key, Line
from buril.monitor.clocks import Watched, ask_all
from buril.monitor.history import History
from buril.monitor.reference import Held, Monitor, Reference
from buril.monitor.statistics import Null, bernoulli_steps, cusum, highest, innocent_shares, jensen_shannon

F64 = npt.NDArray[np.float64]
SITE = Path(sysconfig.get_paths()["purelib"])
SHIFTED = ("torch", "transformers")
PLACES = {"javascript": (".js", ("/usr/share/nodejs", "/usr/lib/node_modules", "/usr/share/javascript", str(SITE))),
          "c": (".h", ("/usr/include",))}  # fmt: skip
ALPHA, WARM, DAYS = 0.05, 20, 20


class Size(NamedTuple):
    """Pieces a repository, innocent windows, windows with a shift, months of days, requests of the windows."""

    pieces: int
    null: int
    tries: int
    months: int
    windows: tuple[int, ...]


SIZES_OF = {"small": Size(60, 200, 40, 5, (100, 300)), "full": Size(200, 1000, 200, 60, (50, 100, 300, 1000))}


class Code(NamedTuple):
    """Pieces of code: bags (P, 4096), trigrams (P, 256), lengths (P)."""

    bags: F64
    grams: F64
    lengths: F64

    def take(self, places: Any) -> Code:
        return Code(*(part[places] for part in self))


def joined(parts: list[Code]) -> Code:
    return Code(*(np.concatenate(items) for items in zip(*parts, strict=True)))


def pieces(roots: list[Path], ending: str, most: int) -> Iterator[str]:
    """Text before a place in each file, as a prompt would hold it."""
    drawn = random.Random(7)
    files = sorted(path for root in roots for path in root.rglob(f"*{ending}") if path.is_file())
    drawn.shuffle(files)
    for path in files[: 2 * most]:
        text = path.read_text(encoding="utf-8", errors="replace")
        if 400 < len(text) < 1_000_000 and most > 0:
            most -= 1
            place = drawn.randrange(200, len(text))
            yield text[max(0, place - 2000) : place]


def seen(texts: list[str]) -> Code:
    grams = np.zeros((len(texts), 256))
    for row, text in zip(grams, texts, strict=True):
        for gram, number in Counter(text[at : at + 3] for at in range(len(text) - 2)).items():
            row[zlib.crc32(gram.encode()) % 256] += number
    grams /= np.maximum(np.linalg.norm(grams, axis=1, keepdims=True), 1e-9)
    return Code(
        np.stack([bag(text) for text in texts]).astype(np.float64), grams, np.array([len(t) for t in texts], float)
    )


def corpus(size: Size) -> tuple[dict[str, Code], dict[str, Code]]:
    """Repositories of Python, and what is none of them."""
    found = {}
    for folder in sorted(path for path in SITE.iterdir() if (path / "__init__.py").is_file()):
        texts = list(pieces([folder], ".py", size.pieces)) if folder.name not in SHIFTED else []
        if len(texts) >= 20:
            found[folder.name] = seen(texts)
    others = {
        name: seen(list(pieces([SITE / name], ".py", 4 * size.pieces))) for name in SHIFTED if (SITE / name).is_dir()
    }
    for name, (ending, roots) in PLACES.items():
        texts = list(pieces([Path(root) for root in roots if Path(root).is_dir()], ending, 4 * size.pieces))
        if len(texts) >= 50:
            others[name] = seen(texts)
    return found, others


class Days:
    """Draws the requests of a day, in one of three ways."""

    def __init__(self, held: dict[str, Code], way: str, generator: np.random.Generator) -> None:
        self.held, self.way, self.random = held, way, generator
        self.all = joined(list(held.values()))
        self.team = list(generator.choice(list(held), min(12, len(held)), replace=False))

    def draw(self, num: int) -> Code:
        if self.way == "file":
            return self.all.take(self.random.integers(0, len(self.all.lengths), num))
        new = self.way == "repository"
        names = list(self.random.choice(list(self.held), 5)) if new else self.team
        shares = np.full(5, 0.2) if new else self.random.dirichlet(np.full(len(names), 3.0))
        parts = []
        for name, several in zip(names, self.random.multinomial(num, shares), strict=True):
            parts.append(self.held[name].take(self.random.integers(0, len(self.held[name].lengths), several)))
        return joined(parts)


def psi(window: Code, reference: Code) -> float:
    """Population stability index over ten bins of length."""
    edges = np.quantile(reference.lengths, np.linspace(0, 1, 11)[1:-1])
    first, second = (
        np.bincount(np.searchsorted(edges, part.lengths), minlength=10) + 0.5 for part in (window, reference)
    )
    first, second = first / first.sum(), second / second.sum()
    return float(((first - second) * np.log(first / second)).sum())


def mmd(window: Code, reference: Code) -> float:
    """Squared maximum mean discrepancy, Gaussian kernel, median distance."""
    both = np.concatenate([window.grams, reference.grams])
    far = np.maximum(2 - 2 * both @ both.T, 0)
    kernel = np.exp(-far / np.median(far))
    num = len(window.grams)
    return float(kernel[:num, :num].mean() + kernel[num:, num:].mean() - 2 * kernel[:num, num:].mean())


def c2st(window: Code, reference: Code) -> float:
    """AUROC of a logistic classifier on the half that it did not see."""
    both = np.concatenate([window.grams, reference.grams])
    label = np.r_[np.ones(len(window.grams)), np.zeros(len(reference.grams))]
    odd = np.arange(len(label)) % 2 == 1
    weights, bias = np.zeros(both.shape[1]), 0.0
    balance = np.where(label == 1, 0.5 / label[~odd].mean(), 0.5 / (1 - label[~odd].mean()))
    for _step in range(150):
        error = (1 / (1 + np.exp(-(both[~odd] @ weights + bias))) - label[~odd]) * balance[~odd]
        weights -= 5 * (both[~odd].T @ error / len(error) + 1e-4 * weights)
        bias -= 5 * error.mean()
    scores, truth = both[odd] @ weights, label[odd]
    ranks = np.argsort(np.argsort(scores)) + 1
    ones = truth.sum()
    return float((ranks[truth == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(truth) - ones)))


Statistic = Callable[[Code], float]


def statistics(train: Code, drawn: np.random.Generator) -> dict[str, Statistic]:
    total, sample = train.bags.sum(0), train.take(drawn.integers(0, len(train.lengths), 300))
    return {
        "js": lambda window: float(jensen_shannon(window.bags.sum(0), total)),
        "psi": lambda window: psi(window, sample),
        "mmd": lambda window: mmd(window, sample),
        "c2st": lambda window: c2st(window, sample),
    }


def power(size: Size, held: dict[str, Code], train: Code, others: dict[str, Code]) -> list[dict[str, Any]]:
    """How often each statistic finds each shift, limits at 5 % on innocent windows drawn in the same way."""
    rows = []
    for way in ("file", "team", "repository"):
        generator = np.random.default_rng(1)
        days, tests = Days(held, way, generator), statistics(train, generator)
        for num in size.windows:
            values: dict[str, list[float]] = {name: [] for name in tests}
            spent = dict.fromkeys(tests, 0.0)
            for _try in range(size.null):  # one at a time: a thousand windows of a thousand bags are 32 GB
                window = days.draw(num)
                for name, test in tests.items():
                    clock = time.process_time()
                    values[name].append(test(window))
                    spent[name] += (time.process_time() - clock) / size.null * 1000
            limits = {name: float(np.quantile(values[name], 1 - ALPHA)) for name in tests}
            for other, share in ((other, share) for other in others for share in (0.1, 0.3, 0.5)):
                hits: Counter[str] = Counter()
                for _try in range(size.tries):
                    few = round(num * share)
                    mixed = joined(
                        [
                            days.draw(num - few),
                            others[other].take(generator.integers(0, len(others[other].lengths), few)),
                        ]
                    )
                    hits.update(name for name, test in tests.items() if test(mixed) > limits[name])
                found = {name: hits[name] / size.tries for name in tests}
                shown = "  ".join(f"{name} {found[name]:.2f}" for name in tests)
                print(f"{way:<11} {num:>5} {other:<13} {share:.0%}  {shown}", flush=True)
                rows.append({"way": way, "window": num, "shift": other, "share": share, "ms": spent, **found})
            print(f"{way} {num}: " + "  ".join(f"{name} {spent[name]:.1f} ms" for name in tests), flush=True)
    return rows


def reference_of(train: Code, held: dict[str, Code]) -> Reference:
    """The reference as the stage makes it, of bags that are there already."""
    stage = Monitor(Monitor.Settings(rounds=2000))
    parts = list(held.values())
    repos = np.repeat(np.arange(len(parts)), [len(part.lengths) for part in parts])
    told = stage._limits(train.bags.sum(0).astype(np.int64), Held(joined(parts).bags, repos), 0)
    made = Reference.__new__(Reference)
    made.digest = made.dataset = "0" * 64
    made.files, made.bags = {"python": len(train.lengths)}, {"python": train.bags.sum(0).astype(np.int64)}
    made._limits = {"python": told["limits"]}
    return made


def month(days: Days, generator: np.random.Generator, *, num: int = 300) -> list[Line]:
    """Innocent days: requests as drawn, and outcomes whose rates differ from day to day."""
    lines = []
    for day in range(WARM + DAYS):
        code = days.draw(num)
        share = generator.beta(30, 70)
        slow, sure = generator.normal(0, 0.08), generator.normal(0, 0.05)
        for hour in range(8, 18):
            counts = Counts()
            some = code.take(slice((hour - 8) * num // 10, (hour - 7) * num // 10))
            requests, shown = len(some.lengths), int(generator.poisson(40))
            counts.bags["prompt"] = some.bags.sum(0).astype(np.int64)
            accepted = int(generator.binomial(shown, share))
            rows = 3 * accepted
            counts.numbers.update({"requests": requests, "bag.prompt": requests, "shown": shown, "accepted": accepted,
                                   "persisted": int(generator.binomial(accepted, 0.8)), "accepted_lines": rows,
                                   "accepted_findings": int(generator.poisson(rows * 0.004))})  # fmt: skip
            times = 200 * np.exp(generator.normal(slow, 0.4, requests))
            counts.histograms["latency_ms"] = Counter(np.searchsorted(LATENCY_MS, times).tolist())
            certain = np.minimum(49, np.maximum(0, 5 * (0.4 + sure + generator.gamma(2, 0.1, requests)))).astype(int)
            counts.histograms["logprob"] = Counter(certain.tolist())
            counts.histograms["parse_errors"] = Counter(generator.binomial(1, 0.06, requests).tolist())
            lines.append(Line((20_000 + day) * DAY_S + hour * 3600, Key("python", "a" * 64), counts))
    return lines


def alarms(size: Size, held: dict[str, Code], reference: Reference) -> list[dict[str, Any]]:
    """Alarms of all clocks on innocent days, at the chance of 1 % a day; days after a month of others."""
    rows = []
    for way in ("file", "team", "repository"):
        raised: Counter[str] = Counter()
        wrong = whole = 0
        for seed in range(size.months):
            generator = np.random.default_rng([2, seed])
            history = History(month(Days(held, way, generator), generator))
            watched = Watched(history, "a" * 64, None, reference, 1, "file" if way == "file" else "repository")
            quiet = True
            for day in range(20_000 + WARM, 20_000 + WARM + DAYS):
                found = [item.clock for item in ask_all(watched, day, 0.01) if item.state == "drift"]
                raised.update(found)
                wrong += bool(found)
                quiet = quiet and not found
            whole += quiet
        total = size.months * DAYS
        rows.append(
            {
                "way": way,
                "days": total,
                "days_with_alarm": wrong,
                "quiet_months": whole,
                "months": size.months,
                "clocks": dict(raised),
            }
        )
        print(
            f"innocent days, {way}: {wrong} of {total} with an alarm,",
            f"{whole} of {size.months} twenties without any {dict(raised)}",
            flush=True,
        )
    return rows


def delays(a_day: int = 400, first_days: int = 14) -> list[dict[str, Any]]:
    """Days until the cumulative sum passes its limit after acceptance fell from 30 %."""
    rows = []
    steps = np.full(30 * 10, a_day // 10)
    days = np.repeat(np.arange(30), 10)
    for effect in (1.0, 3.0):
        null = Null(0.3, float(a_day * first_days), effect)
        limit = float(
            np.quantile(highest(bernoulli_steps(innocent_shares(steps, days, null), steps, 0.3, 0.24)), 1 - 30 * 0.001)
        )
        for after in (0.3, 0.25, 0.2):
            drawn = innocent_shares(steps, days, Null(after, effect=effect, seed=9))[:500]
            crossed = [cusum(row, limit).crossed for row in bernoulli_steps(drawn, steps, 0.3, 0.24)]
            late = [(place + 1) / 10 for place in crossed if place is not None]
            rows.append(
                {
                    "effect": effect,
                    "after": after,
                    "found": len(late) / len(drawn),
                    "median_days": float(np.median(late)) if late else None,
                }
            )
            told = f"{np.median(late):.1f} days" if late else "-"
            print(
                f"acceptance 30 % -> {after:.0%}, days vary x{effect:g}:",
                f"found in {len(late) / len(drawn):.1%} of months, median {told}",
                flush=True,
            )
    return rows


def result(name: str, ours: float, peer: tuple[str, float], unit: str, *, target: str, met: bool) -> dict[str, Any]:
    """A line of the results."""
    told = {"name": name, "ours": ours, "peer": peer[1], "peer_name": peer[0], "unit": unit}
    return {**told, "ratio": ours / max(peer[1], 1e-9), "target": target, "met": met}


def summed(rows: list[dict[str, Any]], found: list[dict[str, Any]], late: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of the results."""
    from all import machine

    lines = []
    for way in dict.fromkeys(row["way"] for row in rows):
        of = [row for row in rows if row["way"] == way]
        means = {name: float(np.mean([row[name] for row in of])) for name in ("js", "psi", "mmd", "c2st")}
        best = max(("psi", "mmd", "c2st"), key=means.__getitem__)
        met = means["js"] >= means[best]
        unit = "share of shifts found at 5 %"
        line = result(f"drift, {way}", means["js"], (best, means[best]), unit, target="the best peer", met=met)
        lines.append({**line, "peers": means})
    for row in found:
        share = row["days_with_alarm"] / row["days"]
        name = f"false alarms, {row['way']}"
        lines.append(result(name, share, ("stated", 0.01), "of days", target="<= 0.02", met=share <= 0.02))
    for row in (row for row in late if row["after"] < 0.3):
        days = row["median_days"] or 30.0
        name = f"acceptance 30 % to {row['after']:.0%}, days vary x{row['effect']:g}"
        lines.append(result(name, days, ("a week", 7.0), "days to an alarm", target="<= 7", met=days <= 7))
    return [{**line, "machine": machine()} for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES_OF, default="small")
    parser.add_argument("--only", choices=("found", "days", "delays"), default="")
    told = parser.parse_args()
    size, only = SIZES_OF[told.size], told.only
    rows: list[dict[str, Any]] = []
    quiet: list[dict[str, Any]] = []
    if only in ("", "found", "days"):
        code, others = corpus(size)
        names = sorted(code)
        random.Random(3).shuffle(names)
        edge = len(names) * 6 // 10
        held = {name: code[name] for name in names[edge:]}
        train = joined([code[name] for name in names[:edge]])
        shifts = ", ".join(f"{name} {len(found.lengths)}" for name, found in others.items())
        print(f"{edge} repositories to learn from, {len(held)} held out; shifts: {shifts}", flush=True)
        if only != "days":
            rows = power(size, held, train, others)
        if only != "found":
            half = sorted(held)[::2]  # days are judged by repositories that the limits have not seen
            reference = reference_of(train, {name: held[name] for name in half})
            quiet = alarms(size, {name: held[name] for name in held if name not in half}, reference)
    print(json.dumps(summed(rows, quiet, delays() if only in ("", "delays") else [])))


if __name__ == "__main__":
    main()
