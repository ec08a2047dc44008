"""What buril must never do: talk to the network unasked, or run code that it reads."""

from __future__ import annotations

import ast
import os
import socket
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.person import Answer, buril, project

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "buril"

# --- the network

GUARD = '''"""Every connection and look-up of this Python and its children is written down; what leaves the machine fails."""
import os
import sys

WATCHED = {
    "socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1, "socket.getaddrinfo": 0, "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
}


def is_here(where):
    host = where[0] if isinstance(where, tuple) else where
    if isinstance(host, bytes):
        host = host.decode("utf-8", "replace")
    if host is None or not isinstance(where, tuple) and "/" in str(host):
        return True  # any interface, or the path of a local socket
    return str(host) in ("localhost", "::1", "") or str(host).startswith("127.") or str(host).startswith("\\0")


def watch(event, args):
    if event in WATCHED:
        where = args[WATCHED[event]]
        if not is_here(where):
            with open(os.environ["NETWORK_LOG"], "a") as log:
                log.write(f"{event} {where!r} by {sys.argv[:3]}\\n")
            raise OSError(101, f"the test allows no network: {event} {where!r}")


sys.addaudithook(watch)
'''


@pytest.fixture
def watched(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that may not reach the network, and the log of its attempts."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    path = os.pathsep.join(item for item in (str(tmp_path / "guard"), os.environ.get("PYTHONPATH", "")) if item)
    return {"PYTHONPATH": path, "NETWORK_LOG": str(tmp_path / "network.log"), "HF_HUB_OFFLINE": "0"}


def attempts(watched: dict[str, str]) -> str:
    log = Path(watched["NETWORK_LOG"])
    return log.read_text() if log.exists() else ""


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import socket; socket.create_connection(('192.0.2.1', 80), 1)", "socket.getaddrinfo '192.0.2.1'"),
        ("import socket; socket.socket().connect(('192.0.2.1', 80))", "socket.connect ('192.0.2.1', 80)"),
        ("import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))", "socket.sendto"),
        ("import urllib.request; urllib.request.urlopen('http://example.org')", "socket.getaddrinfo 'example.org'"),
        (
            "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import socket; "
            'socket.gethostbyname("example.org")\'], check=True)',
            "socket.gethostbyname 'example.org'",
        ),
    ],
)
def test_the_guard_sees_the_network(watched: dict[str, str], code: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **watched}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert told in attempts(watched)


def test_the_guard_lets_the_machine_talk_to_itself(watched: dict[str, str]) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)"
        subprocess.run([sys.executable, "-c", code], env={**os.environ, **watched}, check=True)
    assert attempts(watched) == ""


def calls(folder: Path, watched: dict[str, str], *lines: str) -> list[Answer]:
    answers = [buril(*line.split(), cwd=folder, **watched) for line in lines]
    for line, answer in zip(lines, answers, strict=True):
        assert answer.code == 0, (line, answer.err)
    return answers


@pytest.mark.slow
def test_no_verb_up_to_pack_uses_the_network(watched: dict[str, str], tmp_path: Path) -> None:
    folder = project(tmp_path / "project", repos=4, modules=3)
    calls(
        folder, watched,
        "init repos --base scratch --own --force", "config check", "plan --small", "doctor --json",
        "run --small --until pack", "status", "why src/m00.py", "plan --small --set dedup.threshold=0.8",
    )  # fmt: skip
    assert attempts(watched) == ""


@pytest.mark.slow
def test_training_and_all_that_follows_use_no_network(watched: dict[str, str], tmp_path: Path) -> None:
    """Libraries that can fetch models are loaded here, and they are not told to stay offline."""
    folder = project(tmp_path / "project")
    calls(folder, watched, "run", "report", "trace model", "complete --prompt x")
    assert attempts(watched) == ""


# --- code that is read is never run

ALLOWED = {
    "sandboxes/_solver.py": {"exec": "the candidate, inside the jail: this is what the jail is for"},
    "sandboxes/_witness/run.py": {"exec": "a text of a pair, inside the jail"},
    "sandboxes/_witness/stubs.py": {
        "shell=True": "what a text of a pair asks a shell for, inside the jail: an injection has to show",
        "shell=bool(told.get('shell'))": "the same",
    },
    "sandboxes/_witness/values.py": {"pickle": "an attack on what a text of a pair loads, inside the jail"},
}
"""File → what it may call, and why. The list only shrinks."""
CALLS = {"eval", "exec", "__import__", "os.system", "os.popen", "pty.spawn", "torch.load", "yaml.load", "yaml.load_all",
         "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load", "yaml.full_load_all", "tempfile.mktemp",
         "runpy.run_path", "runpy.run_module", "code.interact"}  # fmt: skip
