"""Strength: what is written lies between the model before and the model after, and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from tests.train import small
from tests.train.test_align import stage, write_pairs, write_split


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("strength")
    made = {**small.inputs(folder / "inputs"), "pairs": write_pairs(folder / "pairs")}
    return {**made, "split": write_split(folder / "split")}


Made = Callable[..., Artifact]


def weights(made: Artifact, path: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(made.path(path))
    return found


def test_what_an_adapter_adds_is_the_share_of_what_it_learnt(paired: dict[str, Artifact], make_artifact: Made) -> None:
    told = {"method": {"lora": {"rank": 4}}, "max_steps": 4, "retain": {"source": "none"}}
    whole = make_artifact(stage(strength=1.0, **told), paired, folder="whole")
    half = make_artifact(stage(strength=0.5, **told), paired, folder="half")
    one, other = (weights(made, "adapter/adapter_model.safetensors") for made in (whole, half))
    for name in one:
        if "lora_B" in name:
            assert one[name].abs().max() > 0
            torch.testing.assert_close(other[name], 0.5 * one[name])
        else:
            torch.testing.assert_close(other[name], one[name])
    assert half.json("align.json")["strength"] == 0.5
    before, after = ([made.json("align.json")["margins"]["test"][f"mean_{when}"] for made in (whole, half)]
                     for when in ("before", "after"))  # fmt: skip
    assert before[0] == before[1] < after[1] < after[0], "half of the way moves the margins less, and says so"


def test_whole_weights_lie_between_those_of_the_base_and_those_learnt(
    paired: dict[str, Artifact], make_artifact: Made
) -> None:
    whole, part = (
        make_artifact(stage(strength=strength, max_steps=4, retain={"source": "none"}), paired, folder=f"at{strength}")
        for strength in (1.0, 0.25)
    )
    base = load_file(paired["base"].path("model/model.safetensors"))
    one, other = (weights(made, "model/model.safetensors") for made in (whole, part))
    moved = 0
    for name, tensor in base.items():
        expected = tensor.float() + 0.25 * (one[name].float() - tensor.float())
        torch.testing.assert_close(other[name].float(), expected, rtol=1e-2, atol=1e-4)
        moved += int(not torch.equal(one[name], tensor))
    assert moved


def test_what_goes_on_with_an_adapter_comes_back_towards_it(paired: dict[str, Artifact], make_artifact: Made) -> None:
    told = {"max_steps": 4, "retain": {"source": "none"}, "method": {"lora": {"rank": 4}}}
    before = make_artifact(stage(strength=1.0, **told), paired, folder="before")
    folder = before.folder
    trained = Artifact(folder, before.manifest)
    (folder / "train.json").write_text((folder / "align.json").read_text())
    going = {**told, "start": "train", "max_steps": 3}
    inputs = {**paired, "train": trained}
    whole, half = (
        make_artifact(stage(strength=strength, **going), inputs, folder=f"at{strength}") for strength in (1.0, 0.5)
    )
    start, one, other = (weights(made, "adapter/adapter_model.safetensors") for made in (before, whole, half))
    for name in one:
        torch.testing.assert_close(other[name], (start[name] + one[name]) / 2, rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(one[name], start[name]) for name in one)


@pytest.mark.parametrize("strength", [0, 1.5, -1])
def test_a_strength_is_a_share(strength: float, tmp_path: Path) -> None:
    with pytest.raises((ValueError, BurilError)):
        stage(strength=strength)
