"""What every part of the engine shares: the rules by their words, what was found, and how much may be spent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from buril.scanners._taint import guards, ir
from buril.scanners._taint.rules import Given, Kind, Matcher, Misuse, Place, Rules, Sink, holds
from buril.scanners._taint.secrets import is_secret
from buril.scanners._taint.value import ALL, Facts, State, Taint, Value, concerned, without

MAX_STEPS: Final = 400_000
"""Expressions that are evaluated for one file, about two seconds; beyond it the file is analysed in part."""
DROPPED: Final = "@dropped"
"""The name of what nobody keeps."""
_HOST: Final = re.compile(r"(?i)(?:[a-z][a-z0-9+.-]*:)?//[^/?#\\]+[/?#]")
_SQL: Final = re.compile(
    r"(?is)\s*(?:select\b.*\bfrom\b|insert\s+(?:or\s+\w+\s+)?into\b|replace\s+into\b|update\b.*\bset\b|"
    r"delete\s+from\b|(?:create|drop|alter|truncate)\s+(?:table|user|database|index|view)\b|select\s+\S|"
    r"call\s+\w+\()"
)
_RUNNER: Final = re.compile(r"(?i)(?:^|[._])(?:run|exec|execute|call|send|do)_?(?:ssh|cmd|cli|shell|remote)\w*$|"
                            r"(?:^|[._])(?:ssh|cli|cmd|shell|cliq|system)_?(?:run|exec|execute|call)?$")  # fmt: skip
_TALK: Final = re.compile(r"(?i)(?:^|\.)(?:print|log|debug|info|warn|warning|error|exception|critical|append|join|"
                          r"format|write|str|repr|len|echo|dedent|strip|replace|encode|lower|upper|split|startswith|"
                          r"endswith|@\w+|[sf]?print(?:f|ln)?|(?:log|debug|info|warn|warning|error|fatal|panic|trace)(?:f|ln|w)|"
                          r"writestring|contains|replaceall|trim\w*|"
                          r"\w*(?:Error|Exception|Warning)|_|gettext|ugettext|hashlib\.\w+)$")  # fmt: skip
_OBJECTS: Final = r"json|body|^req\.query|^\$_|^request\.input"
"""Inputs that may be objects, or arrays."""
_UPLOADS: Final = r"(?i)files|upload|^req\.file|FormFile"
_OWN_PATH: Final = re.compile(r"/[^/\\]|[\w-]+\.php\b")


class Hit(NamedTuple):
    """Something found: a rule, where, how bad, how sure, what to say."""

    line: int
    rule: str
    cwe: int
    severity: str
    confidence: str
    text: str
    end_line: int


class Compiled(NamedTuple):
    """The rules of a language, ready to be matched."""

    kinds: Mapping[str, Kind]
    sources: Matcher
    sinks: Matcher
    cleans: Matcher
    misuses: Matcher
    inert: Matcher
    indirect: Matcher
    constants: Mapping[str, Any]
    ends: frozenset[str]
    checks: frozenset[str]
    parses: frozenset[str]
    parts: re.Pattern[str]
    declared: bool
    fills: Matcher
    library: Matcher
    asks: Matcher
    fails: frozenset[str]
    typed: bool


def compiled(rules: Rules) -> Compiled:
    """The rules of a language by the words of their patterns."""
    return Compiled(
        rules.kinds, Matcher((source.paths, source) for source in rules.sources),
        Matcher((sink.calls, sink) for sink in rules.sinks), Matcher((clean.calls, clean) for clean in rules.cleans),
        Matcher((misuse.calls, misuse) for misuse in rules.misuses), Matcher([(rules.inert, True)]),
        Matcher((calls, place) for calls, place in rules.indirect),
        dict(rules.constants), frozenset(rules.ends.split()), frozenset(rules.checks.split()),
        frozenset(rules.parses.split()), re.compile(rules.parts), rules.declared,
        fills=Matcher((fill.calls, fill) for fill in rules.fills), library=Matcher(rules.library),
        asks=Matcher(rules.asks), fails=frozenset(rules.fails.split()), typed=rules.typed,
    )  # fmt: skip


class Base:
    """One analysis of one file."""

    DEPTH = 6
    """Calls within calls that are followed."""

    def __init__(self, rules: Compiled, *, suspicious: bool) -> None:
        self.kinds, self.sources, self.sinks = rules.kinds, rules.sources, rules.sinks
        self.cleans, self.misuses, self.inert, self.indirect = rules.cleans, rules.misuses, rules.inert, rules.indirect
        self.constants, self.ends, self.checks, self.parses = rules.constants, rules.ends, rules.checks, rules.parses
        self.parts, self.declared = rules.parts, rules.declared
        self.fills, self.library, self.asks = rules.fills, rules.library, rules.asks
        self.fails, self.typed = rules.fails, rules.typed
        self.suspicious = suspicious
        self.requests = self.types = "^$"
        self.steps = 0
        self.hits: dict[tuple[int, str], Hit] = {}
        self.frames: list[Any] = []
        self.naming: list[str] = []
        self.functions: dict[int, tuple[ir.Function, State]] = {}
        self.classes: list[Value] = []
        self.called: set[int] = set()
        self.defined: set[str] = set()
        self.methods: dict[str, list[Value]] = {}
        self.memory: dict[Any, tuple[Value, Facts, dict[str, Value]]] = {}

    def spent(self) -> bool:
        """Whether no more may be evaluated."""
        return self.steps > MAX_STEPS

    def sourced(self, path: str, line: int, value: Value, key: str = "") -> Value:
        """Something with a path, which may be an input; what it was made of stays in it."""
        for source in self.sources.find(path):
            label = source.label or path.rstrip("()[]")
            place = "" if key or not path.endswith("()") else f":{line}"  # a member is the same input everywhere
            found = Taint(f"{path}{key}{place}", label, line, source.origin, safe=frozenset(source.safe.split()))
            return Value(taints=frozenset([found]), path=path)
        if path in self.constants:
            return Value(const=self.constants[path], path=path)
        return value if value.path else value.but(path=path)

    def cleared(self, value: Value, state: State) -> Value:
        """A value without the inputs that tests have shown harmless on the way here."""
        if not state.cleared:
            return value
        return without(value, state.cleared) if concerned(value, state.cleared) else value

    # --- what is found

    def look(self, path: str, node: ir.Call, given: Given, state: State) -> None:
        """Whether a call is a sink that an input reaches, or a misuse."""
        known = self.sinks.find(path)
        for sink in known:
            if holds(sink.when, given):
                self.at_sink(sink, node, given, path)
        self.misused(path, node, given)
        if not self.typed:
            self._spread(path, node, given)
        if not known and any(value.taints for value in given.args + tuple(given.named.values())):
            self._looks_like(path, node, given)

    def _spread(self, path: str, node: ir.Call, given: Given) -> None:
        """An object of somebody else's making decides which fields are set."""
        name = path.rpartition(".")[2]
        if given.spread and (name[:1].isupper() or name in ("create", "update", "update_or_create", "filter_by")):
            for value in given.spread:
                whole = value.but(parts=None, rest=None, taints=value.taints)
                self.reach("attribute", whole, node.line, _end(node), path)

    def _looks_like(self, path: str, node: ir.Call, given: Given) -> None:
        """Text that is SQL by its beginning, or goes to what is called like a runner of commands."""
        if _TALK.search(path):
            return
        runs = _RUNNER.search(path) is not None
        for value in (*given.args, *given.named.values()):
            if value.taints and (runs or _SQL.match(value.lead)):
                built = value.but(taints=frozenset(taint for taint in value.taints if taint.built))
                kind = "sql" if _SQL.match(value.lead) else "command"
                self.reach(kind, built, node.line, _end(node), path)

    def at_sink(self, sink: Sink, node: Any, given: Given, path: str) -> None:
        """Look at the arguments that do harm."""
        if sink.kind == "command-word":
            origins = {"remote"}
            if ALL in sink.places:
                words = _words(given, sink.places[0])
                word = _program(words)
                origins |= {"param"} if word is not words.slot(0) else set()
            else:
                word = _program(
                    given.at(sink.places[0]) or given.at("args"), given.at(1) if "child_process" in path else None
                )
            if word is not None:
                word = word.but(taints=frozenset(taint for taint in word.inside() if taint.origin in origins))
                self.reach("command", word, node.line, _end(node), path)
            return
        for place in sink.places:
            values = given.values() if place == ALL else [value] if (value := given.at(place)) is not None else []
            for value in values:
                if sink.kind == "sql" and value.parts is not None and self.typed:
                    continue  # conditions by name
                if sink.kind == "file-or-url":
                    self.reach("ssrf", _as_url(value), node.line, _end(node), path)
                    continue
                if sink.kind == "code-name":
                    self.reach("code", _whole(value), node.line, _end(node), path)
                    continue
                if sink.kind == "sql" and value.parts is not None:  # text and values apart
                    value = value.parts.get("text") or value.parts.get("sql") or value  # noqa: PLW2901  the rest of it is sent apart
                self.reach(sink.kind, value, node.line, _end(node), path)

    def reach(self, kind: str, value: Value, line: int, end_line: int, path: str = "") -> None:
        """A value gets to where it may do harm of a kind."""
        if kind == "path" and value.path in ("io.BytesIO()", "io.StringIO()", "BytesIO()", "StringIO()"):
            return
        if kind in ("ssrf", "redirect") and (
            _HOST.match(value.lead) or (kind == "redirect" and _OWN_PATH.match(value.lead))
        ):
            return
        taints = value.inside()
        if kind == "nosql":  # a text that was put together is no object, and does harm only where it is run
            if value.parts and "where" in value.parts:
                return  # of a mapper for SQL
            runs = (value.parts or {}).get("$where")
            taints = frozenset(taint for taint in taints if not taint.built) | (runs.inside() if runs else frozenset())
        if kind == "redirect":
            taints = frozenset(taint for taint in taints if not taint.safe >= {guards.ROOTED, guards.HOSTLESS})
        harmful = sorted(taint for taint in taints if kind not in taint.safe and self._counts(taint, kind))
        if not harmful:
            return
        taint, known = harmful[0], self.kinds[kind]
        confidence = known.confidence if taint.origin == "remote" else "medium" if known.confidence == "high" else "low"
        place = path.replace("?.", "").replace("@words", "").rstrip("=") or "the response"
        text = f"{known.text}: {taint.label} (line {taint.line}) reaches {place}"
        self.note(Hit(line, kind, known.cwe, known.severity, confidence, text, end_line))

    def _counts(self, taint: Taint, kind: str) -> bool:
        """Whether such an input does such harm: who starts a program may name its files."""
        if (kind == "weak-random") != (taint.origin == "random"):
            return False
        if kind in ("nosql", "upload"):
            wanted = _OBJECTS if kind == "nosql" else _UPLOADS
            return re.search(wanted, taint.id) is not None
        if kind == "attribute" and (known := _sets_fields(taint)) is not None:
            return known
        if taint.origin == "local":
            return kind in ("command", "code", "sql", "deserialisation")
        if taint.origin == "param":
            return taint.built or kind in ("command", "code", "deserialisation", "xss", "template", "redirect", "xxe")
        return True

    def misused(self, path: str, node: Any, given: Given) -> None:
        """Rules that need no input."""
        for misuse in self.misuses.find(path):
            if holds(misuse.when, given) and self._named(misuse, node):
                told = misuse.severity, misuse.confidence, misuse.text
                self.note(Hit(node.line, misuse.name, misuse.cwe, *told, _end(node)))

    def _named(self, misuse: Misuse, node: Any) -> bool:
        """Whether what the result goes to, the function, or an argument has a name that the rule is about."""
        if not misuse.named:
            return True
        goes_to = self.naming[-1] if self.naming else ""
        function = self.frames[-1].function if self.frames else None
        alone = misuse.named.startswith("=")
        around = function.name if function is not None and goes_to != DROPPED and not alone else ""
        names = [name for name in (goes_to, around, *names_in(node)) if name]
        but = misuse.but
        return any(re.search(misuse.named.lstrip("="), name) for name in names if not but or not re.search(but, name))

    def kept_secret(self, name: str, value: Value, line: int) -> None:
        """A constant gets a name that is one of secrets."""
        if self.typed and isinstance(value.const, bytes) and name[:1].isupper():
            value = Value(const=value.const.decode("latin-1"))  # the field of something: `Key` may be any key
        if self.typed and re.search(r"(?i)encrypt|obscure|hash", name):
            return
        if is_secret(name.lstrip("$"), value.const):
            self.note(
                Hit(line, "hard-coded-secret", 798, "high", "medium", f"a secret stands in the code ({name})", line)
            )

    def note(self, hit: Hit) -> None:
        """Keep what was found, once a line and rule."""
        self.hits.setdefault((hit.line, hit.rule), hit)


