"""What the guide to the sources shows is accepted."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from buril.core.plugins import expand, names
from buril.data.collect import Collect

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "sources.md"


def test_the_samples_of_the_guide_are_accepted() -> None:
    shown = set()
    for block in re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        given = yaml.safe_load(block)["collect"]
        settings = Collect.Settings.model_validate(expand(Collect.Settings, given))
        shown |= {ref.name for ref in settings.sources}
    assert shown >= {"folder", "git", "packages", "jsonl", "parquet", "huggingface"}
    assert shown <= set(names("source"))
