"""What a radiologist looks at, in a real browser: the preview of a center's cases, and its viewer."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from client.data.manifest import Manifest
from client.viewing.case_overviews import overview
from client.viewing.preview_page import write_preview
from tests.support.chromium import keep, pixels, watched_page
from tests.support.viewed import viewed_center, viewed_volumes, write_case

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.network]

PROGRAM = Path(sys.executable).parent / "concilium-center"
SHOWN_MS = 60_000
AXIAL = 0


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return viewed_center(tmp_path_factory.mktemp("center") / "hgj")


def folder_of(center: Manifest) -> Path:
    return center.cases[0].paths["ct"].parent.parent


@contextmanager
def viewer(*arguments: str | Path) -> Iterator[str]:
    """The address of a viewer that runs for the length of a block, and ends well by SIGTERM."""
    command = [str(part) for part in (PROGRAM, "view", *arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            assert process.wait(20) == 0


def wait_for_case(page: "Page", name: str) -> None:
    """Until the case is shown, and the frame after it is drawn."""
    page.locator(f'body[data-shown="{name}"]').wait_for(timeout=SHOWN_MS)
    page.wait_for_timeout(300)


def slices(page: "Page", side: int = 0) -> NDArray[np.int_]:
    """What a side shows of the case, contours over images, as (y, x, RGB)."""
    return pixels(page.locator(".stage").nth(side)).astype(int)


def test_the_preview_opens_alone_and_filters_by_grade(center: Manifest, tmp_path: Path) -> None:
    write_preview(center, [overview(case) for case in center.cases], tmp_path / "preview.html")
    with watched_page(1440, 1400) as (page, watched):
        page.goto((tmp_path / "preview.html").as_uri())
        assert page.locator(".entry:visible").count() == 3
        picture = page.locator(".entry img").first
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth; }") == 608
        page.locator('label[for="show-error"]').click()
        assert page.locator(".entry:visible h3").all_inner_texts() == ["sole ✖ error left out"]
        keep(page, "preview")
    assert (watched.problems, watched.outside) == ([], [])


def test_a_case_is_scrolled_in_the_viewer_and_nothing_leaves_the_machine(center: Manifest, tmp_path: Path) -> None:
    """Tumour in slices 3 to 5 of 10: from the middle one up two slices there is no contour in the axial plane."""
    write_case(tmp_path / "both", {"prediction": viewed_volumes()["gtv"]})
    arguments = ("--data", folder_of(center), "--prediction", tmp_path)
    with viewer(*arguments) as address, watched_page(1280, 800) as (page, watched):
        page.goto(address)
        wait_for_case(page, "both")
        first = slices(page)
        assert first.std() > 20
        keep(page, "view-one")
        assert outlined(first) > 300
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        page.wait_for_timeout(300)
        assert 0 < outlined(slices(page)) < outlined(first)
        page.keyboard.press("b")
        page.locator(".stage").nth(1).wait_for()
        page.wait_for_timeout(1500)
        keep(page, "view")
        for side in range(2):
            page.locator(".image").nth(side).select_option("ct")
        page.wait_for_timeout(500)
        left, right = slices(page, 0), slices(page, 1)
        assert (outlined(left) > 0, predicted(left), outlined(right), predicted(right) > 0) == (True, 0, 0, True)
        page.keyboard.press("n")
        wait_for_case(page, "plain")
        assert outlined(slices(page)) == 0
        assert page.locator("#issues li").inner_text().startswith("▲ warning: center 'hgj', case 'plain'")
        assert page.context.browser is not None
        other = page.context.browser.new_page()
        other.goto(address)
        assert other.locator("body").inner_text().startswith("This address has been used")
    assert watched.problems == []
    assert watched.outside == []
    assert {request.split("/")[2] for request in watched.requests if request.startswith("http")} == {
        address.split("/")[2]
    }


def test_the_pet_is_inverted_and_the_tumour_on_the_left_of_the_patient(center: Manifest) -> None:
    """The tumour lies at x 24 to 34 of 40, to the patient's left: on the right of each picture, front up."""
    with viewer("--data", folder_of(center)) as address, watched_page(1280, 800) as (page, watched):
        page.goto(address)
        wait_for_case(page, "both")
        page.locator(".image").select_option("pet")
        page.wait_for_timeout(500)
        keep(page, "view-pet")
        tiles = page.evaluate(
            "state.panes[0].viewer.screenSlices.map(tile => [tile.axCorSag, ...tile.leftTopWidthHeight])"
        )
        left, top, width, height = (round(value) for value in next(tile for tile in tiles if tile[0] == AXIAL)[1:5])
        axial = slices(page)[top : top + height, left : left + width]
    assert width / height == pytest.approx(40 / 30, abs=0.02)
    assert (axial.min(axis=2) > 235).mean() > 0.6
    black = np.argwhere(axial.max(axis=2) < 60)
    assert black.mean(axis=0) == pytest.approx([15 / 30 * height, 29 / 40 * width], abs=8)
    assert watched.problems == []


def test_a_link_from_elsewhere_opens_the_session_too(center: Manifest, tmp_path: Path) -> None:
    """As `--open` does: a strict cookie is not sent along with a redirect that began on another site."""
    with viewer("--data", folder_of(center)) as address, watched_page() as (page, _):
        (tmp_path / "open.html").write_text(f'<meta http-equiv="refresh" content="0; url={address}">')
        page.goto((tmp_path / "open.html").as_uri())
        wait_for_case(page, "both")


def outlined(shown: NDArray[np.int_]) -> int:
    """Pixels in the colour of the contour."""
    red, green, blue = shown.transpose(2, 0, 1)
    return int(((blue > red + 90) & (green > red + 60) & (blue > green)).sum())


def predicted(shown: NDArray[np.int_]) -> int:
    """Pixels in the colour of the prediction."""
    red, green, blue = shown.transpose(2, 0, 1)
    return int(((red > 150) & (abs(green - 0.69 * red) < 12) & (blue < 30)).sum())
