"""The YAML reader: every mistake has a code, its place and the nearest right word."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Annotated, Literal

import pytest

from buril import config
from buril.chain import Chain
from buril.core.errors import BurilError
from buril.core.plugins import PluginKind, Ref
from buril.core.settings import Settings, runtime


class Toy(Settings):
    """A stage's settings."""

    shorthand = "sources"
    sources: Annotated[tuple[Ref, ...], PluginKind("source")] = ()
    rate: float = 0.1
    method: Literal["lora", "full"] = "lora"
    workers: int = runtime(2, ge=1)
    folder: Path | None = None


def check(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "buril.yaml"
    path.write_text(text)
    document = config.read(path)
    return config.validate(Toy, document.values.get("toy"), document, ("toy",))


def failure(tmp_path: Path, text: str) -> BurilError:
    with pytest.raises(BurilError) as caught:
        check(tmp_path, text)
    return caught.value


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path: Path) -> None:
    assert check(tmp_path, "toy: {rate: 5e-5}").rate == 5e-5  # type: ignore[attr-defined]


def test_a_bare_list_is_the_shorthand(tmp_path: Path) -> None:
    settings = check(tmp_path, "toy:\n  - packages\n  - folder: {path: src}\n")
    assert [ref.name for ref in settings.sources] == ["packages", "folder"]  # type: ignore[attr-defined]
    assert str(settings.sources[1].settings.path) == str(tmp_path / "src")  # type: ignore[attr-defined]


def test_runtime_fields_are_no_identity(tmp_path: Path) -> None:
    assert "workers" not in check(tmp_path, "toy: {workers: 4}").identity()


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "says"),
    [
        ("toy:\n  rat: 0.1\n", "C001", 2, 3, "did you mean `rate`"),
        ("toy:\n  rate: fast\n", "C002", 2, 3, "must be a number"),
        ("toy:\n  method: qlora\n", "C002", 2, 3, "`lora` or `full`"),
        ("toy:\n  workers: 0\n", "C002", 2, 3, "≥ 1"),
        ("toy:\n  - fodler: {path: x}\n", "P001", 2, 5, "did you mean `folder`"),
        ("toy:\n  - folder: {pth: x}\n", "C001", 2, 14, "did you mean `path`"),
        ("toy:\n  - folder\n", "C009", 2, 5, "toy.folder.path"),
        ("toy:\n  - {folder: {path: x}, packages: {}}\n", "C002", 2, 5, "one name with its settings"),
        ("toy: {rate: 1\n", "C004", 2, 1, ""),
        ("toy: 1\ntoy: 2\n", "C005", 2, 1, "line 1"),
        ("toy:\n  rate: env:NO_SUCH_VARIABLE_HERE\n", "C006", 2, 3, "NO_SUCH_VARIABLE_HERE"),
        ("toy:\n  rate: file:missing.txt\n", "C007", 2, 3, "missing.txt"),
    ],
)
def test_a_mistake_is_shown_where_it_stands(
    tmp_path: Path, text: str, code: str, line: int, column: int, says: str
) -> None:
    error = failure(tmp_path, text)
    assert error.code == code, str(error)
    assert error.where is not None
    assert (error.where.line, error.where.column) == (line, column), str(error)
    assert says in str(error)


def test_all_mistakes_of_a_stage_are_told_at_once(tmp_path: Path) -> None:
    error = failure(tmp_path, "toy:\n  wokers: 1\n  rate: much\n  workers: 0\n")
    assert [(item.code, item.where and item.where.line) for item in (error, *error.also)] == [
        ("C001", 2), ("C002", 3), ("C002", 4),
    ]  # fmt: skip
    assert [line for line in str(error).splitlines() if line.startswith("error[")] == [
        "error[C001]: unknown setting `toy.wokers`", "error[C002]: `toy.rate`: must be a number (got `much`)",
        "error[C002]: `toy.workers`: must be ≥ 1 (got `0`)",
    ]  # fmt: skip
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_what_an_unknown_key_explains_is_not_told_as_missing(tmp_path: Path) -> None:
    error = failure(tmp_path, "toy:\n  - folder: {pth: x}\n")
    assert error.code == "C001" and error.also == ()


def test_mistakes_of_several_stages_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "buril.yaml"
    path.write_text("dedup: {treshold: 1}\ncollect: [{folder: {path: .}}]\nsplit: {sed: 3, parts: 1}\nnmae: x\n")
    with pytest.raises(BurilError) as caught:
        Chain.from_yaml(path).stages()
    assert str(caught.value).count("error[") == 1 and caught.value.values["name"] == "nmae"
    path.write_text(path.read_text().replace("nmae", "base"))
    with pytest.raises(BurilError, match=r"did you mean `train\.base`") as caught:
        Chain.from_yaml(path).stages()
    path.write_text(path.read_text().replace("base: x", "name: x"))
    with pytest.raises(BurilError) as caught:
        Chain.from_yaml(path).stages()
    told = [item.values["name"] for item in (caught.value, *caught.value.also)]
    assert sorted(told) == ["dedup.treshold", "split.parts", "split.sed"]


def test_not_a_mapping_and_not_a_file(tmp_path: Path) -> None:
    assert failure(tmp_path, "- a\n").code == "C008"
    with pytest.raises(BurilError, match="C003"):
        config.read(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BurilError, match="C012"):
        config.read(tmp_path / "binary.yaml")


def test_extends_merges_and_keeps_the_places(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("toy:\n  rate: 0.5\n  methd: full\n")
    error = failure(tmp_path, "extends: base.yaml\ntoy:\n  workers: 3\n")
    assert error.where is not None
    assert error.where.file.endswith("base.yaml")
    (tmp_path / "base.yaml").write_text("toy:\n  rate: 0.5\n")
    settings = check(tmp_path, "extends: base.yaml\ntoy:\n  workers: 3\n")
    assert (settings.rate, settings.workers) == (0.5, 3)  # type: ignore[attr-defined]


def test_a_circle_of_extends(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: buril.yaml\n")
    assert failure(tmp_path, "extends: a.yaml\n").code == "C010"


def test_references_are_kept_as_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hunter2")
    path = tmp_path / "buril.yaml"
    path.write_text("token: env:A_SECRET\n")
    document = config.read(path)
    assert document.values["token"] == "env:A_SECRET"
    assert config.reveal(document.values["token"], tmp_path) == "hunter2"
