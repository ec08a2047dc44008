"""A parent that holds the socket and sees to it that a worker serves: one that dies is followed by another.

Who connects meanwhile waits in the socket's queue; what the dead worker was writing ends for its clients at once.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from buril.core.errors import BurilError
from buril.serve.log import line

EARLY_S = 20.0
"""A worker that dies sooner after its start never served."""
MOST_EARLY = 3
"""Workers in a row that may die early."""
SOCKET = "BURIL_SERVE_SOCKET"
"""The variable that tells a worker the number of the socket's file."""


def supervise(listening: socket.socket, arguments: Sequence[str]) -> int:
    """Run workers until told to end; the exit code.

    Args:
        listening: the socket that workers serve.
        arguments: of the command, without the program.

    Raises:
        BurilError: V007 where workers die as soon as they are started.
    """
    listening.set_inheritable(True)
    environment = {**os.environ, SOCKET: str(listening.fileno())}
    command = [sys.executable, "-m", "buril", *arguments]
    ending: list[int] = []
    worker: subprocess.Popen[bytes] | None = None

    def end(number: int, _frame: object) -> None:
        ending.append(number)
        if worker is not None:
            worker.send_signal(signal.SIGTERM)

    handlers = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    early = 0
    try:
        while not ending:
            began = time.monotonic()
            # its own group: Ctrl-C reaches it through us alone, once
            worker = subprocess.Popen(command, env=environment, pass_fds=[listening.fileno()], start_new_session=True)  # noqa: S603  our own program
            if ending:
                worker.send_signal(signal.SIGTERM)
            code = _wait(worker)
            if ending or code in (0, 2, 4):  # ended as told, or never to run as it is configured
                return code
            early = early + 1 if time.monotonic() - began < EARLY_S else 0
            if early == MOST_EARLY:
                raise BurilError("V007", times=MOST_EARLY, code=code)
            line("restart", code=code)
        return 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if worker is not None and worker.poll() is None:
            worker.kill()
            worker.wait()


def _wait(worker: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return worker.wait()
        except InterruptedError:
            continue


def inherited() -> socket.socket | None:
    """The socket that a parent has given, where there is one."""
    number = os.environ.get(SOCKET)
    return socket.socket(fileno=int(number)) if number else None
