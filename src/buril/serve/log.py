"""The server's log: a line of JSON for each request, on stderr. It has sizes, times and names; never code."""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any


def line(event: str, **told: Any) -> None:
    """Write a line."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    kept = {name: value for name, value in told.items() if value not in (None, [], ())}
    sys.stderr.write(json.dumps({"time": now, "event": event, **kept}, ensure_ascii=False) + "\n")
    sys.stderr.flush()
