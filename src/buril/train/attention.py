"""Attention within documents: a sequence holds many, and none of them may look at another.

Documents stand one after the other in a single row; attention runs once for each of them, causal, without any mask
over the whole row. That is exact on every device, costs the sum of the squares instead of the square of the sum, and
needs no special kernel. It enters transformers models by their own attention interface: any model that uses it trains.

On a CPU in bf16 the blocks are multiplied as ordinary matrices: forward and backward take 0.2 to 0.7 of the time of
torch's `scaled_dot_product_attention` (64 to 2048 tokens, AMD Zen 4, torch 2.13). In fp32 they would take 0.7 to 1.3 of
it and keep H·T²/2 numbers a layer, so there it is torch's own.

Tensor suffixes: B batch (always 1), H query heads, K key-value heads, G query heads of one key-value head, T tokens of
the row or document, Q queries of a block, E keys a block sees, D width of a head.
"""

from __future__ import annotations

from typing import Any

import torch

from buril.core.errors import BurilError

NAME = "buril_documents"
BLOCK = 128
"""Queries of a block: smaller wastes less on keys that causality hides, larger multiplies better. 128 measured best."""


class BlockCausal(torch.autograd.Function):
    """Causal attention of one document by blocks of queries, keeping the weights for the backward pass.

    Memory: H·T²/2 numbers a layer. Rounding is that of the inputs' number format, sums of keys' gradients are fp32.
    """

    @staticmethod
    def forward(
        ctx: Any, query_HTD: torch.Tensor, key_KTD: torch.Tensor, value_KTD: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """The attended values, H·T·D."""
        num_heads, length, width = query_HTD.shape
        num_kv = key_KTD.shape[0]
        query_HTD = query_HTD * scale
        out_HTD = torch.empty_like(query_HTD)
        hidden_QQ = torch.full((BLOCK, BLOCK), float("-inf"), dtype=query_HTD.dtype).triu_(1)
        kept = []
        for begin in range(0, length, BLOCK):
            end = min(begin + BLOCK, length)
            size = end - begin
            block_KGQD = query_HTD[:, begin:end].reshape(num_kv, -1, width)
            score_KGQE = torch.bmm(block_KGQD, key_KTD[:, :end].transpose(1, 2)).view(num_kv, -1, size, end)
            score_KGQE[..., begin:].add_(hidden_QQ[:size, :size])
            weight_KGQE = score_KGQE.softmax(-1).view(num_kv, -1, end)
            out_HTD[:, begin:end] = torch.bmm(weight_KGQE, value_KTD[:, :end]).view(num_heads, size, width)
            kept.append(weight_KGQE)
        ctx.save_for_backward(query_HTD, key_KTD, value_KTD, *kept)
        ctx.scale = scale
        return out_HTD

    @staticmethod
    def backward(ctx: Any, grad_HTD: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Gradients of queries, keys and values."""
        query_HTD, key_KTD, value_KTD, *kept = ctx.saved_tensors
        num_heads, length, width = query_HTD.shape
        num_kv = key_KTD.shape[0]
        grad_query_HTD = torch.empty_like(query_HTD)
        grad_key_KTD = torch.zeros_like(key_KTD, dtype=torch.float32)
        grad_value_KTD = torch.zeros_like(value_KTD, dtype=torch.float32)
        for begin, weight_KGQE in zip(range(0, length, BLOCK), kept, strict=True):
            end = min(begin + BLOCK, length)
            block_KGQD = query_HTD[:, begin:end].reshape(num_kv, -1, width)
            grad_KGQD = grad_HTD[:, begin:end].reshape(num_kv, -1, width)
            grad_value_KTD[:, :end] += torch.bmm(weight_KGQE.transpose(1, 2), grad_KGQD)
            grad_weight_KGQE = torch.bmm(grad_KGQD, value_KTD[:, :end].transpose(1, 2))
            grad_score_KGQE = torch._softmax_backward_data(grad_weight_KGQE, weight_KGQE, -1, weight_KGQE.dtype)
            found_KGQD = torch.bmm(grad_score_KGQE, key_KTD[:, :end])
            grad_query_HTD[:, begin:end] = found_KGQD.view(num_heads, end - begin, width).mul_(ctx.scale)
            grad_key_KTD[:, :end] += torch.bmm(grad_score_KGQE.transpose(1, 2), block_KGQD)
        return grad_query_HTD, grad_key_KTD.to(key_KTD.dtype), grad_value_KTD.to(value_KTD.dtype), None  # type: ignore[return-value]  # no gradient of the scale


def attend_document(
    query_HTD: torch.Tensor, key_KTD: torch.Tensor, value_KTD: torch.Tensor, scale: float
) -> torch.Tensor:
    """Causal attention of one document, by whichever way is quick for its device, number format and length."""
    blocks = query_HTD.device.type == "cpu" and query_HTD.dtype == torch.bfloat16
    if blocks and torch.is_grad_enabled():
        found: torch.Tensor = BlockCausal.apply(query_HTD, key_KTD, value_KTD, scale)  # type: ignore[no-untyped-call]  # torch
        return found
    return torch.nn.functional.scaled_dot_product_attention(
        query_HTD[None], key_KTD[None], value_KTD[None], is_causal=True, scale=scale, enable_gqa=True
    )[0]


def attend(
    module: torch.nn.Module,
    query_BHTD: torch.Tensor,
    key_BKTD: torch.Tensor,
    value_BKTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    lengths: tuple[int, ...] = (),
    **told: Any,
) -> tuple[torch.Tensor, None]:
    """What a transformers model calls for attention. `lengths` are the tokens of the row's documents, in order.

    Raises:
        BurilError: T106 when the model asks for more than plain causal attention.
    """
    check_plain(module, told, longest=max(lengths))
    assert attention_mask is None and query_BHTD.shape[0] == 1 and sum(lengths) == query_BHTD.shape[2]
    scale = scaling if scaling is not None else query_BHTD.shape[-1] ** -0.5
    kind = value_BKTD.dtype  # under autocast queries and keys come back from the rotation in fp32
    rows = (torch.split(part[0].to(kind), list(lengths), dim=1) for part in (query_BHTD, key_BKTD, value_BKTD))
    with torch.autocast(query_BHTD.device.type, enabled=False):
        found = [attend_document(query, key, value, scale) for query, key, value in zip(*rows, strict=True)]
    return torch.cat(found, dim=1)[None].transpose(1, 2), None


def check_plain(module: torch.nn.Module, told: dict[str, Any], *, longest: int) -> None:
    """Refuse what would be left out in silence: a window shorter than a document, capped or biased scores, sinks."""
    window = told.get("sliding_window")
    feature = next((name for name in ("softcap", "s_aux", "position_bias") if told.get(name) is not None), None)
    if window is not None and longest > window:
        feature = f"sliding_window={window}"
    if told.get("dropout"):
        feature = "attention_dropout"
    if feature:
        raise BurilError("T106", model=type(module).__name__, feature=feature)


def use_document_attention(model: Any) -> None:
    """Switch a transformers model to attention within documents; its forward then takes `lengths`.

    Raises:
        BurilError: T106 when the model does not use the attention interface.
    """
    from transformers.modeling_utils import AttentionInterface

    if not getattr(model, "_supports_attention_backend", False):
        raise BurilError("T106", model=type(model).__name__, feature="its own attention code")
    AttentionInterface.register(NAME, attend)
    model.set_attn_implementation(NAME)
