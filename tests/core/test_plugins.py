"""Plugins: found by name, refused with the nearest, with what is missing, with who clashes; references in settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated

import pytest

from buril.core import plugins
from buril.core.errors import BurilError, nearest
from buril.core.plugins import PluginKind, Ref, names, plugin
from buril.core.settings import Settings


@pytest.fixture
def fresh() -> None:
    """Names are remembered for the life of a process; a test that installs a package forgets them, before and after."""
    names.cache_clear()
    plugin.cache_clear()


def install(folder: Path, distribution: str, kind: str, points: dict[str, str], modules: dict[str, str]) -> None:
    """A package as pip leaves it: modules, and metadata with entry points."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {target}" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[buril.{kind}]\n{lines}\n")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


SOURCE = """
from buril.core.settings import Settings as Base

class Gitea:
    version = 3
    class Settings(Base):
        url: str
        "Where."
    def __init__(self, settings):
        self.settings = settings
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    names.cache_clear()
    plugin.cache_clear()
    for module in ("acme_gitea", "acme_other", "acme_broken"):
        sys.modules.pop(module, None)


def test_a_third_party_plugin_is_found_and_used(site: Path) -> None:
    install(site, "acme-gitea", "source", {"gitea": "acme_gitea:Gitea"}, {"acme_gitea": SOURCE})
    assert names("source")["gitea"] == "acme-gitea"

    class Toy(Settings):
        sources: Annotated[tuple[Ref, ...], PluginKind("source")]

    toy = Toy.model_validate({"sources": [{"gitea": {"url": "https://git.example.com"}}]})
    assert toy.identity() == {
        "sources": [{"name": "gitea", "version": 3, "settings": {"url": "https://git.example.com"}}]
    }
    assert toy.sources[0].make().settings.url == "https://git.example.com"


def test_a_name_clash_names_both_packages(site: Path) -> None:
    install(site, "acme-gitea", "source", {"folder": "acme_gitea:Gitea"}, {"acme_gitea": SOURCE})
    with pytest.raises(BurilError, match="P003") as caught:
        names("source")
    assert "acme-gitea" in str(caught.value)


def test_a_missing_package_names_what_to_install(site: Path) -> None:
    install(
        site, "acme-other", "source", {"other": "acme_other:Other"}, {"acme_other": "import no_such_package_here\n"}
    )
    with pytest.raises(BurilError, match="P002") as caught:
        plugin("source", "other")
    assert 'pip install "no_such_package_here"' in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_declared_requirement_is_checked_without_importing_it(site: Path) -> None:
    text = "class Other:\n    requires = ('torch_of_nowhere',)\n"
    install(site, "acme-other", "source", {"other": "acme_other:Other"}, {"acme_other": text})
    with pytest.raises(BurilError, match="P002"):
        plugin("source", "other")


def test_a_file_without_its_class_is_broken(site: Path) -> None:
    install(site, "acme-broken", "source", {"broken": "acme_broken:Broken"}, {"acme_broken": "x = 1\n"})
    with pytest.raises(BurilError, match="P004"):
        plugin("source", "broken")


def test_a_hint_lists_no_more_names_than_anybody_reads() -> None:
    many = [f"name{number:03}" for number in range(200)]
    hint = nearest("other", many)
    assert "`name000`" in hint and "`name199`" not in hint and hint.endswith("and 150 more")
    assert nearest("other", ["a", "b"]) == "known: `a`, `b`"


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(BurilError, match="P001") as caught:
        plugin("source", "packges")
    assert "did you mean `packages`?" in str(caught.value)


def test_every_plugin_of_the_tree_has_what_the_contract_asks() -> None:
    for kind in plugins.KINDS:
        for name, owner in names(kind).items():
            found = plugin(kind, name)
            assert found.__doc__, (kind, name)
            assert owner == "buril"
            settings = getattr(found, "Settings", None)
            if settings is not None:
                assert issubclass(settings, Settings), (kind, name)
                undocumented = [key for key, info in settings.model_fields.items() if not info.description]
                assert not undocumented, (kind, name, undocumented)
                assert settings.model_config["extra"] == "forbid"


def test_the_extra_of_a_package_is_named() -> None:
    assert plugins.extra_of("torch") == "buril[train]"
    assert plugins.extra_of("peft") == "buril[train]"
    assert plugins.extra_of("no_such_package_here") == "no_such_package_here"
    assert metadata.version("buril")
