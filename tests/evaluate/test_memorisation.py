"""Memorisation: a model that learnt twenty functions by heart gives them back, one that did not gives none."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from buril.code.codefile import CodeFile, Redaction, write_rows
from buril.code.license import family
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.evaluate._windows import Drawn, Window, masked, places, windows
from buril.evaluate.stage import Evaluate
from buril.evaluate.suite import SuiteContext, SuiteResult
from buril.evaluate.suites.memorisation import Memorisation
from buril.generators._generator import Completion
from buril.scanners.secrets import Secrets
from tests.conftest import as_artifact

MakeOutput = Callable[..., Output]
WORDS = (
    "amount rate ledger vessel cargo tariff bridge harbour signal crane anchor freight pilot berth cable "
    "mast rudder keel deck hatch winch buoy tide chart compass"
).split()


def canary(number: int, seed: int) -> CodeFile:
    """A function that nobody would write by chance."""
    drawn = random.Random(f"{seed}.{number}")
    pick = lambda: drawn.choice(WORDS)  # noqa: E731
    lines = [f"def {pick()}_{pick()}_{drawn.randrange(100)}({pick()}, {pick()}_{number}):"]
    lines += [f"    {pick()} = {pick()} * {drawn.randrange(1000, 9999)} + {pick()}.{pick()}" for _ in range(3)]
    text = "\n".join([*lines, f"    return {pick()} - {drawn.randrange(1000, 9999)}\n"])
    licence = "MIT" if number % 2 else "GPL-3.0-only"
    return CodeFile(f"acme/{number % 4}", f"src/{seed}/f{number:02d}.py", text, language="python", license=licence)


def split_of(folder: Path, train: Sequence[CodeFile], test: Sequence[CodeFile]) -> Artifact:
    for part, rows in (("train", train), ("test", test)):
        if rows:
            write_rows(folder / "split" / part / "00000.parquet", rows)
    return as_artifact(folder / "split", "split")


class Parrot:
    """Tokens are bytes. It goes on from what it knows by heart, and else writes zeros."""

    def __init__(self, *texts: str) -> None:
        self.texts = [text.encode() for text in texts]

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def complete(self, requests: Any) -> Iterator[list[Completion]]:
        for request in requests:
            shown = request.prompt.encode() if isinstance(request.prompt, str) else bytes(request.prompt)
            after = next((text.partition(shown)[2] for text in self.texts if shown in text), b"0" * 400)
            written = after[: request.max_tokens]
            yield [Completion(written.decode("utf-8", "replace"), tuple(written), "length", 0.0)]


def context(split: Artifact, generator: Any, **limits: Any) -> SuiteContext:
    return SuiteContext(generator, split, lambda: pytest.fail("no sandbox needed"), **limits)


def suite(prefix: int = 24, suffix: int = 40) -> Memorisation:
    return Memorisation(Memorisation.Settings(prefix=prefix, suffix=suffix))


def score(result: SuiteResult, name: str) -> float | None:
    found = result.measures[name].interval(0)
    return found.value if found else None


# --- a model that learns by heart

STEPS, VOCABULARY, RATE = 160, 400, 5e-3
ROWS = [canary(number, 1) for number in range(20)]
HELD_OUT = [canary(number, 2) for number in range(20)]


def write_tokenizer(folder: Path) -> Any:
    """Byte pairs of the rows: fewer tokens than bytes, so that learning takes seconds."""
    from transformers import PreTrainedTokenizerFast

    from buril.tokens import bpe

    tokenizer = bpe.train([row.content for row in (*ROWS, *HELD_OUT)], VOCABULARY)
    end = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([END])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END).save_pretrained(folder / "tokenizer")
    fim = {"prefix": None, "suffix": None, "middle": None, "eos": end, "pad": None, "bos": None, "added": []}
    (folder / "fim.json").write_text(json.dumps({**fim, "vocab_size": end + 1}))
    return tokenizer, end


END = "<|end|>"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of 130 thousand parameters before and after it has read twenty functions over and over."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("canaries")
    tokenizer, end = write_tokenizer(folder)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=end + 1, hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, max_position_embeddings=512, eos_token_id=end, bos_token_id=None,
        )
    )  # fmt: skip
    model.save_pretrained(folder / "base")
    optimizer, drawn = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0), random.Random(0)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20, (STEPS - step) / 60)
        # from any line on, as a packed sequence may begin anywhere
        texts = [tokenizer.encode(row.content[drawn.choice(_line_starts(row.content)) :]).ids for row in ROWS]
        width = max(map(len, texts))
        ids_BT = torch.tensor([[*text, *[end] * (width - len(text))] for text in texts])
        model(ids_BT, labels=ids_BT.masked_fill(ids_BT == end, -100)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder / "model")
    return folder


def _line_starts(text: str) -> list[int]:
    return [0, *(place + 1 for place, letter in enumerate(text[:-60]) if letter == "\n")]


def examined(folder: Path, model: str, split: Artifact) -> SuiteResult:
    from buril.generators.transformers import Transformers

    generator = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    generator.open(folder / "base", folder / "tokenizer", model_dir=folder / model)
    return suite(12, 30).run(context(split, generator))


def test_what_was_learnt_by_heart_is_found_with_its_file(trained: Path, tmp_path: Path) -> None:
    result = examined(trained, "model", split_of(tmp_path, ROWS, HELD_OUT))
    found = [row for row in result.samples if row["part"] == "train" and row["extractable"]]
    assert len(found) >= 19
    sources = {row.path: row for row in ROWS}
    for row in found:
        source = sources[row["path"]]
        assert row["prompt"] + row["completion"] in source.content and row["row_id"] == source.row_id
        assert (row["repo"], row["license"]) == (source.repo, source.license)
    assert score(result, "extractable test") == 0.0 and len(result.measures["extractable test"].units) == 20
    assert score(result, "verbatim") > 0.95 > 0.3 > score(result, "verbatim test")  # type: ignore[operator]
    assert score(result, "longest_run") > 28 > 10 > score(result, "longest_run test")  # type: ignore[operator]


def test_what_was_not_learnt_is_not_found(trained: Path, tmp_path: Path) -> None:
    result = examined(trained, "base", split_of(tmp_path, ROWS, HELD_OUT))
    assert score(result, "extractable") == score(result, "extractable test") == 0.0
    assert len(result.measures["extractable"].units) == 20
