"""Exports: TFRecords that other readers read, JSON lines, Parquet; sums that hold; nothing is overwritten."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from buril.code.codefile import SCHEMA
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.data import tfrecord
from buril.data.export import export
from tests.conftest import as_artifact
from tests.data.test_dataset import COUNTS, inputs, make, rows


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),  # the check value of every catalogue of CRCs
        (bytes(32), 0x8A9136AA),  # RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_has_the_values_of_the_standard(data: bytes, crc: int) -> None:
    assert tfrecord.crc32c(data) == crc


def slow_crc32c(data: bytes) -> int:
    """The definition, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_crc32c_of_every_length() -> None:
    for length in range(40):
        data = bytes((at * 37 + length) & 0xFF for at in range(length))
        assert tfrecord.crc32c(data) == slow_crc32c(data)


def test_a_record_byte_by_byte() -> None:
    """Written out by hand after the wire format: tag, length, payload of each nested message."""
    value = b"\x0a\x02\xac\x02"  # Int64List.value (packed): the varint 300
    feature = b"\x1a" + bytes([len(value)]) + value  # Feature.int64_list
    entry = b"\x0a\x01a" + b"\x12" + bytes([len(feature)]) + feature  # key "a", value
    features = b"\x0a" + bytes([len(entry)]) + entry  # Features.feature
    message = b"\x0a" + bytes([len(features)]) + features  # Example.features
    length = struct.pack("<Q", len(message))

    def masked(data: bytes) -> bytes:
        crc = slow_crc32c(data)
        return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    [found] = tfrecord.records(pa.record_batch({"a": pa.array([300], pa.int64())}))
    assert found == length + masked(length) + message + masked(message)


# --- an independent reader: protobuf's own runtime, with messages described here


def example_class() -> type:
    """`tf.train.Example`, built from its public definition by Google's protobuf."""
    pytest.importorskip("google.protobuf", reason="needs the package `protobuf`")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    kinds = {"BytesList": field.TYPE_BYTES, "FloatList": field.TYPE_FLOAT, "Int64List": field.TYPE_INT64}
    for name, kind in kinds.items():
        file.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=field.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, inner) in enumerate(
        (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")), 1
    ):
        feature.field.add(
            name=name, number=number, type=field.TYPE_MESSAGE, type_name=f".t.{inner}", label=field.LABEL_OPTIONAL,
            oneof_index=0,
        )  # fmt: skip
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=field.TYPE_MESSAGE, type_name=".t.Feature", label=field.LABEL_OPTIONAL)
    features.field.add(
        name="feature", number=1, type=field.TYPE_MESSAGE, type_name=".t.Features.FeatureEntry",
        label=field.LABEL_REPEATED,
    )  # fmt: skip
    example = file.message_type.add(name="Example")
    example.field.add(
        name="features", number=1, type=field.TYPE_MESSAGE, type_name=".t.Features", label=field.LABEL_OPTIONAL
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: type = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))
    return found


def records_of(path: Path) -> Iterator[bytes]:
    """The messages of a file, with both checksums checked by the slow definition."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        message = data[at + 12 : at + 12 + length]
        for part, place in ((data[at : at + 8], at + 8), (message, at + 12 + length)):
            crc = slow_crc32c(part)
            assert struct.unpack_from("<I", data, place)[0] == ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
        yield message
        at += 16 + length


def test_protobuf_reads_what_was_written(tmp_path: Path) -> None:
    example = example_class()
    artifact = inputs(tmp_path)["split"]
    written = export(artifact, tmp_path / "out", "tfrecord", shard_bytes=2000)
    assert written.rows == COUNTS
    names = [name for name in written.files if name.startswith("train-")]
    assert len(names) > 2 and names[0] == f"train-00000-of-{len(names):05d}.tfrecord"
    found = []
    for name in names:
        for message in records_of(tmp_path / "out" / name):
            features = example.FromString(message).features.feature
            found.append({key: list(getattr(value, value.WhichOneof("kind")).value) for key, value in features.items()})
    expected = rows("train", 30)
    assert [row["content"] for row in found] == [[file.content.encode()] for file in expected]
    assert [row["bytes"] for row in found] == [[file.bytes] for file in expected]
    assert {key for row in found for key in row} == set(SCHEMA.names[:9])
    told = json.loads((tmp_path / "out/features.json").read_text())
    assert told["features"]["content"] == "bytes_list" and told["features"]["bytes"] == "int64_list"


def test_numbers_of_every_kind_and_nulls() -> None:
    example = example_class()
    batch = pa.record_batch(
        {
            "i": pa.array([-1, None, 2**62], pa.int64()),
            "f": pa.array([0.5, -2.0, None], pa.float64()),
            "s": pa.array(["", None, "ñ" * 200]),
            "nested": pa.array([[1], [], None]),
        }
    )
    found = [example.FromString(data[12:-4]).features.feature for data in tfrecord.records(batch)]
    assert [list(row["i"].int64_list.value) for row in found] == [[-1], [], [2**62]]
    assert [list(row["f"].float_list.value) for row in found] == [[0.5], [-2.0], []]
    assert [list(row["s"].bytes_list.value) for row in found] == [[b""], [], ("ñ" * 200).encode().split()]
    assert all("nested" not in row for row in found)


def test_json_lines_have_every_column(tmp_path: Path) -> None:
    artifact = inputs(tmp_path)["split"]
    written = export(artifact, tmp_path / "out", "jsonl")
    assert set(written.files) == {f"{part}-00000-of-00001.jsonl" for part in COUNTS}
    lines = (tmp_path / "out/test-00000-of-00001.jsonl").read_text(encoding="utf-8").splitlines()
    table = pq.read_table(artifact.path("test/00000.parquet")).to_pylist()
    assert [json.loads(line) for line in lines][: len(table)] == table


def sums_hold(folder: Path) -> bool:
    done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("form", ["tfrecord", "jsonl", "parquet"])
def test_the_same_bytes_again_and_sums_that_hold(tmp_path: Path, form: str) -> None:
    artifact = make(tmp_path, inputs(tmp_path))
    for name in ("one", "two"):
        export(artifact, tmp_path / name, form)  # type: ignore[arg-type]
        assert sums_hold(tmp_path / name)
    assert (tmp_path / "one/SHA256SUMS").read_bytes() == (tmp_path / "two/SHA256SUMS").read_bytes()


def test_parquet_takes_the_card_along_but_not_the_stores_files(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    written = export(make(tmp_path, given), tmp_path / "out", "parquet")
    assert written.rows == COUNTS and {"README.md", "croissant.json", "mixture.parquet"} <= set(written.files)
    plain = export(given["split"], tmp_path / "plain", "parquet")
    assert all(name.endswith(".parquet") for name in plain.files)


def failing(code: str, artifact: Artifact, to: Path) -> None:
    with pytest.raises(BurilError) as raised:
        export(artifact, to, "tfrecord")
    assert raised.value.code == code


def test_what_can_go_wrong(tmp_path: Path) -> None:
    given = inputs(tmp_path)
    failing("D320", given["select"], tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    failing("D321", given["split"], tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    (tmp_path / "file").write_text("no folder")
    failing("D322", given["split"], tmp_path / "file/below")


def test_an_empty_split(tmp_path: Path) -> None:
    given = inputs(tmp_path, {"train": 3, "valid": 0, "test": 0})
    written = export(as_artifact(tmp_path / "split", "split"), tmp_path / "out", "tfrecord")
    assert written.rows == {"train": 3, "valid": 0, "test": 0} and given
    assert [name for name in written.files if name.endswith("tfrecord")] == ["train-00000-of-00001.tfrecord"]
