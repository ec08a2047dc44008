"""A base from nothing: a small Llama with random weights, sized by one number, that stock transformers loads."""

from __future__ import annotations

import json
import math
import zlib
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from buril.core.settings import Json
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Output
from buril.generators._encoder import Fim, read_fim
from buril.train.bases._base import MODEL, Description, count_parameters
from buril.train.bases._safetensors import Floats, Lazy, write_safetensors

HEAD = 64
"""Width of an attention head: what every fast attention kernel is made for."""
EMBEDDING_STD = 0.02
"""Spread of the embedding rows: tied to the head, wider ones would begin with confident nonsense."""


class Scratch:
    """Writes config.json and random weights; the vocabulary is the tokenizer's."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """How large."""

        depth: int = Field(6, ge=1, le=80)
        """Layers; the width follows from it, 32 a layer in whole heads of 64, with a feed-forward of 8/3 the width."""
        max_length: int = Field(2048, ge=16)
        """Tokens of context."""
        seed: int = 0
        """Where the random weights come from."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def needs(self) -> tuple[str, ...]:
        """The tokenizer: its vocabulary sizes the embedding."""
        return ("tokenizer",)

    def observe(self) -> Json:
        """Nothing outside the store is read."""
        return None

    def size(self) -> int:
        """Bytes that are written, with a vocabulary of 50,000."""
        config = self._config({"vocab_size": 50_000, "eos": 0, "pad": 0})
        return 4 * sum(math.prod(shape) for shape in shapes(config).values())

    def write(self, out: Output, tokenizer: Path | None) -> Description:
        """Draw the weights and write them as float32."""
        assert tokenizer is not None, "the stage hands over the tokenizer that needs() asks for"
        fim = read_fim(tokenizer)
        config = self._config(fim)
        tensors = {
            name: Lazy(shape, partial(initial, name, shape, seed=self.settings.seed))
            for name, shape in shapes(config).items()
        }
        if not out.has(f"{MODEL}/model.safetensors"):
            with out.write(f"{MODEL}/model.safetensors") as path:
                write_safetensors(path, tensors, dtype="F32")
        generation = {"eos_token_id": [fim["eos"]], "pad_token_id": config["pad_token_id"]}
        out.text(f"{MODEL}/generation_config.json", json.dumps(generation, indent=1) + "\n")
        out.text(f"{MODEL}/config.json", json.dumps(config, indent=1) + "\n")
        return Description(
            name=f"scratch-d{self.settings.depth}",
            kind="scratch",
            source="",
            sha256="",
            license="",
            parameters=count_parameters(out.path(MODEL)),
            fim=fim["prefix"] is not None,
        )

    def _config(self, fim: Fim | dict[str, int]) -> dict[str, Any]:
        width = width_of(self.settings.depth)
        heads = width // HEAD
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": fim["vocab_size"],
            "hidden_size": width,
            "intermediate_size": feed_forward(width),
            "num_hidden_layers": self.settings.depth,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "head_dim": HEAD,
            "hidden_act": "silu",
            "max_position_embeddings": self.settings.max_length,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "attention_bias": False,
            "mlp_bias": False,
            "attention_dropout": 0.0,
            "tie_word_embeddings": True,
            "initializer_range": EMBEDDING_STD,
            "use_cache": True,
            "dtype": "float32",
            "bos_token_id": None,
            "eos_token_id": fim["eos"],
            "pad_token_id": fim["pad"] if fim["pad"] is not None else fim["eos"],
        }


def width_of(depth: int) -> int:
    """The width for a depth: 32 a layer, in whole heads.

    Deep and thin learns more for its size than wide and shallow in small models (Liu et al. 2024, MobileLLM), and the
    best of those measured here under ten minutes of two cores has six layers of 192.
    """
    return HEAD * max(1, math.ceil(depth * 32 / HEAD))


def feed_forward(width: int) -> int:
    """Width of the feed-forward layer: 8/3 of the model's, up to a multiple of 64.

    That makes SwiGLU's three matrices as large as the usual two (Shazeer 2020, GLU Variants Improve Transformer).
    """
    return 64 * math.ceil(width * 8 / 3 / 64)


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name → shape of every weight of a Llama with tied embeddings, as transformers names them."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], width),
        "model.norm.weight": (width,),
    }
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        found.update({f"{block}self_attn.{name}_proj.weight": (width, width) for name in "qkvo"})
        found.update({f"{block}mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")})
        found[f"{block}mlp.down_proj.weight"] = (width, inner)
        found.update({f"{block}{name}.weight": (width,) for name in ("input_layernorm", "post_attention_layernorm")})
    return found


def initial(name: str, shape: tuple[int, ...], *, seed: int) -> Floats:
    """The first value of a weight; each has its own random stream, so one more layer leaves the others alone.

    Norms begin at 1. What writes into the residual stream (`o_proj`, `down_proj`) begins at 0, so that every block
    begins as the identity. The other matrices keep the variance of what they are given: 1/√inputs.
    """
    if "norm" in name:
        return np.ones(shape, dtype=np.float32)
    if "o_proj" in name or "down_proj" in name:
        return np.zeros(shape, dtype=np.float32)
    spread = EMBEDDING_STD if "embed" in name else 1 / math.sqrt(shape[1])
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    drawn: Floats = random.standard_normal(shape, dtype=np.float32) * np.float32(spread)
    return drawn
