"""Contract check of exporters: what one writes is opened by its engine and is the model. Torch is loaded at a call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buril.testing._common import check_plugin, expect, make, same

BITS = (4, 8, 16, 32)
_TOKENS = 8
_END = "<|endoftext|>"


def check_exporter(exporter: Any, folder: Path, model: Mapping[str, Path] | None = None) -> None:
    """An exporter writes into its folder alone, changes nothing of the model, and its engine gives the model back.

    Args:
        exporter: the plugin with settings, or its class.
        folder: an empty folder to work in.
        model: what `buril.generators._load.load` is called with (`base_dir`, `tokenizer_dir`, …); a tiny llama with
            random weights where there is none.
    """
    from buril.export.exporters._exporter import Source
    from buril.export.merge import write_config, write_whole
    from buril.export.parity import Limits, answers, compare, judge, reference

    check_plugin("exporter", exporter)
    exporter = make(exporter)
    _check_told(exporter)
    model = model or _tiny(folder / "model")
    asked, wanted = reference(model, folder / "reference.json", _TOKENS)
    whole, config, written = (folder / "bundle" / name for name in ("whole", "config", "written"))
    for place in (whole, written):
        place.mkdir(parents=True)
    exact = write_whole(whole, model)
    write_config(config, whole, {})
    (folder / "bundle/fim.json").write_text(json.dumps(_fim(model["tokenizer_dir"])), encoding="utf-8")
    source = Source(whole, config, model.get("adapter_dir"), exact)
    expect(exporter.bits(source) in BITS, f"bits() is {exporter.bits(source)!r}, none of {BITS}")
    before = _digests(folder, written)
    exporter.write(source, written)
    expect((written / exporter.main).exists(), f"write() left no {exporter.main!r}")
    same(_digests(folder, written), before, "write() changes files outside of its folder")
    found = compare(asked, wanted, answers(exporter.open(source, written), asked, _TOKENS))
    limits = Limits()
    problems = judge(found, limits.of(exporter.bits(source)))
    expect(not problems, f"what was written is not the model: {'; '.join(problems)}")


def _tiny(root: Path) -> dict[str, Path]:
    """A model and a tokenizer of bytes that cuts text as SmolLM2's does, which every format has a word for."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "de"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("d", "e")]))
    cut: list[Any] = [
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ]  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cut)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(_END, special=True)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_END).save_pretrained(root / "tokenizer")
    fim: dict[str, Any] = {
        "prefix": None,
        "suffix": None,
        "middle": None,
        "eos": 257,
        "pad": None,
        "bos": None,
        "added": [],
    }
    (root / "fim.json").write_text(json.dumps({**fim, "vocab_size": 258}), encoding="utf-8")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True, initializer_range=0.1,
        eos_token_id=257, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(root / "model")
    return {"base_dir": root, "tokenizer_dir": root}


def _check_told(exporter: Any) -> None:
    name, engines, usage = exporter.name(), exporter.engines, exporter.usage()
    plain = isinstance(name, str) and name and not set(name) & set("/\\ :.")
    expect(plain, f"name() is {name!r}: it becomes a folder")
    named = isinstance(engines, tuple) and engines and all(isinstance(item, str) for item in engines)
    expect(named, f"engines is {engines!r}: name what reads the files")
    expect("{folder}" in usage and "\n" not in usage, f"usage() is {usage!r}: one line with {{folder}} in it")
    same(name, exporter.name(), "name() gives two names")


def _fim(tokenizer: Path) -> dict[str, Any]:
    from buril.generators._encoder import read_fim

    return dict(read_fim(tokenizer / "tokenizer" if (tokenizer / "tokenizer").is_dir() else tokenizer))


def _digests(folder: Path, without: Path) -> dict[str, str]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and without not in path.parents)
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
