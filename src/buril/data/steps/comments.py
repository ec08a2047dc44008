"""Comments: what teaches nothing goes, what explains or steers a tool stays."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

from buril.code.codefile import CodeFile, Finding
from buril.core.settings import Settings as BaseSettings
from buril.data.step import Shared, Step
from buril.data.steps import _comment_kinds as kinds


class Comment(NamedTuple):
    """A comment: its bytes, and whether nothing else stands on its lines (`own`), from `column` on."""

    start: int
    end: int
    text: bytes
    own: bool
    column: int


class Comments(Step):
    """Removes comments by kind; code, literals and docstrings are never touched.

    `noise` removes licence headers (their SPDX expression is first written to the row), code that was switched off
    (text that parses as statements), banners, and to-do notes. `all` removes every comment, documentation written as
    comments included; Python's docstrings are strings and stay. Both keep what a tool reads: `#!`, coding cookies,
    `type: ignore`, `noqa`, `eslint-…`, `//go:build`, cgo preambles, PEP 723 blocks and so on; and in Solidity the SPDX
    line, because its compiler asks for it. A comment with code on both sides that spans lines stays.
    """

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """What to remove."""

        shorthand: ClassVar[str | None] = "remove"

        remove: Literal["noise", "all"] = "noise"
        """`noise`: what teaches nothing. `all`: every comment that no tool reads."""

    def apply(self, file: CodeFile, shared: Shared) -> None:
        """Edits; signals `comment_share` (before, 0 to 1) and `license_header`; `license` from an SPDX line.

        A finding says where the SPDX line differs from the licence of the repository.
        """
        if file.verdicts or shared.tree is None or shared.language is None:
            return
        share = sum(end - start for start, end in shared.comments) / max(1, len(shared.source))
        file.signals["comment_share"] = round(share, 4)
        found = [_comment(shared.source, start, end) for start, end in shared.comments if not shared.is_lost(start)]
        groups = _groups(found)
        for group in _header(shared.source, groups):
            self._license(file, shared, group)
        for group in groups:
            self._group(file, shared, group)

    def _license(self, file: CodeFile, shared: Shared, group: list[Comment]) -> None:
        """Record and remove one group of a file's header, if it is about the licence."""
        texts = b"\n".join(comment.text for comment in group)
        if not kinds.is_license(texts):
            return
        file.signals["license_header"] = 1.0
        declared = kinds.spdx_of(texts)
        if declared and declared != file.license:
            if file.license:
                message = f"{declared} in the header, {file.license} for the repository"
                file.findings.append(
                    Finding("comments", "license_differs", shared.line(group[0].start), "low", message)
                )
            file.license = declared
        group[:] = [comment for comment in group if not self._remove_license(file, shared, comment)]

    def _remove_license(self, file: CodeFile, shared: Shared, comment: Comment) -> bool:
        if kinds.is_directive(comment.text) or (file.language == "solidity" and b"SPDX-" in comment.text):
            return False
        source = shared.source
        first = not source[: comment.start].strip()
        _remove(shared, comment, swallow_blank=first)
        return True

    def _group(self, file: CodeFile, shared: Shared, group: list[Comment]) -> None:
        """Remove what is noise in comments that follow one another."""
        if not group or b"/// script" in group[0].text or _is_cgo(file, shared, group[-1]):
            return
        free = [comment for comment in group if not _is_kept(file, comment)]
        if not free:
            return
        if self.settings.remove == "all" or self._is_noise(shared, free):
            removed = free
        else:
            removed = [comment for comment in free if comment.own and kinds.is_banner(comment.text)]
        for comment in removed:
            _remove(shared, comment)

    def _is_noise(self, shared: Shared, group: list[Comment]) -> bool:
        texts = [comment.text for comment in group]
        assert shared.language is not None
        return kinds.is_todo(texts[0]) or (group[0].own and kinds.is_code(texts, shared.language))


def _comment(source: bytes, start: int, end: int) -> Comment:
    text = source[start:end].rstrip()  # some grammars count the line break to the comment
    end = start + len(text)
    line_start = source.rfind(b"\n", 0, start) + 1
    line_end = source.find(b"\n", end)
    after = source[end : line_end if line_end >= 0 else len(source)]
    own = not source[line_start:start].strip() and not after.strip()
    return Comment(start, end, text, own, start - line_start)


def _groups(found: list[Comment]) -> list[list[Comment]]:
    """Comments on lines of their own that follow one another at the same column; any other comment alone."""
    groups: list[list[Comment]] = []
    for comment in found:
        last = groups[-1][-1] if groups else None
        follows = last and last.own and comment.own and last.column == comment.column
        if last and follows and comment.start - last.end <= comment.column + 2:
            groups[-1].append(comment)
        else:
            groups.append([comment])
    return groups


def _header(source: bytes, groups: list[list[Comment]]) -> list[list[Comment]]:
    """The groups before the first code of a file."""
    header = []
    end = len(source.split(b"\n", 1)[0]) if source.startswith(b"#!") else 0
    for group in groups:
        if source[end : group[0].start].strip() not in (b"", b"<?php"):
            break
        header.append(group)
        end = max(end, group[-1].end)
    return header


def _is_kept(file: CodeFile, comment: Comment) -> bool:
    if kinds.is_directive(comment.text) or (file.language == "solidity" and b"SPDX-" in comment.text):
        return True
    return not comment.own and b"\n" in comment.text


def _is_cgo(file: CodeFile, shared: Shared, comment: Comment) -> bool:
    return file.language == "go" and shared.source[comment.end : comment.end + 99].lstrip().startswith(b'import "C"')


def _remove(shared: Shared, comment: Comment, *, swallow_blank: bool = False) -> None:
    """Take a comment out: with its line if it has one of its own, with the space before it at a line's end."""
    source, start, end = shared.source, comment.start, comment.end
    line_end = source.find(b"\n", end)
    line_end = line_end if line_end >= 0 else len(source)
    if comment.own:
        end = min(line_end + 1, len(source))
        while swallow_blank and source[end : end + 1] == b"\n":
            end += 1
        shared.edit(start - comment.column, end)
    elif not source[end:line_end].strip():
        while source[start - 1 : start] in (b" ", b"\t"):
            start -= 1
        shared.edit(start, line_end)
    else:
        shared.edit(start, end, b" ")
