"""Contract checks of what reads and cleans code: sources, steps, languages, scanners."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import PurePosixPath
from typing import Any

from buril.code.codefile import CodeFile, Finding, Redaction, Verdict
from buril.code.language import Language, languages
from buril.data._pass import BROKEN_ROW
from buril.data.source import Dropped, Repository, SourceFile, gives_rows, made, read
from buril.data.step import Shared
from buril.scanners import Scanner, Text
from buril.testing._common import check_plugin, class_of, expect, make, plain, same

ODD_TEXTS: Mapping[str, str] = {
    "empty": "",
    "blank": " \t\n\n",
    "no line end": "x = 1",
    "byte order mark": "\ufeffx = 1\n",
    "CR LF": "a = 1\r\nb = 2\r\n",
    "lone CR": "a = 1\rb = 2\r",
    "beyond ASCII": "naïve = 'año 世界 🌍'\n# ünï\n",
    "form feed and escape": "a = 1\x0c\n\x1b[0m\n",
    "one long line": "x = [" + "1, " * 4000 + "]\n",
    "deep nesting": "(" * 300 + "\n",
    "an open string": '"""never closed\n',
    "an open comment": "/* never closed\n",
    "merge marks": "<<<<<<< HEAD\na = 1\n=======\na = 2\n>>>>>>> other\n",
}
"""Texts that real repositories hold and that code forgets."""
PLAIN_TEXT = "import os\n\n# a comment\ndef f(a):\n\treturn os.path.join(a, 'b')\n"
ROW_LANGUAGES = ("python", "javascript", "c", "", "no_such_language")
READ = 50
KEPT = ("row_id", "sha256", "repo", "commit", "path", "bytes")
GROWING = ("redactions", "findings", "verdicts")
SEVERITIES = ("low", "medium", "high")
_SLUG = re.compile(r"[a-z][a-z0-9_]*")


def check_source(source: Any, *, max_bytes: int = 1_000_000) -> None:
    """A source gives the same repositories and files each time, and its fingerprint is plain, stable JSON.

    Args:
        source: a source with settings that make it find at least one readable file.
        max_bytes: larger files are not read.
    """
    check_plugin("source", source)
    expect(not isinstance(source, type), "check_source needs a source with settings, not the class")
    again = type(source)(source.settings)
    observed = plain(source.observe(), "observe() is no plain JSON")
    same(observed, plain(source.observe(), "observe() is no plain JSON"), "observe() changes from call to call")
    same(observed, plain(again.observe(), "observe() is no plain JSON"), "two equal sources observe differently")
    if gives_rows(source):
        _check_rows(source, again, max_bytes)
        return
    repositories = list(source.repositories())
    same(repositories, list(again.repositories()), "repositories() changes from call to call")
    names = [item.name for item in repositories]
    expect(len(set(names)) == len(names), f"two repositories have one name: {sorted(names)}")
    num_read = sum(_check_repository(source, again, item, observed, max_bytes) for item in repositories)
    expect(num_read, "no file could be read: give check_source a source that finds some")


def _check_repository(source: Any, again: Any, repository: Repository, observed: bytes, max_bytes: int) -> int:
    """Check the files of a repository; gives how many could be read."""
    name = repository.name
    expect(name and name.strip("/") == name and "\\" not in name, f"{name!r} is no name for a repository")
    expect(repository.kind in ("git", "folder", "package"), f"{name} is of an unknown kind: {repository.kind!r}")
    expect(repository.root.is_dir(), f"{name}: root is no folder of this machine: {repository.root}")
    expect(str(repository.root).encode() not in observed, f"observe() tells where {name} stands: {repository.root}")
    files = sorted(source.files(repository), key=lambda item: item.path)
    same(files, sorted(again.files(repository), key=lambda item: item.path), f"files() of {name} change")
    paths = [item.path for item in files]
    expect(len(set(paths)) == len(paths), f"{name} lists a path twice")
    for item in files:
        expect(isinstance(item, SourceFile | Dropped), f"{name}: files() gave {type(item).__name__}")
        path = PurePosixPath(item.path)
        expect(not path.is_absolute() and ".." not in path.parts, f"{name}: {item.path} is not inside the repository")
        if isinstance(item, Dropped):
            expect(_SLUG.fullmatch(item.reason), f"{name}/{item.path}: the reason {item.reason!r} is no slug")
    listed = [item for item in files if isinstance(item, SourceFile)][:READ]
    if not hasattr(source, "contents"):
        return sum(isinstance(read(repository, item, max_bytes), CodeFile) for item in listed)
    contents = list(source.contents(repository, listed, max_bytes + 1))
    same(len(contents), len(listed), f"{name}: contents() does not give one for each file")
    good = [pair for pair in zip(listed, contents, strict=True) if not isinstance(pair[1], Dropped)]
    expect(all(len(raw) <= max_bytes + 1 for _, raw in good), f"{name}: contents() gives more than it was asked for")
    return sum(isinstance(made(repository, item, raw, max_bytes), CodeFile) for item, raw in good)


