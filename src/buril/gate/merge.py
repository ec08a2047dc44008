"""One weakness, seen by several scanners, counts once: the same file, at most two lines apart, one family of CWEs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from buril.gate.result import SEVERITIES, Result

NEAR_LINES = 2
_FAMILIES: Final = (
    (77, 78, 88, 155, 426),  # commands
    (89, 564, 943),  # queries
    (79, 80, 83, 87, 116),  # markup
    (94, 95, 96, 1336),  # code
    (22, 23, 35, 36, 73),  # paths
    (502, 915),  # objects from data
    (611, 776, 827),  # entities of XML
    (256, 259, 321, 522, 798, 1391, 1392),  # secrets in code
    (295, 296, 297, 298, 599, 322),  # certificates, keys of hosts
    (310, 326, 327, 328, 780, 916, 1240),  # weak cryptography
    (330, 331, 335, 336, 337, 338, 340),  # chance
    (311, 319, 523),  # in clear
    (276, 732),  # permissions
    (377, 378, 379),  # temporary files
    (119, 120, 121, 122, 125, 131, 170, 242, 676, 787, 805),  # memory: out of bounds
    (415, 416, 825),  # memory: after its release
    (190, 191, 680),  # numbers that overflow
    (400, 770, 1333),  # resources without limit
    (918, 441),  # requests to elsewhere
    (200, 209, 359, 532),  # what is told to others
)
_FAMILY: Final = {number: place for place, numbers in enumerate(_FAMILIES) for number in numbers}


def family(cwe: str) -> str:
    """The family of a weakness; "" for none, and its own where it stands alone.

    Example:
        `family("CWE-88") == family("CWE-78")` → True
    """
    number = int(cwe.removeprefix("CWE-")) if cwe.removeprefix("CWE-").isdigit() else 0
    if not number:
        return ""
    return f"family-{_FAMILY[number]}" if number in _FAMILY else f"CWE-{number}"


def merged(results: Iterable[Result]) -> list[Result]:
    """The results that count, those of one weakness as one: its worst severity, the others in `also`.

    Two of the same scanner are never one, because it tells them apart, and what has no CWE stays alone. Each goes to
    the nearest of another scanner, those on the same line first. Give the results in the order of their importance:
    the first of several gives its name.
    """
    alone: list[Result] = []
    kinds: dict[tuple[str, str], dict[str, list[Result]]] = {}
    for result in results:
        if kind := family(result.finding.cwe):
            by_scanner = kinds.setdefault((result.path, kind), {})
            by_scanner.setdefault(result.finding.scanner, []).append(result)
        else:
            alone.append(result)
    groups = [group for by_scanner in kinds.values() for group in _grouped(by_scanner.values())]
    return sorted([*alone, *map(_one, groups)], key=lambda item: item.order)


def _grouped(scanners: Iterable[list[Result]]) -> list[list[Result]]:
    """The results of one file and family in groups, scanner by scanner: at most one of each in a group."""
    groups: list[list[Result]] = []
    for found in scanners:
        free, left = list(range(len(groups))), found
        for distance in range(NEAR_LINES + 1):
            late = []
            for result in left:
                near = [place for place in free if abs(groups[place][0].finding.line - result.finding.line) == distance]
                if near:
                    groups[near[0]].append(result)
                    free.remove(near[0])
                else:
                    late.append(result)
            left = late
        groups += [[result] for result in left]
    return groups


def _one(group: list[Result]) -> Result:
    severity = max((item.finding.severity for item in group), key=SEVERITIES.index)
    also = tuple(f"{item.finding.scanner} {item.finding.rule}" for item in group[1:])
    generated = next((item.generated for item in group if item.generated), None)
    return replace(group[0], finding=group[0].finding._replace(severity=severity), also=also, generated=generated)
