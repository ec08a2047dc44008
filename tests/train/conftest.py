"""What the tests of training share."""

import pytest
import torch

from buril.core.artifact import Artifact
from tests.train.small import inputs as make_inputs


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    return make_inputs(tmp_path_factory.mktemp("inputs"))