def _check_rows(source: Any, again: Any, max_bytes: int) -> None:
    """Check the pieces of a source that gives rows: the same each time, every row in its place, some readable."""
    pieces = list(source.pieces())
    same(pieces, list(again.pieces()), "pieces() changes from call to call")
    expect(len({piece[:3] for piece in pieces}) == len(pieces), "two pieces are the same")
    expect(isinstance(source.origin(), str), "origin() is no text")
    num_rows = 0
    for piece in pieces[:READ]:
        found = list(source.rows(piece, max_bytes))
        same(found, list(again.rows(piece, max_bytes)), f"the rows of {piece.place} change")
        for item in found:
            expect(isinstance(item, CodeFile | Dropped), f"rows() gave {type(item).__name__}")
            path = PurePosixPath(item.path)
            expect(not path.is_absolute() and ".." not in path.parts, f"{item.path} is not inside a repository")
            if isinstance(item, Dropped):
                expect(_SLUG.fullmatch(item.reason), f"{item.path}: the reason {item.reason!r} is no slug")
            else:
                expect(item.repo and item.path, f"a row lacks its place: {item.path}")
                num_rows += 1
    expect(num_rows, "no row could be read: give check_source a source that finds some")


def check_step(step: Any) -> None:
    """A step gives the same for the same row, adds and edits only, and takes any text of any language.

    What it may change of a row: signals, findings, redactions and verdicts (added), `language` where it was empty,
    `license`, and the text through `shared` alone.
    """
    check_plugin("step", step)
    step = make(step)
    for name, text in {"plain": PLAIN_TEXT, **ODD_TEXTS}.items():
        for language in ROW_LANGUAGES:
            where = f"on {name} text in {language or 'no language'}"
            first, second = (_applied(step, text, language, where, refused=False) for _ in range(2))
            same(first, second, f"two runs of the step differ {where}")
    refused = _applied(step, PLAIN_TEXT, "python", "on a refused row", refused=True)
    same(
        refused, _applied(step, PLAIN_TEXT, "python", "on a refused row", refused=True), "runs on a refused row differ"
    )


def _applied(step: Any, text: str, language: str, where: str, *, refused: bool) -> CodeFile:
    """A row after the step, all its promises checked."""
    file = CodeFile(
        "acme/vault", "src/vault.txt", text, commit="c0ffee", language=language, license="MIT", signals={"stars": 3.0},
        redactions=[Redaction("email", 1, "<EMAIL_1>")], findings=[Finding("other", "rule", 1, "low")],
        verdicts=[Verdict("other", "refused")] if refused else [],
    )  # fmt: skip
    before = deepcopy(file)
    shared = Shared(file)
    try:
        step.apply(file, shared)
        expect(file.content == text, f"the step wrote to file.content {where}: edits go through `shared`")
        shared.finish()
    except BROKEN_ROW as problem:
        raise AssertionError(f"the step raised {problem!r} {where}") from problem
    for name in KEPT:
        same(getattr(before, name), getattr(file, name), f"the step changed `{name}` {where}")
    if before.language:
        same(before.language, file.language, f"the step changed a language that was known {where}")
    for name in GROWING:
        old, new = getattr(before, name), getattr(file, name)
        same(old, new[: len(old)], f"the step took away or changed `{name}` {where}")
    same(before.signals, {key: file.signals.get(key) for key in before.signals}, f"the step changed a signal {where}")
    expect(all(math.isfinite(value) for value in file.signals.values()), f"a signal is not finite {where}")
    reasons = [item.reason for item in file.verdicts]
    expect(all(_SLUG.fullmatch(item) for item in reasons), f"a verdict's reason is no slug {where}: {reasons}")
    expect(all(item.severity in SEVERITIES for item in file.findings), f"a finding has another severity {where}")
    return file


