"""A database in memory with the tables that a text's queries name, and rows of the words that arguments are made of."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from buril.sandboxes._witness.scene import scene

_ABSENT = re.compile(r"no such (table|column): (?:\w+\.)?(\w+)")
_ROWS = 6
_MOST = 12
"""Tables and columns that are added for one query, at most."""


def connection() -> Connection:
    """An open connection; all that a query asks for and is not there is made when it is asked for."""
    db = sqlite3.connect(":memory:", factory=Connection, isolation_level=None)
    for table, columns in scene.tables.items():
        _make(db, table, columns)
    return db


def _make(db: sqlite3.Connection, table: str, columns: list[str]) -> None:
    names = list(dict.fromkeys(["id", *[name.lower() for name in columns if name.lower() != "id"]]))
    listed = ", ".join(f'"{name}"' for name in names)
    sqlite3.Connection.execute(db, f'CREATE TABLE IF NOT EXISTS "{table}" ({listed})')
    for number in range(1, _ROWS + 1):
        row = [number, *[_cell(name, number, place) for place, name in enumerate(names[1:])]]
        sqlite3.Connection.execute(db, f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(row))})', row)  # noqa: S608  names of ours


def _cell(name: str, number: int, place: int) -> Any:
    if name.endswith("_id") or name in ("number", "age", "count", "price", "amount", "quantity", "size", "year"):
        return number
    return scene.words[(number - 1) % len(scene.words)] if scene.words else f"word{place}"


class Cursor(sqlite3.Cursor):
    """A cursor that makes what is missing, and tells the scene which texts were run and how many rows came of it."""

    def execute(self, sql: str, parameters: Any = ()) -> Cursor:
        """Run a query."""
        scene.sql.append(str(sql))
        return self._run("execute", sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> Cursor:
        """Run a query for each of some parameters."""
        scene.sql.append(sql)
        return self._run("executemany", sql, list(parameters))

    def executescript(self, sql: str) -> Cursor:
        """Run several queries."""
        scene.sql.append(sql)
        super().executescript(sql)
        return self

    def _run(self, way: str, sql: str, parameters: Any) -> Cursor:
        for _attempt in range(_MOST):
            try:
                getattr(super(), way)(sql, parameters)
            except sqlite3.OperationalError as problem:
                absent = _ABSENT.search(str(problem))
                if absent is None:
                    raise
                self._add(absent[1], absent[2], sql)
            else:
                return self
        raise sqlite3.OperationalError("too much is missing")

    def _add(self, kind: str, name: str, sql: str) -> None:
        db = self.connection
        if kind == "table":
            _make(db, name, [])
            return
        for (table,) in sqlite3.Connection.execute(
            db, "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            if re.search(rf"\b{re.escape(table)}\b", sql):
                known = [row[1] for row in sqlite3.Connection.execute(db, f'PRAGMA table_info("{table}")')]
                if name.lower() not in known:
                    sqlite3.Connection.execute(db, f'ALTER TABLE "{table}" ADD COLUMN "{name.lower()}"')


class Connection(sqlite3.Connection):
    """A connection with such cursors."""

    def cursor(self, *_more: Any) -> Any:
        """A cursor."""
        return super().cursor(Cursor)

    def execute(self, sql: str, *parameters: Any) -> Cursor:
        """Run a query."""
        found: Cursor = self.cursor().execute(sql, *parameters)
        return found

    def executemany(self, sql: str, parameters: Any) -> Cursor:
        """Run a query for each of some parameters."""
        found: Cursor = self.cursor().executemany(sql, parameters)
        return found


def told(db: sqlite3.Connection) -> dict[str, Any]:
    """All that is in it."""
    try:
        db.row_factory = None
        names = sqlite3.Connection.execute(
            db, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        read = 'SELECT * FROM "{}"'
        return {name: [list(row) for row in sqlite3.Connection.execute(db, read.format(name))] for (name,) in names}
    except sqlite3.ProgrammingError:
        return {"closed": True}
