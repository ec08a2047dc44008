"""A GGUF file that a user names in the place of a model: what must hold of it before it is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._llamacpp import installed

if TYPE_CHECKING:
    from buril.generators._encoder import Encoder

SOURCE = "buril.source.sha256"
TOKENS = "tokenizer.ggml.tokens"


def check(path: Path, encoder: Encoder, source: str, *, tuned: bool) -> None:
    """Refuse a file that holds another model, as far as it says, or numbers tokens in another way.

    Args:
        path: the file.
        encoder: the tokenizer whose ids are fed to it.
        source: digest of what the model is made from. A file that buril wrote names its own.
        tuned: whether the model is more than a base: then only a file that names the model will do.

    Raises:
        BurilError: T191 when it can't be read, T192 when it is another model's.
    """
    fields = _fields(path)
    named = fields.get(SOURCE)
    if named is not None and named.contents() != source:
        raise BurilError("T192", path=path, problem=_("it was made from another model"))
    if named is None and tuned:
        raise BurilError(
            "T192", path=path, problem=_("the model was trained, and the file does not say it is this one")
        )
    if named is not None:
        return
    tokens = fields[TOKENS].contents() if TOKENS in fields else []
    other = {token: number for token, number in encoder.vocabulary.items() if tokens[number : number + 1] != [token]}
    if other:
        token, number = min(other.items(), key=lambda item: item[1])
        raise BurilError(
            "T192", path=path, problem=_("its token {number} is not `{token}`").format(number=number, token=token)
        )


def _fields(path: Path) -> dict[str, Any]:
    from gguf import GGUFReader

    try:
        return dict(GGUFReader(path).fields)
    except FileNotFoundError as problem:
        raise _damaged(path, _("there is no such file")) from problem
    except (ValueError, KeyError, IndexError, OSError, TypeError, OverflowError) as problem:
        raise _damaged(path, str(problem) or type(problem).__name__) from problem


def _damaged(path: Path, problem: str) -> BurilError:
    return BurilError("T191", version=installed(), path=path, problem=problem)
