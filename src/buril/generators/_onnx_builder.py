"""ONNX Runtime GenAI's model builder: what writes a model as ONNX, with the operators its runtime is fast with.

It runs in a process of its own: it prints, keeps what it loads, and looks for files of a hub, which that process is
told to do without.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from buril.core.text import _
from buril.generators._onnx import CONFIG, SILENT

BUILDER = "onnxruntime_genai.models.builder"
PACKAGES = ("onnxruntime_genai", "onnx", "onnx_ir", "torch", "transformers")
Weights = Literal["fp32", "int8", "int4"]
OPTIONS: dict[Weights, tuple[str, ...]] = {
    "fp32": (),
    "int8": ("shared_embeddings=true", "algo_config=rtn"),
    "int4": ("shared_embeddings=true", "algo_config=rtn", "matmul_mixed_precision=last_matmul:int8"),
}
"""What the builder is told for each format. A model with tied embeddings keeps one matrix for both where it can."""

WINDOWED = ("gemma2", "gemma3_text")
"""Models whose windows the builder does put into the graph; the generator `onnx` has no cache for them."""
CHANGING = ("dynamic", "longrope")
"""Rotary embeddings that are others for longer texts."""


def build(whole: Path, folder: Path, weights: Weights) -> str | None:
    """Write a model as ONNX; what the builder complains of, or what it would leave out, or None.

    Args:
        whole: a plain Hugging Face folder: weights, configuration, tokenizer.
        folder: an empty folder.
        weights: format of the matrices.
    """
    left_out = lacking(json.loads((whole / "config.json").read_text(encoding="utf-8")))
    if left_out is not None:
        return left_out
    with TemporaryDirectory() as cache:
        words = [
            sys.executable, "-m", BUILDER, "-i", str(whole), "-o", str(folder), "-c", cache, "-p", weights, "-e", "cpu",
            "--extra_options", "hf_token=false", *OPTIONS[weights],
        ]  # fmt: skip
        done = subprocess.run(  # noqa: S603  this Python, a module of a package that is required
            words, capture_output=True, text=True, errors="replace", check=False, cwd=cache, env=_environment()
        )
    if done.returncode or not (folder / CONFIG).is_file():
        return _last_line(done.stderr)
    return None


def lacking(config: Mapping[str, Any]) -> str | None:
    """What of a model the builder would leave out of the graph without a word, and a short text would not show.

    Seen in 0.18: a window of attention (Mistral's) is not there, and neither is what changes with the text's length.
    """
    window, positions = config.get("sliding_window"), config.get("max_position_embeddings") or 0
    used = config.get("use_sliding_window", True) and config.get("model_type") not in WINDOWED
    if used and isinstance(window, int) and window < positions:
        return _("attention to the last {number} tokens alone is left out").format(number=window)
    scaling = (config.get("rope_parameters") or config.get("rope_scaling") or {}).get("rope_type", "default")
    return _("`rope_type: {name}`").format(name=scaling) if scaling in CHANGING else None


def _environment() -> dict[str, str]:
    """No network: neither for files of a hub, nor to tell of its use."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONIOENCODING": "utf-8", SILENT: "1"}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "?"
