"""Repository documents: files after what they import, each token with its row, nothing lost, no contamination."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.generators._encoder import Encoder
from buril.tokens.repository import Heads, Place
from buril.train.batch import PackedFile
from tests.conftest import as_artifact
from tests.tokens.test_pack import rows, stage
from tests.train.small import write_tokenizer

FILES = {
    "shop": {
        "app.py": "from cart import Cart\nimport money\nprint(Cart())\n",
        "cart.py": "import money\nclass Cart:\n    pass\n",
        "money.py": "RATE = 3\n",
        "zoo.py": "x = 1\n" * 100,
    },
    "other": {"a.py": "import b\n", "b.py": "import a\n"},
}


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Artifact]:
    files = [CodeFile(repo, path, text, language="python") for repo in FILES for path, text in FILES[repo].items()]
    write_rows(tmp_path / "split/train/00000.parquet", files[::2])  # a repository may lie in several shards
    write_rows(tmp_path / "split/train/00001.parquet", files[1::2])
    valid = [CodeFile("held", path, text, language="python") for path, text in FILES["shop"].items()]
    write_rows(tmp_path / "split/valid/00000.parquet", valid)
    return {"split": as_artifact(tmp_path / "split", "split"), "tokenizer": write_tokenizer(tmp_path / "tokenizer")}


def documents(packed: Artifact, part: str, encoder: Encoder) -> list[tuple[list[str], str]]:
    """Each document: the rows of its spans, and its text."""
    found: list[tuple[list[str], str]] = []
    for row in rows(packed, part):
        held: dict[int, list[Any]] = {}
        for span in row["spans"]:
            held.setdefault(span["document"], []).append(span)
        for spans in held.values():
            ids = row["input_ids"][spans[0]["start"] : spans[-1]["start"] + spans[-1]["length"]]
            found.append(([span["row_id"] for span in spans], encoder.decode(ids, special=True)))
    return found


@pytest.mark.parametrize("part", ["train", "valid"])
def test_files_follow_what_they_import(
    part: str, inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    packed = make_artifact(stage(context="repository", fim_rate=0, max_length=512), inputs)
    encoder = Encoder(inputs["tokenizer"].folder)
    found = documents(packed, part, encoder)
    repo = "shop" if part == "train" else "held"
    money = CodeFile(repo, "money.py", FILES["shop"]["money.py"]).row_id
    assert next(text for row_ids, text in found if row_ids[0] == money) == (
        f"# {repo}: money.py\nRATE = 3\n# cart.py\nimport money\nclass Cart:\n    pass\n"
        "# app.py\nfrom cart import Cart\nimport money\nprint(Cart())\n<|endoftext|>"
    )
    if part == "train":
        assert "# other: a.py\nimport b\n# b.py\nimport a\n<|endoftext|>" in [text for _row_ids, text in found]
        summary = packed.json("summary.json")
        assert summary["context_share"] > 0.05 and summary["valid"]["context_share"] > 0.05
        assert packed.manifest.metrics["context_share"] == summary["context_share"]


def test_every_character_is_there_once_with_its_row_and_bytes_do_not_depend_on_workers(
    inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    told: dict[str, Any] = {"context": "repository", "fim_rate": 0, "max_length": 128}
    packed = make_artifact(stage(**told), inputs)
    encoder = Encoder(inputs["tokenizer"].folder)
    parts: dict[str, list[tuple[int, str]]] = {}
    for row in rows(packed, "train"):
        assert len(row["input_ids"]) <= 128
        assert sum(span["length"] for span in row["spans"]) == len(row["input_ids"])
        for span in row["spans"]:
            ids = row["input_ids"][span["start"] : span["start"] + span["length"]]
            head, _end, body = encoder.decode(ids).partition("\n")
            assert head.startswith("# ")
            parts.setdefault(span["row_id"], []).append((span["offset"], body))
    for repo, files in FILES.items():
        for path, text in files.items():
            found = parts[CodeFile(repo, path, text).row_id]
            assert "".join(body for _offset, body in sorted(found)) == text
    assert make_artifact(stage(**told, workers=2), inputs, folder="two").digest == packed.digest


def test_a_hole_is_within_one_file_and_ends_with_the_end_of_text(
    inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    packed = make_artifact(stage(context="repository", fim_rate=1.0, max_length=512), inputs)
    encoder = Encoder(inputs["tokenizer"].folder)
    for row in rows(packed, "train"):
        for span in row["spans"]:
            text = encoder.decode(row["input_ids"][span["start"] : span["start"] + span["length"]], special=True)
            assert span["fim"] in ("psm", "spm")
            assert text.count("<fim_prefix>") == text.count("<fim_middle>") == 1 and text.endswith("<|endoftext|>")


def test_attention_sees_the_document_and_lineage_the_rows(
    inputs: dict[str, Artifact], make_artifact: Callable[..., Artifact]
) -> None:
    packed = make_artifact(stage(context="repository", fim_rate=0, max_length=2000), inputs)
    sequence = PackedFile(packed.path("train.parquet"))[0]
    assert len(sequence.lengths) == 2 and len(sequence.row_ids) == len(sequence.row_lengths) == 6
    assert sum(sequence.lengths) == sum(sequence.row_lengths) == len(sequence.input_ids)
    assert sequence.num_targets == len(sequence.input_ids) - 2


def test_names_use_the_vocabularys_own_tokens_where_it_has_them(tmp_path: Path) -> None:
    from tokenizers import AddedToken, Tokenizer

    artifact = write_tokenizer(tmp_path / "t")
    place = Place("acme/shop", "src/a.py", "python", ())
    css = place._replace(path="a.css", language="css")
    plain = Encoder(artifact.folder)
    assert plain.decode(Heads(plain).of(css, first=False)) == "/* a.css */\n"
    assert plain.decode(Heads(plain).of(place._replace(language="go"), first=True)) == "// acme/shop: src/a.py\n"
    long = Heads(plain, 16).of(place._replace(path="x" * 100 + "/end.py"), first=False)
    assert len(long) == 16 and plain.decode(long).endswith("/end.py\n")
    path = artifact.path("tokenizer/tokenizer.json")
    raw = Tokenizer.from_file(str(path))
    raw.add_special_tokens([AddedToken(token, special=True) for token in ("<|repo_name|>", "<|file_sep|>")])
    raw.save(str(path))
    own = Encoder(artifact.folder)
    told = Heads(own)
    assert told.kind == "tokens"
    assert own.decode(told.of(place, first=True), special=True) == "<|repo_name|>acme/shop<|file_sep|>src/a.py\n"
    assert own.decode(told.of(place, first=False), special=True) == "<|file_sep|>src/a.py\n"
