"""Green tokens: which part of the vocabulary a key names, after which token.

The list after a token is read off a stream of AES-128 in counter mode: token v is green where its 16 bits of the stream
are below `gamma`. The stream's place depends on the token before, its key on the watermark's key alone. So no list is
ever permuted or kept, one costs well below a millisecond for 150,000 tokens, one entry of it some microseconds, and who
does not have the key can't tell green from red.

Shapes: V vocabulary, N tokens, E entries of a block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from buril.core.plugins import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 16
_ENTRY = 2
_EVERYWHERE = 0xFFFF_FFFF
"""The token before, for a list that is the same everywhere."""


class Green:
    """The green lists of a key.

    Args:
        key: the secret; any bytes.
        gamma: share of the vocabulary that is green.
        context: 1 for a list of its own after each token, 0 for one list everywhere.

    Raises:
        BurilError: P002 where the package `cryptography` is missing.
    """

    def __init__(self, key: bytes, *, gamma: float, context: int = 1) -> None:
        require("cryptography", kind="watermark", name="green")
        self.context = context
        self.below = round(gamma * 2**16)
        self.gamma = self.below / 2**16
        """The share as it is: gamma in steps of 1/65536."""
        self._key = hashlib.blake2b(key, digest_size=16, person=b"buril green").digest()
        self.key_id = hashlib.blake2b(key, digest_size=4, person=b"buril key id").hexdigest()
        """Names the key without telling it."""

    def after(self, before: int, num_tokens: int) -> NDArray[np.bool_]:
        """Which tokens (V,) are green after the token `before`."""
        import numpy as np

        size = -(-num_tokens * _ENTRY // _BLOCK) * _BLOCK
        return np.frombuffer(self._stream(before, 0, size), "<u2")[:num_tokens] < self.below

    def are(
        self, before: Sequence[int] | NDArray[np.int64], tokens: Sequence[int] | NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which of some tokens (N,) are green, each after the one before it."""
        import numpy as np

        block_N, rest_N = np.divmod(np.asarray(tokens, np.int64), _BLOCK // _ENTRY)
        places = np.empty((len(tokens), 2), ">u8")
        places[:, 0] = before if self.context else _EVERYWHERE
        places[:, 1] = block_N
        entry_NE = np.frombuffer(self._blocks(places.tobytes()), "<u2").reshape(-1, _BLOCK // _ENTRY)
        found: NDArray[np.bool_] = entry_NE[np.arange(len(tokens)), rest_N] < self.below
        return found

    def _blocks(self, places: bytes) -> bytes:
        """The blocks of the stream at some places, each 16 bytes: that of the token, then that of the block.

        A block of counter mode is its counter encrypted, so many are got at once, wherever they are.
        """
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        found: bytes = Cipher(algorithms.AES(self._key), modes.ECB()).encryptor().update(places)  # noqa: S305  of counters
        return found

    def _stream(self, before: int, block: int, size: int) -> bytes:
        """`size` bytes of the stream of a token, from a block on."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        place = before if self.context else _EVERYWHERE
        counter = (place << 64 | block).to_bytes(_BLOCK, "big")
        found: bytes = Cipher(algorithms.AES(self._key), modes.CTR(counter)).encryptor().update(bytes(size))
        return found
