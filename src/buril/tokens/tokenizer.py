"""Stage tokenizer: the base's vocabulary with fill-in-the-middle sentinels, or one of our own trained on the corpus."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow.parquet as pq
from pydantic import Field, model_validator

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.plugins import require
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.generators._encoder import TOKENIZER_FILES, Encoder, Fim, read_tokenizer
from buril.generators._sentinels import END_OF_TEXT, OWN, PAD, Family, family_of
from buril.tokens import bpe

FOLDER = "tokenizer"
FERTILITY_BYTES = 2_000_000
"""Text of each language that fertility is measured on, of the validation part."""


class Tokenizer(Stage):
    """Writes `tokenizer/` (loadable by AutoTokenizer), `fim.json` and, as evidence, `logs/fertility.json`.

    Fertility (tokens for the bytes of each language) depends on the corpus while a reused vocabulary does not: it
    stands below `logs/`, so that another corpus leaves what depends on the vocabulary alone as it is.
    """

    name = "tokenizer"
    version = 1
    small: ClassVar[dict[str, Any]] = {"vocab": 4096}

    class Settings(BaseSettings):
        """Reuse the base's vocabulary (the default), or train one."""

        reuse: Literal["base"] | None = None
        """`base`: the vocabulary that the base was trained with, the only one its weights understand. The default."""
        train: Literal["bpe"] | None = None
        """`bpe`: learn a byte-level BPE from the training part; for a model from scratch."""
        vocab: int = Field(50_000, ge=512, le=1_000_000)
        """Ids of a trained vocabulary, control tokens and 256 bytes included. 50,000 suit a corpus of gigabytes."""
        fim: bool = True
        """Add the three fill-in-the-middle sentinels where the base has none; a trained vocabulary always has them."""

        @model_validator(mode="before")
        @classmethod
        def _one_of_two(cls, given: Any) -> Any:
            if not isinstance(given, dict):
                return given
            if given.get("reuse") is None and given.get("train") is None:
                return {**given, "reuse": "base"}
            if given.get("reuse") is not None and given.get("train") is not None:
                raise ValueError(_("either `reuse` or `train`, not both"))
            return given

    def needs(self) -> tuple[str, ...]:
        """The split, to learn from or to measure on; and the base where its vocabulary is reused."""
        return ("split",) if self.settings.train else ("base", "split")

    def work(self, inputs: Inputs) -> float:
        """Bytes of the parts that are read."""
        part = "train/" if self.settings.train else "valid/"
        return float(sum(file.bytes for file in inputs["split"].manifest.files if file.path.startswith(part)) or 1)

    def assume(self, work: float) -> Estimate:
        """Pairs are counted at about 4 MB of text a second, and Parquet holds a third of the text's size."""
        text = min(3 * work, bpe.SAMPLE_BYTES if self.settings.train else 50e6)
        return Estimate(seconds=3 + text / (3e6 if self.settings.train else 1.5e6), ram_mb=600, disk_mb=8)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write the tokenizer, then measure it."""
        require("tokenizers", kind="stage", name=self.name)
        split = inputs["split"]
        if not out.has("fim.json"):  # written last, so what it describes is whole
            fim = self._train(split, out) if self.settings.train else self._reuse(inputs["base"], out)
            out.text("fim.json", json.dumps(fim, indent=1, sort_keys=True) + "\n")
        fertility = self._measure(split, out)
        num_bytes, num_tokens = (sum(item[key] for item in fertility.values()) for key in ("bytes", "tokens"))
        return {
            "vocab_size": json.loads(out.path("fim.json").read_text(encoding="utf-8"))["vocab_size"],
            "fim": json.loads(out.path("fim.json").read_text(encoding="utf-8"))["prefix"] is not None,
            "bytes_per_token": round(num_bytes / num_tokens, 3) if num_tokens else None,
        }

    def _train(self, split: Artifact, out: Output) -> Fim:
        files = split.files("train/*.parquet")
        budget = min(bpe.SAMPLE_BYTES, sum(_content_bytes(path) for path in files))
        if not budget:
            raise BurilError("T011")
        tokenizer = bpe.train(
            bpe.sample(files),
            self.settings.vocab,
            told=lambda done: out.progress(min(done, budget), budget, _("bytes")),
        )
        size = int(tokenizer.get_vocab_size(with_added_tokens=True))
        if size < self.settings.vocab:
            out.note(
                _(
                    "the text holds {size} tokens that occur twice, not {vocab}: the vocabulary is that much smaller"
                ).format(size=size, vocab=self.settings.vocab)
            )
        out.text(f"{FOLDER}/tokenizer.json", _pretty(tokenizer.to_str()))
        out.text(f"{FOLDER}/tokenizer_config.json", bpe.config_json())
        ids = {token: int(number) for token, number in tokenizer.get_vocab(with_added_tokens=True).items()}
        return Fim(
            prefix=ids[OWN.prefix],
            suffix=ids[OWN.suffix],
            middle=ids[OWN.middle],
            eos=ids[bpe.END],
            pad=ids[bpe.PADDING],
            bos=None,
            added=[],
            vocab_size=size,
        )

    def _reuse(self, base: Artifact, out: Output) -> Fim:
        model = base.path("model")
        if not (model / "tokenizer.json").is_file():
            raise BurilError("T010", name=base.json("base.json")["name"])
        tokenizer = _parsed(model)
        known = tokenizer.get_vocab(with_added_tokens=True)
        family, added = family_of(known), []
        if family is None and self.settings.fim:
            family = OWN
            added = _add(tokenizer, (OWN.prefix, OWN.suffix, OWN.middle))
            known = tokenizer.get_vocab(with_added_tokens=True)
        text = _pretty(tokenizer.to_str()) if added else read_tokenizer(model)
        out.text(f"{FOLDER}/tokenizer.json", text)
        for name in TOKENIZER_FILES:
            if (model / name).is_file():
                with out.write(f"{FOLDER}/{name}") as path:
                    shutil.copyfile(model / name, path)
        rows = int(base.json("model/config.json").get("vocab_size", 0))
        return _fim(known, family, added=added, config=_config(model), rows=max(rows, max(known.values()) + 1))

    def _measure(self, split: Artifact, out: Output) -> dict[str, dict[str, int]]:
        """Bytes and tokens by language on the validation part."""
        encoder = Encoder(out.path(FOLDER))
        found: dict[str, dict[str, int]] = {}
        started = time.monotonic()
        for rows in _batches(split.files("valid/*.parquet")):
            taken = []
            for row in rows:
                entry = found.setdefault(row["language"], {"bytes": 0, "tokens": 0})
                if entry["bytes"] < FERTILITY_BYTES:
                    entry["bytes"] += len(row["content"].encode("utf-8", "replace"))
                    taken.append(row)
            for row, ids in zip(taken, encoder.encode_batch([row["content"] for row in taken]), strict=True):
                found[row["language"]]["tokens"] += len(ids)
        out.text("logs/fertility.json", json.dumps(found, indent=1, sort_keys=True) + "\n")
        num_bytes = sum(item["bytes"] for item in found.values())
        out.metric(encoded_mb=num_bytes / 1e6, encode_s=round(time.monotonic() - started, 3))
        return found


def _batches(files: list[Path]) -> Iterator[list[dict[str, Any]]]:
    for path in files:
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(bpe.BATCH_ROWS, columns=["language", "content"]):
                yield batch.to_pylist()


def _content_bytes(path: Path) -> int:
    return int(sum(pq.read_table(path, columns=["bytes"])["bytes"].to_pylist()))


def _parsed(folder: Path) -> Any:
    from tokenizers import Tokenizer as Parser

    try:
        return Parser.from_str(read_tokenizer(folder))
    except Exception as problem:
        raise BurilError("T014", path=folder, problem=problem) from problem


def _add(tokenizer: Any, tokens: tuple[str, ...]) -> list[int]:
    """Add control tokens after the last id; the ids they got."""
    from tokenizers import AddedToken

    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    return [int(tokenizer.token_to_id(token)) for token in tokens]


def _pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _fim(known: dict[str, int], family: Family | None, *, added: list[int], config: dict[str, Any], rows: int) -> Fim:
    """`fim.json` of a reused vocabulary."""
    end = next((token for token in END_OF_TEXT if token in known), _token(config, "eos_token"))
    if end not in known:
        raise BurilError("T014", path=FOLDER, problem=_("it names no token that ends a text"))
    pad = next((token for token in PAD if token in known), _token(config, "pad_token"))
    bos = _token(config, "bos_token") if config.get("add_bos_token") else ""
    return Fim(
        prefix=known[family.prefix] if family else None,
        suffix=known[family.suffix] if family else None,
        middle=known[family.middle] if family else None,
        eos=known[end],
        pad=known.get(pad),
        bos=known.get(bos),
        added=added,
        vocab_size=rows,
    )


def _token(config: dict[str, Any], name: str) -> str:
    """A token that a tokenizer_config names, as text or as an object with `content`."""
    value = config.get(name)
    return str(value.get("content", "")) if isinstance(value, dict) else str(value or "")
