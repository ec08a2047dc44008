"""llama.cpp's C interface in the wheel `xllamacpp`: opens a file, runs tokens of several sequences, gives logits.

The wheel offers a server in Python; what is called here is the library below it (`llama.h`, the interface that
llama.cpp publishes), whose functions the wheel exports. Two of them take structures whose layout changes between
releases. Only few of their fields are set, at places that hold the defaults which they are known to have; a release in
which they hold something else is refused. The structures are handed over in room enough for any size.

Shapes: N tokens of one call, V vocabulary.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buril.core.errors import BurilError
from buril.core.text import _

ROOM = 512
"""Bytes for a structure that is handed over; those of 2026 have 72 to 168."""
CONTEXT = {
    "n_ctx": (0, 512), "n_batch": (4, 2048), "n_ubatch": (8, 512), "n_seq_max": (12, 1), "n_outputs_max": (20, 0),
    "n_outputs_max_per_seq": (24, 1), "n_threads": (28, 4), "n_threads_batch": (32, 4), "rope_scaling_type": (40, -1),
    "pooling_type": (44, -1), "attention_type": (48, -1), "flash_attn_type": (52, -1), "type_k": (104, 1),
    "type_v": (108, 1),
}  # fmt: skip
"""Fields of `llama_context_params`: place in bytes, and default. Most are only looked at, to know the layout by."""
FLAGS = bytes([0, 1, 1, 1, 1, 0])
"""Its flags' defaults: embeddings, offload_kqv, no_perf, op_offload, swa_full, kv_unified."""
FLAGS_AT = (128, 136)
"""Where they stand: up to September 2026, and since."""
OUTPUTS = 128
"""Tokens whose logits exist at one time while scoring: 128 rows of a 150,000-token vocabulary are 80 MB, kept twice."""
ERROR = 4
"""Level of a message that says why something failed."""


class _Params(ctypes.Structure):
    _fields_ = [("raw", ctypes.c_uint8 * ROOM)]


class _Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", ctypes.c_int32), ("token", ctypes.c_void_p), ("embd", ctypes.c_void_p), ("pos", ctypes.c_void_p),
        ("n_seq_id", ctypes.c_void_p), ("seq_id", ctypes.c_void_p), ("logits", ctypes.c_void_p),
    ]  # fmt: skip


_Told = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_P, _I, _B = ctypes.c_void_p, ctypes.c_int32, ctypes.c_bool
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_log_set": (None, [_Told, _P]),
    "llama_backend_init": (None, []),
    "llama_model_default_params": (_Params, []),
    "llama_context_default_params": (_Params, []),
    "llama_model_load_from_file": (_P, [ctypes.c_char_p, _Params]),
    "llama_model_free": (None, [_P]),
    "llama_model_get_vocab": (_P, [_P]),
    "llama_vocab_n_tokens": (_I, [_P]),
    "llama_init_from_model": (_P, [_P, _Params]),
    "llama_free": (None, [_P]),
    "llama_get_memory": (_P, [_P]),
    "llama_memory_seq_rm": (_B, [_P, _I, _I, _I]),
    "llama_memory_seq_cp": (None, [_P, _I, _I, _I, _I]),
    "llama_decode": (_I, [_P, _Batch]),
    "llama_get_logits_ith": (ctypes.POINTER(ctypes.c_float), [_P, _I]),
}
_said: list[str] = []
"""What the library has complained of since something was last tried."""


def _listened(level: int, text: bytes, _data: int) -> None:
    """Take the library's messages, which would go to the terminal, and keep the complaints."""
    if level == ERROR:
        _said.append(text.decode("utf-8", "replace").strip())


_listen = _Told(_listened)
"""What the library calls; it must live as long as the library."""


def installed() -> str:
    """The version of the wheel."""
    try:
        return version("xllamacpp")
    except PackageNotFoundError:
        return "?"