def _whole(value: Value) -> Value:
    """What somebody outside chose as it is: a name that begins or ends as the program says is one of few."""
    return value.but(taints=frozenset(item for item in value.taints if not item.built and item.origin == "remote"))


def _as_url(value: Value) -> Value:
    """What may be an address in a value that may be one or a path: all of it, or what comes after a scheme."""
    if re.match(r"[a-z][a-z0-9+.-]*://", value.lead):
        return value
    return value.but(taints=frozenset(taint for taint in value.taints if not taint.built))


def _sets_fields(taint: Taint) -> bool | None:
    """Whether an input is all that somebody sent, so that it decides which fields are set; None where it is no form."""
    if taint.id.startswith(("req.", "ctx.")):
        return taint.id.endswith("body") and not taint.built
    if taint.id.startswith(("request.input", "$_")):
        return not taint.id.startswith(("$_SERVER", "$_FILES")) and "[" not in taint.id and not taint.built
    return None


def _end(node: Any) -> int:
    """The last line of a call; of anything else its own."""
    return getattr(node, "end_line", 0) or int(node.line)


def _words(given: Given, first: Place) -> Value:
    """The words of a command that are arguments of their own, from one on; `*`: from the beginning."""
    words = [*given.args[first if isinstance(first, int) else 0 :]]
    for value in given.spread:
        words += (value.parts or {}).values()
    return Value(parts=dict(enumerate(words)))


