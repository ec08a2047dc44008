"""The stage `prepare`: what it writes, the same bytes whatever happens, and that no row can break a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import CodeFile, Finding
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.events import EventLog, read_events
from buril.core.stage import Output
from buril.data.dedup import Dedup
from buril.data.prepare import Prepare
from buril.data.step import Shared, Step
from buril.data.steps.indent import Indent
from buril.data.steps.language import Language
from buril.data.steps.secrets import Secrets
from buril.engines._pool import _UNFORKABLE
from buril.scanners._rules import fill
from tests.conftest import as_artifact
from tests.data.made import collected, contents, stdlib

TOKENS = ["gh" + "p_" + fill("ABCDabcd01234567", 35) + end for end in "XYZ"]
Make = Callable[..., Artifact]


def prepare(**settings: Any) -> Prepare:
    return Prepare(Prepare.Settings(**settings))


def inputs(tmp_path: Path, make_artifact: Make, files: list[CodeFile], shard_files: int = 1000) -> dict[str, Artifact]:
    collect = collected(tmp_path / "collect", files, shard_files=shard_files)
    dedup = make_artifact(Dedup(Dedup.Settings(method="exact", workers=1)), {"collect": collect})
    return {"collect": collect, "dedup": dedup}


def real(count: int = 24, repos: int = 3) -> list[CodeFile]:
    """Real files over a few repositories, every second one with a token and an address planted."""
    files = []
    for number, (name, text) in enumerate(stdlib(count, most=12_000)):
        planted = f'\nKEY = "{TOKENS[number % 3]}"  # ask user{number % 5}@acme-corp.com\n' if number % 2 else ""
        files.append(CodeFile(f"repo{number % repos}", name, text + planted, language="python"))
    return files


def one(tmp_path: Path, make_artifact: Make, content: str, path: str = "a.py", **settings: Any) -> CodeFile:
    given = inputs(tmp_path, make_artifact, [CodeFile("r", path, content, language="python")])
    folder = f"prepare-{len(list(tmp_path.iterdir()))}"
    (file,) = contents(make_artifact(prepare(**settings), given, folder=folder), "rows/*.parquet")
    return file


def test_rows_keep_their_shard_and_place_and_lose_their_copies(tmp_path: Path, make_artifact: Make) -> None:
    files = real(20)
    copy = CodeFile("repo2", "zzz.py", files[0].content, language="python")
    given = inputs(tmp_path, make_artifact, [*files, copy], shard_files=7)
    made = make_artifact(prepare(workers=1), given)
    assert [path.name for path in made.files("rows/*.parquet")] == ["00000.parquet", "00001.parquet", "00002.parquet"]
    before, after = contents(given["collect"], "rows/*.parquet"), contents(made, "rows/*.parquet")
    assert [file.row_id for file in after] == [file.row_id for file in before if file.row_id != copy.row_id]
    assert all(
        file.sha256 == old.sha256 for file, old in zip(after, (f for f in before if f is not before[-1]), strict=True)
    )
    assert made.manifest.metrics["files"] == 20
    assert made.manifest.metrics["redactions"]["github_token"] == 10
    assert made.manifest.metrics["redactions"]["email"] >= 10  # real files hold some of their own
    assert (made.folder / "logs/speed.jsonl").read_text().count("\n") == 3


def test_a_value_has_one_number_in_its_repository_over_all_shards(tmp_path: Path, make_artifact: Make) -> None:
    made = make_artifact(prepare(workers=1), inputs(tmp_path, make_artifact, real(30, repos=2), shard_files=4))
    raw = b"".join(path.read_bytes() for path in sorted(made.folder.rglob("*")) if path.is_file())
    collected_of = {
        file.row_id: file for file in contents(Artifact(tmp_path / "collect", made.manifest), "rows/*.parquet")
    }
    named: dict[str, set[str]] = {}
    for file in contents(made, "rows/*.parquet"):
        assert not any(token in file.content for token in TOKENS)
        old, new = collected_of[file.row_id].content.splitlines()[-1], file.content.splitlines()[-1]
        if old.startswith("KEY = "):
            for before, after in zip(old.split("  # ask "), new.split("  # ask "), strict=True):
                named.setdefault(before, set()).add(after)
    assert len(named) == 8  # three tokens, five addresses, all in repo1, over eight shards
    assert all(len(placeholders) == 1 for placeholders in named.values())
    assert len(set.union(*named.values())) == 8
    assert {f'KEY = "<SECRET_GITHUB_TOKEN_{number}>"' for number in (1, 2, 3)} <= set.union(*named.values())
    assert not any(token.encode() in raw for token in TOKENS)


def test_workers_change_no_byte(tmp_path: Path, make_artifact: Make) -> None:
    given = inputs(tmp_path, make_artifact, real(24), shard_files=5)
    digests = {make_artifact(prepare(workers=count), given, folder=f"p{count}").digest for count in (1, 2, 3)}
    assert len(digests) == 1


SCRIPT = """
    import sys
    from pathlib import Path
    from tests.conftest import as_artifact
    from buril.core.events import EventLog
    from buril.core.stage import Output
    from buril.data.prepare import Prepare
    root = Path(sys.argv[1])
    given = {name: as_artifact(root / name, name) for name in ("collect", "dedup")}
    out = Output(root / "killed", EventLog(root / "killed.jsonl"), "prepare")
    Prepare(Prepare.Settings(workers=2)).run(given, out)
