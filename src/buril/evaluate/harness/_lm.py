"""Our generators as a model of lm-evaluation-harness: adapters, token healing and engines are ours.

It differs from the harness's own `hf` in this. A prompt may end within a token. Control tokens that a prompt spells are
plain text, so a chat goes to the generator as messages and is rendered there. What ends a document ends an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from lm_eval.api.model import LM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from buril.core.errors import BurilError
from buril.core.text import _
from buril.evaluate.suites.perplexity import windows_of
from buril.generators._generator import Generator, Request

AT_ONCE = 64
"""Texts that are scored together."""
LENGTH = 2048
"""Tokens that a model takes where it does not say."""
MAX_TOKENS = 256
"""Tokens of an answer where the task does not say; the harness's own default."""
HALF = math.log(0.5)
"""A token likelier than this is the likeliest."""
LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
KNOWN = {*LIMITS, "until", "do_sample", "temperature", "top_p"}


class Chat(str):
    """A chat, readable as text, that keeps its messages: a generator renders them safely, text it could not."""

    messages: tuple[dict[str, str], ...]

    @classmethod
    def of(cls, history: Sequence[Mapping[str, str]]) -> Chat:
        """The chat of some messages; where the last is the assistant's, its answer is begun with it."""
        made = cls("\n\n".join(f"[{item['role']}]\n{item['content']}" for item in history))
        made.messages = tuple({"role": item["role"], "content": item["content"]} for item in history)
        return made

    def begun(self) -> tuple[tuple[dict[str, str], ...], str]:
        """The messages to be answered, and how the answer begins."""
        last = self.messages[-1]
        return (self.messages[:-1], last["content"]) if last["role"] == "assistant" else (self.messages, "")


class Model(NamedTuple):
    """What a generator says of its model: what texts begin with, what stands for that, most tokens of a text."""

    begin: tuple[int, ...]
    prefix: tuple[int, ...]
    length: int


def model_of(generator: Any) -> Model:
    """That of an open generator; where it does not say, a line break stands for what precedes a text."""
    while hasattr(generator, "generator"):
        generator = generator.generator
    loaded = getattr(generator, "loaded", None)
    if loaded is None:
        return Model((), tuple(generator.encode("\n")), LENGTH)
    from buril.generators._decode import Head

    begin = () if loaded.fim["bos"] is None else (int(loaded.fim["bos"]),)
    return Model(begin, begin or (int(loaded.fim["eos"]),), Head(loaded.model).max_positions)


