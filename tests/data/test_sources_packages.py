from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import ValidationError

from buril.code._license_marks import MARKS
from buril.code.codefile import read_rows
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.data.collect import Collect
from buril.data.source import Dropped, SourceFile
from buril.data.sources import _archives, _debian, _registries
from buril.data.sources.packages import EXPECTED, Packages
from buril.testing import check_source

MIT = "Copyright (c) 2020 A\n" + ". ".join(next(mark for mark in MARKS if mark.license == "MIT").need)
HAS_NPM = shutil.which("npm") is not None
HAS_APT = shutil.which("apt-get") is not None


def packages(tmp_path: Path, **given: Any) -> Packages:
    return Packages(Packages.Settings.model_validate({"cache": str(tmp_path / "cache"), **given}))


def listing(source: Packages) -> dict[str, dict[str, SourceFile | Dropped]]:
    return {repo.name: {item.path: item for item in source.files(repo)} for repo in source.repositories()}


def reasons(items: dict[str, SourceFile | Dropped]) -> dict[str, str]:
    return {path: item.reason if isinstance(item, Dropped) else "" for path, item in items.items()}


def tar(path: Path, members: list[tuple[str, bytes | str, dict[str, Any]]], mode: str = "w:gz") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  the mode is one of tarfile's
        for name, content, facts in members:
            info = tarfile.TarInfo(name)
            raw = content.encode() if isinstance(content, str) else content
            info.size = len(raw)
            for key, value in facts.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(raw))
    return path


def zipped(path: Path, members: dict[str, bytes | str], modes: dict[str, int] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, 0) << 16
            archive.writestr(info, content)
    return path


def wheel(folder: Path, name: str, version: str, files: dict[str, bytes | str], metadata: str = "") -> Path:
    info = f"{name}-{version}.dist-info"
    told = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    told[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*told, f"{info}/RECORD"))
    return zipped(folder / f"{name}-{version}-py3-none-any.whl", told)


