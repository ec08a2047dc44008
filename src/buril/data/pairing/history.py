"""Pairing history: functions of your own repositories that were weak before a commit and are not after it.

Every commit that is no merge is looked at, the newest first: the functions that it changed, before and after. Where a
scanner sees a weakness before, sees none after, and little else changed, the two are a pair (`seen`). Most holes that
people mend are none that a scanner sees: where the message says that a vulnerability was mended, and the commit changed
functions of one file beside its tests, these are a pair as well, with the weakness that the message speaks of (`said`).
"""

from __future__ import annotations

import datetime
import hashlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator

from buril.code import license
from buril.code.codefile import CodeFile, row_id
from buril.code.excerpt import Named, outermost, words
from buril.code.language import HEAD_CHARS, detect
from buril.code.license import spdx_header
from buril.code.parse import HardParse, parse
from buril.core.errors import BurilError
from buril.core.plugins import PluginKind, Ref
from buril.core.settings import Json
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs
from buril.data._pair_cut import Side, alike, does_less, side_by_side
from buril.data.pair import Claim, Found, Pair, Pairing
from buril.data.pairing import _seeing
from buril.data.pairing._commits import Change, Commit, commits
from buril.data.pairing._messages import mends, weakness
from buril.data.pairing._seeing import Seeing
from buril.data.source import printable, text_of
from buril.data.sources import _git, _objects
from buril.data.sources._listing import NOT_SOURCE, globs
from buril.data.sources._marks import has_tests
from buril.data.sources.git import Git
from buril.data.steps.generated import Generated

CHUNK = 200
"""Commits that are read at a time: what an interruption loses at most."""
MOST_FUNCTION_BYTES = 6_000
COMMIT_BYTES = 1_000
"""What a commit costs, for an estimate: as much as so many stored bytes of code that are read for findings."""
DAY_S = 86_400
_SUBJECT = 120


class History(Pairing):
    """Reads the commits of local repositories."""

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """Which repositories, how far back, and what counts as little changed."""

        shorthand: ClassVar[str | None] = "paths"

        paths: Path | tuple[Path, ...]
        """Repositories on this disk, bare or not. Relative to the YAML."""
        revision: str = "HEAD"
        """The branch, tag or commit that the history leads to."""
        since: datetime.date | None = None
        """Only commits since this day (UTC); none: all."""
        max_commits: int = Field(2000, ge=1)
        """Commits of a repository that are looked at, at most."""
        max_files: int = Field(30, ge=1)
        """Files of a commit, at most: one that changes more mends nothing in particular."""
        max_file_bytes: int = Field(200_000, ge=100)
        """Bytes of a file, at most."""
        min_alike: float = Field(0.6, ge=0, le=1)
        """Share of a function's lines that a commit leaves as they are, at least."""
        together: Literal["repository", "commit", "file"] = "repository"
        """What pairs have in common that are learnt from or held out together. With a few repositories alone, `commit`
        leaves some to hold out; what a file has in two commits may then be on both sides."""
        license: str = ""
        """The licence (SPDX, or a word of your own) of a repository that states none. What it states wins."""
        exclude: tuple[str, ...] = NOT_SOURCE
        """Paths to leave out, as globs; a name without a slash fits at any depth."""
        fixes: tuple[Literal["seen", "said"], ...] = ("seen", "said")
        """Which commits mend something. `seen`: a scanner sees a weakness before and none after. `said`: the message
        names a vulnerability and its kind, and functions of one file were changed, tests left aside; a label, which no
        scanner has to bear out."""
        scan: Annotated[tuple[Ref, ...], PluginKind("scanner")] = Field(default=_seeing.DEFAULT, validate_default=True)
        """Scanners whose word counts."""

        @field_validator("revision")
        @classmethod
        def _name(cls, value: str) -> str:
            return _git.revision(value)

        @field_validator("license")
        @classmethod
        def _known(cls, value: str) -> str:
            return license.declared(value)

    settings: Settings

    def parts(self) -> dict[str, int]:
        """Versions of the scanners."""
        return _seeing.parts_of(self.settings.scan)

    def observe(self) -> Json:
        """Names and commits of the repositories, and what the scanners depend on."""
        told = self.settings
        named = [list(_repository(path, told, told.revision).place()) for path in self._paths]
        return [named, _seeing.observed(told.scan)]

    def repositories(self) -> tuple[Path, ...]:
        """Those that it reads."""
        return self._paths

    def work(self, inputs: Inputs) -> float:
        """What the commits cost, at most, as bytes of code."""
        return float(len(self._paths) * self.settings.max_commits * COMMIT_BYTES)

    def pairs(self, inputs: Inputs, seed: int) -> Iterator[Pair]:
        """The pairs, by repository, newest commits first.

        Raises:
            BurilError: D001 or D006 for what is no repository, D011 for an unknown revision, D334 for a clone without
                history.
        """
        for path in self._paths:
            reader = _Reader(path, self.settings)
            for skip in range(0, self.settings.max_commits, CHUNK):
                most = min(CHUNK, self.settings.max_commits - skip)
                key = [reader.name, reader.tip, skip, most, self.settings.identity()]
                found = self.remembered(key, partial(reader.found, (skip, most)))
                yield from found.pairs
                if found.seen < most:
                    break

    @property
    def _paths(self) -> tuple[Path, ...]:
        given = self.settings.paths
        return (given,) if isinstance(given, Path) else given


