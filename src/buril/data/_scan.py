"""The scanners of `prepare`: each sees all rows of a shard at once, so that a program starts once, not once a file.

A scanner that does not see what is planted for it stops the stage before anything is scanned, because its silence would
be taken for clean code.
"""

from __future__ import annotations

from collections.abc import Sequence

from buril.code.codefile import CodeFile
from buril.core.errors import BurilError
from buril.core.plugins import Ref
from buril.scanners import Scanner, Text, reads


def observed(refs: Sequence[Ref]) -> dict[str, str]:
    """What the scanners' findings depend on outside of their settings: versions of programs, digests of rules."""
    found: dict[str, str] = {}
    for ref in refs:
        found.update(ref.make().observe())
    return found


def check(refs: Sequence[Ref]) -> None:
    """Plant each scanner's own bad samples.

    Raises:
        BurilError: D221 when one is missed; D220 and D222 when the program behind a scanner is missing or broken.
    """
    for ref in refs:
        scanner: Scanner = ref.make()
        if missed := scanner.self_test():
            raise BurilError("D221", name=ref.name, missed=", ".join(missed[:5]))


def scan(files: Sequence[CodeFile], refs: Sequence[Ref]) -> None:
    """Note what the scanners see on the rows that nothing has rejected, in the order of the scanners."""
    for ref in refs:
        scanner: Scanner = ref.make()
        read = [file for file in files if not file.verdicts and reads(scanner, file.language)]
        if not read:
            continue
        found = scanner.scan_many([Text(file.content, file.language) for file in read])
        for file, findings in zip(read, found, strict=True):
            file.findings.extend(findings)
