"""The dataset card: `README.md` with the YAML header that the `datasets` library and the Hugging Face hub read.

The header says which files are which split, so `datasets.load_dataset(FOLDER)` reads the data set as it is. The text
below it says what is inside, from counts alone: no name of a person, no path of a machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import yaml

SPLITS = {"train": "train", "valid": "validation", "test": "test"}
"""Part of the split → the name that the `datasets` library gives it."""
_HUB = (
    "afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc0-1.0 cc-by-2.0 "
    "cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cecill-b ecl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 gfdl gpl gpl-2.0 "
    "gpl-3.0 isc lgpl-2.1 lgpl-3.0 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 osl-3.0 postgresql unlicense "
    "wtfpl zlib"
)
HUB_LICENSES = frozenset(_HUB.split())
"""Licences that the hub has a name for; all others are `other` there and stand by their SPDX name in the text."""
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
MAX_ROWS = 40
MAX_REASONS = 20


class Part(NamedTuple):
    """A part of the data set: its rows, the bytes of its text and of its files, all its columns uncompressed."""

    name: str
    rows: int
    text_bytes: int
    file_bytes: int
    memory_bytes: int


class Story(NamedTuple):
    """What the card tells beside the parts."""

    title: str
    description: str
    languages: Sequence[Mapping[str, Any]]
    """Rows of `mixture.summed`."""
    licenses: Sequence[Mapping[str, Any]]
    repositories: Sequence[Mapping[str, Any]]
    dropped: Mapping[str, int]
    """Reason → files that were left out."""


def card(parts: Sequence[Part], schema: pa.Schema, story: Story) -> str:
    """The text of `README.md`."""
    header = yaml.safe_dump(_header(parts, schema, story), sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{header}---\n\n{_text(parts, story)}"


def hub_licenses(expressions: Sequence[str]) -> list[str]:
    """SPDX expressions as the hub writes licences: lower case, one id each, `other` for what it has no name for.

    Example:
        `hub_licenses(["MIT", "GPL-3.0-or-later", "MIT OR Apache-2.0", ""])` → `["gpl-3.0", "mit", "other"]`
    """
    found = {text.lower().removesuffix("-only").removesuffix("-or-later") for text in expressions}
    return sorted({text if text in HUB_LICENSES else "other" for text in found})


def _header(parts: Sequence[Part], schema: pa.Schema, story: Story) -> dict[str, Any]:
    rows = sum(part.rows for part in parts)
    languages = [row["name"] for row in story.languages if row["name"]]
    licenses = hub_licenses([row["name"] for row in story.licenses])
    files = [{"split": SPLITS[part.name], "path": f"{part.name}/*.parquet"} for part in parts]
    splits = [{"name": SPLITS[part.name], "num_bytes": part.memory_bytes, "num_examples": part.rows} for part in parts]
    return {
        "pretty_name": story.title,
        "language": ["code"],
        "license": licenses[0] if len(licenses) == 1 else licenses,
        "size_categories": [next((name for limit, name in SIZES if rows < limit), "n>10M")],
        "task_categories": ["text-generation"],
        "tags": ["code", "croissant", *languages],
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {
            "config_name": "default",
            "features": [_feature(field) for field in schema],
            "splits": splits,
            "download_size": sum(part.file_bytes for part in parts),
            "dataset_size": sum(part.memory_bytes for part in parts),
        },
    }


def _feature(field: pa.Field) -> dict[str, Any]:
    """A column as the `datasets` library writes it in YAML."""
    if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
        return {"name": field.name, "list": [_feature(inner) for inner in field.type.value_type]}
    return {"name": field.name, "dtype": {"double": "float64"}.get(str(field.type), str(field.type))}


def _text(parts: Sequence[Part], story: Story) -> str:
    blocks = [f"# {story.title}", story.description] if story.description else [f"# {story.title}"]
    blocks.append(_table(("part", "files", "MB of text"), [(p.name, p.rows, _mb(p.text_bytes)) for p in parts]))
    for title, rows in (("Languages", story.languages), ("Licences", story.licenses)):
        blocks += [f"## {title}", _shares(rows)]
    blocks += ["## Repositories", f"{len(story.repositories)} repositories; the largest:"]
    blocks.append(_shares(story.repositories[:MAX_ROWS]))
    if story.dropped:
        most = sorted(story.dropped.items(), key=lambda item: (-item[1], item[0]))
        blocks += ["## Left out", f"{sum(story.dropped.values())} files were left out, for these reasons:"]
        blocks.append(_table(("reason", "files"), most[:MAX_REASONS]))
    blocks += [
        "## Columns",
        "Each row is one source file: `repo`, `commit` and `path` say where it comes from and `license` under what "
        "terms; `content` is the text after cleaning, with secrets and personal data replaced as `redactions` says; "
        "`findings` are what scanners saw. A row keeps the licence of its repository or file: whoever uses a row "
        "keeps to that licence.",
        "Files: `croissant.json` tells the same to machines, with the SHA-256 of every file; `mixture.parquet` has "
        "the shares by part, language, licence and repository.",
    ]
    return "\n\n".join(blocks) + "\n"


def _shares(rows: Sequence[Mapping[str, Any]]) -> str:
    tokens = any(row["tokens"] is not None for row in rows)
    head = ("name", "files", "MB", *(("tokens",) if tokens else ()), "share")
    lines = [
        (row["name"] or "unknown", row["files"], _mb(row["bytes"]), *((row["tokens"],) if tokens else ()),
         f"{row['share']:.1%}")
        for row in rows
    ]  # fmt: skip
    return _table(head, lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.2f}"
