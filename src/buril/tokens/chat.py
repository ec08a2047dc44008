"""Chats: an instruction with its answer as tokens, of which only the answer and what ends it are learnt.

A row is a chat when it is a pair that an earlier stage made (`buril.code.pair`), or a JSON object with `messages`
([{"role", "content"}, …]) or with `prompt` and `completion`. It is laid out by the base's own chat template, so that
what is learnt is what the base is asked with later; where it has none, by one of ours over tokens that it has.

Of the template's text only control tokens become control tokens. What a message says is encoded as plain text, so that
`<|im_end|>` in a message ends nothing. An answer is encoded by itself, as it will be written: after the finished
prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from buril.code.pair import INSTRUCTION, RESPONSE, unpair
from buril.core.errors import BurilError
from buril.generators._encoder import Encoder, Fim
from buril.tokens.marks import GIVEN

ROLES = ("system", "user", "assistant")
STARTS, ENDS = "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For a vocabulary that has the tokens of ChatML and no template."""
_NAMES = "{'system': '### System\\n', 'user': '" + INSTRUCTION.replace("\n", "\\n") + "', 'assistant': '"
PLAIN = (
    "{% set names = " + _NAMES + RESPONSE.replace("\n", "\\n") + "'} %}"
    "{% for message in messages %}{{ names[message.role] }}{{ message.content }}"
    "{{ eos_token if message.role == 'assistant' else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ names['assistant'] }}{% endif %}"
)  # fmt: skip
"""For a vocabulary that has nothing of a chat: headings in plain text, the end of text ends an answer."""
_PLACE = "\x02buril{}\x03"
_PLACES = re.compile("\x02buril([0-9]+)\x03")
_HEADINGS = re.compile(r"^### (System|Instruction|Response)\s*$", re.MULTILINE)


class Message(NamedTuple):
    """One turn. `role` is one of `ROLES`."""

    role: str
    content: str


class Example(NamedTuple):
    """A chat in tokens; `marks` says of each whether it is `GIVEN` (the prompt) or learnt (0)."""

    input_ids: list[int]
    marks: list[int]


