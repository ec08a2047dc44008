from __future__ import annotations

from collections.abc import Iterator

import pytest

from buril.core.errors import BurilError
from buril.sandboxes._sandbox import Call, Job
from buril.sandboxes.namespaces import Namespaces


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Namespaces]:
    """A warm sandbox with two workers; skips where the machine allows no isolation."""
    with Namespaces(Namespaces.Settings()) as made:
        try:
            made.run(Job("def f():\n    return 1\n", "f", (Call((), 1),)))
        except BurilError as problem:
            pytest.skip(str(problem))
        yield made
