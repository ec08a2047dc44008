"""Small models with random weights, in numbers that bf16 holds, and their tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from buril.tokens import bpe

TEXT = 'def add(left, right):\n    """Sum, año €."""\n    return left + right\n\nclass Vault:\n    pass\n' * 9
VOCAB = 330
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.2, "eos_token_id": 0,
    "bos_token_id": None, "pad_token_id": 4,
}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "llama apart": {"tie_word_embeddings": False, "head_dim": 32},
    "llama scaled": {"rope_parameters": LLAMA3},
    "llama stretched": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    "mistral": {"sliding_window": None},
    "qwen2": {"tie_word_embeddings": True},
    "qwen2 apart": {"tie_word_embeddings": False},
}


def make(kind: str, **more: Any) -> Any:
    """A model, its biases and norms random too; in float32."""
    config = transformers.AutoConfig.for_model(kind.split(maxsplit=1)[0], **{**SIZES, **KINDS.get(kind, {}), **more})
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for part, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.copy_(torch.randn_like(weight) * 0.3 + (1.0 if "norm" in part else 0.0))
            weight.copy_(weight.bfloat16().float())
    return model


def own_tokenizer(root: Path) -> Path:
    """One that buril trains: GGUF has no name for how it cuts text."""
    return _saved(root, bpe.train([TEXT], 300))


def named_tokenizer(root: Path) -> Path:
    """One of SmolLM2's kind, with the control tokens of the other at the same ids."""
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    found.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=310, special_tokens=list(bpe.CONTROL), initial_alphabet=alphabet)
    found.train_from_iterator([TEXT], trainer)
    return _saved(root, found)


def _saved(root: Path, tokenizer: Tokenizer) -> Path:
    (root / "tokenizer").mkdir(parents=True)
    (root / "tokenizer/tokenizer.json").write_text(tokenizer.to_str())
    told = {**json.loads(bpe.config_json()), "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}
    (root / "tokenizer/tokenizer_config.json").write_text(json.dumps(told))
    fim = {"prefix": 1, "suffix": 2, "middle": 3, "eos": 0, "pad": 4, "bos": None, "added": [],
           "vocab_size": tokenizer.get_vocab_size()}  # fmt: skip
    (root / "fim.json").write_text(json.dumps(fim))
    return root
