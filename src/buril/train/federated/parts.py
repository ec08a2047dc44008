"""Parts of a packed file: the sequences of some repositories, for clients that are simulated on one machine.

Packing puts documents of several repositories into one sequence. A part holds the documents of its own, laid end to
end again up to the length of the whole; no text of another repository is left in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from buril.core.errors import BurilError
from buril.train.batch import Packed, PackedFile


class Part(PackedFile):
    """Sequences in memory that read like a packed file."""

    def __init__(self, sequences: Sequence[Packed]) -> None:  # reads no file, so not the base class’s
        self._sequences = list(sequences)
        self.num_tokens = sum(len(item.input_ids) for item in self._sequences)
        self.largest_token = max((int(item.input_ids.max()) for item in self._sequences), default=0)

    def __len__(self) -> int:
        return len(self._sequences)

    def __getitem__(self, index: int) -> Packed:
        return self._sequences[index]

    @property
    def digest(self) -> str:
        """SHA-256 of its tokens and their rows."""
        found = hashlib.sha256()
        for item in self._sequences:
            found.update(np.ascontiguousarray(item.input_ids, dtype="<i4").tobytes())
            found.update("\0".join(item.row_ids).encode())
        return found.hexdigest()


def divide(file: PackedFile, repos: Mapping[str, str], clients: int, max_length: int) -> tuple[list[Part], int]:
    """The file divided among clients by repository, in about equal parts; and how many tokens no repository claims.

    Args:
        file: the training part.
        repos: the repository of each row.
        clients: how many; one gets the file as it is packed.
        max_length: most tokens of a sequence.

    Raises:
        BurilError: T176 when there are fewer repositories than clients.
    """
    if clients == 1:
        return [Part([file[index] for index in range(len(file))])], 0
    documents = [item for index in range(len(file)) for item in _documents(file[index])]
    size: dict[str, int] = {}
    for document in documents:
        repo = repos.get(document.row_ids[0])
        if repo is not None:
            size[repo] = size.get(repo, 0) + len(document.input_ids)
    if len(size) < clients:
        raise BurilError("T176", repositories=len(size), clients=clients)
    owner = _owners(size, clients)
    shares: list[list[Packed]] = [[] for _client in range(clients)]
    for document in documents:
        repo = repos.get(document.row_ids[0])
        if repo is not None:
            shares[owner[repo]].append(document)
    lost = sum(len(item.input_ids) for item in documents) - sum(size.values())
    return [Part(_together(share, max_length)) for share in shares], lost


def _owners(size: Mapping[str, int], clients: int) -> dict[str, int]:
    """The largest repository goes to the client that has least so far, then the next."""
    load, owner = [0] * clients, {}
    for repo in sorted(size, key=lambda name: (-size[name], name)):
        owner[repo] = load.index(min(load))
        load[owner[repo]] += size[repo]
    return owner


def _documents(sequence: Packed) -> list[Packed]:
    """The documents of a sequence, each as one of its own."""
    found, begin = [], 0
    rows = list(sequence.rows())
    for length in sequence.lengths:
        end = begin + length
        names: list[str] = []
        lengths: list[int] = []
        while sum(lengths) < length:
            name, size = rows.pop(0)
            names.append(name)
            lengths.append(size)
        marks = None if sequence.marks is None else sequence.marks[begin:end]
        wrong = sequence.illegal
        if wrong is not None:
            wrong = wrong[(wrong[:, 0] >= begin) & (wrong[:, 0] < end)] - np.array([[begin, 0]])
        found.append(
            Packed(0, sequence.input_ids[begin:end], (length,), tuple(names), tuple(lengths), marks, wrong)
        )  # fmt: skip
        begin = end
    return found


def _together(documents: Sequence[Packed], max_length: int) -> list[Packed]:
    """Documents end to end in their order, a new sequence whenever the next does not fit."""
    groups: list[list[Packed]] = []
    room = 0
    for document in documents:
        if not groups or len(document.input_ids) > room:
            groups.append([])
            room = max_length
        groups[-1].append(document)
        room -= len(document.input_ids)
    return [_joined(number, group) for number, group in enumerate(groups)]


def _joined(index: int, group: Sequence[Packed]) -> Packed:
    starts = np.cumsum([0, *(len(item.input_ids) for item in group)])
    marked = any(item.marks is not None for item in group)
    wrong = [
        item.illegal + np.array([[start, 0]])
        for item, start in zip(group, starts[:-1], strict=True)
        if item.illegal is not None and len(item.illegal)
    ]
    blank = [np.zeros(len(item.input_ids), np.uint8) if item.marks is None else item.marks for item in group]
    return Packed(
        index, np.concatenate([item.input_ids for item in group]), tuple(x for item in group for x in item.lengths),
        tuple(x for item in group for x in item.row_ids), tuple(x for item in group for x in item.row_lengths),
        np.concatenate(blank) if marked else None, np.concatenate(wrong) if wrong else None,
    )  # fmt: skip
