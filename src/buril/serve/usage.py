"""What keys have used, kept in a file, so that a server that starts again goes on counting where the last one was.

The file has hashes of keys and numbers. It is written whole beside the old one and put in its place, at most once in
`SAVE_S` seconds: a server that is killed forgets no more than these.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from buril.core.artifact import atomic
from buril.serve.log import line

FILE = "usage.json"
"""Its name in the folder of the server's state."""
SAVE_S = 5.0
FORMAT = 1


@dataclass
class Account:
    """What a key has used: a bucket of requests that fills with time, and the tokens of a day."""

    requests: float = 0.0
    at: float = 0.0
    day: datetime.date = datetime.date.min
    tokens: int = 0


def read(path: Path) -> dict[str, Account]:
    """The accounts of a file, by the hash of their key; none where there is no file.

    One that can't be read is said in the log and counted anew: a damaged file must not keep a team out.
    """
    try:
        return _accounts(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as problem:
        line("usage_lost", path=str(path), problem=type(problem).__name__)
        return {}


def _accounts(told: Mapping[str, Any]) -> dict[str, Account]:
    if told["format"] != FORMAT:
        raise ValueError(f"format {told['format']}")
    return {key: _account(entry) for key, entry in told["keys"].items()}


def _account(entry: Mapping[str, object]) -> Account:
    day = datetime.date.fromisoformat(str(entry["day"]))
    found = Account(float(str(entry["requests"])), float(str(entry["at"])), day, int(str(entry["tokens"])))
    if not (math.isfinite(found.requests) and math.isfinite(found.at) and found.requests >= 0 and found.tokens >= 0):
        raise ValueError("no numbers of use")
    return found


def write(path: Path, accounts: Mapping[str, Account]) -> bool:
    """Write the accounts; whether they could be. What can't be written is said in the log and tried again later."""
    kept = {key: {**asdict(account), "day": account.day.isoformat()} for key, account in accounts.items()}
    try:
        with atomic(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps({"format": FORMAT, "keys": kept}, indent=1) + "\n", encoding="utf-8")
    except OSError as problem:
        line("usage_not_kept", path=str(path), problem=problem.strerror or str(problem))
        return False
    return True
