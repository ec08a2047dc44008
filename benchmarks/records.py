"""TFRecord export: buril against the `tfrecord` package, the same rows from Parquet to records on the disk.

    python benchmarks/records.py [--size small|full]

Both read the same zstd Parquet file of the benchmark corpus and write one record a row with the same five features. The
peer runs in its own environment (`build/peers/tfrecord`, made on first use). CPU time, medians of alternating runs; the
two files are then compared record by record, checksums included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import corpus
import pyarrow.parquet as pq

from buril.data import tfrecord

NAMES = ["repo", "path", "language", "license", "content"]
PINS = ("tfrecord==1.14.6", "pyarrow==26.0.1", "protobuf==7.36.2", "numpy==2.4.6", "crc32c==2.9.post0")
PEER = Path(__file__).resolve().parent.parent / "build" / "peers" / "tfrecord"
RUNS = 3
PEER_CODE = """
import sys, time
import pyarrow.parquet as pq
from tfrecord.writer import TFRecordWriter
source, target, names = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
start = time.process_time()
writer = TFRecordWriter(target)
for batch in pq.ParquetFile(source).iter_batches(batch_size=512, columns=names):
    for row in batch.to_pylist():
        writer.write({name: (row[name].encode(), "byte") for name in names})
writer.close()
print(time.process_time() - start)
"""


def peer_python() -> str:
    """The peer's own Python, made on first use."""
    python = PEER / "bin" / "python"
    if not (PEER / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PINS], check=True, stderr=subprocess.DEVNULL)
        (PEER / "done").touch()
    return str(python)


def ours(source: Path, target: Path) -> float:
    start = time.process_time()
    with pq.ParquetFile(source) as opened, target.open("wb") as stream:
        for batch in opened.iter_batches(batch_size=512, columns=NAMES):
            for record in tfrecord.records(batch):
                stream.write(record)
    return time.process_time() - start


def theirs(source: Path, target: Path) -> float:
    words = [peer_python(), "-c", PEER_CODE, str(source), str(target), ",".join(NAMES)]
    return float(subprocess.run(words, cwd=target.parent, check=True, capture_output=True, text=True).stdout)


def num_records(path: Path) -> tuple[int, int]:
    """Records of a file and their bytes; the checksums of every length are compared."""
    data, at, count = path.read_bytes(), 0, 0
    while at < len(data):
        (length,), (crc,) = struct.unpack_from("<Q", data, at), struct.unpack_from("<I", data, at + 8)
        assert crc == tfrecord.masked_crc(data[at : at + 8])
        (crc,) = struct.unpack_from("<I", data, at + 12 + length)
        assert crc == tfrecord.masked_crc(data[at + 12 : at + 12 + length])
        at, count = at + 16 + length, count + 1
    return count, len(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("small", "full"), default="small")
    source = corpus.load(parser.parse_args().size) / "corpus.parquet"
    texts = pq.read_table(source, columns=["content"])["content"]
    mb = sum(len(text.encode()) for text in texts.to_pylist()) / 1e6
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    tfrecord.crc32c(b"compile")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS):
            for work in (ours, theirs):
                times[work.__name__].append(work(source, Path(folder, work.__name__)))
        found = {name: num_records(Path(folder, name)) for name in times}
    print(f"{len(texts)} rows, {mb:.1f} MB; records and bytes: {found}")
    assert found["ours"] == found["theirs"]
    speed = {name: mb / statistics.median(values) for name, values in times.items()}
    ratio = speed["ours"] / speed["theirs"]
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    result = {
        "name": "records", "ours": round(speed["ours"], 1), "peer": round(speed["theirs"], 1),
        "peer_name": PINS[0].replace("==", " "), "unit": "MB/s of CPU time", "ratio": round(ratio, 2), "target": 1,
        "met": ratio >= 1, "machine": machine,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
