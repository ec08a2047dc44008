"""Write golden.json from what the stages make now.

python -m tests.golden.update            refuses where bytes changed and neither the version nor a part was bumped
python -m tests.golden.update --force    writes whatever came out, e.g. after a change of the corpus itself

A stage whose inputs changed gives other bytes without being changed itself; a bump before it is enough then.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from .digests import FILE, NEEDS, Golden, changes, golden, make, read


def unbumped(old: Golden, new: Golden) -> list[str]:
    """The stages that changed though neither they nor anything before them got another version."""
    guilty: list[str] = []
    explained: set[str] = set()  # its bytes may differ: it, or something it reads, changed
    for name, now in new.items():
        before = old.get(name)
        changed = before is None or bool(changes(before, now))
        bumped = before is None or (before["version"], before["parts"]) != (now["version"], now["parts"])
        inherited = any(need in explained for need in NEEDS[name])
        if changed and not bumped and not inherited:
            guilty.append(name)
        if changed:
            explained.add(name)
    return guilty


def write(new: Golden, path: Path = FILE, *, force: bool = False) -> list[str]:
    """Write golden.json, unless a digest would change under the same version; gives the stages that refuse."""
    old: Golden = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    guilty = unbumped(old, new)
    if guilty and not force:
        return guilty
    path.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return []


def main() -> int:
    """Make, compare, write."""
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        new = golden(make(Path(folder)))
    old = read()
    guilty = write(new, force="--force" in sys.argv[1:])
    for name in guilty:
        print(f"refused: bytes of {name} changed, but its version is still {new[name]['version']}")
        print("         " + "\n         ".join(changes(old[name], new[name])))
    if guilty:
        print("bump `version` of what changed them, or say --force")
        return 1
    changed = [name for name in new if old.get(name) != new[name]]
    print(f"golden.json: {', '.join(changed)} written" if changed else "golden.json: nothing changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