def check_language(language: type[Language]) -> None:
    """The facts of a language have their form, its grammar reads its comments, and it takes no other's files."""
    from tree_sitter import Parser
    from tree_sitter_language_pack import get_language

    check_plugin("language", language)
    name = language.name
    expect(_SLUG.fullmatch(name), f"{name!r} is no name for a language")
    known = (language.extensions, language.filenames, language.interpreters)
    expect(any(known), f"{name} has no extensions, file names or interpreters: no file would ever be of it")
    for facts in known:
        expect(isinstance(facts, tuple) and len(set(facts)) == len(facts), f"{name} lists one twice: {facts}")
    endings = (*language.extensions, *language.claims, *language.refuses)
    wrong = [item for item in endings if not re.fullmatch(r"\.[^\s./A-Z]+", item)]
    expect(not wrong, f"{name}: endings are lower case and start with their only dot: {wrong}")
    for ending, pattern in (*language.claims.items(), *language.refuses.items()):
        expect(_compiles(pattern), f"{name}: the pattern for {ending} is no regular expression: {pattern}")
    expect(0 <= language.parse_tolerance <= 1, f"{name}.parse_tolerance is a share: {language.parse_tolerance}")
    expect(1 <= language.indent <= 8, f"{name}.indent is in columns: {language.indent}")
    _check_alone(language)
    try:
        parser = Parser(get_language(language.grammar))
    except LookupError as problem:
        raise AssertionError(f"tree-sitter-language-pack has no grammar {language.grammar!r}") from problem
    for text in (PLAIN_TEXT, *ODD_TEXTS.values()):
        root = parser.parse(text.encode()).root_node
        expect(root.end_byte <= len(text.encode()), f"the grammar of {name} reads past the end of {text[:20]!r}")
    marks = [f"{mark} word" for mark in language.line_comments]
    marks += [f"{first}\nword\n{last}" for first, last in language.block_comments]
    for mark in marks:
        root = parser.parse(f"\n{mark}\n".encode()).root_node
        expect(not root.has_error, f"the grammar of {name} does not read its comment {mark!r}")
    _check_functions(language)


def _check_alone(language: type[Language]) -> None:
    """No other language owns what this one lists: the later by name would win in silence."""
    for other in languages().values():
        if other.name != language.name:
            for fact in ("extensions", "filenames", "interpreters"):
                both = set(getattr(language, fact)) & set(getattr(other, fact))
                expect(
                    not both, f"{language.name} and {other.name} both list {sorted(both)}: use `claims` in one of them"
                )


def _check_functions(language: type[Language]) -> None:
    from tree_sitter import Query, QueryError
    from tree_sitter_language_pack import get_language

    if not language.functions:
        return
    try:
        query = Query(get_language(language.grammar), language.functions)
    except QueryError as problem:
        raise AssertionError(f"{language.name}.functions is no query of its grammar: {problem}") from problem
    captures = {query.capture_name(number) for number in range(query.capture_count)}
    named = {"function", "body"} <= captures and captures & {"name", "declarator"}
    expect(named, f"{language.name}.functions captures {sorted(captures)}: @function, @body and @name are needed")
    extra = captures - {"function", "body", "name", "declarator", "open"}
    expect(not extra, f"{language.name}.functions captures what nobody reads: {sorted(extra)}")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern, re.MULTILINE)
    except re.error:
        return False
    return True