class _Reader:
    """Reads the commits of one repository.

    Raises:
        BurilError: see `History.pairs`.
    """

    def __init__(self, path: Path, told: History.Settings) -> None:
        self._told, self._path = told, path.expanduser()
        self._folder = _objects.folder_of(self._path)
        self.name, self.tip = _repository(path, told, told.revision).place()
        shallow = _git.run(self._folder, _git.command(self._folder, "rev-parse", "--is-shallow-repository")) or b""
        if shallow.strip() == b"true" and not any(commits(self._folder, self.tip, (1, 1))):
            raise BurilError("D334", path=path, revision=told.revision)
        self._seeing = Seeing(told.scan)
        self._excluded = globs(told.exclude)
        self._generated = Generated(Generated.Settings())
        self._licensed: tuple[str, Git] | None = None

    def found(self, window: tuple[int, int]) -> Found:
        """The pairs of some commits."""
        oldest = self._told.since
        oldest_s = None if oldest is None else (oldest - datetime.date(1970, 1, 1)).days * DAY_S
        pairs: list[Pair] = []
        left_out: Counter[str] = Counter()
        read = list(commits(self._folder, self.tip, window, oldest_s))
        with _objects.blobs(self._folder) as blobs:
            for commit in read:
                if len(commit.changes) > self._told.max_files:
                    left_out["many_files"] += 1
                    continue
                for item in self._of_commit(commit, blobs):
                    if isinstance(item, str):
                        left_out[item] += 1
                    else:
                        pairs.append(item)
        return Found(pairs, dict(left_out), len(read))

    def _of_commit(self, commit: Commit, blobs: _objects.Blobs) -> Iterator[Pair | str]:
        """The pairs of a commit, and by a slug what is none."""
        changed: list[_Changed] = []
        for change in commit.changes:
            for item in self._of_change(commit, change, blobs):
                if isinstance(item, str):
                    yield item
                else:
                    changed.append(item)
        seen = False
        for item in changed if "seen" in self._told.fixes else ():
            for found in self._seen(item):
                seen = seen or not isinstance(found, str)
                yield found if isinstance(found, str) else self._pair(commit, item.file, found)
        if "said" in self._told.fixes and not seen and mends(commit.message):
            yield from self._said(commit, [item for item in changed if not has_tests([item.file.path])])

    def _said(self, commit: Commit, changed: list[_Changed]) -> Iterator[Pair | str]:
        """The pair of a commit whose message says that it mends a vulnerability, if it does so in one file.

        It holds all functions that were changed there, and those that came with them and are used by them.
        """
        cwe = weakness(commit.message)
        if not changed:
            return
        file = changed[0].file
        if len({item.file.path for item in changed}) > 1 or not cwe:
            yield "weakness_not_said" if not cwe else "several_files"
            return
        old = changed[0].old._replace(spans=tuple(span for item in changed for span in item.old.spans))
        new = changed[0].new._replace(spans=tuple(span for item in changed for span in item.new.spans))
        if alike(old.text, new.text) < self._told.min_alike:
            yield "other_code"
            return
        used = words(new.source, new.spans, file.language)
        came = [item for item in changed[0].came if _last_name(item) in used]
        new = new._replace(spans=tuple(sorted((*new.spans, *((item.start, item.end) for item in came)))))
        vulnerable, secure = side_by_side(file.language, old, new)
        yield self._pair(commit, file, _Mended(cwe, secure, vulnerable, "label"))

    def _of_change(self, commit: Commit, change: Change, blobs: _objects.Blobs) -> Iterator[_Changed | str]:
        """The functions of one file that were changed, and by a slug what is none though its path is that of code."""
        path = printable(change.path)
        language = detect(path, "")
        if not language or not self._seeing.reads(language) or self._excluded(path):
            return
        versions = []
        for blob in (change.before, change.after):
            raw = blobs.read(blob, self._told.max_file_bytes + 1)
            text, reason = ("", "missing") if raw is None else text_of(raw, self._told.max_file_bytes)
            if reason or raw is None:
                yield reason
                return
            versions.append((raw, text))
        (_raw, before), (raw, after) = versions
        if self._generated.refused(path, raw):
            yield "generated"
            return
        language = detect(path, after[:HEAD_CHARS])
        if not language or language != detect(change.old_path, before[:HEAD_CHARS]):
            yield "language"
            return
        digest = hashlib.sha256(raw).hexdigest()
        file = CodeFile(
            self.name, path, "", digest, commit.name, language, spdx_header(after), len(raw),
            row_id=row_id(self.name, path, digest),
        )  # fmt: skip
        try:
            yield from self._of_functions(file, before, after)
        except HardParse:
            yield "hard_parse"

    def _of_functions(self, file: CodeFile, before: str, after: str) -> Iterator[_Changed]:
        """The functions that a change left in place and changed, before and after."""
        language = file.language
        sources = before.encode("utf-8", "replace"), after.encode("utf-8", "replace")
        trees = [parse(language, source, bounded=True) for source in sources]
        known = [{item.name: item for item in outermost(tree, language, MOST_FUNCTION_BYTES)} for tree in trees]
        came = tuple(item for name, item in known[1].items() if name not in known[0])
        for name, old in known[0].items():
            new = known[1].get(name)
            if new is None or sources[0][old.start : old.end] == sources[1][new.start : new.end]:
                continue
            yield _Changed(
                file,
                Side(sources[0], trees[0], ((old.start, old.end),)),
                Side(sources[1], trees[1], ((new.start, new.end),)),
                came,
            )

    def _seen(self, changed: _Changed) -> Iterator[_Mended | str]:
        """A pair of a changed function, if a scanner sees that it was mended."""
        file, old, new, _came = changed
        language = file.language
        if alike(old.text, new.text) < self._told.min_alike:
            yield "other_code"
            return
        vulnerable, secure = side_by_side(language, old, new)
        weak = self._seeing.weaknesses(vulnerable, language)
        if not weak:
            if weak is None:
                yield "inconclusive"
            return
        left = self._seeing.weaknesses(secure, language)
        if left is None:
            yield "inconclusive"
        elif left:
            yield "still_weak"
        elif does_less(old.text, new.text):
            yield "does_less"
        else:
            yield _Mended(next(iter(weak)), secure, vulnerable)

    def _pair(self, commit: Commit, file: CodeFile, mended: _Mended) -> Pair:
        if not file.license:
            file.license = self._license(commit.name, file.path)
        told = {"commit": commit.name, "file": file.path, "repository": ""}[self._told.together]
        scenario = f"{self.name}/{told}".rstrip("/")
        return Pair(
            mended.cwe, file.language, mended.secure, mended.vulnerable, scenario, "history", mended.claim,
            printable(commit.subject)[:_SUBJECT], file, file.license,
        )  # fmt: skip

    def _license(self, commit: str, path: str) -> str:
        """The licence of a file as the repository stated it at a commit."""
        if self._licensed is None or self._licensed[0] != commit:
            self._licensed = (commit, _repository(self._path, self._told, commit))
        return self._licensed[1].license_of(path)


class _Mended(NamedTuple):
    """A function before and after it was mended."""

    cwe: str
    secure: str
    vulnerable: str
    claim: Claim = "scanner"


class _Changed(NamedTuple):
    """A function in its file, before and after a commit, and the functions that the commit added to the file."""

    file: CodeFile
    old: Side
    new: Side
    came: tuple[Named, ...]


def _last_name(item: Named) -> bytes:
    """The name by which a function is called, without its class."""
    return item.name.partition("#")[0].rpartition(".")[2].encode("utf-8", "replace")


def _repository(path: Path, told: History.Settings, revision: str) -> Git:
    return Git(Git.Settings(path=path, revision=revision, license=told.license))
