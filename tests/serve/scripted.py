"""A model whose weights are random and whose words are chosen: what leans on its logits lets one token pass each time.

All the rest is real: tokens, log-probabilities, which stay the model's own, the engine, the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from buril.generators._load import Loaded
from buril.generators.transformers import Transformers
from tests.serve.running import TEMPLATE, loaded_in

TOOLS = (
    "{% if tools %}<|im_start|>system\nCall with <tool_call>{name, arguments}</tool_call>:\n"
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A template that takes tools, as those of Qwen2.5 and Hermes do."""
__all__ = ["TEMPLATE", "TOOLS", "Script", "loaded_in", "speaking"]


class Script:
    """Lets through the next token of a text; behind it the end, or what the model likes."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self.ids: list[int] = []
        self.ends = True

    def says(self, text: str, *, ends: bool = True, control: Sequence[int] = ()) -> None:
        """From now on every answer is this text. `control`: ids that come before it."""
        self.ids, self.ends = [*control, *self._loaded.encoder.encode(text)], ends

    def says_ids(self, ids: Sequence[int]) -> None:
        """From now on every answer is made of these tokens."""
        self.ids, self.ends = list(ids), True

    def lean(self, rows: Sequence[Any], logits_BV: torch.Tensor) -> torch.Tensor:
        """The logits that are drawn from."""
        leaned_BV = logits_BV.clone()
        wanted = [*self.ids, *([self._loaded.fim["eos"]] if self.ends else [])]
        for place, row in enumerate(rows):
            if row.ended is None and not row.rest and len(row.ids) < len(wanted):
                leaned_BV[place] = -torch.inf
                leaned_BV[place, wanted[len(row.ids)]] = 0.0
        return leaned_BV


def speaking(loaded: Loaded) -> tuple[Transformers, Script]:
    """The reference engine with a script; it does not heal, as what it writes anew it would choose itself."""
    script = Script(loaded)
    generator = Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=4, heal=False))
    generator.mark = script
    return generator, script
