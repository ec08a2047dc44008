"""The package codebleu on pairs: `python _codebleu_tool.py PAIRS.json RESULT.json`, in whichever Python has it.

PAIRS.json is a list of [text, reference] in Python. RESULT.json receives the parts of each pair and the processor time
of all, in seconds, without imports.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path


def main() -> None:
    sys.path.pop(0)  # this folder has a file of that name
    from codebleu import calc_codebleu

    logging.disable()
    pairs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    calc_codebleu(["x = 1"], ["x = 1"], lang="python")
    began = time.process_time()
    found = [calc_codebleu([reference], [text], lang="python") for text, reference in pairs]
    spent = time.process_time() - began
    Path(sys.argv[2]).write_text(json.dumps({"parts": found, "s": spent}), encoding="utf-8")


if __name__ == "__main__":
    main()
