"""What a result of SARIF means: its rule, how bad it is, its weakness, how sure the tool is.

A rule stands in the tool itself or in an extension of it (a pack of CodeQL, a plugin), and is named by id, place, GUID
or several of these. A level that a result does not say is that of the run's configuration, else of the rule's own
(3.27.10). Severity is the score that GitHub reads, where there is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from buril.gate.result import SEVERITIES

Json = Mapping[str, Any]
LEVELS = {"error": "high", "warning": "medium", "note": "low", "none": "low"}
_CWE = re.compile(r"\bcwe[-/_: ]{0,2}(?:id[-/_: ]{0,2})?0*(\d+)", re.IGNORECASE)
_SURE = re.compile(r"\b(low|medium|high) confidence\b", re.IGNORECASE)
_LINK = re.compile(r"(?<!\\)\[((?:[^\[\]\\]|\\.)*)\]\((?:\d+|[a-z]+:[^()\s]*)\)")
"""A link within a message (3.11.6): to a location of the result, or a page."""


def line(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())


class Rules:
    """All rules of a run."""

    def __init__(self, run: Json) -> None:
        self._run = run
        tool = run["tool"]
        self.components: list[Json] = [tool["driver"], *(tool.get("extensions") or ())]
        every = [rule for part in self.components for rule in part.get("rules") or ()]
        self.by_id: dict[str, Json] = {str(rule["id"]): rule for rule in reversed(every) if rule.get("id")}
        self._by_guid: dict[str, Json] = {str(rule["guid"]).lower(): rule for rule in every if rule.get("guid")}

    def of(self, told: Json) -> tuple[str, Json]:
        """The id of a result's rule and what is told of it; an id may go on behind a slash of the rule's own."""
        reference: Json = {"index": told.get("ruleIndex", -1), **(told.get("rule") or {})}
        name = str(told.get("ruleId") or reference.get("id") or "")
        rule = self._meant({**reference, "id": name})
        return line(name or str(rule.get("id") or "?")), rule

    def level(self, told: Json, rule_id: str, rule: Json) -> str:
        """The level of a result (3.27.10); of several configurations the worst, where it says none of its own.

        A configuration that sets parameters alone changes no level.
        """
        if told.get("level"):
            return str(told["level"])
        invocations = self._run.get("invocations") or ()
        mine = int((told.get("provenance") or {}).get("invocationIndex", -1))
        asked = invocations[mine : mine + 1] if mine >= 0 else invocations
        overrides = [item for invocation in asked for item in invocation.get("ruleConfigurationOverrides") or ()]
        levels = [
            str(item["configuration"]["level"])
            for item in overrides
            if (item.get("configuration") or {}).get("level") and self._names(item["descriptor"], rule_id, rule)
        ]
        default = str((rule.get("defaultConfiguration") or {}).get("level", "warning"))
        return min(levels, key=list(LEVELS).index, default=default)

    def _names(self, reference: Json, rule_id: str, rule: Json) -> bool:
        """Whether a reference is to a rule, which the log may not describe."""
        return self._meant(reference) is rule if rule else reference.get("id") == rule_id

    def _meant(self, reference: Json) -> Json:
        """The rule that a reference names (3.52); {} where the log does not describe it."""
        if (known := self._by_guid.get(str(reference.get("guid", "")).lower())) is not None:
            return known
        name, index = str(reference.get("id") or ""), int(reference.get("index", -1))
        rules = self._component(reference.get("toolComponent") or {}).get("rules") or ()
        if 0 <= index < len(rules) and (not name or _fits(name, str(rules[index].get("id") or ""))):
            return cast("Json", rules[index])
        return next((self.by_id[part] for part in _parents(name) if part in self.by_id), {})

    def _component(self, reference: Json) -> Json:
        """The part of the tool that a reference names (3.54); the tool itself where it names none."""
        guid, name, index = reference.get("guid"), reference.get("name"), int(reference.get("index", -1))
        if 0 <= index < len(self.components) - 1:
            return self.components[index + 1]
        for part in self.components:
            if (guid and part.get("guid") == guid) or (name and part.get("name") == name):
                return part
        return self.components[0]

    def cwe(self, told: Json, rule: Json) -> str:
        """The weakness: of the result's or the rule's taxa, of tags and properties, else the only one of its help."""
        references = [*(told.get("taxa") or ()), *(item["target"] for item in rule.get("relationships") or ())]
        for target in references:
            number = re.search(r"\d+", str(target.get("id")))
            if number and "CWE" in (self._taxonomy(target) + str(target.get("id"))).upper():
                return f"CWE-{int(number[0])}"
        texts = [json.dumps(holder.get("properties") or {}) for holder in (told, rule)]
        found = next((match[1] for text in texts if (match := _CWE.search(text))), "")
        if not found:
            numbers = {match[1] for text in _help(rule) for match in _CWE.finditer(text)}
            found = numbers.pop() if len(numbers) == 1 else ""
        return f"CWE-{int(found)}" if found else ""

    def _taxonomy(self, target: Json) -> str:
        component = target.get("toolComponent") or {}
        there, index = self._run.get("taxonomies") or (), int(component.get("index", -1))
        guid = component.get("guid")
        named = [item for item in there if guid and item.get("guid") == guid]
        named += there[index : index + 1] if index >= 0 else ()
        return str(component.get("name") or (named[0].get("name", "") if named else ""))

    def message(self, told: Json, rule: Json) -> str:
        """A result's message, its placeholders filled and its links told; one may be named by its id.

        The rule, and for all rules the tool, have messages by id (3.11.7).
        """
        given: Json = told.get("message") or {}
        text = given.get("text") or given.get("markdown")
        if not text and given.get("id"):
            places = (rule.get("messageStrings"), self.components[0].get("globalMessageStrings"))
            found = (((place or {}).get(str(given["id"])) or {}).get("text") for place in places)
            text = next(filter(None, found), "")
        text = str(text or about(rule))
        for place, argument in enumerate(cast("list[Any]", given.get("arguments") or [])):
            text = text.replace(f"{{{place}}}", str(argument))
        text = _LINK.sub(r"\1", text)
        return line(re.sub(r"\\([\[\]\\])", r"\1", text))


def _fits(name: str, rule_id: str) -> bool:
    return rule_id in _parents(name)


def _parents(name: str) -> list[str]:
    """An id, and those above it: `a/b/c` is a case of `a/b`, and that of `a` (3.27.5)."""
    parts = name.split("/")
    return ["/".join(parts[:number]) for number in range(len(parts), 0, -1)] if name else []


def _help(rule: Json) -> Iterator[str]:
    for name in ("help", "fullDescription", "shortDescription"):
        yield from (str(value) for value in (rule.get(name) or {}).values())


def about(rule: Json) -> str:
    """A sentence about a rule."""
    for name in ("shortDescription", "fullDescription"):
        if text := (rule.get(name) or {}).get("text"):
            return line(str(text))
    return line(str(rule.get("name") or ""))


def severity(told: Json, rule: Json, level: str) -> str:
    """The score of the result or the rule where there is one (as GitHub reads it), else the level."""
    for holder in (told, rule):
        score = (holder.get("properties") or {}).get("security-severity")
        if score is not None and re.fullmatch(r"\d+(\.\d+)?", str(score)):
            return "high" if float(score) >= 7 else "medium" if float(score) >= 4 else "low"
    return LEVELS.get(level, "medium")


def confidence(told: Json, rule: Json) -> str:
    """How sure the tool is, as its properties say: of the result, by a tag of the rule, or by its precision."""
    mine, rules = (holder.get("properties") or {} for holder in (told, rule))
    tagged = _SURE.search(" ".join(map(str, rules.get("tags") or ())))
    words = (mine.get("confidence"), mine.get("issue_confidence"), tagged and tagged[1], rules.get("precision"))
    word = str(next((word for word in words if word), "")).lower().removeprefix("very-")
    return word if word in SEVERITIES else ""
