"""What several processes take, by count: held against what the tensors of a real model take in pieces."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buril.train.memory import Load, Method, Model, memory
from buril.train.parallel.cost import each, gain
from buril.train.parallel.settings import Parallel

QWEN_7B = Model(152_064, 3584, 28, 28, 4, 128, 18_944, tied=False, biases=True, file_bytes=2)
LOAD = Load(4096, 2048, bf16=True, gpu=True)
FULL = Method(whole=True)


def test_one_process_takes_what_is_counted_for_one() -> None:
    assert each(QWEN_7B, FULL, LOAD, Parallel()) == memory(QWEN_7B, FULL, LOAD)
    assert each(QWEN_7B, FULL, LOAD, Parallel(processes=8)) == memory(QWEN_7B, FULL, LOAD)
    assert gain(Parallel(), gpu=True) == gain(Parallel(processes=4), gpu=False) == 1.0
    assert gain(Parallel(processes=8, machines=2), gpu=True) == pytest.approx(14.4)


def test_pieces_divide_what_stays_and_add_what_is_at_work() -> None:
    alone = memory(QWEN_7B, FULL, LOAD)
    assert QWEN_7B.parameters == 7_615_616_512  # as published
    assert alone.weights + alone.trained == pytest.approx(16 * QWEN_7B.parameters)  # fp32 weight, gradient, two moments
    eight = each(QWEN_7B, FULL, LOAD, Parallel(processes=8, shard="weights"))
    stays = 16 * QWEN_7B.parameters / 8
    layer, tables = QWEN_7B.linear / QWEN_7B.layers, 2 * QWEN_7B.table
    at_work = 2 * (2 * layer + tables) + 4 * (layer + QWEN_7B.table)  # bf16 weights of two layers, one fp32 gradient
    assert eight.weights + eight.trained == pytest.approx(stays + at_work)
    assert eight.activations == alone.activations
    gradients = each(QWEN_7B, FULL, LOAD, Parallel(processes=8, shard="gradients"))
    assert gradients.weights - eight.weights == pytest.approx(2 * layer * (QWEN_7B.layers - 2))
    assert eight.total < 80e9  # an A100's
    assert alone.total > 120e9


def test_parts_divide_heads_and_inner_width() -> None:
    alone, two = (each(QWEN_7B, FULL, LOAD, Parallel(processes=2, tensor=held)) for held in (1, 2))
    apart = 2 * QWEN_7B.table + QWEN_7B.layers * 2 * QWEN_7B.width + QWEN_7B.width
    biases = QWEN_7B.layers * (28 + 8) * 128
    assert two.weights == pytest.approx(4 * (apart + (QWEN_7B.linear + biases) / 2))
    assert alone.activations / 2 < two.activations < alone.activations
    both = each(QWEN_7B, FULL, LOAD, Parallel(processes=4, tensor=2, shard="weights"))
    assert both.trained < two.trained
    assert replace(both, loading=0).total < two.total