# --- archives


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz", "tar", "tar.zst"])
def test_a_hostile_tar_writes_only_plain_files_below_its_folder(tmp_path: Path, ending: str) -> None:
    mode = {"tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}.get(ending, "w")
    members: list[tuple[str, bytes | str, dict[str, Any]]] = [
        ("p/", "", {"type": tarfile.DIRTYPE}),
        ("p/a.py", "a = 1\n", {}),
        ("p/../../up.py", "x\n", {}),
        ("/abs.py", "x\n", {}),
        ("p/link.py", "", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("p/dir", "", {"type": tarfile.SYMTYPE, "linkname": str(tmp_path)}),
        ("p/dir/through.py", "x = 1\n", {}),
        ("p/hard.py", "", {"type": tarfile.LNKTYPE, "linkname": "../../../etc/passwd"}),
        ("p/dev.py", "", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}),
        ("p/pipe.py", "", {"type": tarfile.FIFOTYPE}),
        ("p/a.py", "a = 2\n", {}),
        ("p/a.py/b.py", "x\n", {}),
        ("p/back\\slash.py", "x\n", {}),
        ("p/" + "n" * 300 + ".py", "x\n", {}),
        ("p/logo.png", b"\x89PNG", {}),
        ("p/run.py", "r = 1\n", {"mode": 0o4777}),
        ("p/LICENSE", MIT, {}),
    ]
    archive = tar(tmp_path / f"x.{ending}" if ending != "tar.zst" else tmp_path / "x.tar", members, mode)
    if ending == "tar.zst":
        import pyarrow as pa

        raw = archive.read_bytes()
        archive = tmp_path / "x.tar.zst"
        archive.write_bytes(pa.Codec("zstd").compress(raw, asbytes=True))
    left_out = _archives.unpack(archive, tmp_path / "out")
    assert files_of(tmp_path / "out") == {"a.py", "run.py", "LICENSE", "dir/through.py"}
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
    assert (tmp_path / "out" / "a.py").read_text() == "a = 1\n"
    assert stat.S_IMODE((tmp_path / "out" / "run.py").stat().st_mode) & 0o7111 == 0
    assert not (tmp_path / "up.py").exists()
    told = sorted(item.reason for item in left_out)
    assert told == sorted(["path"] * 4 + ["symlink"] * 3 + ["not_a_file"] * 2 + ["same_place"] * 2 + ["language"])


def test_a_hostile_zip_writes_only_plain_files_below_its_folder(tmp_path: Path) -> None:
    archive = zipped(
        tmp_path / "x.zip",
        {
            "a.py": "a = 1\n",
            "../up.py": "x\n",
            "/abs.py": "x\n",
            "link.py": "/etc/passwd",
            "d/b.js": "b\n",
            "C:/w.py": "x\n",
        },
        {"link.py": stat.S_IFLNK | 0o777},
    )
    left_out = _archives.unpack(archive, tmp_path / "out")
    assert files_of(tmp_path / "out") == {"a.py", "d/b.js"}
    assert sorted(item.reason for item in left_out) == ["path", "path", "path", "symlink"]


def test_archives_that_would_fill_the_disk_or_the_memory_are_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = b"\0" * 15_000_000
    bombs = [
        tar(tmp_path / "ratio.tar.gz", [(f"p/{n}.py", zeros, {}) for n in range(6)]),
        tar(tmp_path / "skipped.tar.gz", [(f"p/{n}.bin", zeros, {}) for n in range(6)]),
        zipped(tmp_path / "ratio.zip", {f"{n}.py": zeros for n in range(6)}),
    ]
    for bomb in bombs:
        with pytest.raises(BurilError) as refused:
            _archives.unpack(bomb, tmp_path / bomb.stem)
        assert refused.value.code == "D018"
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 900_000_000
    (tmp_path / "pax.tar").write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 4096)
    monkeypatch.setattr(_archives, "MAX_MEMBERS", 50)
    tar(tmp_path / "many.tar.gz", [(f"p/{n}.py", "x\n", {}) for n in range(60)])
    for name in ("pax.tar", "many.tar.gz"):
        with pytest.raises(BurilError) as refused:
            _archives.unpack(tmp_path / name, tmp_path / "out")
        assert refused.value.code == "D018"
    large = tar(tmp_path / "large.tar.gz", [("p/a.py", "a\n", {}), ("p/big.py", os.urandom(100) * 250_000, {})])
    assert [item.reason for item in _archives.unpack(large, tmp_path / "l")] == ["too_large"]