"""


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, make_artifact: Make) -> None:
    given = inputs(tmp_path, make_artifact, real(28), shard_files=2)
    whole = make_artifact(prepare(workers=1), given, folder="whole")
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
    with subprocess.Popen(command, env=environment, cwd=root) as process:
        deadline = time.monotonic() + 30
        while not list((tmp_path / "killed").glob("rows/[0-9]*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    finished = list((tmp_path / "killed").glob("rows/[0-9]*.parquet"))
    times = {path: path.stat().st_mtime_ns for path in finished}
    assert 0 < len(finished) < 14
    time.sleep(1.5)  # its workers see that it is gone and end
    out = Output(tmp_path / "killed", EventLog(tmp_path / "e.jsonl"), "prepare", resumed=True)
    metrics = prepare(workers=1).run(given, out)
    out.finish()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in times.items())
    assert as_artifact(out.folder, "prepare").digest == whole.digest
    assert metrics == whole.manifest.metrics
    assert read_events(tmp_path / "e.jsonl")[-1]["done"] == 28


class Picky(Step):
    """A step of a third party that some rows break."""

    version = 1

    def apply(self, file: CodeFile, shared: Shared) -> None:
        if "deep" in file.path:
            self.apply(file, shared)  # RecursionError


def test_a_row_that_breaks_a_step_is_refused_and_still_redacted(
    tmp_path: Path, make_artifact: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Indent, "apply", Picky.apply)
    content = f'KEY = "{TOKENS[0]}"\n'
    files = [CodeFile("r", name, content + f"# {name}\n", language="python") for name in ("a.py", "deep.py")]
    made = make_artifact(prepare(workers=1), inputs(tmp_path, make_artifact, files))
    good, bad = contents(made, "rows/*.parquet")
    assert (good.verdicts, good.content.splitlines()[0]) == ([], 'KEY = "<SECRET_GITHUB_TOKEN_1>"')
    assert [tuple(item) for item in bad.verdicts] == [("prepare", "prepare_failed", "indent: RecursionError")]
    assert bad.content.startswith('KEY = "<SECRET_GITHUB_TOKEN_1>"')
    assert made.manifest.metrics["verdicts"] == {"prepare_failed": 1}


def test_a_row_that_breaks_the_redaction_is_emptied(
    tmp_path: Path, make_artifact: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Secrets, file: CodeFile, shared: Shared) -> None:
        raise ValueError(file.content)

    monkeypatch.setattr(Secrets, "apply", fail)
    file = one(tmp_path, make_artifact, f'KEY = "{TOKENS[0]}"\n', workers=1)
    assert file.content == ""
    assert [tuple(item) for item in file.verdicts] == [("prepare", "prepare_failed", "secrets: ValueError")]


def test_a_worker_that_dies_is_an_error_of_its_own(
    tmp_path: Path, make_artifact: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _UNFORKABLE:  # where one of these is loaded workers are spawned, and the fault would stay here
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(Language, "apply", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    given = inputs(tmp_path, make_artifact, real(6), shard_files=3)
    with pytest.raises(BurilError) as error:
        make_artifact(prepare(workers=2), given)
    assert error.value.code == "S009"


def test_settings_choose_the_steps(tmp_path: Path, make_artifact: Make) -> None:
    content = f'# TODO: go\nif a:\n\tb = "{TOKENS[0]}"  # x@acme-corp.com \n'
    plain = one(tmp_path, make_artifact, content, comments="none", indent="keep", redact=[], workers=1)
    assert plain.content == content
    secrets = one(tmp_path, make_artifact, content, redact=["secrets"], comments="all", workers=1)
    assert secrets.content == 'if a:\n    b = "<SECRET_GITHUB_TOKEN_1>"\n'
    personal = one(tmp_path, make_artifact, content, redact="personal", comments="none", workers=1)
    assert personal.content == f'# TODO: go\nif a:\n    b = "{TOKENS[0]}"  # <EMAIL_1>\n'
    loose = one(tmp_path, make_artifact, "a = 1\n" * 9, generated={"max_lines": 5}, workers=1)
    assert loose.verdicts[0].reason == "too_many_lines"


def test_scanners_see_the_text_as_it_is_afterwards(tmp_path: Path, make_artifact: Make) -> None:
    file = one(tmp_path, make_artifact, f'# TODO: go\nKEY = "{TOKENS[0]}"\n', redact=[], scan=["secrets"], workers=1)
    assert file.findings == [
        Finding("secrets", "github_token", 1, "high", cwe="CWE-798", owasp="A07:2021", column=8, end_column=48)
    ]


def test_identity() -> None:
    assert prepare(workers=1).settings.identity() == prepare(workers=8).settings.identity()
    assert prepare().settings.identity() != prepare(comments="all").settings.identity()
    parts = prepare(scan=["secrets"]).parts()
    assert {
        "step:comments",
        "step:indent",
        "step:secrets",
        "step:syntax",
        "scanner:secrets",
        "language:python",
    } <= parts.keys()
    assert "step:comments" not in prepare(comments="none").parts()
    assert set(prepare().observe()) == {"tree-sitter", "tree-sitter-language-pack"}


@pytest.mark.parametrize(
    ("settings", "code", "hint"),
    [
        ({"redact": ["secret"]}, "D201", "`secrets`"),
        ({"scan": ["secretz"]}, "P001", "`secrets`"),
        ({"steps": ["idents"]}, "P001", "`indent`"),
    ],
)
def test_wrong_names_are_answered_with_the_nearest(settings: dict[str, Any], code: str, hint: str) -> None:
    with pytest.raises(BurilError) as error:
        prepare(**settings)
    assert error.value.code == code
    assert hint in error.value.hint


def test_a_step_of_our_own_is_not_run_twice() -> None:
    with pytest.raises(BurilError) as error:
        prepare(steps=["indent"]).chain()
    assert error.value.code == "D203"


def test_dedup_of_another_collect_is_refused(tmp_path: Path, make_artifact: Make) -> None:
    given = inputs(tmp_path / "a", make_artifact, real(4))
    other = collected(tmp_path / "b", real(6))
    with pytest.raises(BurilError) as error:
        make_artifact(prepare(workers=1), {**given, "collect": other})
    assert error.value.code == "D202"
