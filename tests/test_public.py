"""The public API, the import times, and the rules about what may be loaded when."""

from __future__ import annotations

import json
import subprocess
import sys

import buril
from tests.pace import pace


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_every_public_name_is_there() -> None:
    for name in buril.__all__:
        assert getattr(buril, name) is not None
    assert set(dir(buril)) == set(buril.__all__)


def test_import_is_quick_and_light() -> None:
    out = python(
        "import time, json, sys; start = time.process_time(); import buril; spent = time.process_time() - start;"
        "print(json.dumps([spent, sorted(m for m in sys.modules if m in ('torch', 'pyarrow', 'pydantic', 'click', 'numpy'))]))"
    )
    spent, loaded = json.loads(out)
    assert loaded == []
    assert spent < 0.1 * pace()


def test_help_is_quick_and_light() -> None:
    out = python(
        "import sys, time, json, io, contextlib\n"
        "start = time.process_time()\n"
        "from buril.cli.main import cli\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    cli.main(['--help'], standalone_mode=False)\n"
        "heavy = sorted(m for m in sys.modules if m in ('torch', 'transformers', 'pyarrow', 'pydantic', 'yaml', 'rich', 'numpy'))\n"
        "print(json.dumps([time.process_time() - start, heavy]))"
    )
    spent, loaded = json.loads(out)
    assert loaded == []
    assert spent < 0.15 * pace()


def test_the_data_stages_never_load_torch() -> None:
    out = python(
        "import sys\n"
        "import buril.chain\n"
        "for name in ('collect', 'dedup', 'prepare', 'select', 'split', 'base', 'tokenizer', 'pack', 'train', 'evaluate'):\n"
        "    buril.chain.stage_class(name)\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    assert out.split() == ["False", "False"]
