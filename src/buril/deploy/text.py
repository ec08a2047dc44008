"""Manifests as text: the same values always give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from buril.deploy.names import Tree

HEAD = "Written by `buril deploy`; change the YAML and render it again."


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key, long texts as blocks, and no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def dump(value: Any) -> str:
    """Plain values as YAML, in the order they are given."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9)


def file_of(about: str, documents: Sequence[Tree]) -> str:
    """A file of manifests with what it is for above them."""
    comment = "".join(f"# {line}\n" for line in (*about.splitlines(), HEAD))
    return comment + "".join(f"---\n{dump(document)}" for document in documents)


def lines_of(about: str, lines: Sequence[str]) -> str:
    """A file of lines with what it is for above them."""
    return "".join(f"# {line}\n" for line in (*about.splitlines(), HEAD)) + "".join(f"{line}\n" for line in lines)


def plain(value: Mapping[str, Any]) -> str:
    """A part of the YAML as the pods are given it."""
    return dump(dict(value))
