"""The picture of a case: rows that it has, true proportions, PET inverted, contour outlined."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from client.viewing.case_slices import cut_slices
from client.viewing.thumbnails import GAP_PX, NO_DATA, SIDE_PX, Thumbnail, draw_thumbnail
from tests.support.viewed import viewed_volumes

STEP = SIDE_PX + GAP_PX


def drawn(*files: str) -> Thumbnail:
    slices = cut_slices({file: volume for file, volume in viewed_volumes().items() if file in files})
    assert slices is not None
    return draw_thumbnail(slices)


def panel(thumbnail: Thumbnail, row: int, column: int) -> NDArray[np.int_]:
    """One panel as (y, x, RGB)."""
    whole = np.asarray(Image.open(io.BytesIO(thumbnail.jpeg))).astype(int)
    return whole[row * STEP : row * STEP + SIDE_PX, column * STEP : column * STEP + SIDE_PX]


def test_a_case_has_a_row_for_each_image_and_one_for_both():
    assert drawn("ct", "pet", "gtv").rows == ("ct", "pet", "fused")
    assert drawn("ct", "gtv").rows == ("ct",)
    assert drawn("pet").rows == ("pet",)
    assert (drawn("ct").width, drawn("ct").height) == (3 * SIDE_PX + 2 * GAP_PX, SIDE_PX)


def test_uptake_is_black_on_white():
    """SUV 8 is the top of the scale, 0.5 nearly none; the tumour is right of the middle, above it."""
    axial = panel(drawn("ct", "pet", "gtv"), 1, 0)
    assert axial[100, 145].max() < 40
    assert axial[140, 50].min() > 220


def test_air_is_black_and_soft_tissue_grey():
    """60 HU in the window from -160 to 240: 0.55 of 255."""
    axial = panel(drawn("ct"), 0, 0)
    assert abs(axial[150, 60] - 140).max() < 6
    assert axial[30, 100].max() < 10


def test_the_contour_has_its_colour():
    """Light blue where the tumour ends, and nowhere without a contour."""
    red, green, blue = panel(drawn("ct", "pet", "gtv"), 0, 0).transpose(2, 0, 1)
    outlined = (blue > red + 100) & (green > red + 80)
    columns = np.argwhere(outlined)[:, 1]
    assert (columns.min() // 5, columns.max() // 5) == (24, 33)
    red, green, blue = panel(drawn("ct", "pet"), 0, 0).transpose(2, 0, 1)
    assert not ((blue > red + 100) & (green > red + 80)).any()


def test_a_plane_of_30_by_40_mm_stays_so():
    """Axial: 150 x 200 pixels, with 25 rows of ground above and below."""
    axial = panel(drawn("pet"), 0, 0)
    assert abs(axial[60, 60] - axial[140, 60]).max() < 4
    assert (axial[:20, 40:90] > 250).all()


def test_what_the_pet_does_not_cover_is_told_by_a_colour():
    volumes = viewed_volumes()
    pet = volumes["pet"]
    volumes["pet"] = type(pet)(pet.array_zyx, pet.spacing_zyx_mm, (20.5, 0.5, 0.0), pet.direction, pet.quantity)
    slices = cut_slices(volumes)
    assert slices is not None
    assert abs(panel(draw_thumbnail(slices), 1, 0)[140, 20] - NO_DATA).max() < 8
