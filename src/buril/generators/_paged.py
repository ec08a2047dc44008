"""Continuous batching on a graph with paged attention.

Rows join as others end, whatever their lengths, and prompts that begin alike share what the cache keeps of that.

Shapes: N tokens of one call, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from buril.core.errors import BurilError
from buril.generators._adapters import Stack
from buril.generators._lanes import Lane, planned
from buril.generators._openvino import openvino, signal_stack_kept
from buril.generators._paged_graph import FIRST, MASK, SECOND
from buril.generators._running import Running, write
from buril.generators._writer import Measure, Row, Writer, logprobs

HEAD_TOKENS = 512
"""Tokens whose logits exist at one time while scoring: 512 rows of a 150,000-token vocabulary are 300 MB in float32."""


KEPT_SIZES = 64
"""Sizes of inputs that OpenVINO keeps what it prepared for. By itself it keeps 5,000, and a server whose prompts all
differ grew by 50 MB a minute; what it writes in a second is the same."""


@dataclass(eq=False)
class Held(Lane):
    """A sequence and its blocks of the cache."""

    blocks: list[int]

    @property
    def adapter(self) -> str:
        """The adapter that it is run with; scores are the base's."""
        return ""


@dataclass(eq=False)
class Writing(Held):
    """One to which the model adds."""

    row: Row

    @property
    def adapter(self) -> str:
        """The adapter that the request names."""
        return self.row.request.adapter


