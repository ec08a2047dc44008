"""Runs both texts of a pair on each input of a plan, each time in a process of its own, and writes what was seen.

    python -I -S -c "…" PLAN RESULT

A result is a list, one entry an input, of what was seen of the secure and of the vulnerable text. Where the two are not
alike each is run once more, so that the reader knows what is chance.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import resource
import shutil
import sys
import traceback
import types
from pathlib import Path
from typing import Any

from buril.sandboxes._witness import stubs, web
from buril.sandboxes._witness.scene import CANARY, MARK, OUTSIDE, ROOT, SECRET_BYTES, scene
from buril.sandboxes._witness.unknown import Missing, Unknown
from buril.sandboxes._witness.values import made, plain, unpacked

FRAME = "/tmp/frame.json"  # noqa: S108  the jail's own
NAME = "<candidate>"
_FILE_BYTES = 4_000
PACKAGE = "outer.middle.inner.package"
"""Where the text would stand, so that what it imports relative to itself is something that is not there."""
_PATIENCE = 3
"""Inputs on which neither text ends before no more are tried."""
_MEMORY = 400 << 20


def main() -> None:
    """See the module."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Missing.made = web.modules()
    sys.meta_path.append(Missing())
    sys.dont_write_bytecode = True
    found: list[dict[str, Any]] = []
    for trial in plan["trials"]:
        if len(found) == _PATIENCE and not any(_ended(one) for one in found):
            found += found[:1] * (len(plan["trials"]) - len(found))  # it waits for something that does not come
            break
        seen = {half: once(plan, half, trial, seed=0) for half in plan["texts"]}
        if len({_alike(one) for one in seen.values()}) > 1 and not trial["attack"]:
            seen["again"] = {half: once(plan, half, trial, seed=1) for half in plan["texts"]}
        found.append(seen)
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


def _ended(seen: dict[str, Any]) -> bool:
    return any(one["end"] == "done" for name, one in seen.items() if name != "again")


def _alike(seen: dict[str, Any]) -> str:
    return json.dumps(
        {name: value for name, value in seen.items() if name not in ("hit", "said", "sql")}, sort_keys=True
    )


def once(plan: dict[str, Any], half: str, trial: dict[str, Any], seed: int) -> dict[str, Any]:
    """What one run shows; `end` says how it ended."""
    _world(plan, trial)
    child = os.fork()
    if child == 0:
        _child(plan, half, trial, seed)
    status = os.waitpid(child, 0)[1]
    if not os.path.exists(FRAME):  # noqa: PTH110  pathlib costs more, and this is done often
        return {"end": "timeout" if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (9, 24, 14) else "died"}
    seen: dict[str, Any] = json.loads(Path(FRAME).read_text(encoding="utf-8"))
    return seen


def _world(plan: dict[str, Any], trial: dict[str, Any]) -> None:
    for folder in (ROOT, OUTSIDE, MARK):
        shutil.rmtree(folder, ignore_errors=True)
    for left in (FRAME, MARK):
        with contextlib.suppress(FileNotFoundError):
            os.remove(left)  # noqa: PTH107  as above
    Path(OUTSIDE).mkdir()
    Path(OUTSIDE, "secret.txt").write_text(CANARY.ljust(SECRET_BYTES, "x"), encoding="utf-8")
    Path(ROOT).mkdir()
    for name, text in {**plan["files"], **trial.get("files", {})}.items():
        path = Path(ROOT, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, str):
            path.write_text(text, encoding="utf-8")


