"""What functions of Go's libraries give, and what they say of a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from buril.scanners._taint import guards
from buril.scanners._taint.builtin import pieces
from buril.scanners._taint.fills import TEXT
from buril.scanners._taint.guards import LISTED, about, truth
from buril.scanners._taint.ir import NOTHING
from buril.scanners._taint.rules import Ask, Function, Given
from buril.scanners._taint.value import EMPTY, NO_FACTS, Facts, Value, joined

Element = Callable[[Value], Value]
_VERB = re.compile(r"%([-+# 0]*)(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:\[(\d+)\])?([a-zA-Z%])")
_NUMBERS = "dbocxXUeEfFgGtp"
_PLAIN = re.compile(r"\[\^(?:\\[wds]|\w-\w|[\w .,_@/-])*\][+*]?")
_PAGE = re.compile(r"(?i)html|svg|javascript")
_ADDRESS = re.compile(r"(?i)[a-z][a-z0-9+.-]*://[^/?#]+")
_MAX_BYTES = 2_000


def _first(given: Given) -> Value:
    return given.args[0] if given.args else EMPTY


def _inputs(*values: Value) -> Value:
    return Value(taints=frozenset(taint for value in values for taint in value.inside()))


def _together(parts: list[Value]) -> Value:
    if all(isinstance(part.const, (str, int)) for part in parts):
        text = "".join(str(part.const) for part in parts)
        return Value(const=text, lead=text)
    return pieces(parts)


def _sprintf(_owner: Value | None, given: Given, element: Element) -> Value | None:
    """A format: numbers are harmless, texts go in as they are."""
    form = _first(given)
    spread = [element(value) for value in given.spread]
    if not isinstance(form.const, str):
        return pieces([form, *given.args[1:], *spread])
    made: list[Value] = []
    end, number = 0, 1
    for found in _VERB.finditer(form.const):
        made.append(Value(const=form.const[end : found.start()]))
        end = found.end()
        if found[3] == "%":
            made.append(Value(const="%"))
            continue
        number = int(found[2]) if found[2] else number
        value = given.args[number] if number < len(given.args) else joined(spread)
        number += 1
        whole = isinstance(value.const, int) and not isinstance(value.const, bool) and found[3] in "dv"
        plain = found[3] in _NUMBERS and not (found[3] in "xX" and value.inside())
        made.append(value if whole or not plain else EMPTY)
        if found[3] in "xX":
            made[-1] = EMPTY
        if found[3] == "q":
            made[-1] = _safe(value, "log header")
    made.append(Value(const=form.const[end:]))
    return _together(made)


def _safe(value: Value, kinds: str) -> Value:
    more = frozenset(kinds.split())
    return Value(taints=frozenset(taint._replace(safe=taint.safe | more) for taint in value.inside()), lead=value.lead)


def _sprint(_owner: Value | None, given: Given, element: Element) -> Value | None:
    return _together([*given.args, *(element(value) for value in given.spread)])


def _join(_owner: Value | None, given: Given, element: Element) -> Value | None:
    """`strings.Join(texts, between)`."""
    if len(given.args) < 2:
        return None
    texts, between = given.args
    if texts.parts is None or texts.rest is not None or not texts.parts:
        return pieces([EMPTY, element(texts)])
    made: list[Value] = []
    for part in texts.parts.values():
        made += [between, part]
    return _together(made[1:])


def _joined_path(_owner: Value | None, given: Given, element: Element) -> Value | None:
    """`filepath.Join`: cleaned; under a root of `/` nothing leads out."""
    made: list[Value] = []
    for part in (*given.args, *(element(value) for value in given.spread)):
        made += [Value(const="/"), part]
    if made and given.args and given.args[0].const == "/":
        return _safe(_inputs(*given.args), "path").but(path="@rooted")
    return _together(made[1:]) if made else None


def _cleaned_path(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    first = _first(given)
    if isinstance(first.const, str):
        return None
    return _safe(first, "path" if first.lead.startswith("/") and len(first.lead) == 1 else "")


def _append(_owner: Value | None, given: Given, element: Element) -> Value | None:
    made = _first(given)
    made = Value(parts={}) if made.const is None or made is EMPTY else made
    for value in given.args[1:]:
        counted = made.parts is not None and made.rest is None and all(isinstance(key, int) for key in made.parts)
        made = made.with_slot(len(made.parts or ()) if counted else NOTHING, value)
    for value in given.spread:
        if value.parts is not None and value.rest is None and made.parts is not None and made.rest is None:
            for part in value.parts.values():
                made = made.with_slot(len(made.parts or ()), part)
        else:
            made = made.with_slot(NOTHING, element(value))
    return made


def _range(_owner: Value | None, given: Given, element: Element) -> Value | None:
    """What goes through something gives: a key (or a number) and an element."""
    through = _first(given)
    parts = list((through.parts or {}).values())
    listed = through.parts is not None and through.rest is None and not through.inside()
    if through.path == "@chan()":
        return Value(parts={}, rest=Value(parts={0: element(through)}))
    if listed and parts and all(isinstance(part.const, (str, int)) for part in parts) and 0 in (through.parts or ()):
        return Value(parts={}, rest=Value(parts={0: EMPTY, 1: Value(path=LISTED)}))
    of_map = through.parts is not None and 0 not in through.parts and bool(through.parts)
    key = Value(path=LISTED) if listed and of_map else EMPTY
    if through.taints and re.search(
        r"(Form|Header|Query\(\)|Values|Params|Trailer|QueryStringParameters)$", through.path
    ):
        key = Value(taints=through.taints)
    inner = element(through) if not of_map else through.slot(NOTHING)
    return Value(parts={}, rest=Value(parts={0: key, 1: inner.but(const=NOTHING)}))


def _text(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    first = _first(given)
    if isinstance(first.const, bytes):
        text = first.const.decode("utf-8", "replace")
        return Value(const=text, lead=text)
    return first if isinstance(first.const, str) else first.but(const=NOTHING)


def _bytes(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    first = _first(given)
    if isinstance(first.const, str) and len(first.const) < _MAX_BYTES:
        return Value(const=first.const.encode("utf-8", "replace"), lead=first.lead)
    return first.but(const=NOTHING)


def _number(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    const = _first(given).const
    return Value(const=const) if isinstance(const, int) else EMPTY


def _same(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    return _first(given)


def _belongs(owner: Value | None, _given: Given, _element: Element) -> Value | None:
    return owner


def _failed(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    """Whether something is not nil; what a check of another file gave, is an error where its name says so."""
    asked = _first(given)
    facts: tuple[Facts, Facts] = asked.facts
    if asked.path.endswith("()") and facts[0] and not facts[1]:
        facts = guards.opposite(facts)
    known = truth(asked) if asked.const in (None, True) else None
    return Value(const=NOTHING if known is None else known, facts=facts)


def _typed(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    """Who answers, after the sort of the answer was said."""
    if len(given.args) == 2 and isinstance(given.args[1].const, str) and not _PAGE.search(given.args[1].const):
        return Value(path="@plain")
    return _first(given)


def _lowered(change: Callable[[str], str]) -> Function:
    def made(_owner: Value | None, given: Given, _element: Element) -> Value | None:
        first = _first(given)
        if isinstance(first.const, str):
            return Value(const=change(first.const), lead=change(first.const))
        return Value(taints=first.inside(), path=first.path, lead=first.lead)

    return made


def _replaced(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    """Signs are taken out of a text; what goes in instead is in it."""
    if len(given.args) < 3:
        return None
    subject, old, new = given.args[:3]
    if all(isinstance(value.const, str) for value in (subject, old, new)) and old.const:
        made = subject.const.replace(old.const, new.const)
        return Value(const=made, lead=made)
    kinds = {"..": "path", "\n": "log header", "\r": "log header"}.get(str(old.const), "")
    return _safe(_inputs(subject, new), kinds)


def _substituted(owner: Value | None, given: Given, _element: Element) -> Value | None:
    if owner is None or len(given.args) < 2:
        return None
    pattern, new = owner.lead, given.args[1].const
    if _PLAIN.fullmatch(pattern) and (isinstance(new, bytes) or (isinstance(new, str) and len(new) <= 1)):
        subject = _first(given)
        if re.search(r"[./]", pattern.replace("\\.", ".")):
            return _safe(subject, "command code sql xss template log header ldap xpath nosql database-code")
        return EMPTY
    return _inputs(*given.args)


def _compiled(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    first = _first(given)
    return Value(lead=first.const if isinstance(first.const, str) else "", taints=first.inside())


def _string(owner: Value | None, given: Given, _element: Element) -> Value | None:
    """`x.String()`: of a builder its text, of an address how it begins."""
    if owner is None or given.args:
        return None
    if owner.parts is not None and TEXT in owner.parts:
        return owner.parts[TEXT]
    if owner.path == "net.url.URL" and owner.parts is not None:
        scheme, host = owner.parts.get("Scheme", EMPTY).const, owner.parts.get("Host", EMPTY).const
        if isinstance(scheme, str) and isinstance(host, str) and host:
            return Value(taints=owner.inside(), lead=f"{scheme}://{host}/")
    return None


def _parsed_url(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    first = _first(given)
    lead = first.lead + "/" if isinstance(first.const, str) and _ADDRESS.fullmatch(first.const) else first.lead
    return Value(taints=first.inside(), lead=lead)


def _buffer(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    return Value(parts={TEXT: _first(given)}, path="bytes.Buffer")


def _search(_owner: Value | None, given: Given, _element: Element) -> Value | None:
    """A request to a directory: its base and its filter are what matters."""
    return _inputs(*(value for place in (0, 6) if (value := given.at(place)) is not None))


def _of_store(owner: Value | None, given: Given, _element: Element) -> Value | None:
    """What is taken out of something by a key: the key is not in it."""
    if owner is None or owner.parts is not None or not given.args:
        return None
    return Value(taints=owner.inside())


LIBRARY: Final[tuple[tuple[str, Function], ...]] = (
    ("fmt.Sprintf", _sprintf), ("fmt.Sprint fmt.Sprintln", _sprint), ("strings.Join", _join),
    ("path.filepath.Join path.Join", _joined_path), ("path.filepath.Clean path.Clean", _cleaned_path),
    ("@append", _append), ("@range", _range), ("@text", _text), ("@bytes", _bytes), ("@number", _number),
    ("@ref @as @as.string os.FileMode io.fs.FileMode template.Must html.template.Must text.template.Must "
     "io.NopCloser strings.NewReader bytes.NewReader io.LimitReader bufio.NewReader bufio.NewScanner "
     "net.http.MaxBytesReader errors.Unwrap", _same),
    ("*.WithContext net.http.Request.Clone *.Debug *.Session", _belongs), ("@failed", _failed), ("@typed", _typed),
    ("strings.ToLower", _lowered(str.lower)), ("strings.ToUpper", _lowered(str.upper)),
    ("strings.TrimSpace", _lowered(str.strip)),
    ("strings.ReplaceAll strings.Replace bytes.ReplaceAll", _replaced),
    ("regexp.MustCompile regexp.Compile", _compiled),
    ("regexp.MustCompile().ReplaceAllString regexp.MustCompile().ReplaceAllLiteralString "
     "regexp.Compile().ReplaceAllString regexp.MustCompile().ReplaceAll", _substituted),
    ("*.String *.Bytes", _string), ("net.url.Parse net.url.ParseRequestURI", _parsed_url),
    ("bytes.NewBufferString bytes.NewBuffer", _buffer), ("ldap.NewSearchRequest", _search),
    ("*.Get *.Lookup *.Load *.LoadOrStore *.Find *.Fetch *.List *.GetByID *.GetByName *.FindByID *.Peek", _of_store),
)  # fmt: skip


def _matches(owner: Value | None, given: Given) -> tuple[Facts, Facts]:
    """A regular expression that is compiled before; of the whole text it must be."""
    if owner is None or not given.args:
        return NO_FACTS, NO_FACTS
    return guards.asked("re.compile().search", owner.but(path="re.compile()"), [given.args[0]])


def _matches_pattern(_owner: Value | None, given: Given) -> tuple[Facts, Facts]:
    return guards.asked("re.search", None, list(given.args))


def _contains(_owner: Value | None, given: Given) -> tuple[Facts, Facts]:
    """`strings.Contains(x, "..")` asks for the bad case; `slices.Contains(list, x)` for the good one."""
    if len(given.args) < 2:
        return NO_FACTS, NO_FACTS
    whole, part = given.args[:2]
    return guards.compared("in", part, whole)


def _bad_signs(_owner: Value | None, given: Given) -> tuple[Facts, Facts]:
    """`strings.ContainsAny(x, "/;")` and the like: harmless where it does not hold."""
    signs = given.args[1].const if len(given.args) > 1 else NOTHING
    if not isinstance(signs, str):
        return NO_FACTS, NO_FACTS
    found: Facts = about(given.args[0], "path") if re.search(r"[./]", signs) else NO_FACTS
    if re.search(r"[;|&$`]", signs):
        found |= about(given.args[0], "command")
    return NO_FACTS, found | (about(given.args[0], "log") if "\n" in signs else NO_FACTS)


def _begins(_owner: Value | None, given: Given) -> tuple[Facts, Facts]:
    if len(given.args) < 2:
        return NO_FACTS, NO_FACTS
    subject, prefix = given.args[:2]
    if prefix.const in ("..", "../", "//", "/\\"):  # the bad case
        kind = "path" if str(prefix.const).startswith(".") else "redirect"
        return NO_FACTS, about(subject, kind)
    facts: Facts = NO_FACTS
    if not prefix.inside() and prefix.const != "/":
        resolved = re.search(r"(Clean|Abs|Join|EvalSymlinks)\(\)$|@rooted", subject.path)
        facts = about(subject, "path") if resolved else NO_FACTS
        if isinstance(prefix.const, str) and re.match(r"(?i)[a-z][a-z0-9+.-]*://[^/?#]+/", prefix.const):
            facts |= about(subject, "ssrf") | about(subject, "redirect")
    if isinstance(prefix.const, str) and prefix.const.startswith(("http", "/")):
        facts |= about(subject, "scheme")
    return facts, NO_FACTS


def _ends(_owner: Value | None, given: Given) -> tuple[Facts, Facts]:
    """An ending that stands in the program: what is sent is of that sort; a host is one of that domain."""
    if len(given.args) < 2 or not isinstance(given.args[1].const, str):
        return NO_FACTS, NO_FACTS
    subject, ending = given.args[0], given.args[1].const
    facts = about(subject, "upload")
    if ending.startswith(".") and re.search(r"\.Host(name\(\))?$", subject.path):
        facts |= about(subject, "ssrf") | about(subject, "redirect")
    return facts, NO_FACTS


def _local(_owner: Value | None, given: Given) -> tuple[Facts, Facts]:
    return about(_first(given), "path"), NO_FACTS


def _absolute(owner: Value | None, _given: Given) -> tuple[Facts, Facts]:
    return NO_FACTS, about(owner, "redirect") if owner is not None else NO_FACTS


def _equal_fold(_owner: Value | None, given: Given) -> tuple[Facts, Facts]:
    return guards.compared("==", *given.args[:2]) if len(given.args) > 1 else (NO_FACTS, NO_FACTS)


def _harmless(_owner: Value | None, given: Given) -> tuple[Facts, Facts]:
    return about(_first(given)), NO_FACTS


def _said_to_be(_owner: Value | None, given: Given) -> tuple[Facts, Facts]:
    """A check of another file, by its name."""
    return frozenset().union(*(about(value) for value in given.args)), NO_FACTS


ASKS: Final[tuple[tuple[str, Ask], ...]] = (
    ("regexp.MustCompile().MatchString regexp.Compile().MatchString regexp.MustCompile().Match "
     "regexp.MustCompilePOSIX().MatchString", _matches),
    ("regexp.MatchString", _matches_pattern), ("strings.Contains slices.Contains", _contains),
    ("strings.ContainsAny strings.ContainsRune", _bad_signs), ("strings.HasPrefix", _begins),
    ("strings.HasSuffix", _ends),
    ("path.filepath.IsLocal io.fs.ValidPath", _local), ("net.url.Parse().IsAbs", _absolute),
    ("strings.EqualFold", _equal_fold), ("govalidator.IsAlphanumeric govalidator.IsInt govalidator.IsNumeric "
     "govalidator.IsAlpha govalidator.IsUUID govalidator.IsUUIDv4 primitive.IsValidObjectID bson.IsObjectIdHex",
     _harmless),
    ("*[a-z]Allowed *[a-z]Valid *[a-z]Whitelisted *[a-z]Allowlisted *[a-z]Trusted *[a-z]Permitted", _said_to_be),
)  # fmt: skip
