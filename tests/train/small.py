"""A llama of 30 thousand parameters, a tokenizer of bytes and a little packed code: enough to train in a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from buril.core.artifact import Artifact
from buril.tokens.pack import SCHEMA
from tests.conftest import as_artifact

SENTINELS = ("<|endoftext|>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>")
VOCABULARY = 256 + len(SENTINELS)


def write_tokenizer(folder: Path, *, added: bool = False) -> Artifact:
    """Bytes and four control tokens; with `added`, the three sentinels are new to the base."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SENTINELS])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SENTINELS[0]).save_pretrained(folder / "tokenizer")
    fim = {
        "prefix": 257, "suffix": 258, "middle": 259, "eos": 256, "pad": None, "bos": None,
        "added": [257, 258, 259] if added else [], "vocab_size": VOCABULARY,
    }  # fmt: skip
    (folder / "fim.json").write_text(json.dumps(fim))
    return as_artifact(folder, "tokenizer")


def write_base(folder: Path, *, vocabulary: int = VOCABULARY, kind: str = "folder", tied: bool = True) -> Artifact:
    """Random weights from a fixed seed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=tied, eos_token_id=256,
        bos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder / "model")
    told = {"kind": kind, "name": "toy", "parameters": sum(weight.numel() for weight in model.parameters())}
    (folder / "base.json").write_text(json.dumps(told))
    return as_artifact(folder, "base")


def write_pack(folder: Path, *, num_sequences: int = 24, max_length: int = 96, seed: int = 0) -> Artifact:
    """Sequences of documents of very unequal lengths, in a pattern that can be learnt."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    summary: dict[str, Any] = {"max_length": max_length}
    for part, number in (("train", num_sequences), ("valid", 4)):
        rows = [_sequence(random, max_length, f"{part}{index}") for index in range(number)]
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / f"{part}.parquet")
        found = {"sequences": number, "tokens": sum(len(row["input_ids"]) for row in rows)}
        summary |= found if part == "train" else {"valid": found}
    (folder / "summary.json").write_text(json.dumps(summary))
    return as_artifact(folder, "pack")


def _sequence(random: np.random.Generator, max_length: int, name: str) -> dict[str, Any]:
    input_ids: list[int] = []
    spans: list[dict[str, Any]] = []
    while len(input_ids) < max_length - 2:
        length = int(min(random.choice([2, 3, 7, 20, 50]), max_length - len(input_ids)))
        if length < 2:
            break
        first = int(random.integers(0, 200))
        spans.append(
            {"row_id": f"{name}-{len(spans)}", "start": len(input_ids), "length": length, "fim": "none", "offset": 0}
        )
        input_ids += [(first + 3 * place) % 256 for place in range(length - 1)] + [256]
    return {"input_ids": input_ids, "spans": spans}


def inputs(folder: Path, **told: Any) -> dict[str, Artifact]:
    """The three artifacts that training reads."""
    base = {key: told.pop(key) for key in ("vocabulary", "kind", "tied") if key in told}
    added = told.pop("added", False)
    return {
        "base": write_base(folder / "base", **base),
        "tokenizer": write_tokenizer(folder / "tokenizer", added=added),
        "pack": write_pack(folder / "pack", **told),
    }