@pytest.mark.parametrize("ending", ["tar.gz", "tar.xz", "zip", "tar"])
def test_archives_that_are_cut_or_no_archives_are_said(tmp_path: Path, ending: str) -> None:
    noise = os.urandom(60_000).hex()
    archive = tmp_path / f"x.{ending}"
    if ending == "zip":
        zipped(archive, {"a.py": noise, "b.py": noise})
    else:
        tar(
            archive,
            [("p/a.py", noise, {}), ("p/b.py", noise, {})],
            {"tar.gz": "w:gz", "tar.xz": "w:xz"}.get(ending, "w"),
        )
    raw = archive.read_bytes()
    for text in (raw[: len(raw) // 2], b"no archive at all" * 100, b""):
        archive.write_bytes(text)
        with pytest.raises(BurilError) as refused:
            _archives.unpack(archive, tmp_path / f"out{len(text)}")
        assert refused.value.code == "D018"


# --- pip


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for all the packages there are."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [item for item in os.environ if item.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    _registries.have.cache_clear()
    return folder


def test_wheels_by_name(tmp_path: Path, index: Path, make_artifact: Callable[..., Artifact]) -> None:
    first = wheel(
        index,
        "some_pkg",
        "1.0",
        {"some/a.py": "a = 1\n", "some/x.so": b"\x7fELF"},
        "License-Expression: MIT OR Apache-2.0",
    )
    wheel(
        index, "some_pkg", "1.1", {"some/a.py": "a = 2\n"}, "Classifier: License :: OSI Approved :: ISC License (ISCL)"
    )
    wheel(index, "other", "2.0", {"other.py": "o = 1\n", "other-2.0.dist-info/LICENSE": MIT})
    source = packages(tmp_path, pip=["Some.Pkg==1.0", "other", "buril"])
    assert source.expected() == (EXPECTED[0] * 2, EXPECTED[1] * 2)
    assert source.observe() == [["pypi/some-pkg", "1.0"], ["pypi/other", "2.0"]]
    assert list(source.notes()) == ["pypi/other names no version; it is 2.0 now"]
    repositories = {repo.name: repo for repo in source.repositories()}
    assert {name: repo.license for name, repo in repositories.items()} == {
        "pypi/some-pkg": "MIT OR Apache-2.0",
        "pypi/other": "MIT",
    }
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    assert repositories["pypi/some-pkg"].url == f"https://pypi.org/project/some-pkg/1.0/#sha256={digest}"
    found = reasons(listing(source)["pypi/some-pkg"])
    assert found["some/a.py"] == ""
    assert found["some/x.so"] == "language"
    check_source(source)
    made = make_artifact(
        Collect(
            Collect.Settings.model_validate(
                {"sources": [{"packages": {"pip": ["some-pkg==1.0"], "cache": str(tmp_path / "cache")}}], "workers": 1}
            )
        )
    )
    (row,) = (row for path in made.files("rows/*.parquet") for row in read_rows(path))
    assert (row.repo, row.commit, row.path, row.content) == ("pypi/some-pkg", "1.0", "some/a.py", "a = 1\n")


def test_what_is_in_the_cache_needs_no_registry(tmp_path: Path, index: Path) -> None:
    wheel(index, "other", "2.0", {"other.py": "o = 1\n"})
    first = packages(tmp_path, pip=["other==2.0"])
    assert set(listing(first)) == {"pypi/other"}
    packages(tmp_path, pip=["other"]).observe()
    shutil.rmtree(index)
    index.mkdir()
    _registries.have.cache_clear()
    again = packages(tmp_path, pip=["other==2.0"])
    assert again.expected() is None
    assert listing(again) == listing(first)
    floating = packages(tmp_path, pip=["other"])
    with pytest.raises(BurilError) as refused:
        floating.observe()
    assert refused.value.code == "D017", "an index that answers that there is none is believed"


def test_a_project_without_a_wheel_is_refused_and_not_built(tmp_path: Path, index: Path) -> None:
    ran = tmp_path / "ran"
    tar(
        index / "evil-1.0.tar.gz",
        [
            ("evil-1.0/setup.py", f"open({str(ran)!r}, 'w')\n", {}),
            ("evil-1.0/PKG-INFO", "Metadata-Version: 1.0\nName: evil\nVersion: 1.0\n", {}),
        ],
    )
    with pytest.raises(BurilError) as refused:
        packages(tmp_path, pip=["evil==1.0"]).observe()
    assert refused.value.code == "D017"
    assert not ran.exists()


def test_a_broken_wheel_and_a_missing_client(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = wheel(index, "broken", "1.0", {"b.py": os.urandom(9000).hex()})
    raw = bytearray(good.read_bytes())
    raw[200:4000] = b"\xff" * 3800
    good.write_bytes(raw)
    with pytest.raises(BurilError) as refused:
        packages(tmp_path, pip=["broken==1.0"]).observe()
    assert refused.value.code in ("D012", "D018")
    assert not list((tmp_path / "cache").rglob("*.py"))
    monkeypatch.setenv("PATH", str(tmp_path))
    for given in ({"npm": ["left-pad@1.3.0"]}, {"debian": ["zlib"]}):
        with pytest.raises(BurilError) as refused:
            packages(tmp_path, **given).observe()
        assert refused.value.code == "D013"


# --- npm


class _Npm(BaseHTTPRequestHandler):
    tarballs: dict[str, bytes]
    wrong = False

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        name = unquote(self.path.lstrip("/"))
        if name.startswith("tarballs/"):
            return self._say(200, self.tarballs[name.removeprefix("tarballs/")], "application/octet-stream")
        versions = {}
        for key, raw in self.tarballs.items():
            package, _, version = key.removesuffix(".tgz").rpartition("@")
            if package == name:
                integrity = "sha512-" + base64.b64encode(hashlib.sha512(raw).digest()).decode()
                if self.wrong:
                    integrity = "sha512-" + base64.b64encode(b"0" * 64).decode()
                url = f"http://{self.headers['Host']}/tarballs/{key}"
                dist = {"tarball": url, "integrity": integrity, "shasum": hashlib.sha1(raw).hexdigest()}
                versions[version] = {
                    "name": name,
                    "version": version,
                    "dist": dist,
                    "scripts": {"prepack": "touch ran", "postinstall": "touch ran"},
                }
        if not versions:
            return self._say(404, b'{"error":"not_found"}', "application/json")
        told = {"name": name, "dist-tags": {"latest": max(versions)}, "versions": versions}
        self._say(200, json.dumps(told).encode(), "application/json")

    def _say(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def npm_tarball(package: dict[str, Any], files: dict[str, str]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, text in {"package.json": json.dumps(package), **files}.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return target.getvalue()


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Npm]]:
    handler = type("Npm", (_Npm,), {"tarballs": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_address[1]}/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    _registries.have.cache_clear()
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.skipif(not HAS_NPM, reason="npm is not installed")
def test_npm_packages_by_name(tmp_path: Path, npm: type[_Npm]) -> None:
    scripts = {
        "prepack": "touch /tmp/never",
        "preinstall": f"touch {tmp_path}/ran",
        "postpack": f"touch {tmp_path}/ran",
    }
    npm.tarballs["left-pad@1.2.0.tgz"] = npm_tarball(
        {"name": "left-pad", "version": "1.2.0", "license": "WTFPL"}, {"index.js": "let a\n"}
    )
    npm.tarballs["left-pad@1.3.0.tgz"] = npm_tarball(
        {"name": "left-pad", "version": "1.3.0", "license": {"type": "MIT"}, "scripts": scripts},
        {"index.js": "let b\n", "vendor/LICENSE": "Some words.", "vendor/v.js": "let v\n"},
    )
    npm.tarballs["@acme/core@2.0.0.tgz"] = npm_tarball(
        {"name": "@acme/core", "version": "2.0.0", "license": "SEE LICENSE IN LICENSE"},
        {"i.ts": "let c\n", "LICENSE": MIT},
    )
    source = packages(tmp_path, npm=["left-pad@1", "@acme/core@2.0.0"])
    assert source.observe() == [["npm/left-pad", "1.3.0"], ["npm/@acme/core", "2.0.0"]]
    assert list(source.notes()) == ["npm/left-pad names no version; it is 1.3.0 now"]
    assert {repo.name: repo.license for repo in source.repositories()} == {
        "npm/left-pad": "MIT",
        "npm/@acme/core": "MIT",
    }
    found = {
        path: item.license for path, item in listing(source)["npm/left-pad"].items() if isinstance(item, SourceFile)
    }
    assert found == {"index.js": "MIT", "vendor/v.js": ""}
    assert not (tmp_path / "ran").exists()
    check_source(source)
    _registries.have.cache_clear()
    npm.tarballs.clear()
    assert set(listing(packages(tmp_path, npm=["@acme/core@2.0.0"]))) == {"npm/@acme/core"}
    floating = packages(tmp_path, npm=["left-pad@1"])
    assert floating.observe() == [["npm/left-pad", "1.3.0"]]
    assert "from the cache" in next(iter(floating.notes()))
    with pytest.raises(BurilError) as refused:
        packages(tmp_path, npm=["no-such-package@1.0.0"]).observe()
    assert refused.value.code == "D012"


@pytest.mark.skipif(not HAS_NPM, reason="npm is not installed")
def test_a_tarball_that_is_not_the_one_promised_is_refused(tmp_path: Path, npm: type[_Npm]) -> None:
    npm.tarballs["left-pad@1.2.0.tgz"] = npm_tarball({"name": "left-pad", "version": "1.2.0"}, {"index.js": "let a\n"})
    npm.wrong = True
    with pytest.raises(BurilError) as refused:
        packages(tmp_path, npm=["left-pad@1.2.0"]).observe()
    assert refused.value.code == "D012"


# --- Debian


COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tool

Files: *
Copyright: 2020 A
License: GPL-2+ or Expat

Files: lib/* extra/?.c
Copyright: 2020 B
License: BSD-3-clause
 Redistribution and use in source and binary forms
 .
 are permitted.

Files: odd.c
Copyright: 2020 C
License: some-words

License: Expat
 Permission is hereby granted
"""


@pytest.fixture
def archive(tmp_path: Path) -> str:
    """A Debian archive on this disk with one source package, and its line of a sources.list."""
    root = tmp_path / "debian"
    pool, lists = root / "pool", root / "dists" / "stable" / "main" / "source"
    lists.mkdir(parents=True)
    tar(
        pool / "tool_1.0.orig.tar.xz",
        [(f"tool-1.0/{name}", "int a;\n", {}) for name in ("a.c", "lib/b.c", "odd.c")],
        "w:xz",
    )
    tar(pool / "tool_1.0.orig-extra.tar.gz", [("whatever/e.c", "int e;\n", {})])
    tar(
        pool / "tool_1.0-2.debian.tar.xz",
        [("debian/copyright", COPYRIGHT, {}), ("debian/rules", "#!/usr/bin/make -f\n", {})],
        "w:xz",
    )
    names = sorted(path.name for path in pool.iterdir())
    sums = "".join(
        f"\n {hashlib.sha256((pool / name).read_bytes()).hexdigest()} {(pool / name).stat().st_size} {name}"
        for name in names
    )
    control = f"Format: 3.0 (quilt)\nSource: tool\nVersion: 1:1.0-2\nChecksums-Sha256:{sums}\n"
    (pool / "tool_1.0-2.dsc").write_text(control)
    raw = (pool / "tool_1.0-2.dsc").read_bytes()
    more = f"\n {hashlib.sha256(raw).hexdigest()} {len(raw)} tool_1.0-2.dsc"
    told = f"Package: tool\nFormat: 3.0 (quilt)\nVersion: 1:1.0-2\nDirectory: pool\nChecksums-Sha256:{sums}{more}\n"
    md5 = "".join(
        f"\n {hashlib.md5((pool / name).read_bytes()).hexdigest()} {(pool / name).stat().st_size} {name}"
        for name in [*names, "tool_1.0-2.dsc"]
    )
    (lists / "Sources").write_text(f"{told}Files:{md5}\n")
    (lists / "Sources.gz").write_bytes(gzip.compress((lists / "Sources").read_bytes()))
    entries = "".join(
        f"\n {hashlib.sha256((lists / name).read_bytes()).hexdigest()} {(lists / name).stat().st_size} main/source/{name}"
        for name in ("Sources", "Sources.gz")
    )
    (root / "dists" / "stable" / "Release").write_text(
        f"Suite: stable\nCodename: stable\nComponents: main\nDate: Tue, 05 Mar 2024 12:00:00 UTC\nSHA256:{entries}\n"
    )
    _registries.have.cache_clear()
    return f"deb-src [trusted=yes] file://{root} stable main"


@pytest.mark.skipif(not HAS_APT, reason="apt is not installed")
def test_debian_packages_by_name(tmp_path: Path, archive: str) -> None:
    source = packages(tmp_path, debian=["tool"], deb_src=[archive])
    assert source.observe() == [["debian/tool", "1:1.0-2"]]
    (repo,) = source.repositories()
    assert (repo.name, repo.license, repo.commit) == ("debian/tool", "GPL-2.0-or-later OR MIT", "1:1.0-2")
    assert repo.url.count("sha256=") == 2
    found = {
        path: item.license for path, item in listing(source)["debian/tool"].items() if isinstance(item, SourceFile)
    }
    assert found == {
        "a.c": "GPL-2.0-or-later OR MIT",
        "lib/b.c": "BSD-3-Clause",
        "odd.c": "",
        "extra/e.c": "BSD-3-Clause",
    }
    check_source(source)
    shutil.rmtree(tmp_path / "debian")
    _registries.have.cache_clear()
    assert set(listing(packages(tmp_path, debian=["tool=1:1.0-2"], deb_src=[archive]))) == {"debian/tool"}


@pytest.mark.skipif(not HAS_APT, reason="apt is not installed")
def test_apt_without_sources_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.list").write_text("")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{tmp_path}/empty.list";\nDir::Etc::SourceParts "/dev/null";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    _registries.have.cache_clear()
    with pytest.raises(BurilError) as refused:
        packages(tmp_path, debian=["tool"]).observe()
    assert refused.value.code == "D019"


@pytest.mark.parametrize(
    ("synopsis", "wanted"),
    [
        ("Expat", "MIT"),
        ("GPL-2", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("Apache-2.0", "Apache-2.0"),
        ("Zlib", "Zlib"),
        ("public-domain", ""),
        ("GPL-3+ and some-words", ""),
    ],
)
def test_short_names_of_licences(synopsis: str, wanted: str) -> None:
    assert _debian.stated(synopsis) == wanted


# --- settings


@pytest.mark.parametrize(
    "given",
    [
        {"pip": ["--index-url=http://evil"]},
        {"pip": ["requests @ http://evil/x.whl"]},
        {"pip": ["./local"]},
        {"pip": ["git+https://evil/x"]},
        {"npm": ["github:acme/x"]},
        {"npm": ["https://evil/x.tgz"]},
        {"npm": ["../local"]},
        {"npm": ["--registry=evil"]},
        {"debian": ["-oDpkg=evil"]},
        {"debian": ["a/unstable"]},
        {"deb_src": ["deb http://x stable main"]},
        {"deb_src": ["deb-src http://x stable main\nAPT::Update::Pre-Invoke evil"]},
        {"python": "2.7"},
    ],
)
def test_names_that_clients_would_take_for_something_else_are_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        packages(tmp_path, **given)


def test_what_is_installed_is_the_default_and_can_stand_beside_others(tmp_path: Path, index: Path) -> None:
    site = tmp_path / "site"
    for name in ("here", "other"):
        (site / f"{name}-1.0.dist-info").mkdir(parents=True)
        (site / f"{name}.py").write_text(f"{name} = 1\n")
        (site / f"{name}-1.0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (site / f"{name}-1.0.dist-info" / "RECORD").write_text(f"{name}.py,,\n")
    wheel(index, "other", "2.0", {"other.py": "o = 1\n"})
    assert set(listing(packages(tmp_path, paths=[str(site)]))) == {"pypi/here", "pypi/other"}
    assert set(listing(packages(tmp_path, paths=[str(site)], pip=["other"]))) == {"pypi/other"}
    both = packages(tmp_path, paths=[str(site)], pip=["other"], installed=True)
    assert {repo.name: repo.commit for repo in both.repositories()} == {"pypi/here": "1.0", "pypi/other": "2.0"}
    check_source(both)
