"""Stage tokenizer: the base's vocabulary, the same with words of the corpus added, or one trained on the corpus."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow.parquet as pq
from pydantic import Field, model_validator

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.plugins import require
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.generators._encoder import EVIDENCE, TOKENIZER_FILES, Encoder, Fim, read_tokenizer
from buril.generators._sentinels import END_OF_TEXT, OWN, PAD, Family, family_of
from buril.tokens import bpe, extend
from buril.tokens.measure import Measured, check, measure

FOLDER = "tokenizer"
OWN_FORMS = ("vocab.json", "merges.txt", "added_tokens.json", "tokenizer.model")
"""Files that say the same as tokenizer.json in other forms; with an extended vocabulary they would contradict it."""


class Tokenizer(Stage):
    """Writes `tokenizer/` (loadable by AutoTokenizer), `fim.json` and, as evidence, `logs/`.

    `logs/fertility.json` has the tokens that the bytes of each language take, and what they take with the base's own
    vocabulary; `logs/encoding.json` says whether tiktoken gives the same ids. Both depend on the corpus while a reused
    vocabulary does not: below `logs/`, another corpus leaves what depends on the vocabulary alone as it is.

    What the vocabulary gives back: every text, but for lone surrogates (U+FFFD), and, with a base's vocabulary, for
    what its normalizer changes and for bytes that it has no token for. The stage decodes the validation part and says
    how many texts come back otherwise. It goes on from `fim.json` when it was interrupted.
    """

    name = "tokenizer"
    version = 2
    small: ClassVar[dict[str, Any]] = {"vocab": 4096}

    class Settings(BaseSettings):
        """Reuse the base's vocabulary (the default), extend it, or train one."""

        reuse: Literal["base"] | None = None
        """`base`: the vocabulary that the base was trained with, the only one its weights understand. The default."""
        extend: int | None = Field(None, ge=1, le=200_000)
        """Add up to so many tokens for words of the corpus to the base's vocabulary. Their embeddings begin as the mean
        of their pieces'. Some thousands suit a team's names and idioms; each costs a row that has to be trained."""
        train: Literal["bpe"] | None = None
        """`bpe`: learn a byte-level BPE from the training part; for a model from scratch."""
        vocab: int = Field(50_000, ge=512, le=1_000_000)
        """Ids of a trained vocabulary, control tokens and 256 bytes included. 50,000 suit a corpus of gigabytes."""
        fim: bool = True
        """Add the three fill-in-the-middle sentinels where the base has none; a trained vocabulary always has them."""
        compare: str | None = runtime(None)
        """A model folder whose vocabulary is measured beside a trained one. An extended one is measured beside its
        base's in any case."""

        @model_validator(mode="before")
        @classmethod
        def _one_of_three(cls, given: Any) -> Any:
            if not isinstance(given, dict):
                return given
            ways = [name for name in ("reuse", "extend", "train") if given.get(name) is not None]
            if len(ways) > 1:
                raise ValueError(_("one of `reuse`, `extend` and `train`, not several"))
            return given if ways else {**given, "reuse": "base"}

    def needs(self) -> tuple[str, ...]:
        """The split, to learn from or to measure on; and the base where its vocabulary is used."""
        return ("split",) if self.settings.train else ("base", "split")

    @property
    def _sample_bytes(self) -> int:
        """Text that is learnt from at most."""
        return bpe.SAMPLE_BYTES if self.settings.train else extend.SAMPLE_BYTES if self.settings.extend else 0

    def work(self, inputs: Inputs) -> float:
        """Bytes of the parts that are read."""
        part = "train/" if self._sample_bytes else "valid/"
        return float(sum(file.bytes for file in inputs["split"].manifest.files if file.path.startswith(part)) or 1)

    def assume(self, work: float) -> Estimate:
        """Pairs are counted at about 3 MB of text a second, and Parquet holds a third of the text's size."""
        text = min(3 * work, self._sample_bytes or 50e6)
        return Estimate(seconds=3 + text / (3e6 if self._sample_bytes else 1.5e6), ram_mb=600, disk_mb=8)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write the tokenizer, then measure it.

        Raises:
            BurilError: T010 a base without a tokenizer, T011 nothing to learn from, T012 `compare` names no tokenizer,
                T014 a tokenizer that can't be read, T018 one that does not give texts back, T019 one that can't be
                extended.
        """
        require("tokenizers", kind="stage", name=self.name)
        split, other = inputs["split"], self._other(inputs)
        if not out.has("fim.json"):  # written last, so what it describes is whole
            fim = self._train(split, out) if self.settings.train else self._from_base(inputs, out)
            out.text("fim.json", json.dumps(fim, indent=1, sort_keys=True) + "\n")
        found = json.loads(out.path("fim.json").read_text(encoding="utf-8"))
        measured = self._measure(split, out, other)
        check(measured, out, name=inputs["base"].json("base.json")["name"] if "base" in inputs else self.name)
        metrics = {"vocab_size": found["vocab_size"], "fim": found["prefix"] is not None}
        if self.settings.extend:
            metrics["added"] = len(found["added"])
        return {**metrics, **ratios(measured.fertility)}

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

    def _from_base(self, inputs: Inputs, out: Output) -> Fim:
        base = inputs["base"]
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
        pieces: dict[int, list[int]] = {}
        if self.settings.extend:
            new = self._extend(inputs, json.loads(tokenizer.to_str()), out)
            text, pieces, added = _pretty(json.dumps(new.raw)), new.pieces, [*added, *new.added]
        else:
            text = _pretty(tokenizer.to_str()) if added else read_tokenizer(model)
        out.text(f"{FOLDER}/tokenizer.json", text)
        for name in TOKENIZER_FILES:
            if (model / name).is_file() and not (self.settings.extend and name in OWN_FORMS):
                with out.write(f"{FOLDER}/{name}") as path:
                    shutil.copyfile(model / name, path)
        rows = int(base.json("model/config.json").get("vocab_size", 0))
        rows = max(rows, max([*known.values(), *added]) + 1)
        fim = _fim(known, family, added=added, config=_config(model), rows=rows)
        return {**fim, "pieces": {str(token): ids for token, ids in pieces.items()}} if self.settings.extend else fim

    def _extend(self, inputs: Inputs, raw: dict[str, Any], out: Output) -> extend.Extended:
        split, wanted = inputs["split"], self.settings.extend or 0
        if not extend.is_byte_level(raw):
            raise BurilError("T019", name=inputs["base"].json("base.json")["name"])
        files = split.files("train/*.parquet")
        budget = min(extend.SAMPLE_BYTES, sum(_content_bytes(path) for path in files))
        if not budget:
            raise BurilError("T011")
        texts = bpe.sample(files, extend.SAMPLE_BYTES)
        found = extend.extend(raw, texts, wanted, told=lambda done: out.progress(min(done, budget), budget, _("bytes")))
        if len(found.added) < wanted:
            out.note(
                _("the text holds {found} words that are worth a token, not {wanted}: so many are added").format(
                    found=len(found.added), wanted=wanted
                )
            )
        return found

    def _other(self, inputs: Inputs) -> Encoder | None:
        """The vocabulary to measure beside the new one."""
        if self.settings.extend:
            model = inputs["base"].path("model")
            return Encoder(model) if (model / "tokenizer.json").is_file() else None  # T010 says so
        if self.settings.train and self.settings.compare:
            return Encoder(Path(self.settings.compare).expanduser())
        return None

    def _measure(self, split: Artifact, out: Output, other: Encoder | None) -> Measured:
        """Bytes and tokens by language on the validation part, and whether the fast way gives the same ids."""
        encoder, started = Encoder(out.path(FOLDER)), time.monotonic()
        found = measure(split.files("valid/*.parquet"), encoder, other)
        reason = encoder.quicken()
        if reason:
            out.note(_("tiktoken would be faster than tokenizers, but is not used: {reason}").format(reason=reason))
        evidence = {"engine": "tokenizers" if reason else "tiktoken", "reason": reason, "same_ids": found.same_ids}
        out.text(EVIDENCE, json.dumps({**evidence, "texts": found.texts}, indent=1, sort_keys=True) + "\n")
        out.text("logs/fertility.json", json.dumps(found.fertility, indent=1, sort_keys=True) + "\n")
        num_bytes = sum(item["bytes"] for item in found.fertility.values())
        out.metric(encoded_mb=num_bytes / 1e6, encode_s=round(time.monotonic() - started, 3))
        return found


def ratios(fertility: dict[str, dict[str, int]]) -> Metrics:
    """Bytes a token over all languages, and with the vocabulary beside it where there is one; None without text."""
    found: Metrics = {}
    for key, name in (("tokens", "bytes_per_token"), ("base_tokens", "base_bytes_per_token")):
        if key == "tokens" or any(key in item for item in fertility.values()):
            num_bytes, num_tokens = (sum(item.get(kind, 0) for item in fertility.values()) for kind in ("bytes", key))
            found[name] = round(num_bytes / num_tokens, 3) if num_tokens else None
    return found


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
