"""A record of the ledger: one line of canonical JSON, its hash over all but itself and the signature.

Kinds: `key` introduces a key (the first signs itself, a later one is signed by the one before), `completion`, `event`
(what became of a completion), `forgotten` (which records were emptied), and `tombstone`, which an emptied record
leaves: its hash, signature and links stay, so that the chain still holds.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from buril.code import winnow
from buril.core.artifact import canonical
from buril.serve._ledger import keys

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
RECORD = "record"
LEFT = ("v", "seq", "previous", "key", "hash", "signature")
"""What a tombstone keeps of a record."""
Record = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A completion as it is told to the ledger. Of `text`, hashes and counts are kept, nothing else.

    Attributes:
        id: of the completion, as in its record, its response header and `buril trace`.
        text: what was written and shown.
        engine: which generator wrote it.
        model: digests of what wrote it: `base`, `tokenizer`, `train` or `align`.
        data: digest of the data that the model was tuned on.
        parameters: as they were asked for.
        num_tokens: of the model, that were written.
        finish_reason: `eos`, `stop` or `length`.
        guards: what fired, as `Fired.record` says it.
        matches: where the text stands in the training data, as whoever looked it up says it.
        watermark: as `Watermark.record` says it; None without.
        record_sha256: of the completion's own record, where there is one.
    """

    id: str
    text: str = field(repr=False)
    engine: str = ""
    model: Mapping[str, str] = field(default_factory=dict)
    data: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    num_tokens: int = 0
    finish_reason: str = ""
    guards: Sequence[Mapping[str, Any]] = ()
    matches: Sequence[Mapping[str, Any]] = ()
    watermark: Mapping[str, Any] | None = None
    record_sha256: str | None = None

    def body(self) -> Record:
        """What is kept; what is empty is left out."""
        tokens = winnow.lexical(self.text)
        named = winnow.prints(tokens, winnow.NAMED).hashes
        nameless = winnow.prints(winnow.nameless(tokens), winnow.NAMELESS).hashes
        told = {
            "engine": self.engine, "model": dict(self.model), "data": self.data, "parameters": dict(self.parameters),
            "num_tokens": self.num_tokens, "finish_reason": self.finish_reason,
            "guards": [dict(item) for item in self.guards], "matches": [dict(item) for item in self.matches],
            "watermark": dict(self.watermark) if self.watermark else None, "record_sha256": self.record_sha256,
        }  # fmt: skip
        return {
            "kind": "completion", "id": self.id, **{name: value for name, value in told.items() if value},
            "text_sha256": hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest(),
            "tokens_sha256": winnow.digest(tokens), "num_lexical": len(tokens), "winnow": winnow.VERSION,
            "prints": _packed(named), "nameless": _packed(nameless),
        }  # fmt: skip


def chained(body: Record, *, seq: int, previous: str, signer: keys.Signer) -> Record:
    """A body as the next record of a chain."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
    whole = {"v": VERSION, "seq": seq, "time": now, "previous": previous, "key": signer.key_id, **body}
    digest = hash_of(whole)
    return {**whole, "hash": digest, "signature": signer.sign(RECORD, bytes.fromhex(digest))}


def hash_of(record: Record) -> str:
    """The hash of a record, over all but the hash itself and the signature."""
    body = {name: value for name, value in record.items() if name not in ("hash", "signature")}
    return hashlib.sha256(canonical(body)).hexdigest()


def line_of(record: Record) -> bytes:
    """A record as it stands in the file."""
    return canonical(record) + b"\n"


def parsed(line: bytes) -> Record | None:
    """The record of a line; None where it is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(found, dict) and all(name in found for name in (*LEFT, "kind"))
    if not whole or not isinstance(found["seq"], int):
        return None
    return found if found["kind"] != "key" or keys.is_public(found.get("public")) else None


def tombstone(record: Record) -> Record:
    """What is left of a record whose content is forgotten."""
    return {"kind": "tombstone", **{name: record[name] for name in LEFT}}


def is_genuine(record: Record, public: str) -> bool:
    """Whether a record is what was signed; of a tombstone the hash alone can be told."""
    same = record["kind"] == "tombstone" or hash_of(record) == record["hash"]
    try:
        content = bytes.fromhex(record["hash"])
    except (ValueError, TypeError):
        return False
    return same and keys.signed(public, str(record["signature"]), RECORD, content)


# --- what a record is found by


def found_by(record: Record) -> NDArray[np.uint64]:
    """All hashes by which a record is looked up: of its id, its tokens, and its fingerprints."""
    import numpy as np

    names = [of_name("key")] if record["kind"] == "key" else []
    names += [of_name(str(record["id"]))] if "id" in record else []
    if record["kind"] != "completion" or record.get("winnow") != winnow.VERSION:
        return np.array(names, np.uint64)
    names.append(of_tokens(str(record.get("tokens_sha256"))))
    prints = [unpacked(record.get(name)) for name in ("prints", "nameless")]
    return np.concatenate([np.array(names, np.uint64), *prints])


def of_name(name: str) -> int:
    """The hash that an id is looked up by."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, person=b"buril id").digest(), "little")


def of_tokens(digest: str) -> int:
    """The hash that a whole text is looked up by; 0 for what is no digest."""
    try:
        return int(digest[:16], 16)
    except ValueError:
        return 0


def _packed(hashes: NDArray[np.uint64]) -> str:
    return base64.b64encode(hashes.astype("<u8").tobytes()).decode()


def unpacked(text: Any) -> NDArray[np.uint64]:
    """Fingerprints as numbers; none where a record was changed and they can't be read, which `verify` tells."""
    import numpy as np

    try:
        return np.frombuffer(base64.b64decode(text), "<u8").astype(np.uint64)
    except (ValueError, TypeError):
        return np.zeros(0, np.uint64)
