"""The files that the generator `llamacpp` runs: those it makes and keeps, and those it is given."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")
pytest.importorskip("transformers")
if find_spec("xllamacpp") is None:
    pytest.skip("xllamacpp is not installed", allow_module_level=True)

from buril.core.errors import BurilError  # noqa: E402
from buril.generators import _gguf_cache  # noqa: E402
from buril.generators._generator import Request  # noqa: E402
from buril.generators._gguf_cache import kept  # noqa: E402
from buril.generators._gguf_writer import write  # noqa: E402
from buril.generators._kept import KEPT, digest  # noqa: E402
from buril.generators._load import load  # noqa: E402
from buril.generators.llamacpp import Llamacpp  # noqa: E402
from buril.generators.transformers import Transformers  # noqa: E402
from tests.generators.tiny import TEXT, make, named_tokenizer, own_tokenizer  # noqa: E402

SMALL = {"threads": 1, "cache_mb": 2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and a tokenizer that GGUF has a name for."""
    root = tmp_path_factory.mktemp("folders")
    make("llama").to(torch.bfloat16).save_pretrained(root / "base/model")
    return root / "base", named_tokenizer(root / "tok")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def code_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(BurilError) as caught:
        call()
    return caught.value.code, str(caught.value)


# --- the files that are made


