"""Imports: which files of a repository a file builds on, and an order in which each comes after what it builds on.

What a file names is read off its tree; names are looked up among the paths of the same repository alone, so that what
is imported from elsewhere falls away. A language without an entry here has no edges, and its files stay in order of
their paths.
"""

from __future__ import annotations

import heapq
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from tree_sitter import Query, QueryCursor, Tree

from buril.code.parse import grammar

_ECMASCRIPT = """
    (import_statement source: (string) @name)
    (export_statement source: (string) @name)
    (call_expression function: (identifier) @call arguments: (arguments . (string) @name) (#eq? @call "require"))
"""
_C = "(preproc_include path: (_) @name)"
_QUERIES = {
    "python": "(import_statement) @name (import_from_statement) @name",
    "javascript": _ECMASCRIPT,
    "typescript": _ECMASCRIPT,
    "tsx": _ECMASCRIPT,
    "go": "(import_spec path: (_) @name)",
    "java": "(import_declaration) @name",
    "c": _C,
    "cpp": _C,
}
"""Language → the query whose captures @name are looked at."""
_SCRIPTS = ("", ".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.tsx", "/index.js")


def imports(language: str, tree: Tree) -> list[str]:
    """What a file imports, as its language writes it: `a.b`, `./x`, `"lib/y.h"`; each once, sorted."""
    query = _query(language)
    if query is None:
        return []
    nodes = QueryCursor(query).captures(tree.root_node).get("name", [])
    texts = [(node.text or b"").decode("utf-8", "replace") for node in nodes]
    read = _READ.get(language, _quoted)
    return sorted({name for text in texts for name in read(text)})


@cache
def _query(language: str) -> Query | None:
    text = _QUERIES.get(language)
    return Query(grammar(language), text) if text else None


def _quoted(text: str) -> list[str]:
    return [text.strip("\"'`<>")]


def _python(text: str) -> list[str]:
    """The modules of an import; `from a import b` may mean `a` or `a.b`."""
    words = text.replace("(", " ").replace(")", " ").replace(",", " , ").split()
    if words[0] == "import":
        return [word for word, before in zip(words[1:], words, strict=False) if before in ("import", ",")]
    source = words[1]
    names = [word for word, before in zip(words[3:], words[2:], strict=False) if before in ("import", ",")]
    joined = source if source.endswith(".") else source + "."
    return [source, *(joined + name for name in names if name not in ("*", ","))]


def _java(text: str) -> list[str]:
    return [text.removeprefix("import").strip(" ;").removeprefix("static ").strip()]


_READ: Mapping[str, Callable[[str], list[str]]] = {"python": _python, "java": _java}


class Repository:
    """The paths of a repository, looked up by their ends: no root of packages or headers need be known."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = sorted(set(paths))
        self._known = set(self._paths)
        self._by_name: dict[str, list[str]] = {}
        self._by_folder: dict[str, list[str]] = {}
        for path in self._paths:
            self._by_name.setdefault(posixpath.basename(path), []).append(path)
            self._by_folder.setdefault(posixpath.dirname(path), []).append(path)

    def targets(self, language: str, path: str, name: str) -> list[str]:
        """The files that a file at `path` means by an import; [] for what is not of this repository."""
        if language == "python":
            return self._python(path, name)
        if language == "go":
            return self._go(name)
        if language == "java":
            return self._ending(name.replace(".", "/").removesuffix("/*") + ".java")
        return self._relative(path, name) or ([] if name.startswith(".") else self._ending(name))

    def _python(self, path: str, name: str) -> list[str]:
        up = len(name) - len(name.lstrip("."))
        tail = name.lstrip(".").replace(".", "/")
        if not up:
            return self._ending(f"{tail}.py") or self._ending(f"{tail}/__init__.py")
        folder = path
        for _step in range(up):
            folder = posixpath.dirname(folder)
        inner = posixpath.join(folder, tail) if tail else folder
        return [found for found in (f"{inner}.py", posixpath.join(inner, "__init__.py")) if found in self._known]

    def _relative(self, path: str, name: str) -> list[str]:
        inner = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
        return next(([inner + ending] for ending in _SCRIPTS if inner + ending in self._known), [])

    def _go(self, name: str) -> list[str]:
        """The files of the package: of the folder that shares the longest end with the import's path."""
        parts = name.split("/")
        ends = ["/".join(parts[begin:]) for begin in range(len(parts))]
        folder = next((end for end in ends if end in self._by_folder), None)
        return [path for path in self._by_folder.get(folder or "", []) if path.endswith(".go")] if folder else []

    def _ending(self, tail: str) -> list[str]:
        """The first path that ends in `tail`, the shortest one, where there is one."""
        able = self._by_name.get(posixpath.basename(tail), [])
        found = [path for path in able if path == tail or path.endswith("/" + tail)]
        return [min(found, key=lambda path: (path.count("/"), path))] if found else []


def in_order(paths: Sequence[str], needs: Mapping[str, Iterable[str]]) -> list[str]:
    """The paths so that each comes after those it needs; what is free at the same time comes by path.

    A circle is broken at the first path, by name, that is left in it or behind it.
    """
    waiting = {path: {other for other in needs.get(path, ()) if other != path} for path in paths}
    waiting = {path: others & waiting.keys() for path, others in waiting.items()}
    after: dict[str, list[str]] = {}
    for path, others in waiting.items():
        for other in others:
            after.setdefault(other, []).append(path)
    free = [path for path, others in waiting.items() if not others]
    heapq.heapify(free)
    rest = iter(sorted(waiting))
    done: dict[str, None] = {}
    while len(done) < len(waiting):
        path = heapq.heappop(free) if free else next(item for item in rest if item not in done)
        if path in done:
            continue
        done[path] = None
        for later in after.get(path, ()):
            waiting[later].discard(path)
            if not waiting[later] and later not in done:
                heapq.heappush(free, later)
    return list(done)
