"""The gate itself: look for what is planted, scan, judge what was seen, and say whether it may pass.

It fails closed. A scanner that misses what is planted for it ends it; a file that a scanner could not read is counted,
and does not pass unless that is asked for.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from buril.code.attribution import Source
from buril.code.language import detect
from buril.core.errors import BurilError
from buril.core.machine import cpus
from buril.core.plugins import Ref
from buril.core.workers import each
from buril.gate import baseline, git, sarif_in, suppress
from buril.gate.files import NAME, Found, Limits, Target, decoded, find, inside
from buril.gate.generated import Generated, looked, tagged
from buril.gate.merge import merged
from buril.gate.result import Result, located, odd_lines
from buril.gate.sarif import Tool
from buril.gate.suppress import Mark
from buril.scanners import Scanner, Span, Text, inconclusive, owasp, reads

SHARD_FILES = 400
SMALL = 40
"""So few files are one shard: a process more costs more than it saves."""
Told = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """Tells nobody."""
    del done, total


@dataclass(frozen=True)
class Request:
    """What to look at, and what is known before.

    `base`: only lines that were added since that commit. `text`: a text instead of files. `known`: a baseline.
    `imports`: logs of other tools. `written`: completions of models, of which lines are known again, and
    `generated_least` the severity from which findings on such lines stop the gate.
    """

    root: Path
    paths: tuple[Path, ...]
    scanners: tuple[Ref, ...]
    text: Target | None = None
    base: str | None = None
    known: Path | None = None
    imports: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    workers: int = 0
    written: Source | None = None
    generated_least: str = "none"


@dataclass(frozen=True)
class Report:
    """What came out: every result, and how many files were looked at, left out, or seen by no scanner for code."""

    tools: list[Tool]
    results: list[Result]
    num_files: int
    skipped: dict[str, int]
    uncovered: dict[str, int]
    strict: bool = False
    """Whether lines that were not analysed count like whole files: so it is where only added lines are looked at."""
    generated: Generated | None = None
    """Which lines a model wrote; None where no ledger was asked."""

    @cached_property
    def counted(self) -> list[Result]:
        """The findings that count, each weakness once."""
        order = {tool.name: place for place, tool in enumerate(self.tools)}
        mine = [item for item in self.results if item.counts]
        return merged(sorted(mine, key=lambda item: (order.get(item.finding.scanner, len(order)), item.order)))

    @cached_property
    def unread(self) -> list[Result]:
        """What was not analysed, and must not pass for clean."""
        return [item for item in self.results if item.unread or (self.strict and item.partly)]

    def worse(self, least: str) -> list[Result]:
        """The findings that are as bad as `least` or worse, none for "none"; on lines of a model by their bound."""
        generated = self.generated or Generated({})
        return [item for item in self.counted if generated.stops(item, least)]


class Job(NamedTuple):
    """A shard: files to look at, by which scanners."""

    number: int
    targets: tuple[Target, ...]
    scanners: tuple[Ref, ...]


class Seen(NamedTuple):
    """What a worker saw in one file. `odd`: its scanners may count other lines than git."""

    path: str
    language: str
    results: list[Result]
    marks: list[Mark]
    odd: bool


def run(request: Request, told: Told = _silent) -> Report:
    """Scan and judge.

    Args:
        request: what to look at.
        told: hears how many files are done, and of how many.

    Raises:
        BurilError: W233 when a scanner misses what is planted, D220 and D222 when the program behind one is missing or
            broken, W231, W232, W234 for logs, commits and baselines that can't be read.
    """
    tools = [_ready(ref) for ref in request.scanners]
    imported = [_apart(sarif_in.read(path, request.root), tools) for path in request.imports]
    change = git.change(request.root, request.base) if request.base is not None else None
    if request.text is not None:
        found = Found([request.text])
    else:
        found = find(request.paths, request.root, request.limits, change.files if change else None)
    seen = _scanned(request, found.targets, told)
    results = [*found.unread, *_judged(seen, [item for log in imported for item in log.results], tools, request.root)]
    if change:
        change.files.update((item.path, git.File(None)) for item in seen if item.odd)
        results = _changed(request, change, results)
    generated = None
    if request.written is not None:
        files = looked(found.targets, request.written, change)
        generated = Generated(files, request.generated_least)
        results = tagged(results, generated)
    if request.known is not None:
        results = baseline.compared(results, baseline.read(request.known), request.root)
    tools += [tool for log in imported for tool in log.tools]
    results = [_worded(item, tools) for item in results]
    tools += [Tool(name, rules) for name, rules in ((suppress.SCANNER, suppress.RULES), (NAME, {}))
              if any(item.finding.scanner == name for item in results)]  # fmt: skip
    return Report(
        tools, sorted(results, key=lambda item: item.order), len(found.targets), dict(sorted(found.skipped.items())),
        _uncovered(request.scanners, seen), strict=change is not None,
        generated=generated,
    )  # fmt: skip


def _ready(ref: Ref) -> Tool:
    """A scanner that has found what is planted for it.

    Raises:
        BurilError: W233 when it has not.
    """
    scanner: Scanner = ref.make()
    if missed := scanner.self_test():
        raise BurilError("W233", name=ref.name, missed=", ".join(missed[:5]))
    return Tool(ref.name, scanner.rules(), scanner.observe())


def _apart(log: sarif_in.Imported, mine: Sequence[Tool]) -> sarif_in.Imported:
    """A log whose tools have other names than our scanners: ruff of elsewhere is not ours."""
    names = {tool.name: f"{tool.name} (imported)" for tool in mine}
    tools = [tool._replace(name=names.get(tool.name, tool.name)) for tool in log.tools]
    results = [
        replace(item, finding=item.finding._replace(scanner=names.get(item.finding.scanner, item.finding.scanner)))
        for item in log.results
    ]
    return sarif_in.Imported(tools, results)


def _worded(result: Result, tools: Sequence[Tool]) -> Result:
    """A result with a message: one that has none says what its rule is about."""
    if result.finding.message:
        return result
    about = next((tool.rules.get(result.finding.rule) for tool in tools if tool.name == result.finding.scanner), None)
    return replace(result, finding=result.finding._replace(message=about.message)) if about else result


# --- looking


def _scanned(request: Request, targets: Sequence[Target], told: Told = _silent) -> list[Seen]:
    """What the scanners see, by path; shards go to processes."""
    count = 1 if len(targets) <= SMALL else max(request.workers or cpus(), math.ceil(len(targets) / SHARD_FILES))
    jobs = [
        Job(place, tuple(targets[place::count]), request.scanners) for place in range(count) if targets[place::count]
    ]
    seen: list[Seen] = []
    told(0, len(targets))
    for answer in each(work, jobs, request.workers, stage="scan"):
        seen += answer
        told(len(seen), len(targets))
    assert len(seen) == len(targets), "a file that nobody answered for"
    return sorted(seen, key=lambda item: item.path)


def work(job: Job) -> list[Seen]:
    """Look at the files of a shard."""
    texts: list[str] = []
    seen: list[Seen] = []
    for target in job.targets:
        lost: list[Result] = []
        try:
            texts.append(decoded(target.file.read_bytes()) if target.file else target.text)
        except OSError as problem:
            texts.append("")
            lost.append(Result(target.path, inconclusive(NAME, problem.strerror or type(problem).__name__)))
        marks = suppress.marks(texts[-1], target.language)
        seen.append(Seen(target.path, target.language, lost, marks, odd_lines(texts[-1])))
    readable = [place for place, item in enumerate(seen) if not item.results]
    for ref in job.scanners:
        scanner: Scanner = ref.make()
        asked = [place for place in readable if reads(scanner, seen[place].language)]
        found = scanner.scan_many([Text(texts[place], seen[place].language) for place in asked])
        for place, findings in zip(asked, found, strict=True):
            spans = _spans(scanner, texts[place], seen[place].language) if findings else []
            seen[place].results.extend(located(seen[place].path, texts[place], findings, spans))
    return seen


def _spans(scanner: Any, text: str, language: str) -> list[Span]:
    """Where exactly a scanner sees what it sees, if it can say."""
    tell = getattr(scanner, "spans", None)
    spans: list[Span] = tell(text.encode("utf-8", "surrogatepass"), language) if tell else []
    return spans


def _uncovered(refs: Iterable[Ref], seen: Iterable[Seen]) -> dict[str, int]:
    """Languages that no scanner is made for, with the number of their files: in them only texts were looked at."""
    made = [scanner for scanner in (ref.make() for ref in refs) if scanner.languages is not None]
    found = Counter(item.language for item in seen if item.language)
    return {name: found[name] for name in sorted(found) if not any(name in scanner.languages for scanner in made)}


# --- judging


def _judged(seen: Sequence[Seen], foreign: Sequence[Result], tools: Sequence[Tool], root: Path) -> list[Result]:
    """All results with their suppressions; those of other tools get fingerprints, and are suppressed like ours."""
    by_path: dict[str, list[Result]] = defaultdict(list)
    for result in foreign:
        by_path[result.path].append(result)
    known = {rule for tool in tools for rule in tool.rules} | {item.finding.rule for item in foreign}
    weaknesses = {result.finding.rule: result.finding.cwe for item in seen for result in item.results}
    results = []
    for item in seen:
        there = [*_once(item.results), *_like_ours(_marked(by_path.pop(item.path, []), root), weaknesses)]
        results += suppress.applied(item.path, there, item.marks, known)
    for path in sorted(by_path):
        results += _marked(by_path[path], root)
    return results


def _like_ours(results: Iterable[Result], weaknesses: Mapping[str, str]) -> list[Result]:
    """Another tool's results with the weakness that our scanner knows for the same rule, where theirs told none."""
    return [
        item if item.finding.cwe or not (cwe := weaknesses.get(item.finding.rule))
        else replace(item, finding=item.finding._replace(cwe=cwe, owasp=owasp(cwe)))
        for item in results
    ]  # fmt: skip