class BurilLM(LM):  # type: ignore[misc]  # lm_eval has no types
    """Answers the harness's three kinds of request by a generator whose model is open.

    Args:
        generator: what writes and scores.
        max_tokens: most tokens of an answer, whatever a task asks for; None for as many as it asks for.
        greedy: the tasks for which it matters whether a continuation is the likeliest, which takes writing it; None
            for all.
        seed: of what is drawn.
        progress: told how many requests of a kind are done, and of how many.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        max_tokens: int | None = None,
        greedy: Collection[str] | None = None,
        seed: int = 0,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        super().__init__()
        self.generator, self.seed, self.greedy, self.progress = generator, seed, greedy, progress
        self.max_tokens = max_tokens
        self.told = model_of(generator)
        self.finished: dict[tuple[str, int], str] = {}
        """Why the first answer to a document ended, by task and document."""

    @property
    def tokenizer_name(self) -> str:
        """What the harness's cache of requests, which is never used here, would call the template."""
        return "buril"

    def apply_chat_template(
        self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> Chat:
        """The chat; whether its answer is begun is told by its last message."""
        return Chat.of(chat_history)

    # --- writing

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The answer to each request; one that is repeated is drawn as often, each time anew."""
        told = [(next(same), 1 + len(list(same))) for _id, same in groupby(requests, key=id)]
        asked = [self._request(item, number) for item, number in told]
        found: list[str] = []
        for (item, _number), completions in zip(told, self.generator.complete(asked), strict=True):
            found += [completion.text for completion in completions]
            self.finished[item.task_name, item.doc_id] = completions[0].finish_reason
            self.progress(len(found), len(requests))
        return found

    def _request(self, item: Any, number: int) -> Request:
        context, told = item.args[:2]
        most, suffix = limit_of(told), suffix_of(item)
        until = told.get("until") or []
        prompt, prefill = self._prompt(context)
        warm = temperature_of(told)
        return Request(
            item.doc["buril_prefix"] if suffix is not None else prompt, suffix, prefill,
            most if self.max_tokens is None else min(most, self.max_tokens), warm,
            float(told.get("top_p", 1.0)) if warm else 1.0,
            tuple(stop for stop in ([until] if isinstance(until, str) else until) if stop), self.seed, number,
        )  # fmt: skip

    def _prompt(self, context: str) -> tuple[str | tuple[int, ...], str]:
        """The prompt as a generator takes it, and how the answer begins."""
        if not isinstance(context, Chat):
            return context, ""
        messages, begun = context.begun()
        return self.generator.chat(messages), begun

    # --- scoring

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Of each continuation its log-probability after its context, and whether it is what the model would write."""
        pairs = [self._pair(*item.args[:2]) for item in requests]
        sums: list[float] = []
        sure: list[bool] = []
        for start in range(0, len(pairs), AT_ONCE):
            part = pairs[start : start + AT_ONCE]
            scores = self.generator.score([[*context, *rest] for context, rest in part])
            for (_context, rest), score in zip(part, scores, strict=True):
                own = score[len(score) - len(rest) :]
                sums.append(float(own.sum(dtype="float64")))
                sure.append(bool((own > HALF).all()))
            self.progress(len(sums), len(pairs))
        asked = [
            place
            for place, item in enumerate(requests)
            if not sure[place] and (self.greedy is None or item.task_name in self.greedy)
        ]
        for place, same in zip(asked, self._written([pairs[place] for place in asked]), strict=True):
            sure[place] = same
        return list(zip(sums, sure, strict=True))

    def _written(self, pairs: Sequence[tuple[list[int], list[int]]]) -> Iterator[bool]:
        """Whether the likeliest tokens after each context are its continuation's."""
        asked = [Request(tuple(context), max_tokens=len(rest)) for context, rest in pairs]
        for (_context, rest), completions in zip(pairs, self.generator.complete(asked), strict=True):
            yield list(completions[0].tokens[: len(rest)]) == rest

    def _pair(self, context: str, rest: str) -> tuple[list[int], list[int]]:
        """The ids of a context and of what continues it, cut on the left to what the model takes.

        White space that ends a context belongs to its continuation, as tokenizers have it.
        """
        before: list[int] = [*self.told.begin]
        if isinstance(context, Chat):
            prompt, context = self._prompt(context)
            before = [*prompt] if isinstance(prompt, tuple) else self.generator.encode(prompt)
        bare = context.rstrip()
        context, rest = bare, context[len(bare) :] + rest
        whole, head = self.generator.encode(context + rest), self.generator.encode(context)
        before = [*before, *head] or [*self.told.prefix]
        after = whole[len(head) :][-(self.told.length - 1) :]
        return before[-(self.told.length - len(after)) :], after

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-probability of each text: in the harness's windows, in those of `perplexity` where its task says."""
        found = []
        for number, item in enumerate(requests):
            (text,) = item.args[:1]
            size = item.doc.get("buril_window") if isinstance(item.doc, Mapping) else None
            windows = list(self._ours(text, int(size)) if size else self._theirs(text))
            scores = self.generator.score([ids for ids, _skipped in windows])
            parts = [score[skipped:] for score, (_ids, skipped) in zip(scores, windows, strict=True)]
            found.append(float(np.concatenate([np.zeros(0), *parts]).sum(dtype="float64")))
            self.progress(number + 1, len(requests))
        return found

    def _ours(self, text: str, size: int) -> Iterator[tuple[list[int], int]]:
        ids = self.generator.encode("\n" + text)
        for start, done in windows_of(len(ids), size):
            yield ids[start : start + size], done

    def _theirs(self, text: str) -> Iterator[tuple[list[int], int]]:
        windows = get_rolling_token_windows(
            self.generator.encode(text), self.told.prefix[-1], self.told.length - 1, context_len=1
        )
        for window in windows:
            before, after = make_disjoint_window(window)
            yield [*before, *after], len(before) - 1


def suffix_of(item: Any) -> str | None:
    """What must follow the answer, where a task of ours has a hole to be filled."""
    found = item.doc.get("buril_suffix") if isinstance(item.doc, Mapping) else None
    return None if found is None else str(found)


def limit_of(told: Mapping[str, Any]) -> int:
    """Most tokens of an answer, as a task says it."""
    return int(next((told[name] for name in LIMITS if told.get(name) is not None), MAX_TOKENS))


def temperature_of(told: Mapping[str, Any]) -> float:
    """0 where the likeliest token is taken."""
    warm = told.get("temperature")
    if told.get("do_sample") is False or (told.get("do_sample") is None and not warm):
        return 0.0
    return 1.0 if warm is None else float(warm)


def check_generation(task: str, told: Mapping[str, Any] | None) -> None:
    """Refuse a way of writing that no generator of ours knows.

    Raises:
        BurilError: E013.
    """
    strange = sorted({*(told or {})} - KNOWN)
    if strange:
        raise BurilError(
            "E013",
            name=task,
            problem=_("it asks for generation with {names}").format(names=", ".join(f"`{name}`" for name in strange)),
            remedy=_("write a task that includes it and sets `generation_kwargs`; known: {names}").format(
                names=", ".join(f"`{name}`" for name in sorted(KNOWN))
            ),
        )
