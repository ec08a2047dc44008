"""Croissant 1.0 (MLCommons, 2024): a data set told in JSON-LD, for catalogues and loaders.

Every file stands there with its SHA-256 and size, every part as a record set with the fields of its rows. Paths are
relative to the data set's folder. Only the flat columns are fields: Croissant's tools can't yet take lists of
structures out of Parquet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from buril.core.artifact import FileEntry

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
DESCRIPTIONS = {
    "row_id": "Name of the row for good: a hash of repository, path and content as collected.",
    "sha256": "SHA-256 of the file's bytes as collected.",
    "repo": "Repository or package that the file comes from.",
    "commit": "Commit or version it was taken from.",
    "path": "Path of the file in its repository.",
    "language": "Programming language.",
    "license": "SPDX licence expression in force for the file; empty where none is known.",
    "content": "Text of the file after cleaning and redaction.",
    "bytes": "Size of the file as collected, in bytes.",
}


def croissant(
    head: Mapping[str, Any], parts: Mapping[str, Sequence[FileEntry]], schema: pa.Schema, *, licenses: Sequence[str]
) -> dict[str, Any]:
    """The JSON-LD of a data set.

    Args:
        head: name, description and, where they are known, url, version, creator, datePublished.
        parts: name of a split → its Parquet files.
        schema: of these files.
        licenses: SPDX expressions; they are told as addresses where each is one licence.
    """
    distribution = [_file(entry) for entries in parts.values() for entry in entries]
    for part, entries in parts.items():
        if len(entries) > 1:
            distribution.append(_file_set(part, entries))
    told = [_license(text) for text in licenses]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        **head,
        "license": told[0] if len(told) == 1 else told,
        "distribution": distribution,
        "recordSet": [_record_set(part, entries, schema) for part, entries in parts.items()],
    }


def _license(text: str) -> str:
    single = text and " " not in text and not text.startswith("LicenseRef-")
    return f"https://spdx.org/licenses/{text}.html" if single else text or "unknown"


def _file(entry: FileEntry) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": entry.path,
        "name": entry.path,
        "contentUrl": entry.path,
        "contentSize": f"{entry.bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": entry.sha256,
    }


def _file_set(part: str, entries: Sequence[FileEntry]) -> dict[str, Any]:
    """The files of a part together, by a pattern below the data set's folder."""
    return {
        "@type": "cr:FileSet",
        "@id": f"{part}-files",
        "name": f"{part}-files",
        "encodingFormat": "application/x-parquet",
        "includes": f"{entries[0].path.rpartition('/')[0]}/*.parquet",
    }


def _record_set(part: str, entries: Sequence[FileEntry], schema: pa.Schema) -> dict[str, Any]:
    source = {"fileSet": {"@id": f"{part}-files"}} if len(entries) > 1 else {"fileObject": {"@id": entries[0].path}}
    fields = []
    for column in schema:
        if pa.types.is_nested(column.type):
            continue
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"{part}/{column.name}",
                "name": column.name,
                "description": DESCRIPTIONS.get(column.name, column.name),
                "dataType": "sc:Integer" if pa.types.is_integer(column.type) else "sc:Text",
                "source": {**source, "extract": {"column": column.name}},
            }
        )
    key = {"key": {"@id": f"{part}/row_id"}} if "row_id" in schema.names else {}
    return {"@type": "cr:RecordSet", "@id": part, "name": part, **key, "field": fields}
