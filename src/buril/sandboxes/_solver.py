"""What runs inside the jail in the candidate's own process: load the source, make the calls, answer in typed JSON.

It holds the source and the arguments, no expected value: everything here may be read and overwritten by the candidate,
which gains nothing by it. The frames go out as `NONCE JSON` lines on the result pipe.
"""

from __future__ import annotations

import builtins
import json
import os
import random
import sys
from collections.abc import Callable
from typing import Any

from buril.sandboxes import _linux as linux
from buril.sandboxes._codec import Unencodable, decode, encode

MAX_FRAME = 1 << 20
MAX_MESSAGE = 300


def solve(payload_fd: int, result_fd: int) -> None:
    """Run one job to its end; leaves by returning, whatever the candidate raises."""
    job = _read(payload_fd)
    send = _sender(result_fd, job["nonce"])
    entry = _load(job["source"], job["entry"], send)
    if entry is not None:
        for arguments in job["calls"]:
            send(_answer(entry, arguments))
        send({"end": True})
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass


def carry_out(payload_fd: int, result_fd: int) -> None:
    """Write a program's files and run its commands; tells the exit code of each.

    The commands are other processes of the same user: this one is closed to them, so that no one reads its nonce or
    writes on its pipe through `/proc`. (A process that entered a user namespace is closed already; this does not rely
    on that.)
    """
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    job = _read(payload_fd)
    send = _sender(result_fd, job["nonce"])
    for stream in (0, 1, 2):
        os.set_inheritable(stream, True)
    for name, text in job["files"].items():
        folder = os.path.dirname(name)  # noqa: PTH120  pathlib is not warm in the zygote
        if folder:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103  as above
        with open(name, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:  # noqa: PTH123  as above
            file.write(text)
    for command in job["commands"]:
        child = os.fork()
        if child == 0:
            try:
                os.execve(command[0], command, job["environment"])  # noqa: S606  no shell, in the jail
            except OSError as problem:
                os.write(2, f"{command[0]}: {problem.strerror}\n".encode())
            finally:
                os._exit(127)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        send({"code": code})
        if code:
            return


def _read(fd: int) -> Any:
    with os.fdopen(fd, "rb") as stream:
        return json.loads(stream.read())


def _sender(fd: int, nonce: str) -> Callable[[dict[str, Any]], None]:
    def send(frame: dict[str, Any]) -> None:
        text = dumps(frame)
        if len(text) > MAX_FRAME:
            text = dumps({"error": "Unencodable: the value is larger than 1 MB"})
        data = f"{nonce} {text}\n".encode("utf-8", "surrogatepass")
        while data:
            data = data[write(fd, data) :]

    dumps, write = json.dumps, os.write  # bound before the candidate can replace them
    return send


def _load(source: str, name: str, send: Callable[[dict[str, Any]], None]) -> Any:
    space: dict[str, Any] = {"__name__": "candidate", "__builtins__": builtins}
    random.seed(0)
    try:
        exec(compile(source, "<candidate>", "exec"), space)  # noqa: S102  this is what the jail is for
        entry = space.get(name)
        if not callable(entry):
            raise NameError(f"`{name}` is not defined")  # noqa: TRY004, TRY301  told like the candidate's own errors
    except BaseException as problem:  # noqa: BLE001  the sandbox's border: the candidate may raise anything
        send({"load": _describe(problem)})
        return None
    send({"ready": True})
    return entry


def _answer(entry: Any, arguments: list[Any]) -> dict[str, Any]:
    try:
        return {"value": encode(entry(*map(decode, arguments)))}
    except Unencodable as problem:
        return {"error": f"Unencodable: {problem}"}
    except BaseException as problem:  # noqa: BLE001  the sandbox's border: the candidate may raise anything
        kind, message = _describe(problem)
        return {"raised": kind, "message": message}


def _describe(problem: BaseException) -> tuple[str, str]:
    try:
        return type(problem).__name__, str(problem)[:MAX_MESSAGE]
    except BaseException:  # noqa: BLE001  `__str__` belongs to the candidate too
        return type(problem).__name__, ""
