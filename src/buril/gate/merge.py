"""One weakness, seen by several scanners, counts once: the same file, at most two lines apart, one family of CWEs."""

from __future__ import annotations

from collections import defaultdict
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

    Two of the same scanner are never one, because it tells them apart, and what has no CWE stays alone. Give the
    results in the order of their importance: the first of several gives its name.
    """
    groups: dict[tuple[str, str], list[list[Result]]] = defaultdict(list)
    alone = []
    for result in results:
        kind = family(result.finding.cwe)
        if not kind:
            alone.append(result)
            continue
        there = groups[result.path, kind]
        near = [group for group in there if _fits(group, result)]
        if near:
            min(near, key=lambda group: abs(group[0].finding.line - result.finding.line)).append(result)
        else:
            there.append([result])
    return sorted([*alone, *(_one(group) for found in groups.values() for group in found)], key=lambda item: item.order)


def _fits(group: list[Result], result: Result) -> bool:
    near = abs(group[0].finding.line - result.finding.line) <= NEAR_LINES
    return near and all(item.finding.scanner != result.finding.scanner for item in group)


def _one(group: list[Result]) -> Result:
    severity = max((item.finding.severity for item in group), key=SEVERITIES.index)
    also = tuple(f"{item.finding.scanner} {item.finding.rule}" for item in group[1:])
    return replace(group[0], finding=group[0].finding._replace(severity=severity), also=also)