@lru_cache(maxsize=1)
def library() -> Any:
    """The library, once its layout is seen to be a known one.

    Raises:
        BurilError: T193.
    """
    found = find_spec("xllamacpp")
    folders = [Path(place) for place in (found.submodule_search_locations or [])] if found else []
    files = [path for folder in folders for path in sorted(folder.glob("xllamacpp.*"))]
    try:
        opened = ctypes.CDLL(str(next((path for path in files if path.suffix in (".so", ".dylib")), "xllamacpp")))
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(opened, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as problem:
        raise _unknown(str(problem)) from problem
    flags_at(bytes(opened.llama_context_default_params().raw))
    opened.llama_log_set(_listen, None)
    opened.llama_backend_init()
    return opened


def flags_at(raw: bytes) -> int:
    """Where the flags of a structure stand whose other fields are where they are set.

    Raises:
        BurilError: T193 for one of another layout.
    """
    for name, (place, default) in CONTEXT.items():
        (there,) = struct.unpack_from("<i", raw, place)
        if there != default:
            raise _unknown(_("`{name}` is {there}, not {default}").format(name=name, there=there, default=default))
    found = [place for place in FLAGS_AT if raw[place : place + len(FLAGS)] == FLAGS]
    if len(found) != 1:
        there = raw[FLAGS_AT[0] : FLAGS_AT[-1] + len(FLAGS)].hex()
        raise _unknown(_("`{name}` is {there}, not {default}").format(name="flags", there=there, default=FLAGS.hex()))
    return found[0]


def _unknown(problem: str) -> BurilError:
    return BurilError("T193", version=installed(), problem=problem)


class Llama:
    """A model in use, and a cache that its sequences share.

    Args:
        path: a GGUF file; it stays mapped.
        cells: tokens that the cache holds, of all sequences together.
        sequences: how many there may be, numbered from 0.
        batch: tokens of one call at most.
        threads: that multiply.

    Raises:
        BurilError: T191 when the file can't be run, T193.
    """

    def __init__(self, path: Path, *, cells: int, sequences: int, batch: int, threads: int) -> None:
        self._context = self._model = None
        self._library = library()
        self.path, self.cells, self.sequences, self.batch = path, cells, sequences, batch
        self.outputs = min(batch, max(sequences, OUTPUTS))
        """Tokens of one call whose logits can be had."""
        _said.clear()
        self._model = self._library.llama_model_load_from_file(
            str(path).encode(), self._library.llama_model_default_params()
        )
        if not self._model:
            raise self._failed()
        self.num_tokens = int(self._library.llama_vocab_n_tokens(self._library.llama_model_get_vocab(self._model)))
        self._context = self._library.llama_init_from_model(self._model, self._params(threads))
        if not self._context:
            raise self._failed()
        self._memory = self._library.llama_get_memory(self._context)

    def _params(self, threads: int) -> _Params:
        wanted = {
            "n_ctx": self.cells, "n_batch": self.batch, "n_ubatch": min(512, self.batch), "n_seq_max": self.sequences,
            "n_outputs_max": self.outputs,
            "n_threads": threads, "n_threads_batch": threads,
        }  # fmt: skip
        found: _Params = self._library.llama_context_default_params()
        raw = bytearray(found.raw)
        kv_unified = flags_at(bytes(raw)) + len(FLAGS) - 1
        for name, value in wanted.items():
            struct.pack_into("<i", raw, CONTEXT[name][0], value)
        raw[kv_unified] = 1  # one cache: a long sequence may take what short ones leave, and copies share cells
        found.raw[:] = raw
        return found

    def _failed(self) -> BurilError:
        problem = next((line for line in _said if line), "?")
        return BurilError("T191", version=installed(), path=self.path, problem=problem.split(": ", 1)[-1])

    def run(self, parts: Sequence[tuple[int, int, Sequence[int]]], wanted: Sequence[int]) -> NDArray[np.float32]:
        """Run the next tokens of some sequences; the logits (N, V) after those wanted, counted over all parts.

        Args:
            parts: number of a sequence, its tokens that have run before, and those that run now.
            wanted: places of tokens, ascending.

        Raises:
            BurilError: T191.
        """
        tokens = np.concatenate([np.asarray(ids, np.int32) for _sequence, _before, ids in parts])
        places = np.concatenate([np.arange(before, before + len(ids)) for _sequence, before, ids in parts])
        owners = np.repeat([sequence for sequence, _before, _ids in parts], [len(ids) for *_other, ids in parts])
        size = len(tokens)
        places, owners, ones = places.astype(np.int32), owners.astype(np.int32), np.ones(size, np.int32)
        pointers = (owners.ctypes.data + 4 * np.arange(size)).astype(np.uintp)
        assert size <= self.batch and len(wanted) <= self.outputs  # the library ends the process where it is given more
        flags = np.zeros(size, np.int8)
        flags[list(wanted)] = 1
        arrays = (tokens, None, places, ones, pointers, flags)
        given = [None if array is None else array.ctypes.data for array in arrays]
        _said.clear()
        if self._library.llama_decode(self._context, _Batch(size, *given)):
            raise self._failed()
        found = np.empty((len(wanted), self.num_tokens), np.float32)
        for row, place in zip(found, wanted, strict=True):
            row[:] = np.ctypeslib.as_array(
                self._library.llama_get_logits_ith(self._context, int(place)), (self.num_tokens,)
            )
        return found

    def forget(self, sequence: int) -> None:
        """Free what the cache holds of a sequence."""
        self._library.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def share(self, source: int, target: int, size: int) -> None:
        """Let a sequence begin with the first tokens of another, without a copy."""
        self._library.llama_memory_seq_cp(self._memory, source, target, 0, size)

    def close(self) -> None:
        """Free the cache and the model; it can't be used any more."""
        if self._context:
            self._library.llama_free(self._context)
        if self._model:
            self._library.llama_model_free(self._model)
        self._context = self._model = None

    def __del__(self) -> None:
        self.close()
