"""What a command is told of the completions of models: a ledger's folder, or the file of its fingerprints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from buril.code.fingerprints import Fingerprints
    from buril.gate.scan import Report


def written_in(path: Path) -> Fingerprints:
    """The fingerprints of a file, of a ledger's folder, or of the ledger of a store's folder.

    Raises:
        BurilError: W245 for what is none of these.
    """
    from buril.code.fingerprints import NotFingerprints, read

    if path.is_dir():
        return _of_folder(path)
    try:
        return read(path)
    except NotFingerprints as problem:
        raise BurilError("W245", path=path, problem=problem) from problem
    except OSError as problem:
        raise BurilError("W245", path=path, problem=problem.strerror or str(problem)) from problem


def _of_folder(path: Path) -> Fingerprints:
    """A folder without a record is no ledger: else a wrong path would read as "nothing was generated"."""
    from buril.serve.ledger import FOLDER, Ledger

    for folder in (path, path / FOLDER):
        if folder.is_dir() and Ledger(folder).log.segments():
            return Ledger(folder).fingerprints()
    raise BurilError("W245", path=path, problem=_("there is no record of a ledger in it"))


def told_of(report: Report) -> dict[str, Any]:
    """What a report says of lines that a model wrote, as plain JSON."""
    assert report.generated is not None
    files = [
        {"path": path, "lines": item.lines, "generated": item.generated,
         "pieces": [piece.record() for piece in item.pieces]}
        for path, item in sorted(report.generated.files.items()) if item.pieces
    ]  # fmt: skip
    return {**report.generated.summary(report.counted), "files": files}
