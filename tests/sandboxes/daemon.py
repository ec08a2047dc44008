"""A Docker daemon of the tests' own, and an image of this machine's Python: nothing is fetched, nothing is left."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IMAGE = "buril-tests:python"


def missing() -> str:
    """Why no daemon can be started here, or ""."""
    if not shutil.which("dockerd"):
        return "needs dockerd: apt-get install docker.io"
    return "" if os.geteuid() == 0 else "a daemon of its own needs root"


@contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """The client's command for a daemon that lives as long as the block. Its files lie in `folder`."""
    socket = folder / "docker.sock"
    command = [
        "dockerd", "--iptables=false", "--bridge=none", "--data-root", str(folder / "data"), "--exec-root",
        str(folder / "exec"), "--pidfile", str(folder / "pid"), "--host", f"unix://{socket}",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    client = f"docker --host unix://{socket}"
    try:
        for _attempt in range(300):
            if process.poll() is not None:
                break
            if subprocess.run([*client.split(), "version"], capture_output=True, check=False).returncode == 0:
                yield client
                return
            time.sleep(0.1)
        raise RuntimeError("the daemon did not start: " + (folder / "log").read_text()[-800:])
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def load_image(client: str) -> None:
    """An image that holds this interpreter, its library, what they are linked to, and a shell."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        paths = _closure()
        links = {path for path in paths if path.is_symlink() and path.is_dir()}
        for folder in sorted({parent for path in paths for parent in path.parents} - {Path("/")} - links):
            entry = tarfile.TarInfo(str(folder).lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        entry = tarfile.TarInfo("tmp")  # as every image has it: a tmpfs there takes its mode from it
        entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(entry)
        for path in sorted(paths):
            archive.add(path, arcname=str(path).lstrip("/"), recursive=False)
    done = subprocess.run(
        [*client.split(), "import", "-", IMAGE], input=held.getvalue(), capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode())


def _closure() -> set[Path]:
    python = Path(os.path.realpath(sys.executable))
    library = Path(sysconfig.get_path("stdlib"))
    skipped = ("site-packages", "dist-packages", "test", "idlelib", "__pycache__", "tkinter")
    files = {path for path in library.rglob("*") if path.is_file() and not set(path.parts) & set(skipped)}
    tools = {Path(f"/bin/{name}") for name in ("sh", "cat", "ls", "echo")}
    files |= {python, *tools}
    for path in [python, *tools, *(path for path in files if path.suffix == ".so")]:
        done = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False)
        files |= {Path(word) for word in done.stdout.split() if word.startswith("/") and Path(word).is_file()}
    links = {Path(name) for name in ("/lib", "/lib64", "/bin") if Path(name).is_symlink()}
    real = {path.resolve() for path in files}
    named = {path.parent.resolve() / path.name for path in files}
    return real | named | links
