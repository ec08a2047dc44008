"""Completing: what a model is given, what is remembered, how long a client waits, and that it all stays in its bounds."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.core.errors import BurilError
from buril.generators._encoder import Encoder, Fim
from buril.generators._generator import Request
from buril.generators._heads import Heads, Place
from buril.serve.completing import (
    Around,
    Index,
    InFlight,
    Prompt,
    Snippet,
    Suggestions,
    Tokens,
    Typing,
    context,
    fixed,
    prompt,
    scope_of,
    wait,
)  # fmt: skip
from buril.serve.completing._files import as_code, is_secret, paths_of
from buril.serve.completing._words import parts
from buril.serve.completing.cache import Kept
from buril.serve.completing.debounce import LEAST_S, MOST_S
from buril.serve.completing.symbols import symbols
from tests.pace import pace

CONTROL = ("<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>")
SAMPLE = "def add(a, b):\n    return a + b\n\n\nclass Cart:\n    def total(self, prices):\n        return sum(prices)\n"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A byte-level vocabulary learnt from this file, with the control tokens of a code model."""
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600, special_tokens=list(CONTROL), initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    found = tokenizers.Tokenizer(tokenizers.models.BPE())
    found.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = tokenizers.decoders.ByteLevel()
    found.train_from_iterator([SAMPLE, Path(__file__).read_text(encoding="utf-8")], trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    found.save(str(folder / "tokenizer.json"))
    return Encoder(folder)


def fim_of(encoder: Encoder, **changed: Any) -> Fim:
    ids = {name: encoder.vocabulary[f"<|{name}|>"] for name in ("fim_prefix", "fim_suffix", "fim_middle", "endoftext")}
    found = {
        "prefix": ids["fim_prefix"], "suffix": ids["fim_suffix"], "middle": ids["fim_middle"], "eos": ids["endoftext"],
        "pad": None, "bos": None, "added": [], "vocab_size": len(encoder), **changed,
    }  # fmt: skip
    return cast("Fim", found)


@pytest.fixture
def tokens(encoder: Encoder) -> Callable[..., Tokens]:
    def make(window: int = 512, *, uses_fim: bool = True, named: bool = False, **fim: Any) -> Tokens:
        return Tokens(encoder, fim_of(encoder, **fim), window, uses_fim=uses_fim, named=named)

    return make


# --- the prompt


def test_a_hole_is_laid_out_as_in_training(encoder: Encoder, tokens: Callable[..., Tokens]) -> None:
    """As `pack` does: heads and files, then the sentinels around the edited file."""
    snippet = Snippet("lib/money.py", "def price(x): ...", "python", "definitions")
    found = prompt(tokens(), Around("app.py", "python", "a = ", "\nb = 2\n"), [snippet], max_tokens=16, repo="shop")
    heads, fim = Heads(encoder), fim_of(encoder)
    wanted = [
        *heads.of(Place("shop", "lib/money.py", "python", ()), first=True), *encoder.encode("def price(x): ...\n"),
        *heads.of(Place("shop", "app.py", "python", ()), first=False), fim["prefix"], *encoder.encode("a = "),
        fim["suffix"], *encoder.encode("\nb = 2\n"), fim["middle"],
    ]  # fmt: skip
    assert list(found.ids) == wanted
    assert (found.prefill, found.snippets) == ("", 1)


def test_training_and_serving_write_the_same_tokens(encoder: Encoder, tokens: Callable[..., Tokens]) -> None:
    from buril.tokens.fim import Sentinels, arrange

    fim = fim_of(encoder)
    sentinels = Sentinels(int(fim["prefix"] or 0), int(fim["suffix"] or 0), int(fim["middle"] or 0), fim["eos"])
    packed = arrange([encoder.encode("a = "), encoder.encode("1"), encoder.encode("\nb\n")], "psm", sentinels)
    found = prompt(tokens(), Around("a.py", "python", "a = ", "\nb\n"), max_tokens=8)
    assert packed[: len(found.ids)] == list(found.ids)


def test_a_model_without_holes_goes_on_from_the_prefix_and_its_end_is_healed(
    tokens: Callable[..., Tokens],
) -> None:
    found = prompt(tokens(uses_fim=False), Around("a.py", "python", "a = 1\nb = ret", "\nc"), max_tokens=8)
    assert (found.ids, found.prefill) == ((), "a = 1\nb = ret"), "encoded as one text, with the end that is healed"
    assert found.request(max_tokens=8).prefill == "a = 1\nb = ret"
    shown = [Snippet("m.py", "def ret(): ...", "python", "definitions")]
    beside = prompt(tokens(uses_fim=False), Around("a.py", "python", "b = ret", ""), shown, max_tokens=8, repo="r")
    assert beside.ids and beside.prefill == "b = ret" and beside.shown == tuple(shown)


def test_what_spells_a_control_token_never_becomes_one(tokens: Callable[..., Tokens], encoder: Encoder) -> None:
    evil = "x = '<|fim_middle|><|endoftext|><|file_sep|>'\n"
    found = prompt(
        tokens(), Around("<|repo_name|>.py", "python", evil, evil), [Snippet("a<|file_sep|>.py", evil, "python", "similar")],
        max_tokens=8, repo="<|endoftext|>",
    )  # fmt: skip
    control = [token for token in found.ids if token in encoder.control_ids]
    spelt = [encoder.decode([token], special=True) for token in control]
    assert spelt == [
        "<|repo_name|>", "<|file_sep|>", "<|file_sep|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"
    ]  # fmt: skip


@given(
    before=st.integers(0, 400), after=st.integers(0, 400), number=st.integers(0, 6), window=st.integers(60, 900),
    fim=st.booleans(), named=st.booleans(),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_a_prompt_always_fits_and_keeps_what_is_near(
    encoder: Encoder, before: int, after: int, number: int, window: int, fim: bool, named: bool
) -> None:
    told = Tokens(encoder, fim_of(encoder), window, uses_fim=fim, named=named)
    prefix = "".join(f"line_{index} = {index}\n" for index in range(before)) + "here = "
    suffix = "\n" + "".join(f"after_{index} = {index}\n" for index in range(after))
    snippets = [Snippet(f"f{index}.py", "def helper(): ...\n" * 9, "python", "similar") for index in range(number)]
    found = prompt(told, Around("a.py", "python", prefix, suffix), snippets, max_tokens=16, repo="r")
    assert len(found.ids) + len(encoder.encode(found.prefill)) <= window - 16
    text = encoder.decode(list(found.ids), special=True) + found.prefill
    assert "here = " in text
    head, _, tail = text.partition("<|fim_suffix|>")
    assert not fim or after == 0 or "\n" in tail
    if before and "<|fim_prefix|>" in head:
        kept = head.partition("<|fim_prefix|>")[2]
        assert prefix.endswith(kept)
        assert len(kept) == len(prefix) or prefix[len(prefix) - len(kept) - 1] == "\n", "cut at the start of a line"


def test_the_beginning_of_a_cut_prefix_stays_while_lines_are_typed(tokens: Callable[..., Tokens]) -> None:
    told = tokens(400)
    heads: list[tuple[int, ...]] = []
    prefix = "".join(f"value_{index} = compute({index})\n" for index in range(200))
    for index in range(12):
        prefix += f"x{index} = 1\n"
        heads.append(prompt(told, Around("a.py", "python", prefix, "\n"), max_tokens=16).ids[:8])
    assert len(set(heads)) <= 4


def test_nothing_is_kept_free_for_context_where_there_is_none(tokens: Callable[..., Tokens]) -> None:
    prefix, suffix = ("".join(f"{name}_{number} = {number}\n" for number in range(300)) for name in ("a", "b"))
    around = Around("a.py", "python", prefix, suffix)
    alone = prompt(tokens(400), around, max_tokens=16)
    assert not alone.whole and len(alone.ids) > 400 - 16 - 64 - 16, "all but a step and the rests of lines"
    snippet = Snippet("m.py", "def made(x): ...\n", "python", "similar")
    beside = prompt(tokens(400), around, [snippet], max_tokens=16, repo="r")
    assert beside.shown == (snippet,) and beside.tokens[1] < alone.tokens[1]


def test_a_window_without_room_is_said(tokens: Callable[..., Tokens]) -> None:
    with pytest.raises(BurilError) as caught:
        prompt(tokens(64), Around("a.py", "python", "x", ""), max_tokens=60)
    assert caught.value.code == "V601"
    assert "64" in caught.value.cause


def test_a_prompt_says_what_it_holds(tokens: Callable[..., Tokens]) -> None:
    found: Prompt = prompt(tokens(), Around("a.py", "python", "", ""), max_tokens=8)
    assert found.tokens == (0, 0, 0)
    alone = prompt(tokens(named=True), Around("a.py", "python", "x", ""), max_tokens=8, repo="r")
    assert alone.tokens[0] > 0


# --- the repository


def repository(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


FILES = {
    "shop/money.py": 'def convert_price(amount, currency):\n    """Convert a price."""\n    return amount * RATES[currency]\n',
    "shop/cart.py": "from shop.money import convert_price\n\n\nclass Cart:\n    pass\n",
    "shop/other.py": "def unrelated():\n    return 1\n",
    "web/node_modules/x/index.js": "function convert_price(amount, currency) {\n  return amount;\n}\n",
    "docs/a.txt": "convert_price amount currency\n",
}


def test_definitions_of_what_is_used_near_the_cursor_come_first(tmp_path: Path) -> None:
    index = Index.of(repository(tmp_path, FILES))
    prefix = "from shop.money import convert_price\n\n\ndef total(items):\n    return sum(convert_price("
    found = context(index, Around("shop/cart.py", "python", prefix, ")\n"))
    assert found[0].path == "shop/money.py"
    assert found[0].kind == "definitions"
    assert found[0].text.startswith('def convert_price(amount, currency):\n    """Convert a price."""')
    assert "RATES" not in found[0].text
    assert found[0].origin == "trusted"
    assert all(item.path != "shop/cart.py" for item in found), "the edited file is not its own context"


def test_what_others_wrote_is_marked(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    index = Index(tmp_path)
    assert index.update("vendor/lib/a.js", "function convertPrice(amount, currency, table) {\n  return amount;\n}\n")
    found = context(index, Around("b.js", "javascript", "convertPrice(amount, currency, table", ""))
    assert [(item.kind, item.origin) for item in found] == [("definitions", "third_party")]


def test_words_are_found_by_their_parts(tmp_path: Path) -> None:
    assert parts("parseHTTPHeader_v2") == ("parsehttpheader_v2", "parse", "http", "header")
    index = Index(tmp_path)
    index.update("a.py", "def parse_http_header(raw_line, strict_mode):\n    pass\n")
    for number in range(20):
        index.update(f"b{number}.py", f"def other_{number}(x):\n    return x\n")
    assert index.search("parseHttpHeader(rawLine, strictMode")[0].window.path == "a.py"


def test_nothing_is_shown_twice(tmp_path: Path) -> None:
    same = "def convert_price(amount, currency, table):\n    rate = table[currency]\n    return amount * rate\n"
    index = Index.of(repository(tmp_path, {f"copy{number}.py": same for number in range(5)}))
    found = context(index, Around("new.py", "python", "convert_price(amount, currency, table, rate", ""))
    assert len([item for item in found if item.kind == "similar"]) <= 1
    assert context(index, Around("new.py", "python", same + "convert_price(amount, currency", "")) == []


def test_the_order_does_not_hang_on_the_score(tmp_path: Path) -> None:
    index = Index(tmp_path)
    for name in ("z", "m", "a"):
        index.update(f"{name}.py", f"def {name}_read(path, encoding, buffer):\n    return {name}\n" * 2)
    for number in range(9):
        index.update(f"n{number}.py", f"x{number} = {number}\n")
    found = context(index, Around("q.py", "python", "read(path, encoding, buffer", ""))
    assert [item.path for item in found] == sorted(item.path for item in found)
    assert len(found) == 3


@pytest.mark.parametrize("path", [
    ".env", "a/.env.local", "prod.env", "id_rsa", "keys/server.pem", "x.tfvars", ".npmrc", "credentials.json", "secrets.yaml",
    "secret.sh", ".ssh/config.py", "a/.aws/b.py", "vault_pass.txt", "release.jks",
])  # fmt: skip
def test_files_of_secrets_are_never_read(path: str, tmp_path: Path) -> None:
    assert is_secret(path)
    index = Index(tmp_path)
    assert not index.update(path, "password = 'hunter2 hunter2'\n")
    assert not index.files


@pytest.mark.parametrize("path", ["tokens.py", "src/secrets.go", "env.py", "environment.py", "src/keys.ts", "a/key.py"])
def test_code_about_secrets_is_read(path: str) -> None:
    assert not is_secret(path)


@pytest.mark.parametrize("text", [
    "\0binary", "// Code generated by protoc. DO NOT EDIT.\nx = 1\n", "x=1;" * 400, "k = '''-----BEGIN RSA PRIVATE KEY-----'''\n",
    "# @generated\n",
])  # fmt: skip
def test_what_people_did_not_write_is_left_out(text: str) -> None:
    assert as_code(text) is None


def test_git_says_what_is_ignored_and_no_program_of_the_repository_runs(tmp_path: Path) -> None:
    repository(tmp_path, {"a.py": "x = 1\n", "build/b.py": "y = 1\n", ".gitignore": "build/\n", "new.py": "z = 1\n"})
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    evil.chmod(0o755)
    for words in (("init", "-q"), ("add", "a.py", ".gitignore"), ("config", "core.fsmonitor", str(evil))):
        subprocess.run(("git", "-C", str(tmp_path), *words), check=True)
    (tmp_path / "ran").unlink(missing_ok=True)
    assert sorted(paths_of(tmp_path)) == ["a.py", "evil.sh", "new.py"]
    assert not (tmp_path / "ran").exists()


def test_a_file_outside_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.py").write_text("secret_value = 1\n")
    (tmp_path / "in" / "link.py").symlink_to(tmp_path / "out.py")
    index = Index.of(tmp_path / "in")
    assert not index.update("../out.py")
    assert not index.files


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(BurilError) as caught:
        Index(tmp_path / "nowhere")
    assert caught.value.code == "V600"


def test_signatures_of_many_languages() -> None:
    for language, text, names in (
        ("python", SAMPLE, {"add", "Cart", "total"}),
        ("java", "class A {\n  int f(int x) {\n    return x;\n  }\n}\n", {"A", "f"}),
        (
            "go",
            "package a\n\ntype T struct {\n\tx int\n}\n\nfunc (t T) F(a int) error {\n\treturn nil\n}\n",
            {"T", "F"},
        ),
        (
            "typescript",
            "export interface I {\n  a: string;\n}\nexport function f(a: I): void {\n  g(a);\n}\n",
            {"I", "f"},
        ),
        ("c", "struct s {\n  int a;\n};\n\nint f(struct s *p)\n{\n  return p->a;\n}\n", {"s", "f"}),
    ):
        found = symbols(text, language)
        assert {item.name for item in found} == names, language
        assert all("return" not in item.signature for item in found if item.name in ("f", "F", "add")), language


def made_up(random_: random.Random, words: list[str], lines: int) -> str:
    return "\n".join(
        f"    {random_.choice(words)}_{random_.choice(words)} = {random_.choice(words)}({random_.choice(words)}, "
        f"{random_.choice(words)})" for _line in range(lines)
    )  # fmt: skip


def test_an_index_after_changes_is_the_index_made_anew(tmp_path: Path) -> None:
    random_ = random.Random(5)
    words = [f"word{number}" for number in range(80)]
    old, new = Index(tmp_path), Index(tmp_path)
    texts: dict[str, str] = {}
    for _step in range(400):
        path = f"f{random_.randrange(60)}.py"
        if random_.random() < 0.15:
            texts.pop(path, None)
            old.remove(path)
        else:
            texts[path] = made_up(random_, words, random_.randrange(5, 120))
            old.update(path, texts[path])
    old._dead = 10_000
    old.remove(next(iter(texts)))
    texts.pop(next(iter(texts)))
    for path, text in texts.items():
        new.update(path, text)
    assert old.num_windows == new.num_windows
    for _query in range(10):
        query = made_up(random_, words, 4)
        first, second = ([(hit.window.path, hit.window.start, round(hit.score, 3)) for hit in index.search(query, most=5)]
                         for index in (old, new))  # fmt: skip
        assert first == second
    assert all(old.text_of(hit.window) == new.text_of(hit.window) for hit in new.search("word1 word2 word3"))


def test_a_query_and_a_change_of_five_thousand_files_stay_in_their_time(tmp_path: Path) -> None:
    random_ = random.Random(1)
    words = [f"{a}{b}" for a in ("read", "write", "parse", "make", "find") for b in (f"Thing{n}" for n in range(400))]
    index = Index(tmp_path)
    texts = [made_up(random_, words, 60) for _file in range(500)]
    for number in range(5_000):
        index.update(f"pkg{number % 50}/f{number}.py", texts[number % 500])
    around = Around("new.py", "python", made_up(random_, words, 30), "")
    assert context(index, around)
    queries, changes = [], []
    for number in range(15):
        began = time.process_time()
        context(index, around)
        queries.append(time.process_time() - began)
        began = time.process_time()
        index.update(f"pkg1/f{number * 50 + 1}.py", texts[(number + 7) % 500])
        changes.append(time.process_time() - began)
    slow = pace()
    assert sorted(queries)[3] < 0.030 * slow  # some 5 ms, on a quiet machine
    assert sorted(changes)[3] < 0.015 * slow


# --- what is remembered

SCOPE = scope_of("digest", {"max_tokens": 16})


def test_what_was_suggested_is_found_as_it_is_typed() -> None:
    kept = Suggestions()
    kept.put(SCOPE, "x = ", "\n", "foo(1)")
    assert kept.get(SCOPE, "x = ", "\n") == ("foo(1)", "exact", None)
    for number in range(1, 6):
        assert kept.get(SCOPE, "x = " + "foo(1)"[:number], "\n") == ("foo(1)"[number:], "typed", None)
    for prefix, suffix in (("x = b", "\n"), ("x = foo(1)", "\n"), ("x = f", ")\n"), ("x =", "\n"), ("y = f", "\n")):
        assert kept.get(SCOPE, prefix, suffix) is None
    assert kept.get(scope_of("other", {"max_tokens": 16}), "x = ", "\n") is None
    assert kept.get(scope_of("digest", {"max_tokens": 17}), "x = ", "\n") is None


def test_an_indentation_that_changes_takes_the_suggestion_along() -> None:
    kept = Suggestions()
    kept.put(SCOPE, "if a:\n", "\n", "    b()\n    c()")
    assert kept.get(SCOPE, "if a:\n    ", "\n") == ("b()\n    c()", "typed", None)
    assert kept.get(SCOPE, "if a:\n  ", "\n") == ("  b()\n    c()", "typed", None)
    assert kept.get(SCOPE, "if a:\n\t", "\n") == ("b()\n\tc()", "indented", None)
    kept.put(SCOPE, "def f():\n        ", "\n", "b()\n        c()")
    assert kept.get(SCOPE, "def f():\n    b", "\n") == ("()\n    c()", "indented", None)
    assert kept.get(SCOPE, "def g():\n    b", "\n") is None


def test_nothing_to_show_is_remembered_too() -> None:
    kept = Suggestions()
    kept.put(SCOPE, "x", "", "")
    assert kept.get(SCOPE, "x", "") == ("", "exact", None)
    assert kept.get(SCOPE, "xy", "") is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 300)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_it_never_takes_more_than_it_may(steps: list[tuple[int, int]]) -> None:
    kept = Suggestions(max_bytes=2_000)
    for number, size in steps:
        kept.put(SCOPE, f"p{number}", "", "x" * size)
        assert kept.num_bytes <= 2_000
        assert kept.get(SCOPE, f"p{number}", "") is not None
    assert kept.num_bytes == sum(
        Kept(f"p{n}", "", "x" * s).size for n, s in dict(steps).items() if kept.get(SCOPE, f"p{n}", "")
    )
    kept.put(SCOPE, "p", "", "x" * 3_000)
    assert kept.get(SCOPE, "p", "") is None


def test_a_request_on_its_way_answers_who_types_along() -> None:
    flying = InFlight()
    ticket = flying.start(SCOPE, "x = ", "\n")
    assert flying.join(SCOPE, "x = fo", "\n") == (ticket, 2), "nothing is written that disagrees"
    flying.grow(ticket, "foo(")
    assert flying.join(SCOPE, "x = fo", "\n") == (ticket, 2)
    assert flying.join(SCOPE, "x = foo(1", "\n") == (ticket, 5)
    for prefix, suffix in (("x = b", "\n"), ("x = fo", ""), ("y = ", "\n")):
        assert flying.join(SCOPE, prefix, suffix) is None
    assert flying.stale(SCOPE, "x = b", "\n") == [ticket]
    assert flying.stale(SCOPE, "x = fo", "\n") == []
    flying.end(ticket)
    assert flying.join(SCOPE, "x = fo", "\n") is None


# --- how long to wait


def test_a_client_waits_by_how_the_user_types() -> None:
    assert wait(Typing(line_before="    ")).seconds == 0
    fast, slow = (wait(Typing((gap,) * 10, line_before="x = f", last="f")).seconds for gap in (0.05, 0.3))
    assert LEAST_S <= fast < slow <= MOST_S
    word, point = (wait(Typing((0.2,), last=last, line_before="x")).seconds for last in ("a", "."))
    assert point < word
    middle, end = (
        wait(Typing((0.2,), last="a", line_before="x", line_after=after)).seconds for after in ("y + z", ")")
    )
    assert end < middle
    slow_model = wait(Typing((0.2,), latency_s=0.2, last="a", line_before="x")).seconds
    assert slow_model < word
    assert wait(Typing((9.0, 0.2), last=".", line_before="x.")).seconds == pytest.approx(0.33)


@given(
    gaps=st.lists(st.floats(-1, 100, allow_nan=False), max_size=30), latency=st.floats(0, 10), last=st.sampled_from(["", "a", "."]),
    before=st.text(" ab", max_size=3), after=st.text(" ab)", max_size=3), end=st.booleans(),
)  # fmt: skip
def test_a_wait_is_always_within_its_bounds(
    gaps: list[float], latency: float, last: str, before: str, after: str, end: bool
) -> None:
    found = wait(Typing(gaps, latency, last, before, after, end))
    assert found.seconds == 0 if found.why == "line_start" else LEAST_S <= found.seconds <= MOST_S


# --- the same again


def test_a_fixed_request_has_its_own_seed() -> None:
    asked = Request("x = ", temperature=0.8, max_tokens=4, seed=3)
    assert fixed(asked) == fixed(Request("x = ", temperature=0.8, max_tokens=4, seed=9))
    assert fixed(asked).seed != fixed(Request("y = ", temperature=0.8, max_tokens=4)).seed
    assert fixed(asked).seed != fixed(replace(asked, presence_penalty=1.0)).seed
    assert fixed(Request("x", seed=5)).seed == 0
    assert 0 <= fixed(asked).seed < 2**31