class Refused(ValueError):
    """Why a row that looks like a chat is none to learn from; `reason` is a slug."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason, detail)


def read_messages(content: str, *, made: bool) -> list[Message] | None:
    """The messages of a row that is a chat; None for a row that is code or text.

    Args:
        content: the row's content.
        made: whether a stage of the chain made it; a collected file that looks like a pair is a file.

    Raises:
        Refused: `malformed` when it says it is a chat and is none.
    """
    found = unpair(content) if made else None
    if found is not None:
        return [Message("user", found[0]), Message("assistant", found[1])]
    if not content.lstrip().startswith("{"):
        return None
    try:
        record = json.loads(content)
    except ValueError:
        return None
    if isinstance(record, dict) and "messages" in record:
        return _messages(record["messages"])
    if isinstance(record, dict) and {"prompt", "completion"} <= record.keys():
        turns = [{"role": "user", "content": record["prompt"]}, {"role": "assistant", "content": record["completion"]}]
        both_lists = isinstance(record["prompt"], list) and isinstance(record["completion"], list)
        return _messages(record["prompt"] + record["completion"] if both_lists else turns)
    return None


def _messages(turns: Any) -> list[Message]:
    if not isinstance(turns, list) or not turns:
        raise Refused("malformed", "messages")
    for turn in turns:
        if not isinstance(turn, dict) or not isinstance(turn.get("content"), str):
            raise Refused("malformed", "content")
        if turn.get("role") not in ROLES:
            raise Refused("malformed", f"role {turn.get('role')!r}"[:80])
    return [Message(turn["role"], turn["content"]) for turn in turns]


class Chat:
    """Lays out chats by a tokenizer's template.

    Args:
        encoder: the tokenizer.
        fim: its `fim.json`.

    Raises:
        BurilError: T120 when the template can't be read.
    """

    def __init__(self, encoder: Encoder, fim: Fim) -> None:
        self._encoder, self._fim = encoder, fim
        self._spelt = {token: number for token, number in encoder.vocabulary.items() if number in encoder.control_ids}
        own = template_of(encoder.folder)
        self.kind = "base" if own else "chatml" if {STARTS, ENDS} <= self._spelt.keys() else "plain"
        """Whose template it is: the base's, or one of ours."""
        self._source = own or {"chatml": CHATML, "plain": PLAIN}[self.kind]
        self._control = re.compile("|".join(map(re.escape, sorted(self._spelt, key=len, reverse=True))) or r"(?!)")

    def example(self, messages: Sequence[Message]) -> Example:
        """A chat in tokens, up to the end of its last answer.

        Raises:
            Refused: `no_answer` when no answer comes last, `spells_marks` when a message would open another turn,
                `template` when the template does not take these turns, `no_end` when nothing ends the answer.
        """
        if messages[-1].role != "assistant" or not messages[-1].content.strip():
            raise Refused("no_answer")
        if self.kind == "plain" and any(_HEADINGS.search(message.content) for message in messages):
            raise Refused("spells_marks")
        found = Example([], [])
        if self._fim["bos"] is not None:
            _put(found, [self._fim["bos"]], GIVEN)
        for ids, mark in self._runs(messages):
            _put(found, ids, mark)
        if self._fim["bos"] is not None and found.input_ids[1:2] == [self._fim["bos"]]:
            found = Example(found.input_ids[1:], found.marks[1:])
        return self._checked(found)

    def _checked(self, found: Example) -> Example:
        """The example up to its last learnt token, which must be a control token; one is put where there is none."""
        if 0 not in found.marks:
            raise Refused("template", "no_answer")
        size = len(found.marks) - found.marks[::-1].index(0)
        ids, marks = found.input_ids[:size], found.marks[:size]
        if ids[-1] not in self._encoder.control_ids:
            ids, marks = [*ids, self._fim["eos"]], [*marks, 0]
        if marks[-1] == GIVEN or ids[-1] not in self._encoder.control_ids:
            raise Refused("no_end")
        return Example(ids, marks)

    def _runs(self, messages: Sequence[Message]) -> Iterator[tuple[list[int], int]]:
        """Runs of tokens with their mark. Text between control tokens is encoded as one, up to where an answer begins.

        An answer goes on to the control token that ends it.
        """
        text, learnt = "", False
        for kind, value in self._parts(messages):
            if kind in ROLES:
                new = kind == "assistant"
                if new or learnt:  # an answer begins, or the next turn does though no token ended the answer
                    yield self._encoder.encode(text), 0 if learnt else GIVEN
                    text = ""
                text, learnt = text + value, new
            elif kind == "text":
                text += value
            else:
                yield self._encoder.encode(text), 0 if learnt else GIVEN
                yield [self._spelt[value]], 0 if learnt else GIVEN
                text, learnt = "", False
        # what follows the last answer and no control token ended is template, not answer
        yield self._encoder.encode(text), 0 if learnt else GIVEN

    def _parts(self, messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
        """What the template gives, in parts: (`text`, its own), (role, a message's), (`control`, token)."""
        held = [Message(message.role, _PLACE.format(number)) for number, message in enumerate(messages)]
        pieces = _PLACES.split(self.render(held))
        for number, piece in enumerate(pieces):
            if number % 2:
                message = messages[int(piece)]
                content = message.content.strip() if self._trims else message.content
                yield message.role, content
                continue
            begin = 0
            for match in self._control.finditer(piece):
                yield "text", piece[begin : match.start()]
                yield "control", match[0]
                begin = match.end()
            last = number == len(pieces) - 1
            yield "text", piece[begin:].rstrip() if last else piece[begin:]

    def render(self, messages: Sequence[Message], *, prompt: bool = False) -> str:
        """The text of a chat by the template; with `prompt` also what asks for the next answer.

        Raises:
            Refused: `template` when the template does not take these turns.
        """
        from jinja2 import TemplateError

        turns = [message._asdict() for message in messages]
        try:
            return str(self._template.render(messages=turns, add_generation_prompt=prompt, **self._names))
        except (TemplateError, TypeError, ValueError) as problem:
            raise Refused("template", str(problem)[:200]) from problem

    @cached_property
    def _template(self) -> Any:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        place = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        place.globals["raise_exception"] = _refuse
        place.filters["tojson"] = lambda value, **told: json.dumps(value, ensure_ascii=False, **told)
        try:
            return place.from_string(self._source)
        except TemplateError as problem:
            raise BurilError("T120", path=self._encoder.folder, problem=problem) from problem

    @cached_property
    def _names(self) -> dict[str, str]:
        """The control tokens that a template may name. There is no date: the same rows give the same bytes."""
        spelt = {number: token for token, number in self._spelt.items()}
        config = _json(self._encoder.folder / "tokenizer_config.json")
        named = {name: config.get(name) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
        found = {name: token["content"] if isinstance(token, dict) else token for name, token in named.items() if token}
        if self.kind != "base":
            found["eos_token"] = spelt.get(self._fim["eos"], "")
        return found

    @cached_property
    def _trims(self) -> bool:
        """Whether the template takes the white space off what a message says."""
        return " .. " not in self.render([Message("user", " .. ")])


def template_of(folder: Path) -> str:
    """The chat template of a tokenizer's folder; "" where it has none."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    found = _json(folder / "tokenizer_config.json").get("chat_template")
    found = found or _json(folder / "chat_template.json").get("chat_template")
    if isinstance(found, list):
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else ""


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _put(example: Example, ids: Sequence[int], mark: int) -> None:
    example.input_ids.extend(ids)
    example.marks.extend([mark] * len(ids))
