"""The graph that other programs open: the same logits as the model, however the text is cut, and no sight of the future."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("openvino")

from buril.generators._openvino import openvino  # noqa: E402
from buril.generators._stateful_graph import build  # noqa: E402
from tests.generators.tiny import KINDS, make  # noqa: E402

IDS = [(7 * place) % 300 + 5 for place in range(40)]
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


def request(model: Any, weights: str = "fp16") -> Any:
    return openvino().Core().compile_model(build(model, weights), "CPU", EXACT).create_infer_request()


def run(made: Any, ids: list[int], read: int = 0, mask: list[int] | None = None, positions: Any = None) -> Any:
    whole = read + len(ids)
    told = {
        "input_ids": np.array([ids]), "attention_mask": np.array([mask or [1] * whole]),
        "position_ids": np.array([positions if positions is not None else range(read, whole)]),
        "beam_idx": np.zeros(1, np.int32),
    }  # fmt: skip
    return np.array(made.infer(told)["logits"])[0]


def wanted(model: Any, ids: list[int]) -> Any:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_gives_the_logits_of_the_model(kind: str) -> None:
    model = make(kind)
    made = request(model)
    assert np.abs(run(made, IDS) - wanted(model, IDS)).max() < 2e-3
    made.reset_state()
    parts = np.concatenate([run(made, IDS[:17]), run(made, IDS[17:18], 17), run(made, IDS[18:], 18)])
    assert np.abs(parts - wanted(model, IDS)).max() < 2e-3, "what is read in parts differs"


def test_what_the_mask_leaves_out_is_not_seen() -> None:
    model = make("llama")
    made = request(model)
    padded = run(made, [1, 2, 3, *IDS], mask=[0] * 3 + [1] * len(IDS), positions=[0, 0, 0, *range(len(IDS))])
    assert np.abs(padded[3:] - wanted(model, IDS)).max() < 2e-3


def test_eight_bits_are_near() -> None:
    model = make("qwen2")
    found, exact = run(request(model, "int8"), IDS), wanted(model, IDS)
    assert 1e-4 < np.abs(found - exact).mean() < 0.1 * exact.std()


def test_paged_attention_can_be_made_of_it() -> None:
    from openvino._offline_transformations import paged_attention_transformation

    graph = build(make("llama"), "fp16")
    paged_attention_transformation(graph)
    assert any(item.get_type_name() == "PagedAttentionExtension" for item in graph.get_ops())
