"""PHP's expressions in the form of `ir.py`: all that read them, together; statements are read by `lower_php.py`."""

from __future__ import annotations

from buril.scanners._taint import php_functions, php_members, php_operators
from buril.scanners._taint.php_names import READER


def use() -> None:
    """Let all of them be read."""
    READER.learn({**php_operators.READS, **php_members.READS, **php_functions.READS})
