"""Whether the server behind a URL is there, and how it may be asked: found out at the start, and when it comes back."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._upstream import EXACTLY
from buril.generators.openai import PASSING
from buril.serve.log import line

if TYPE_CHECKING:
    import httpx

    from buril.generators._upstream import Upstream, Way

EVERY_S = 2.0
"""Seconds between two looks."""
LOOK_S = 5.0
"""Seconds that a look may take: a busy server answers late."""
SILENT = 3
"""Looks without an answer in a row that mean it is away; a connection that is refused means so at once."""
SAY_S = 30.0
"""Seconds after which what is waited for is said again."""
_SAMPLE = (
    "def parse(path):\n    with open(path, encoding='utf-8') as file:\n        return [line.split() for line in file]\n"
    * 4
)
OURS = "buril"
"""Who models belong to in the lists of our own servers."""
_MEASURED = 32


class Speed(NamedTuple):
    """Tokens a second, of a prompt and of one answer; nan where the server does not count."""

    prompt: float
    answer: float


class Health:
    """Looks after the server behind a URL.

    Args:
        upstream: what that server is asked; `probe` writes down in it how.
    """

    def __init__(self, upstream: Upstream) -> None:
        import httpx

        self._upstream = upstream
        self._client = httpx.Client(headers=upstream.head, timeout=LOOK_S)
        self._ending, self._woken = threading.Event(), threading.Event()
        self._silent = 0
        self._thread: threading.Thread | None = None
        self.down: BurilError | None = None
        """Why it can't be asked just now."""

    # --- at the start

    def wait(self) -> Speed:
        """Wait until it can be asked, say so meanwhile, and find out how; how fast it is."""
        said, when = "", 0.0
        while not self._ending.is_set():
            try:
                self.probe()
                return self._measured()
            except BurilError as problem:
                if problem.cause != said or time.monotonic() - when > SAY_S:
                    line("engine_waits", url=self._upstream.settings.url, code=problem.code, problem=problem.cause)
                    said, when = problem.cause, time.monotonic()
            self._ending.wait(EVERY_S)
        raise BurilError("V004")

    def watch(self) -> None:
        """Begin to look now and then."""
        self._thread = threading.Thread(target=self._watch, name="buril-health", daemon=True)
        self._thread.start()

    def lost(self, problem: BurilError) -> None:
        """Somebody could not reach it."""
        if self.down is None:
            self.down = problem
            line("engine_away", url=self._upstream.settings.url, problem=problem.cause)
        self._woken.set()

    def close(self) -> None:
        """Look no more."""
        self._ending.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join()
        self._client.close()

    def _watch(self) -> None:
        while not self._ending.is_set():
            self._woken.wait(EVERY_S)
            if self._woken.is_set():
                self._woken.clear()
                self._ending.wait(EVERY_S / 4)
            if not self._ending.is_set():
                self._look()

    def _look(self) -> None:
        try:
            if self.down is None:
                self._there()
            else:  # it may be another one since
                self.probe()
                self.down = None
                line("engine_back", url=self._upstream.settings.url, way=self._upstream.way)
            self._silent = 0
        except BurilError as problem:
            self._silent += 1
            if self.down is not None:
                self.down = problem
            elif problem.values.get("silent") is not True or self._silent >= SILENT:
                self.lost(problem)
                self._woken.clear()

    def _there(self) -> None:
        answer = self._sent("GET", "models")
        if answer.status_code in PASSING - {429}:
            raise self._away(f"{answer.status_code} {self._upstream.shown(answer.text)}")

    # --- how it may be asked

    def probe(self) -> None:
        """Find out how the server may be asked.

        Raises:
            BurilError: V010 where it can't be reached, V012 where it refuses us, V014 where its model has another
                tokenizer than the one at hand.
        """
        upstream = self._upstream
        models = self._sent("GET", "models")
        way, counts = self._way(ours=_owner(models) == OURS)
        upstream.window, upstream.way, upstream.counts = _window(models, upstream.settings.model), way, counts

    def _way(self, *, ours: bool) -> tuple[Way, bool]:
        """How it may be asked, and whether it tells more than texts.

        Another server of ours lays out prompts and mends answers by itself: it is given texts, though it takes ids.
        """
        loaded = self._upstream.loaded
        if loaded is not None and not ours:
            ids = loaded.encoder.encode(_SAMPLE)
            for more in ({**EXACTLY, "stop_token_ids": [loaded.fim["eos"]]}, {}):
                if self._counted(ids, **more) == len(ids):
                    self._check_same(len(ids))
                    return "ids", bool(more)
            spelt = loaded.encoder.decode([loaded.fim["eos"]], special=True)
            if self._counted(spelt + _SAMPLE) in (len(ids) + 1, len(ids) + 2):  # with a token that begins every text
                return "text", False
        self._ask_kindly(_SAMPLE)
        return "own", False

    def _check_same(self, wanted: int) -> None:
        """Any number is a token to it: that it means the same by them is seen by how it counts a text."""
        found = self._counted(_SAMPLE)
        if found not in (wanted, wanted + 1):
            raise BurilError("V014", url=self._upstream.settings.url, found=found, wanted=wanted)

    def _counted(self, prompt: Any, **more: Any) -> int | None:
        """Tokens of a prompt as the server counts them; None where it does not take it, or does not count."""
        answer = self._completed(prompt, **more)
        if answer.status_code != 200:
            return None
        found = _usage(answer)
        return found[0] if found else None

    def _ask_kindly(self, prompt: str) -> None:
        """A text that any server takes: at the way of chats where it has no other."""
        answer = self._completed(prompt)
        if answer.status_code in (400, 404, 405, 422, 501):
            body = {
                "model": self._upstream.settings.model,
                "messages": [{"role": "user", "content": "x = "}],
                "max_tokens": 1,
            }
            answer = self._sent("POST", "chat/completions", body)
        if answer.status_code != 200:
            raise self._refused(answer)

    def _completed(self, prompt: Any, **more: Any) -> httpx.Response:
        """One token more, or as many as `more` says.

        Raises:
            BurilError: V010 where it can't, V012 where it refuses us rather than the prompt.
        """
        told = {"model": self._upstream.settings.model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0, **more}
        answer = self._sent("POST", "completions", told)
        if answer.status_code in PASSING:
            raise self._away(f"{answer.status_code} {self._upstream.shown(answer.text)}")
        if answer.status_code in (401, 403):
            raise self._refused(answer)
        return answer

    def _refused(self, answer: httpx.Response) -> BurilError:
        shown = self._upstream.shown(answer.text)
        if answer.status_code in PASSING:
            return self._away(f"{answer.status_code} {shown}")
        return BurilError("V012", url=self._upstream.settings.url, status=answer.status_code, problem=shown)

    def _away(self, problem: str, **more: Any) -> BurilError:
        return BurilError("V010", url=self._upstream.settings.url, problem=problem, **more)

    def _sent(self, verb: str, path: str, body: Any = None) -> httpx.Response:
        import httpx

        limit = LOOK_S if body is None else self._upstream.settings.timeout_s
        try:
            return self._client.request(verb, self._upstream.at(path), json=body, timeout=limit)
        except httpx.TimeoutException as problem:
            raise self._away(_("no answer in time"), silent=True) from problem
        except httpx.TransportError as problem:
            raise self._away(f"{type(problem).__name__}: {problem}") from problem

    # --- how fast it is

    def _measured(self) -> Speed:
        """What one request takes, and one of more tokens."""
        prompt: Any = _SAMPLE if self._upstream.way != "ids" else self._upstream.encode(_SAMPLE)
        taken, counts = [], []
        for tokens in (1, 1 + _MEASURED):
            began = time.monotonic()
            answer = self._completed(prompt, max_tokens=tokens)
            taken.append(time.monotonic() - began)
            counts.append(_usage(answer) if answer.status_code == 200 else None)
        one, more = counts
        if one is None or more is None or taken[1] <= taken[0]:
            return Speed(float("nan"), float("nan"))
        return Speed(one[0] / taken[0], max(0, more[1] - one[1]) / (taken[1] - taken[0]))


def _usage(answer: httpx.Response) -> tuple[int, int] | None:
    """Tokens of the prompt and of the answer, as a server counts them."""
    try:
        told = answer.json()["usage"]
        return int(told["prompt_tokens"]), int(told["completion_tokens"])
    except (ValueError, KeyError, TypeError):
        return None


def _owner(answer: httpx.Response) -> str:
    """Who a server says its models belong to."""
    try:
        return str(answer.json()["data"][0]["owned_by"])
    except (ValueError, KeyError, TypeError, IndexError):
        return ""


def _window(answer: httpx.Response, model: str) -> int | None:
    """What vLLM, or llama.cpp, says of how long a prompt and its answer may be."""
    try:
        models = answer.json()["data"]
        told = next((one for one in models if one["id"] == model), models[0] if len(models) == 1 else {})
        found = int(told.get("max_model_len") or told["meta"]["n_ctx"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    return found if found > 0 else None