def check_scanner(scanner: Any, samples: Mapping[str, str] | None = None) -> None:
    """A scanner finds what is planted, keeps no state, takes any text, and its findings have their form.

    Args:
        scanner: the class, or a scanner with settings.
        samples: further texts by the rule that must see each.
    """
    check_plugin("scanner", scanner)
    own = getattr(class_of(scanner), "self_test", Scanner.self_test) is not Scanner.self_test
    expect(own, "the scanner has no self_test of its own: plant a bad sample for each rule and name those it misses")
    scanner = make(scanner)
    missed = scanner.self_test()
    expect(missed == [], f"the scanner misses its own planted samples: {', '.join(map(str, missed))}")
    given = samples or {}
    for rule, findings in zip(given, _findings(scanner, [Text(text, "") for text in given.values()]), strict=True):
        found = {item.rule for item in findings}
        expect(rule in found, f"the rule {rule} does not see its sample; seen: {sorted(found) or 'nothing'}")
    expect(_findings(scanner, [Text("", "python")]) == [[]], "the scanner finds something in an empty text")
    texts = [*given.values(), PLAIN_TEXT, *ODD_TEXTS.values()]
    asked = [Text(text, "python") for text in texts]
    seen = _findings(scanner, asked)
    same(seen, _findings(scanner, asked[::-1])[::-1], "findings depend on the texts that were scanned before")
    place = max(range(len(texts)), key=lambda number: len(seen[number]))
    same(list(scanner.scan(*asked[place])), seen[place], "scan() and scan_many() see different things in one text")
    for text in texts:
        _check_spans(scanner, text.encode())


def _findings(scanner: Any, texts: Sequence[Text]) -> list[list[Finding]]:
    """What a scanner sees in each text, each finding's form checked."""
    try:
        found = [list(_each(each)) for each in scanner.scan_many(texts)]
    except BROKEN_ROW as problem:
        raise AssertionError(
            f"the scanner raised {problem!r} on {[text.content[:40] for text in texts]!r}"
        ) from problem
    expect(len(found) == len(texts), f"scan_many() gave {len(found)} lists for {len(texts)} texts")
    for text, each in zip(texts, found, strict=True):
        _check_form(each, text.content)
    return found


def _check_form(found: Sequence[Finding], text: str) -> None:
    for item in found:
        expect(item.scanner and item.rule, f"a finding names no scanner or no rule: {item}")
        expect(item.severity in SEVERITIES, f"{item.severity!r} is no severity: {', '.join(SEVERITIES)}")
        expect(
            1 <= item.line <= text.count("\n") + 1, f"line {item.line} is outside of a text of {text.count(chr(10))}"
        )
        _check_columns(item, text)
        expect(item.confidence in ("", *SEVERITIES), f"{item.confidence!r} is no confidence: {', '.join(SEVERITIES)}")
        known = not item.cwe or re.fullmatch(r"CWE-[1-9]\d*", item.cwe)
        expect(known, f"{item.cwe!r} is no identifier of a weakness, such as CWE-89")


def _check_columns(item: Finding, text: str) -> None:
    """Columns count characters from 1; the end is behind the beginning, and both are on their lines."""
    lines = re.split(r"\r\n|\r|\n", text) if "\r" in text else text.split("\n")
    last = max(item.line, item.end_line)
    ends = [len(lines[line - 1]) + 1 if line <= len(lines) else 0 for line in (item.line, last)]
    told = f"column {item.column} to {item.end_column} of line {item.line} to {last} is outside of the text"
    expect(0 <= item.column <= ends[0] and 0 <= item.end_column <= ends[1], told)
    empty = last == item.line and item.end_column and item.end_column < item.column
    expect(not empty and (item.column or not item.end_column), f"an end without a beginning before it: {item}")


def _each(found: Iterable[Any]) -> Iterator[Finding]:
    for item in found:
        expect(isinstance(item, Finding), f"scan() gave {type(item).__name__}, not Finding")
        yield item


def _check_spans(scanner: Any, source: bytes) -> None:
    """Spans, where a scanner gives them, are inside the text, in order, and do not meet."""
    if hasattr(scanner, "spans"):
        end = 0
        for span in scanner.spans(source, "python"):
            expect(
                end <= span.start < span.end <= len(source), f"{span} is outside of the text or meets the one before"
            )
            end = span.end