def _child(plan: dict[str, Any], half: str, trial: dict[str, Any], seed: int) -> None:
    """Load the text, call its entry, write what was seen. Never returns."""
    try:
        limit = int(plan["seconds"])
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        import signal

        signal.alarm(limit * 3)
        out = os.open(ROOT + ".out", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        scene.text = plan["texts"][half]
        for name, spec in trial.get("packed", {}).items():
            data = made(spec)
            Path(ROOT, name).write_bytes(data if isinstance(data, bytes) else data.encode())
        before = _there()
        seen = _observed(plan, half, trial, seed)
        sys.stdout.flush()
        printed = os.pread(out, 4_000, 0).decode("utf-8", "replace")
        seen.update(
            out=printed, **_left(before), calls=plain(scene.calls), said=scene.said, sql=scene.sql, marks=scene.marks
        )
        seen["end"] = "done"
        with open(FRAME + ".part", "w", encoding="utf-8") as stream:  # noqa: PTH123  as above
            json.dump(seen, stream)
        os.rename(FRAME + ".part", FRAME)  # noqa: PTH104  as above
    finally:
        os._exit(0)


def _observed(plan: dict[str, Any], half: str, trial: dict[str, Any], seed: int) -> dict[str, Any]:
    os.chdir(ROOT)
    os.umask(0o022)
    os.environ.clear()
    os.environ.update({"HOME": ROOT, "PATH": "/none", **trial.get("env", {})})
    text = plan["texts"][half]
    scene.attack, scene.masked = trial["attack"], plan["masked"]
    scene.tables, scene.words, scene.values = plan["tables"], plan["words"], trial["values"]
    scene.session.update(trial.get("session", {}))
    stubs.install(seed)
    Missing.made = web.modules()  # requests hold this run's values
    changed, hit = set(plan["changed"][half]), set()

    def traced(frame: types.FrameType, event: str, _given: Any) -> Any:
        if frame.f_code.co_filename != NAME:
            return None
        if event == "line" and frame.f_lineno in changed:
            hit.add(frame.f_lineno)
        return traced

    arguments: dict[str, Any] = {}
    told: dict[str, Any] = {}
    sys.settrace(traced)
    try:
        value = _called(text, plan, trial, arguments)
        sys.settrace(None)
        told["value"] = plain(value)
    except BaseException as problem:  # noqa: BLE001  the sandbox's border: the candidate may raise anything
        sys.settrace(None)
        told["raised"] = _raised(problem, text)
    told["arguments"] = {
        name: plain(item) for name, item in arguments.items() if trial["arguments"][name]["kind"] != "packed"
    }
    told["hit"] = sorted(hit)
    return told


def _called(text: str, plan: dict[str, Any], trial: dict[str, Any], arguments: dict[str, Any]) -> Any:
    space: dict[str, Any] = {
        "__name__": f"{PACKAGE}.candidate",
        "__file__": f"{ROOT}/candidate.py",
        "__package__": PACKAGE,
    }
    space.update({name: Unknown(name) if name != "request" else web.Request() for name in plan["unknown"]})
    space.update({name: importlib.import_module(name) for name in plan["modules"]})
    exec(compile(text, NAME, "exec", dont_inherit=True), space)  # noqa: S102  this is what the jail is for
    first, _dot, method = plan["entry"].partition(".")
    entry: Any = space[first]
    if method:
        held = inspect.getattr_static(entry, method)
        entry = getattr(entry if isinstance(held, classmethod | staticmethod) else _instance(entry, trial), method)
    arguments.update({name: made(spec) for name, spec in trial["arguments"].items()})
    given = [arguments[name] for name in trial["positional"]]
    named = {name: item for name, item in arguments.items() if name not in trial["positional"]}
    value = entry(*given, **named)
    if inspect.iscoroutine(value):
        import asyncio

        value = asyncio.run(value)
    return list(value) if inspect.isgenerator(value) else value


def _instance(kind: Any, trial: dict[str, Any]) -> Any:
    """An object of a class, made without its constructor; what nobody set is as the plan says, or unknown."""
    held = {name: made(spec) for name, spec in trial.get("attributes", {}).items()}

    def missing(self: Any, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__.setdefault(name, held[name] if name in held else Unknown(f"self.{name}"))

    known = getattr(kind, "__getattr__", None)
    made_of = type(kind.__name__, (kind,), {} if known else {"__getattr__": missing})
    return object.__new__(made_of)


def _raised(problem: BaseException, text: str) -> dict[str, Any]:
    """An exception's class, those that it belongs to, and whether the text raised it itself."""
    frames = list(traceback.extract_tb(problem.__traceback__))
    last = frames[-1] if frames else None
    lines = text.splitlines()
    mine = last is not None and last.filename == NAME and (last.lineno or 0) <= len(lines)
    line = lines[(last.lineno or 1) - 1].strip() if mine and last else ""
    places = [item.lineno for item in frames if item.filename == NAME]
    return {
        "type": type(problem).__name__,
        "of": [item.__name__ for item in type(problem).__mro__[:-2]],
        "own": line.startswith("raise") or isinstance(problem, web.Stop | SystemExit),
        "line": places[-1] if places else 0,
        "message": str(problem)[:200],
        "code": getattr(problem, "code", None) if isinstance(problem, web.Stop) else None,
    }


def _there() -> tuple[dict[str, Any], dict[str, int]]:
    """The files that are there, and the modes of all that is there."""
    files: dict[str, Any] = {}
    modes: dict[str, int] = {}
    for base in (ROOT, OUTSIDE):
        for folder, _names, names in os.walk(base):
            modes[folder] = os.stat(folder).st_mode & 0o777  # noqa: PTH116  as above
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118  as above
                modes[path] = os.lstat(path).st_mode & 0o777
                with contextlib.suppress(OSError), open(path, "rb") as stream:  # noqa: PTH123  as above
                    files[path] = stream.read(_FILE_BYTES)
    return files, modes


def _left(before: tuple[dict[str, Any], dict[str, int]]) -> dict[str, Any]:
    """What a run left: files that are new or other than before (None: gone), and modes that are."""
    files, modes = _there()
    told = {path: unpacked(data) for path, data in files.items() if before[0].get(path) != data}
    gone = {path: None for path in before[0] if path not in files}
    other = {path: mode for path, mode in modes.items() if before[1].get(path) != mode}
    return {"files": {**told, **gone}, "modes": other, "marked": os.path.exists(MARK)}  # noqa: PTH110  as above


if __name__ == "__main__":
    main()