LOADERS = {"yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.CLoader", "yaml.CUnsafeLoader"}
MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "commands", "xmlrpc"}
FLAGS = {"shell", "trust_remote_code", "allow_pickle", "weights_only"}
"""Keywords that open a door when they are true (`weights_only`: when it is false)."""
NETWORK = {"socket", "ssl", "http", "urllib.request", "ftplib", "smtplib", "telnetlib", "requests", "httpx", "aiohttp",
           "urllib3", "websockets", "huggingface_hub"}  # fmt: skip
MAY_CONNECT = {
    "data/sources/_http.py": "the sources `github` and `gharchive` ask for it, through this client alone",
    "train/bases/hub.py": "a hub id asks for it",
    "engines/ray.py": "the cluster that `engine: ray` names",
    "data/sources/_hub.py": "the source `huggingface` names a data set of the hub",
    "evaluate/harness/_tasks.py": "the data of a task, where `download` is set; else it switches the hub off",
    "generators/openai.py": "the user names the URL of a teacher",
    "sandboxes/_worker.py": "a pair of local sockets to the jail, no address",
    "sandboxes/_launcher.py": "the jail's end of that pair",
    "sandboxes/_witness/stubs.py": "stands in for the network inside the jail, where there is none",
    "serve/health.py": "the server that `serve: {engine: {openai: {url: …}}}` names",
    "serve/remote.py": "the same",
    "serve/run.py": "it listens, where the user says; it never connects",
    "serve/supervise.py": "it hands the listening socket on to a worker",
    "testing/_programs.py": "a port of this machine that a sandbox must not reach",
}


def sources() -> Iterator[tuple[str, str]]:
    """Every Python text of the package, the templates of `buril new` filled in."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8")
    names = {"kind": "step", "name": "acme", "Class": "Acme", "module": "acme", "dashed": "acme", "grammar": "python"}
    for path in sorted((SOURCE / "cli" / "templates").glob("*.py.txt")):
        yield path.relative_to(SOURCE).as_posix(), string.Template(path.read_text(encoding="utf-8")).substitute(names)


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or an attribute, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def imported(node: ast.AST) -> list[str]:
    """The modules that an import statement names, and the names it takes from them."""
    if isinstance(node, ast.Import):
        return [item.name for item in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{item.name}" for item in node.names)]
    return []


def within(name: str, wanted: set[str]) -> str:
    """The entry of `wanted` that a dotted name is, or is a part of; ""."""
    return next((item for item in wanted if name == item or name.startswith(f"{item}.")), "")


def dangers(text: str) -> set[str]:
    """What a text calls, imports or switches on that could run what it reads."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        for name in imported(node):
            found |= {item for item in (within(name, MODULES), name if name in CALLS | LOADERS else "") if item}
        if isinstance(node, ast.Attribute | ast.Name) and dotted(node) in LOADERS:
            found.add(dotted(node))
        if isinstance(node, ast.Call):
            if dotted(node.func) in CALLS:
                found.add(dotted(node.func))
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and keyword.value.value == (keyword.arg == "weights_only")
                if keyword.arg in FLAGS and not off:
                    found.add(f"{keyword.arg}={ast.unparse(keyword.value)}")
    return found


def test_nothing_that_is_read_is_run() -> None:
    found = {name: told for name, text in sources() if (told := dangers(text))}
    assert found == {name: set(reasons) for name, reasons in ALLOWED.items()}


def test_what_is_allowed_has_a_reason() -> None:
    assert all(reason for reasons in ALLOWED.values() for reason in reasons.values())
    assert all(MAY_CONNECT.values())


def test_few_modules_can_connect_at_all() -> None:
    found = {
        name
        for name, text in sources()
        for node in ast.walk(ast.parse(text))
        if any(within(item, NETWORK) for item in imported(node))
    }
    assert found == set(MAY_CONNECT)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = eval(text)", "eval"),
        ("def f():\n    exec(text, {})", "exec"),
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("import torch\ntorch.load(path)", "torch.load"),
        ("torch.load(path, weights_only=False)", "weights_only=False"),
        ("import yaml\nyaml.load(text, Loader=yaml.Loader)", "yaml.Loader"),
        ("from yaml import unsafe_load", "yaml.unsafe_load"),
        ("subprocess.run(line, shell=True)", "shell=True"),
        ("subprocess.run(line, shell=wanted)", "shell=wanted"),
        ("AutoModel.from_pretrained(x, trust_remote_code=True)", "trust_remote_code=True"),
        ("np.load(path, allow_pickle=True)", "allow_pickle=True"),
        ("import os\nos.system(line)", "os.system"),
    ],
)
def test_a_danger_is_found(text: str, told: str) -> None:
    assert told in dangers(text)


@pytest.mark.parametrize(
    "text",
    ["yaml.safe_load(text)", "model.eval()", "subprocess.run(line, shell=False)", "np.load(path, allow_pickle=False)",
     "f(weights_only=True)", "regex = re.compile(r'eval\\(')"],
)  # fmt: skip
def test_what_only_looks_like_one_is_not(text: str) -> None:
    assert dangers(text) == set()
