"""Archives are read as the standard library reads them where they are sound, and refused where they are not."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from buril.data.sources import _tar
from buril.data.sources._tar import Bounds, BrokenArchive, Member, unpack


def read(path: Path, most: int = 10_000_000, members: int = 1000) -> dict[str, tuple[Member, bytes]]:
    found: dict[str, tuple[Member, bytes]] = {}
    unpack(path, Bounds(most, members), lambda member, chunks: found.update({member.path: (member, b"".join(chunks))}))
    return found


def write(path: Path, form: int, names: dict[str, bytes]) -> bytes:
    with tarfile.open(path, "w:gz", format=form) as tar:
        for name, raw in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return path.read_bytes()


NAMES = {
    "a.py": b"x = 1\n", "empty": b"", "b/" + "long/" * 25 + "c.py": b"y" * 1000, "d/" * 90 + "e.py": b"z" * 512,
    "ñandú/世界.py": b"n\n", "f" * 90 + "/" + "g" * 99: b"1" * 513, "h" * 250: b"2",
}  # fmt: skip


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar(tmp_path: Path, form: int) -> None:
    names = {name: raw for name, raw in NAMES.items() if form != tarfile.USTAR_FORMAT or len(name) < 200}
    write(tmp_path / "x.tar.gz", form, names)
    assert {name: raw for name, (_member, raw) in read(tmp_path / "x.tar.gz").items()} == names


def test_what_git_archive_writes(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    for name in ("a.py", "deep/" * 40 + "b.py"):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(name * 100)
    (repo / "link").symlink_to("a.py")
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "1"]):
        subprocess.run(["git", *command], cwd=repo, check=True)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repo, check=True, capture_output=True, text=True
    ).stdout.strip()
    archive = tmp_path / "x.tar.gz"
    subprocess.run(
        ["git", "archive", "--format=tar.gz", "--prefix=top/", "-o", str(archive), "HEAD"], cwd=repo, check=True
    )
    found = read(archive)
    assert {path: member.kind for path, (member, _raw) in found.items()} == {
        "top/a.py": "file", "top/" + "deep/" * 40 + "b.py": "file", "top/link": "link",
    }  # fmt: skip
    assert {member.comment for member, _raw in found.values()} == {commit}
    assert found["top/a.py"][1] == b"a.py" * 100


def test_an_archive_cut_anywhere_is_never_taken_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    raw = write(path, tarfile.PAX_FORMAT, NAMES)
    plain = gzip.decompress(raw)
    end = len(plain.rstrip(b"\0"))
    for cut in [*range(0, len(raw) - 30, 37), len(raw) - 9]:
        path.write_bytes(raw[:cut])
        with pytest.raises(BrokenArchive, match="truncated|corrupt"):
            read(path)
    for cut in range(0, end - 512, 512):  # whole as gzip, cut as tar
        path.write_bytes(gzip.compress(plain[:cut], 1))
        with pytest.raises(BrokenArchive, match="truncated"):
            read(path)


def test_damaged_archives_end_in_one_way(tmp_path: Path) -> None:
    plain = gzip.decompress(write(tmp_path / "x.tar.gz", tarfile.PAX_FORMAT, NAMES))
    drawn = random.Random(3)
    for _round in range(400):
        changed = bytearray(plain)
        for _byte in range(drawn.choice((1, 3, 30))):
            changed[drawn.randrange(len(changed))] = drawn.randrange(256)
        (tmp_path / "y.tar.gz").write_bytes(gzip.compress(bytes(changed), 1))
        try:
            read(tmp_path / "y.tar.gz")
        except BrokenArchive as problem:
            assert problem.reason in ("truncated", "corrupt", "too_large")


def header(kind: bytes, size: int, name: bytes = b"x") -> bytes:
    made = bytearray(512)
    made[: len(name)] = name
    made[100:108], made[124:136], made[156:157] = b"0000644\0", b"%011o\0" % size, kind
    made[148:156] = b"        "
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


def test_claims_beyond_belief(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    for raw, reason in (
        (header(b"x", 8 * 1024**3 - 1), "corrupt"),  # pax records of 8 GB
        (header(b"L", 2_000_000), "corrupt"),
        (header(b"0", 8 * 1024**3 - 1), "too_large|truncated"),
        (header(b"0", 5) + b"abc", "truncated"),
        (header(b"x", 30) + b"99 path=../../etc/passwd\n".ljust(512, b"\0"), "truncated"),
        (b"\x01" * 512, "corrupt"),
    ):
        path.write_bytes(gzip.compress(raw))
        with pytest.raises(BrokenArchive, match=reason):
            read(path)
    path.write_bytes(gzip.compress(b"\0" * 5_000_000, 1))
    assert read(path) == {}
    path.write_bytes(gzip.compress(b"\0" * 50_000_000, 1))
    with pytest.raises(BrokenArchive, match="too_large"):
        read(path)
    path.write_bytes(gzip.compress(header(b"0", 20_000_000) + b"\0" * 20_000_000, 9))
    with pytest.raises(BrokenArchive, match="too_large"):
        read(path)
    write(path, tarfile.GNU_FORMAT, {str(n): b"" for n in range(50)})
    with pytest.raises(BrokenArchive, match="too_many"):
        read(path, members=49)
    assert len(read(path, members=50)) == 50
    assert _tar.MAX_HEADER < 2_000_000
