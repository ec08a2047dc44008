"""The command line as a person uses it: a folder, a command, what it printed, how it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BURIL = [sys.executable, "-m", "buril.cli.main"]


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str


def buril(*words: str, cwd: Path, lang: str = "en", timeout_s: float = 300, **env: str) -> Answer:
    """Run `buril WORDS` in a folder; a traceback fails the test whatever the test asks."""
    clean = {key: value for key, value in os.environ.items() if key not in ("LC_ALL", "LC_MESSAGES", "BURIL_STORE")}
    done = subprocess.run(
        [*BURIL, *words],
        cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False,
        env={**clean, "LANG": f"{lang}.UTF-8", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", **env},
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


MIT = (
    "MIT License\n\nCopyright (c) 2024 Acme\n\nPermission is hereby granted, free of charge, to any person obtaining a copy "
    'of this software and associated documentation files (the "Software"), to deal in the Software without restriction, '
    "including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell "
    "copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following "
    "conditions:\n\nThe above copyright notice and this permission notice shall be included in all copies or substantial "
    'portions of the Software.\n\nTHE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED.\n'
)


def git(folder: Path, *words: str) -> None:
    """A git command with a name and an address of its own."""
    who = ["-c", "user.name=A Person", "-c", "user.email=person@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def repository(folder: Path, files: dict[str, str | bytes], *, licence: bool = True, commit: bool = True) -> Path:
    """A git repository with these files."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    if licence:
        (folder / "LICENSE").write_text(MIT)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if commit:
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "first")
    return folder


def module(name: str, functions: int = 6) -> str:
    """A small Python module that no other resembles."""
    lines = [f'"""Module {name}."""', "", f"SIZE_{name.upper()} = {len(name)}", ""]
    for n in range(functions):
        lines += [
            "",
            f"def {name}_{n}(value_{name}, count=0):",
            f'    """Give {name} number {n}."""',
            f"    for {name}_item in range(count + {n}):",
            f"        value_{name} = value_{name} * {n + 2} + len({name!r})",
            f"    return value_{name} - {n}",
            "",
        ]
    return "\n".join(lines) + "\n"


def project(folder: Path, repos: int = 5, modules: int = 6) -> Path:
    """A folder with several small repositories and a YAML that trains a tiny model from nothing."""
    for r in range(repos):
        files: dict[str, str | bytes] = {
            f"src/m{r}{m}.py": module(
                "".join(chr(97 + (r * 7 + m * 3 + k * 5) % 26) for k in range(6)) + str(r * 10 + m)
            )
            for m in range(modules)
        }
        repository(folder / "repos" / f"repo{r}", files)
    (folder / "buril.yaml").write_text(YAML)
    return folder


YAML = """\
name: tiny
seed: 3
collect:
  - folder: {path: repos}
select: {max_files: 1000}
tokenizer: {train: bpe, vocab: 512}
train:
  base: scratch
  depth: 1
  method: full
  max_length: 128
  max_steps: 6
evaluate:
  suites: [perplexity]
"""
