"""Encoding for data: text to ids in bulk, control tokens only by id. The generators use the same one."""

from buril.generators._encoder import Encoder, Fim, read_fim

__all__ = ["Encoder", "Fim", "read_fim"]
