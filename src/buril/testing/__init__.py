"""Contract checks: what every plugin of a kind must keep to, to be called from its own tests.

Each check takes a plugin (or its class, where the default settings do), uses it as buril does, and raises
`AssertionError` with one sentence that says what is wrong. buril's own plugins pass the same checks.

Example:
    >>> from buril.testing import check_scanner
    >>> from acme_scanner import AcmeScanner
    >>> check_scanner(AcmeScanner)

They are no substitute for tests of what a plugin computes: a scanner that finds the wrong thing passes.
"""

from buril.testing._augment import check_augment
from buril.testing._common import check_imports, check_plugin
from buril.testing._data import check_language, check_scanner, check_source, check_step
from buril.testing._engine import check_engine
from buril.testing._evaluate import agreement, check_generator, check_metric, check_suite, suite_data
from buril.testing._exporter import check_exporter
from buril.testing._guard import check_guard
from buril.testing._pairing import check_pairing
from buril.testing._preference import check_preference
from buril.testing._programs import check_runtime, check_sandbox
from buril.testing._tracker import check_tracker
from buril.testing._train import check_base, check_method, check_objective, tiny_model

__all__ = [
    "agreement",
    "check_augment",
    "check_base",
    "check_engine",
    "check_exporter",
    "check_generator",
    "check_guard",
    "check_imports",
    "check_language",
    "check_method",
    "check_metric",
    "check_objective",
    "check_pairing",
    "check_plugin",
    "check_preference",
    "check_runtime",
    "check_sandbox",
    "check_scanner",
    "check_source",
    "check_step",
    "check_suite",
    "check_tracker",
    "suite_data",
    "tiny_model",
]
