"""Proof by behaviour: right fixes pass, wrong ones are dropped with the input that shows it, the rest is unproven."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.data.behaviour import prove
from buril.data.behaviour._attacks import ATTACKS, EXECUTED, attacks
from buril.data.behaviour._inputs import ROOT, Maker
from buril.data.behaviour._judging import compared
from buril.data.behaviour._reading import read
from buril.data.behaviour.prove import Behaviour, Runner
from buril.data.pair import Pair
from buril.data.pairs import Pairs
from buril.sandboxes._sandbox import Program
from tests.data.behaviour_cases import rights, wrongs
from tests.data.test_pairs import make_artifact, output, pair, propose, rows, stage, table  # noqa: F401  fixtures
from tests.sandboxes.conftest import jailed  # type: ignore[import-not-found]  # where there are no jails it skips

pytestmark = jailed