def _once(results: Iterable[Result]) -> list[Result]:
    """The results without those that stand twice, as when a scanner is named twice."""
    return list(dict.fromkeys(results))


def _marked(results: Sequence[Result], root: Path) -> list[Result]:
    """Another tool's results in one file with fingerprints like ours, where the file is there."""
    if not results:
        return []
    file = inside(root, results[0].path)
    try:
        text = decoded(file.read_bytes()) if file else ""
    except OSError:
        text = ""
    by_tool: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_tool[result.finding.scanner].append(result)
    marked = []
    for group in by_tool.values():
        ordered = sorted(group, key=lambda item: item.finding.line)
        found = located(results[0].path, text, [item.finding for item in ordered])
        marked += [
            replace(old, fingerprint=old.fingerprint or new.fingerprint)
            for old, new in zip(ordered, found, strict=True)
        ]  # fmt: skip
    return marked


def _changed(request: Request, change: git.Change, results: Iterable[Result]) -> list[Result]:
    """The results that a change is to blame for: those on added lines, and those that were not there before.

    A line may make another one weak: an argument on a line of its own, a check that is gone. So where our scanners see
    something on lines that were not added, they look at what the file was, and what they do not see there is new.
    """
    mine = {ref.name for ref in request.scanners}
    kept, others = [], []
    for item in results:
        if _touched(item, change, request.root):
            kept.append(item)
        elif item.path in change.files and item.finding.scanner in mine and not item.partly:
            others.append(item)
    targets = []
    for path in sorted({item.path for item in others}):
        text = decoded(git.content(request.root, change.start, change.files[path].before))
        targets.append(Target(path, detect(path, text), None, text))
    before = {baseline.entry(item) for seen in _scanned(request, targets) for item in seen.results}
    return kept + [item for item in others if baseline.entry(item) not in before]


def _touched(result: Result, change: git.Change, root: Path) -> bool:
    """Whether a result is about a line that was added; a file that was not analysed is, if it was changed at all.

    What another tool says of a file that is not here can't be placed in the change, and stays.
    """
    if result.path not in change.files:
        return inside(root, result.path) is None
    return result.unread or change.files[result.path].touches(result.finding.line, result.last_line)
