"""The report in a real browser: that it shows something, wide and narrow, light and dark, and never overflows."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from buril.core.text import set_language
from buril.web.report import gather, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars"]  # fmt: skip
MARGIN = 120
"""Pixels right of the page that stay empty: what juts out of the page would be drawn there."""


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


read_png = _module(Path(__file__).with_name("png.py")).read_png
report_fixture = _module(Path(__file__).parent.parent / "web" / "report_fixture.py")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    set_language("en")
    folder = tmp_path_factory.mktemp("page")
    artifacts = report_fixture.build(folder / "store", hostile=True)
    write_report(folder / "report.html", gather(artifacts, name="acme-coder", events=report_fixture.events(artifacts)))
    return folder / "report.html"


def shoot(page: Path, folder: Path, *, width: int, dark: bool = False) -> NDArray[np.uint8]:
    """The page as it is drawn in a frame `width` wide, with an empty margin to the right of the frame."""
    assert CHROMIUM
    shot = folder / "shot.png"
    theme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    subprocess.run(
        [CHROMIUM, *FLAGS, *theme, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},2400",
         f"--screenshot={shot}", page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    pixels: NDArray[np.uint8] = read_png(shot)[:, :, :3]
    return pixels


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_it_is_drawn(page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    pixels = shoot(page, tmp_path, width=width, dark=dark)
    assert pixels.shape[1] == width
    paper = pixels[-1, 0]
    assert (paper.mean() < 60) if dark else (paper.mean() > 240)
    drawn = (np.abs(pixels.astype(int) - paper).sum(axis=2) > 60).mean()
    assert 0.01 < drawn < 0.6
    rows = (np.abs(pixels.astype(int) - paper).sum(axis=2) > 60).any(axis=1)
    assert rows[2000:].any()  # also far down the page, below the first screen


@pytest.mark.parametrize("width", [1280, 390])
def test_it_never_overflows_sideways(page: Path, tmp_path: Path, width: int) -> None:
    """A copy of the page is given a body of fixed width in a wider window: what is too wide paints the margin.

    A window of its own width can't tell, as a screenshot cuts off what juts out.
    """
    html = page.read_text(encoding="utf-8")
    framed = tmp_path / "framed.html"
    style = f"<style>html {{ width: {width}px; }} nav {{ border: 0 !important; }}</style>"
    framed.write_text(html.replace("</head>", f"{style}</head>"), encoding="utf-8")
    if width < 700:  # the narrow rules hang on the window's width: apply them always
        framed.write_text(
            framed.read_text(encoding="utf-8").replace("@media (max-width: 40rem)", "@media all"), encoding="utf-8"
        )
    pixels = shoot(framed, tmp_path, width=width + MARGIN)
    paper = pixels[-1, -1]
    margin = np.abs(pixels[:, width + 2 :].astype(int) - paper).sum(axis=2) > 30
    assert not margin.any(), f"something is drawn {np.nonzero(margin.any(axis=0))[0].max()} px right of the page"


def test_only_what_was_lost_or_gained_can_be_shown(page: Path, tmp_path: Path) -> None:
    """The page has no script: a choice hides the other samples by style alone."""
    html = page.read_text(encoding="utf-8")
    drawn = {}
    for kind in ("all", "lost", "gained"):
        chosen = html.replace('id="show-all" checked', 'id="show-all"').replace(
            f'id="show-{kind}"', f'id="show-{kind}" checked'
        )
        # the section alone, and every sample open: what is hidden makes it shorter
        style = (
            "<style>section:not(#evaluation) { display: none } #evaluation > :not(.samples) { display: none }</style>"
        )
        copy = tmp_path / f"{kind}.html"
        copy.write_text(chosen.replace("</head>", f"{style}</head>"), encoding="utf-8")
        pixels = shoot(copy, tmp_path, width=1280)
        rows = (np.abs(pixels.astype(int) - pixels[-1, 0]).sum(axis=2) > 60).any(axis=1)
        drawn[kind] = int(rows.sum())
    assert 40 < drawn["lost"] < drawn["gained"] < drawn["all"], drawn
