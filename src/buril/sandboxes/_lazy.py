"""A sandbox that is made when it is first asked for, by whichever thread, and closed if it was."""

from __future__ import annotations

import threading

from buril.core.plugins import Ref
from buril.sandboxes._sandbox import Sandbox


class Lazy:
    """A sandbox to come.

    Args:
        ref: names it.
    """

    def __init__(self, ref: Ref) -> None:
        self._ref = ref
        self._making = threading.Lock()
        self._made: Sandbox | None = None

    def get(self) -> Sandbox:
        """The sandbox.

        Raises:
            BurilError: E001 where there can be none.
        """
        with self._making:
            if self._made is None:
                self._made = self._ref.make()
            return self._made

    def close(self) -> None:
        """End its jails, where there are any."""
        if self._made is not None:
            self._made.close()