def test_a_file_is_made_once_and_the_few_used_last_are_kept(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tok = folders
    place = tmp_path / "cache/buril/gguf"
    found = Llamacpp(Llamacpp.Settings(**SMALL))
    found.open(base, tok)
    (made,) = place.glob("*.gguf")
    inode, texts = made.stat().st_ino, list(found.complete([Request(TEXT[:40], max_tokens=5)]))
    os.utime(made, (5, 5))
    found.open(base, tok)
    assert made.stat().st_ino == inode and list(found.complete([Request(TEXT[:40], max_tokens=5)])) == texts
    fields = gguf.GGUFReader(made).fields
    source = digest([base / "model", tok / "tokenizer"])
    assert fields["buril.source.sha256"].contents() == source and made.name.startswith(source[:24])
    model = load(base, tok)
    for number in range(KEPT):
        with kept(model, f"{number}" * 64, "q8_0") as path:
            assert path.is_file()
        os.utime(path, (10 + number, 10 + number))
    with kept(model, "a" * 64, "f16"):
        names = {path.name[:4] for path in place.glob("*.gguf")}
    assert names == {source[:4], "2222", "3333", "aaaa"}, "not those used last"
    assert list(found.complete([Request(TEXT[:40], max_tokens=5)])) == texts


def test_the_digest_names_every_part(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tok = folders
    named = [base / "model", tok / "tokenizer"]
    plain = digest(named)
    assert plain == digest(named) != digest(named[::-1])
    (tmp_path / "adapter").mkdir()
    seen = {plain}
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (tmp_path / "adapter" / name).write_text(name)
        seen.add(digest([*named, tmp_path / "adapter"]))
    assert len(seen) == 3


def test_two_at_a_time_write_a_file_once(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is the system's, between open files: threads wait for it as processes do."""
    writes, seen = [], []

    def slowly(*told, **more) -> None:
        writes.append(1)
        time.sleep(0.5)
        write(*told, **more)

    monkeypatch.setattr(_gguf_cache, "write", slowly)
    model = load(*folders)

    def need() -> None:
        with kept(model, "5" * 64, "f16") as path:
            seen.append(path.read_bytes())

    workers = [threading.Thread(target=need) for _worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(writes) == 1 and len(seen) == 3 and len(set(seen)) == 1


def test_a_cache_that_can_not_be_written_says_where(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    code, said = code_of(lambda: Llamacpp(Llamacpp.Settings(**SMALL)).open(*folders))
    assert code == "T191" and "buril/gguf" in said


def test_an_adapter_is_merged(folders: tuple[Path, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base, tok = folders
    torch.manual_seed(0)
    told = peft.LoraConfig(r=4, init_lora_weights=False, target_modules="all-linear")
    peft.get_peft_model(load(base, tok, dtype="fp32").model, told).eval().save_pretrained(tmp_path / "adapter")
    reference = Transformers(Transformers.Settings(dtype="fp32", device="cpu"))
    reference.open(base, tok, adapter_dir=tmp_path / "adapter")
    found, plain = (Llamacpp(Llamacpp.Settings(**SMALL)) for _each in range(2))
    found.open(base, tok, adapter_dir=tmp_path / "adapter")
    plain.open(base, tok)
    ids = reference.encode(TEXT)[:99]
    (scores,), (expected,), (before,) = (one.score([ids]) for one in (found, reference, plain))
    assert np.abs(scores - expected).mean() < 0.01
    assert np.abs(before - expected).mean() > 0.2
    assert all(weight.is_meta for weight in found.loaded.model.parameters()), "the weights are in memory twice"


# --- files that are given


def given(path: Path, **more) -> Llamacpp:
    return Llamacpp(Llamacpp.Settings(**SMALL, path=path, **more))


def test_a_given_file_stands_in_for_the_model(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tok = folders
    source = digest([base / "model", tok / "tokenizer"])
    write(load(base, tok), tmp_path / "ours.gguf", weights="q8_0", source=source)
    found, plain = given(tmp_path / "ours.gguf"), Llamacpp(Llamacpp.Settings(**SMALL, weights="q8_0"))
    for one in (found, plain):
        one.open(base, tok)
    requests = [Request(TEXT[:40], max_tokens=9)]
    assert list(found.complete(requests)) == list(plain.complete(requests))
    identity = found.settings.identity()
    (tmp_path / "ours.gguf").rename(tmp_path / "moved.gguf")
    assert given(tmp_path / "moved.gguf").settings.identity() == identity != plain.settings.identity()
    with (tmp_path / "moved.gguf").open("ab") as stream:
        stream.write(b"x")
    assert given(tmp_path / "moved.gguf").settings.identity() != identity


def test_a_file_of_somebody_else_needs_the_same_tokens(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tok = folders
    write(load(base, tok), tmp_path / "m.gguf", weights="f16", source="5")
    theirs = tmp_path / "theirs.gguf"
    theirs.write_bytes((tmp_path / "m.gguf").read_bytes().replace(b"buril.source.sha256", b"other.source.sha256"))
    one = given(theirs)
    one.open(base, tok)
    assert one.score([[9, 20, 30]])[0].shape == (2,)
    other = own_tokenizer(tmp_path / "other")
    code, said = code_of(lambda: given(theirs).open(base, other))
    assert code == "T192" and "is not `" in said
    code, said = code_of(lambda: given(theirs).open(base, tok, model_dir=base))
    assert code == "T192" and "was trained" in said
    code, said = code_of(lambda: given(tmp_path / "m.gguf").open(base, tok))
    assert code == "T192" and "another model" in said


@pytest.mark.parametrize("how", ["missing", "empty", "no gguf", "cut short", "another architecture"])
def test_a_file_that_can_not_be_run_says_so(how: str, folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tok = folders
    source = digest([base / "model", tok / "tokenizer"])
    path = tmp_path / "m.gguf"
    write(load(base, tok), path, weights="f16", source=source)
    whole = path.read_bytes()
    content = {"empty": b"", "no gguf": b"not a gguf at all, but long enough to be read as one" * 9,
               "cut short": whole[: len(whole) - 5000]}  # fmt: skip
    path.write_bytes(content.get(how, whole.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0llomo")))
    if how == "missing":
        path.unlink()
    code, said = code_of(lambda: given(path).open(base, tok))
    assert code == "T191" and str(path) in said and "can't run" in said
    if how == "another architecture":
        assert "llomo" in said
