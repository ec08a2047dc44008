"""Pairing findings: functions of your own code in which a scanner finds a weakness, each beside a mended form of it.

Read are the files that `select` set aside for their findings (`findings: {medium: pair}`) and those of the training
part. A function is mended by the rewrites that are known for its weakness; where none fits, a generator may be asked. A
mended form counts when it parses, has the function's name and signature, most of its lines, as many calls and every
argument that was used, and when no scanner finds anything of severity medium or higher in it. Weak code that is meant
to be (a hash that a format demands, a check that a setting switches off) is left alone. Nothing is run: that a mended
form still does what it did is for `behaviour` and `tests` of the stage to say.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, ClassVar, Literal

import pyarrow.parquet as pq
from pydantic import Field, model_validator

from buril.code.codefile import CodeFile, read_rows
from buril.code.excerpt import excerpt, outermost, words
from buril.code.parse import HardParse, parse
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.plugins import PluginKind, Ref, names, plugin
from buril.core.settings import Json
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs
from buril.data._candidates import PAIRS
from buril.data._tasks import license_of
from buril.data.pair import Pair, Pairing
from buril.data.pairing import _seeing
from buril.data.pairing._asking import AT_ONCE, Asking, Flaw
from buril.data.pairing._deliberate import deliberate
from buril.data.pairing._mending import Weak, levelled, refused, rewritten, signature
from buril.data.pairing._seeing import GRADES, Seeing
from buril.data.teacher import is_remote

MOST_FUNCTION_BYTES = 6_000


class Findings(Pairing):
    """Mends what scanners find in your own code."""

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """Which files, and who mends them."""

        shorthand: ClassVar[str | None] = "read"

        read: tuple[Literal["set_aside", "train"], ...] = ("set_aside", "train")
        """`set_aside`: files that `select` left out for their findings alone; `train`: the training part."""
        max_files: int | None = Field(None, ge=1)
        """Files that are read, at most; none: all."""
        rewrites: bool = True
        """Mend by the rewrites that are known for a weakness."""
        generator: Annotated[Ref | None, PluginKind("generator")] = None
        """What is asked to mend where no rewrite does: `openai: {url: …, model: …}`, or an engine of this machine with
        the chain's base model."""
        teacher_license: str = ""
        """Under which licence or terms the generator's texts may be used, e.g. `apache-2.0`; needed with one."""
        max_questions: int = Field(200, ge=1)
        """Functions that the generator is asked about, at most."""
        answer_tokens: int = Field(900, ge=16)
        """Tokens of one answer, at most."""
        min_alike: float = Field(0.6, ge=0, le=1)
        """Share of the function's lines that a mended form keeps, at least."""
        together: Literal["repository", "file"] = "repository"
        """What pairs have in common that are learnt from or held out together. With a few repositories alone, `file`
        leaves some to hold out; what two files share may then be on both sides."""
        scan: Annotated[tuple[Ref, ...], PluginKind("scanner")] = Field(default=_seeing.DEFAULT, validate_default=True)
        """Scanners whose word counts; in files that `prepare` scanned, functions without a finding of its own are left
        alone."""

        @model_validator(mode="after")
        def _terms_are_known(self) -> Findings.Settings:
            if self.generator is not None and not self.teacher_license.strip():
                raise BurilError("D332")
            return self

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """What was set aside and the training part; the base and its tokenizer for a generator of this machine."""
        chosen = self.settings.generator
        local = ("base", "tokenizer") if chosen is not None and not is_remote(chosen) else ()
        return ("prepare", "select", "split", *local)

    def work(self, inputs: Inputs) -> float:
        """Bytes of the files that are read, and what a question takes as if it were bytes."""
        set_aside = inputs["select"].path(PAIRS)
        size = pq.read_metadata(set_aside).num_rows * 10_000 if "set_aside" in self.settings.read else 0
        if "train" in self.settings.read:
            size += sum(item.bytes for item in inputs["split"].manifest.files if item.path.startswith("train/"))
        return float(size + (self.settings.max_questions * 1e6 if self.settings.generator else 0))

    def parts(self) -> dict[str, int]:
        """Versions of the scanners, of the rewrites, which are those of `mutations`, and of the generator's engine."""
        chosen = self.settings.generator
        engine = {f"generator:{chosen.name}": int(plugin("generator", chosen.name).version)} if chosen else {}
        known = self.settings.rewrites and "mutations" in names("pairing")
        rewrites = {"pairing:mutations": int(plugin("pairing", "mutations").version)} if known else {}
        return {**_seeing.parts_of(self.settings.scan), **rewrites, **engine}

    def observe(self) -> Json:
        """What the scanners depend on."""
        return _seeing.observed(self.settings.scan)

    def pairs(self, inputs: Inputs, seed: int) -> Iterator[Pair]:
        """The pairs, file by file; those of a generator follow when some of its questions have come together."""
        seeing = Seeing(self.settings.scan)
        asking = self._asking(inputs)
        waiting: list[Weak] = []
        asked = 0
        for file in islice(self._files(inputs), self.settings.max_files):
            for weak in self._weak(file, seeing):
                if deliberate(weak.flaw.cwe, weak.flaw.code, weak.flaw.line):
                    self.left_out["deliberate"] += 1
                    continue
                mended = rewritten(weak, seeing, self.settings.min_alike) if self.settings.rewrites else None
                if mended is not None:
                    yield self._pair(weak, mended, "")
                elif asking is None or asked >= self.settings.max_questions:
                    self.left_out["no_mend"] += 1
                else:
                    asked += 1
                    waiting.append(weak)
            if asking is not None and len(waiting) >= AT_ONCE:
                yield from self._answered(waiting, asking, seeing)
                waiting = []
        if asking is not None:
            yield from self._answered(waiting, asking, seeing)

    def _asking(self, inputs: Inputs) -> Asking | None:
        chosen = self.settings.generator
        return None if chosen is None else Asking(chosen, inputs, self.settings.answer_tokens, self.scratch)

    def _files(self, inputs: Inputs) -> Iterator[CodeFile]:
        """The files, with the findings that `prepare` noted on them."""
        if "set_aside" in self.settings.read:
            yield from set_aside(inputs["select"], inputs["prepare"])
        if "train" in self.settings.read:
            for shard in inputs["split"].files("train/*.parquet"):
                yield from read_rows(shard)

    def _weak(self, file: CodeFile, seeing: Seeing) -> Iterator[Weak]:
        """The functions of a file that have a weakness."""
        if not seeing.reads(file.language):
            return
        source = file.content.encode("utf-8", "replace")
        try:
            tree = parse(file.language, source, bounded=True)
        except HardParse:
            self.left_out["hard_parse"] += 1
            return
        lines = self._lines(file, seeing)
        known = outermost(tree, file.language, MOST_FUNCTION_BYTES) if lines else []
        for item in known:
            first, last = source.count(b"\n", 0, item.start) + 1, source.count(b"\n", 0, item.end) + 1
            if not any(first <= line <= last for line in lines):
                continue
            span = (item.start, item.end)
            text = excerpt(source, tree, [span], words(source, [span], file.language)).decode("utf-8", "replace")
            found = seeing.weaknesses(text, file.language)
            if not found:
                self.left_out["inconclusive" if found is None else "nothing_seen"] += 1
                continue
            cwe, finding = next(iter(found.items()))
            flaw = Flaw(file.language, text, cwe, finding.message, finding.line)
            yield Weak(file, item.name, signature(item), flaw)

    def _lines(self, file: CodeFile, seeing: Seeing) -> list[int]:
        """The lines with a finding: those that `prepare` noted, else those that the scanners see now."""
        noted = [item.line for item in file.findings if item.cwe and GRADES.get(item.severity, 0) >= GRADES["medium"]]
        if noted or file.findings:
            return noted
        return [item.line for item in (seeing.weaknesses(file.content, file.language) or {}).values()]

    def _answered(self, waiting: Sequence[Weak], asking: Asking, seeing: Seeing) -> Iterator[Pair]:
        for weak, text in zip(waiting, asking.answers([item.flaw for item in waiting]), strict=True):
            reason = refused(weak, text, seeing, self.settings.min_alike) if text.strip() else "no_answer"
            if reason:
                self.left_out[f"answer_{reason}"] += 1
            else:
                yield self._pair(weak, text, self.settings.teacher_license)

    def _pair(self, weak: Weak, text: str, terms: str) -> Pair:
        file = weak.file
        scenario = file.repo if self.settings.together == "repository" else f"{file.repo}/{file.path}"
        known = license_of(file, terms, own=True) if terms else file.license
        change = f"{'generator' if terms else 'rewrite'}: {_changed(weak, text)}"
        flaw = weak.flaw
        vulnerable, secure = levelled(weak, text)
        return Pair(flaw.cwe, file.language, secure, vulnerable, scenario, "findings", "scanner", change, file, known)


def set_aside(select: Artifact, prepare: Artifact) -> Iterator[CodeFile]:
    """The files that `select` left out for their findings alone, in the order of the shards of `prepare`."""
    wanted: dict[int, set[int]] = defaultdict(set)
    for row in pq.read_table(select.path(PAIRS), columns=["shard", "index"]).to_pylist():
        wanted[row["shard"]].add(row["index"])
    for path in prepare.files("rows/*.parquet"):
        for place, file in enumerate(read_rows(path) if int(path.stem) in wanted else ()):
            if place in wanted[int(path.stem)]:
                yield file


def _changed(weak: Weak, text: str) -> str:
    """What was changed: the first line that is new."""
    lines = difflib.ndiff(weak.flaw.code.splitlines(), text.splitlines())
    return next((line[2:].strip() for line in lines if line.startswith("+ ")), "")[:100]