class Blocks:
    """Which blocks of a cache are whose.

    Args:
        number: of blocks.
        size: tokens that a block holds.
        keep: whether what free blocks hold is remembered until they are taken for something else, those that were free
            longest first. What is written then depends, in its last bits, on what was written before.
    """

    def __init__(self, number: int, size: int, *, keep: bool = False) -> None:
        self.number, self.size, self.keep = number, size, keep
        self._free = dict.fromkeys(range(number))
        self._users = [0] * number
        self._places: dict[tuple[Hashable, tuple[int, ...]], int] = {}
        """Blocks that are full of a prompt's tokens, by these and the content before them, or who may share them."""
        self._keys: dict[int, tuple[Hashable, tuple[int, ...]]] = {}
        self._contents = [0] * number
        """A number for what a block holds, never given twice: a block is taken for other content, its number is not."""
        self._content = 0

    def needed(self, tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return -(-tokens // self.size)

    def take(self, tokens: Sequence[int], room: int, *, among: Hashable = None) -> tuple[list[int], int] | None:
        """Blocks for a sequence that begins with `tokens` and may grow to `room`; None where too few are free.

        With `among`, a call and its adapter, sequences of both that begin alike share blocks: what one adapter has
        computed of a text is wrong for another. The second of what returns is how many tokens a sequence before has
        seen to, which must run first; the last is always left, as its logits are wanted.
        """
        full = (len(tokens) - 1) // self.size if among is not None else 0
        parts = [tuple(tokens[place * self.size : (place + 1) * self.size]) for place in range(full)]
        shared: list[int] = []
        for part in parts:
            found = self._places.get((self._contents[shared[-1]] if shared else among, part))
            if found is None:
                break
            shared.append(found)
        fresh, resting = self.needed(room) - len(shared), sum(block in self._free for block in shared)
        if fresh > len(self._free) - resting:
            return None
        for block in shared:
            self._free.pop(block, None)
        blocks = shared + [self._fresh() for _new in range(fresh)]
        for block in blocks:
            self._users[block] += 1
        for place in range(len(shared), full):
            key = (self._contents[blocks[place - 1]] if place else among, parts[place])
            self._places[key], self._keys[blocks[place]] = blocks[place], key
        return blocks, len(shared) * self.size

    def _fresh(self) -> int:
        """The block that was free longest, for other content."""
        block: int = next(iter(self._free))
        del self._free[block]
        self._forget(block)
        self._content += 1
        self._contents[block] = self._content
        return block

    def give(self, blocks: Iterable[int]) -> None:
        """Take blocks back; those that nobody has any more are free."""
        for block in reversed(list(blocks)):  # of a prompt its end goes first: its beginning is asked for more often
            self._users[block] -= 1
            if not self._users[block]:
                self._free[block] = None
                if not self.keep:
                    self._forget(block)

    def _forget(self, block: int) -> None:
        if block in self._keys:
            del self._places[self._keys.pop(block)]

    @property
    def num_free(self) -> int:
        """Blocks that nobody has."""
        return len(self._free)


class Paged:
    """Writes and scores with a compiled graph.

    Args:
        graph: what `_paged_graph.build` gives.
        precision: `bf16` or `fp32`, of the multiplications and of the cache.
        threads: that multiply.
        cache_mb: memory for keys and values. It is taken up only as far as it is used.

    Raises:
        BurilError: T022 when OpenVINO can't compile the graph.
    """

    apart = True

    def __init__(self, graph: Any, *, precision: str, threads: int, cache_mb: int) -> None:
        package = openvino()
        self._tensor, self.cache_mb = package.Tensor, cache_mb
        self.worn: Stack | None = None
        self.call = 0
        """A number below 0 of what is written together: rows of other calls share nothing with it."""
        kind = {"bf16": "bf16", "fp32": "f32"}[precision]
        told = {
            "INFERENCE_PRECISION_HINT": kind,
            "KV_CACHE_PRECISION": kind,  # its own default is 8 bits, which moves every score
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "CPU_RUNTIME_CACHE_CAPACITY": KEPT_SIZES,
            "ENABLE_CPU_PINNING": False,  # two of them on a machine would be pinned to the same cores
        }
        try:
            with signal_stack_kept():
                compiled = package.Core().compile_model(graph, "CPU", told)
        except RuntimeError as problem:
            said = [line for line in str(problem).splitlines() if line.strip()]
            raise BurilError("T022", version=package.__version__, problem=said[-1] if said else "?") from problem
        self._request = compiled.create_infer_request()
        caches = {port.get_any_name(): port for port in compiled.inputs if "_cache." in port.get_any_name()}
        shapes = {name: [size.get_length() for size in list(port.partial_shape)[1:]] for name, port in caches.items()}
        sizes = [int(np.prod(shapes[name])) * port.element_type.size for name, port in caches.items()]
        self.blocks = Blocks(max(1, cache_mb * 2**20 // sum(sizes)), int(next(iter(shapes.values()))[1]))
        for name, port in caches.items():
            shape = package.Shape([self.blocks.number, *shapes[name]])
            self._request.set_tensor(name, package.Tensor(port.element_type, shape))

    def wear(self, stack: Stack) -> None:
        """Run with the adapters that are in the stack now."""
        for layer, matrices in stack.matrices.items():
            for name, matrix in zip((FIRST, SECOND), matrices, strict=True):
                self._request.set_tensor(name.format(layer=layer), self._shared(matrix))
        self.worn = stack

    def _shared(self, matrix: torch.Tensor) -> Any:
        """A matrix as OpenVINO reads it, in the same memory."""
        if matrix.dtype is not torch.bfloat16:
            return self._tensor(matrix.numpy(), shared_memory=True)
        bits = matrix.view(torch.int16).numpy()
        return self._tensor(bits, list(bits.shape), openvino().Type.bf16)

    def write(self, rows: Iterable[Row], writer: Writer, *, most: int, step_tokens: int) -> Iterator[Row]:
        """Write rows to their ends, at most `most` at a time, `step_tokens` tokens a step; each comes when it ends.

        Raises:
            BurilError: T021 when a row does not fit into the cache, even alone.
        """
        self.call = self.call - 1
        return write(Running(self, writer, most=most, step_tokens=step_tokens), rows)

    def check(self, row: Row) -> None:
        """Refuse a row that would never fit.

        Raises:
            BurilError: T021.
        """
        if self.blocks.needed(_room(row)) > self.blocks.number:
            raise self._too_long(_room(row))

    def lane(self, row: Row, lanes: Sequence[Writing]) -> Writing | None:
        """Blocks for a row; None until another ends.

        Raises:
            BurilError: T021 when it would never fit.
        """
        self.check(row)
        worn = self.worn.adapter(row.request.adapter) if self.worn else None
        among = None if row.request.alone else (self.call, worn)
        found = self.blocks.take(row.prompt, _room(row), among=among)
        if found is None:
            return None
        row.cached = found[1]
        return Writing(list(row.prompt), found[1], found[0], row)

    def give(self, lane: Held) -> None:
        """Take the blocks of a lane back."""
        self.blocks.give(lane.blocks)

    def step(self, lanes: Sequence[Writing], writer: Writer, step_tokens: int) -> None:
        """Run what is due, and draw a token for each lane of which nothing is due any more."""
        self._step(lanes, writer, step_tokens)

    def _too_long(self, tokens: int) -> BurilError:
        fits = self.blocks.number * self.blocks.size
        return BurilError("T021", tokens=tokens, fits=fits, cache_mb=self.cache_mb)

    def _step(self, lanes: Sequence[Writing], writer: Writer, step_tokens: int) -> None:
        """Run what is due, and draw a token for each lane of which nothing is due any more."""
        parts = planned(lanes, step_tokens)
        ends = np.cumsum([size for _lane, size in parts])
        ready = [place for place, (lane, size) in enumerate(parts) if lane.due == size]
        logits_NV = self._logits(parts, [int(ends[place]) - 1 for place in ready])
        if not ready:
            return
        drawn = writer.step([parts[place][0].row for place in ready], torch.from_numpy(logits_NV)).tolist()
        for place, token in zip(ready, drawn, strict=True):
            parts[place][0].tokens.append(token)

    def score(self, sequences: Sequence[Sequence[int]], measure: Measure = logprobs) -> list[NDArray[np.float32]]:
        """Natural log-probability of every token of each sequence but its first, given those before it.

        `measure` says what else is to be told of each token's logits.

        Raises:
            BurilError: T021 when a sequence does not fit into the cache.
        """
        longest = max(map(len, sequences), default=0)
        if self.blocks.needed(longest) > self.blocks.number:
            raise self._too_long(longest)
        found: list[list[NDArray[np.float32]]] = [[np.zeros(0, np.float32)] for _sequence in sequences]
        lanes: dict[int, Held] = {}
        left = [place for place, sequence in enumerate(sequences) if len(sequence) > 1][::-1]
        while left or lanes:
            while left and sum(lane.due for lane in lanes.values()) < HEAD_TOKENS:
                tokens = list(sequences[left[-1]])
                taken = self.blocks.take(tokens, len(tokens))
                if taken is None and not lanes:
                    raise self._too_long(len(tokens))
                if taken is None:
                    break
                lanes[left.pop()] = Held(tokens, taken[1], taken[0])
            self._score(lanes, found, measure)
        return [np.concatenate(parts) for parts in found]

    def _score(self, lanes: dict[int, Held], found: list[list[NDArray[np.float32]]], measure: Measure) -> None:
        """Score the next tokens of some sequences; those that are done leave `lanes`."""
        before = {place: lane.filled for place, lane in lanes.items()}
        parts = planned(list(lanes.values()), HEAD_TOKENS)
        logits_NV = torch.from_numpy(self._logits(parts, range(sum(size for _lane, size in parts))))
        at = 0
        for place, lane in list(lanes.items()):
            after = torch.tensor(lane.tokens[before[place] + 1 : lane.filled + 1], dtype=torch.int64)
            found[place].append(measure(logits_NV[at : at + len(after)], after).numpy())
            at += lane.filled - before[place]
            if not lane.due:
                self.blocks.give(lanes.pop(place).blocks)

    def _logits(self, parts: Sequence[tuple[Held, int]], wanted: Sequence[int]) -> NDArray[np.float32]:
        """Run the next tokens of some lanes; the logits (N, V) after those wanted, counted over all parts.

        They lie in memory that the next call writes to.
        """
        ids = [lane.tokens[lane.filled : lane.filled + size] for lane, size in parts]
        ends = [lane.filled + size for lane, size in parts]
        blocks = [lane.blocks[: self.blocks.needed(end)] for (lane, _size), end in zip(parts, ends, strict=True)]
        self._set("input_ids", np.concatenate(ids), np.int64)
        if self.worn is not None:
            worn = self.worn.mask([lane.adapter for lane, _size in parts], list(map(len, ids)))
            self._set(MASK, worn.numpy(), np.float32)
        places = [np.arange(end - len(own), end) for own, end in zip(ids, ends, strict=True)]
        self._set("position_ids", np.concatenate(places), np.int64)
        self._set("wanted", list(wanted) or [0], np.int64)
        self._set("past_lens", [lane.filled for lane, _size in parts], np.int32)
        self._set("subsequence_begins", np.cumsum([0, *map(len, ids)]), np.int32)
        self._set("block_indices", np.concatenate(blocks), np.int32)
        self._set("block_indices_begins", np.cumsum([0, *map(len, blocks)]), np.int32)
        self._set("max_context_len", max(ends), np.int32)
        self._request.infer()
        for (lane, _size), end in zip(parts, ends, strict=True):
            lane.filled = end
        found: NDArray[np.float32] = self._request.get_tensor("logits").data
        return found

    def _set(self, name: str, values: Any, kind: type[np.generic]) -> None:
        self._request.set_tensor(name, self._tensor(np.array(values, kind)))


def _room(row: Row) -> int:
    """Tokens that a row may come to; a byte that is written again may be a token."""
    return len(row.prompt) + len(row.rest) + row.request.max_tokens
