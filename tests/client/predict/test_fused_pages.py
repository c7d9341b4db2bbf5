"""Pages of a fused case."""

import io
from dataclasses import replace
from pathlib import Path

from PIL import Image

from client.predict.fused_pages import SLICES_A_PAGE, draw_pages
from tests.support.fused_scan import fused_scan


def test_every_slice_is_on_a_page_and_a_case_without_pet_has_a_row_less(tmp_path: Path) -> None:
    """20 slices, six a page: four pages."""
    fused, _ = fused_scan(tmp_path)
    pages = list(draw_pages(fused))
    assert (len(fused.fused_zyx), SLICES_A_PAGE, len(pages)) == (20, 6, 4)
    alone = next(draw_pages(replace(fused, setting="ct")))
    sizes = [Image.open(io.BytesIO(page)).size for page in (pages[0], alone)]
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] > 1.3 * sizes[1][1]