def _program(value: Value | None, more: Value | None = None) -> Value | None:
    """What decides which program starts: the first word of a list; of a shell's, what comes after `-c`."""
    if value is not None and more is not None and more.parts is not None:
        value = Value(parts=dict(enumerate([value, *more.parts.values()])))
    if value is None or value.parts is None:
        return value if value is not None and value.rest is None else None
    words = list(value.parts.values())
    if not words:
        return None
    shell = isinstance(words[0].const, str) and re.fullmatch(r"(.*/)?(ba|da|z|k|c)?sh|(.*/)?python[\d.]*|cmd(\.exe)?",
                                                             words[0].const)  # fmt: skip
    runs = len(words) > 2 and (words[1].const in ("-c", "/c", "-lc", "/C") or words[1].path == "@shell.runs")
    if runs and (shell or words[0].path == "@shell"):
        return words[2]
    return words[0]


def names_in(node: Any, depth: int = 4) -> list[str]:
    """The names in the arguments of a call."""
    if isinstance(node, ir.Name):
        return [node.id]
    if isinstance(node, ir.Attr):
        return [node.name, *names_in(node.of, depth - 1)] if depth else [node.name]
    if not depth or not isinstance(node, (ir.Call, ir.Op, ir.Text)):
        return []
    inner = (
        node.args if isinstance(node, ir.Call) else node.parts if isinstance(node, ir.Text) else (node.left, node.right)
    )
    own = names_in(node.func.of, depth - 1) if isinstance(node, ir.Call) and isinstance(node.func, ir.Attr) else []
    return [*own, *(name for item in inner for name in names_in(item, depth - 1))]
