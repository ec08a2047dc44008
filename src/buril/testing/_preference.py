"""Contract checks of preferences. Torch is loaded when a check is called.

Tensor suffixes: P pairs, 2 the secure and the vulnerable text, N tokens that are scored, D width.
"""

from __future__ import annotations

from typing import Any

from buril.testing._common import check_plugin, expect, make

_PAIRS, _TOKENS, _WIDTH = 6, 5, 8


def check_preference(preference: Any) -> None:
    """A preference gives each pair a finite loss of its own, whose gradient raises the secure text against the other.

    Args:
        preference: the plugin with settings, or its class.
    """
    import torch

    check_plugin("preference", preference)
    preference = make(preference)
    expect(preference.region in ("changed", "answer"), f"region is {preference.region!r}")
    sides, leaves = _sides()
    loss_P = preference.losses(sides)
    expect(tuple(loss_P.shape) == (_PAIRS,), f"losses() gives {tuple(loss_P.shape)}, not one loss a pair")
    expect(bool(loss_P.isfinite().all()), "a loss is not finite")
    loss_P.sum().backward()
    grad_NS = torch.stack([leaf.grad for leaf in leaves])
    expect(bool(grad_NS.isfinite().all()), "a gradient is not finite")
    expect(bool((grad_NS[0] <= 0).all()), "a step would make secure tokens less likely")
    expect(bool((grad_NS[1] >= 0).all()), "a step would make vulnerable tokens more likely")
    expect(bool((grad_NS[0] < 0).any()) and bool((grad_NS[1] > 0).any()), "one of the sides teaches nothing")
    alone_P = torch.stack([preference.losses(_one(sides, place))[0] for place in range(_PAIRS)])
    expect(
        torch.allclose(alone_P.detach(), loss_P.detach(), rtol=1e-5, atol=1e-6),
        "a pair's loss depends on the other pairs: a step would not be the same however it is split",
    )


def _sides() -> tuple[Any, tuple[Any, Any]]:
    """Pairs of five tokens a side, with leaves for the log-probabilities of both."""
    import torch

    from buril.train.preferences._preference import Sides

    drawn = torch.Generator().manual_seed(0)
    secure, vulnerable = (-3 * torch.rand(2, _PAIRS, _TOKENS, generator=drawn)).unbind()
    leaves = secure.clone().requires_grad_(), vulnerable.clone().requires_grad_()
    logp_N = torch.stack(leaves, 1).flatten()
    cell_N = torch.arange(2 * _PAIRS).repeat_interleave(_TOKENS)
    sum_P2 = torch.zeros(2 * _PAIRS).index_add(0, cell_N, logp_N).view(-1, 2)
    states = torch.randn(_PAIRS, 3, _WIDTH, generator=drawn)
    num_P2, reference_P2 = torch.full((_PAIRS, 2), float(_TOKENS)), -5 * torch.rand(_PAIRS, 2, generator=drawn)
    return Sides(sum_P2, num_P2, reference_P2, logp_N, cell_N, states[:, 0], states[:, 1:]), leaves


def _one(sides: Any, place: int) -> Any:
    """One of the pairs by itself."""
    part, tokens = slice(place, place + 1), slice(place * 2 * _TOKENS, (place + 1) * 2 * _TOKENS)
    return sides._replace(
        sum_P2=sides.sum_P2[part], num_P2=sides.num_P2[part], reference_P2=sides.reference_P2[part],
        logp_N=sides.logp_N[tokens], cell_N=sides.cell_N[tokens] - 2 * place, anchor_PD=sides.anchor_PD[part],
        hidden_P2D=sides.hidden_P2D[part],
    )  # fmt: skip
