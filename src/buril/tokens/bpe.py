"""Training a byte-level BPE on code, so that no byte is unknown and indentation is cheap.

Source: Sennrich et al. 2016 (BPE), Radford et al. 2019 (over bytes). Its size is the number of ids, control tokens
included. The same rows and settings give the same file, however many cores count the pairs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from buril.generators._sentinels import OWN

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END = "<|endoftext|>"
PADDING = "<|fim_pad|>"
CONTROL = (END, OWN.prefix, OWN.suffix, OWN.middle, PADDING, "<|repo_name|>", "<|file_sep|>")
"""Control tokens, in the order of their ids from 0."""

PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""Where merges stop: a word with the sign or space before it, one digit, signs with the line's end, spaces.

As in GPT-4's, but for its English contractions, which in code cut `'test'` into `'t` and `est'`, and for digits: one by
one, as in Qwen's, SmolLM2's and StarCoder2's, so that a number reads alike wherever it is cut (it takes 1 % more tokens
of code than three at a time). A line's end is an end of a token: joining it with the indentation after it would save
5 %, but a prompt that ends with a line would then be cut as no training text is.
"""
MAX_TOKEN_CHARS = 64
"""No token is longer, so that banners and data do not take ids."""
SAMPLE_BYTES = 200_000_000
"""Text to learn from at most; merges hardly change beyond, and pairs are counted at about 4 MB a second."""
BATCH_ROWS = 256


def shares(sizes: Mapping[str, int], budget: int = SAMPLE_BYTES) -> dict[str, int]:
    """Bytes to take of each language: in proportion to the square root of its size, so that small ones are heard.

    Example:
        `shares({"python": 90_000, "solidity": 10_000}, 40_000)` → `{"python": 30_000, "solidity": 10_000}`.

    Source: Lample and Conneau 2019, Cross-lingual Language Model Pretraining (sampling with exponent 0.5).
    """
    whole = min(budget, sum(sizes.values()))
    roots = {language: math.sqrt(size) for language, size in sizes.items()}
    total = sum(roots.values())
    return {
        language: min(size, int(whole * roots[language] / total))
        for language, size in sorted(sizes.items())
        if size > 0
    }


def sample(files: Iterable[Path], budget: int = SAMPLE_BYTES) -> Iterator[str]:
    """The text to learn from: of each language the rows with the smallest `row_id`, up to its share.

    A `row_id` is a hash, so the choice is spread over repositories and the same whatever the order of the rows.
    """
    paths = sorted(files)
    heads = [row for path in paths for row in pq.read_table(path, columns=["row_id", "language", "bytes"]).to_pylist()]
    sizes: dict[str, int] = {}
    for row in heads:
        sizes[row["language"]] = sizes.get(row["language"], 0) + row["bytes"]
    left = shares(sizes, budget)
    chosen: set[str] = set()
    for row in sorted(heads, key=lambda item: str(item["row_id"])):
        if left.get(row["language"], 0) > 0:
            chosen.add(row["row_id"])
            left[row["language"]] -= row["bytes"]
    for path in paths:
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(BATCH_ROWS, columns=["row_id", "content"]):
                yield from (row["content"] for row in batch.to_pylist() if row["row_id"] in chosen)


def train(texts: Iterable[str], vocab: int, *, told: Callable[[int], None] | None = None) -> Tokenizer:
    """Learn a vocabulary of at most `vocab` ids (fewer where the text has no more pairs that occur twice).

    Args:
        texts: what to learn from.
        vocab: ids in all: control tokens, the 256 bytes, merges.
        told: called with the number of bytes read so far.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        min_frequency=2,
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=MAX_TOKEN_CHARS,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_counted(texts, told), trainer)
    return tokenizer


def _counted(texts: Iterable[str], told: Callable[[int], None] | None) -> Iterator[str]:
    done = 0
    for text in texts:
        yield text
        done += len(text.encode("utf-8", "replace"))
        if told:
            told(done)


def config_json() -> str:
    """The text of `tokenizer_config.json` beside a vocabulary trained here."""
    found = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "bos_token": END,
        "eos_token": END,
        "unk_token": END,
        "pad_token": PADDING,
    }
    return json.dumps(found, indent=1) + "\n"
