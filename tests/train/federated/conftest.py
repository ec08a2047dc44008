"""What the tests of federated training share."""

import pytest

from buril.core.artifact import Artifact
from tests.train.federated.small import inputs as make_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    return make_inputs(tmp_path_factory.mktemp("inputs"))
