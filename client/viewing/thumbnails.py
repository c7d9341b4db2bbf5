"""One small picture of a case (JPEG): rows CT, PET and PET over CT, columns of the three planes, contour outlined.

CT in the soft-tissue window of the reports; PET inverted grey, white no uptake, as it is read in the clinic; over the
CT in `hot`, both up to one SUV. Pixels are isotropic in mm whatever the voxels are; each plane has a ruler of its own.
"""

import io
import math
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation, binary_erosion

from client.report.pictures import CT_WINDOW_HU, LETTERS, LOWEST_SUV_SCALE, PET_OPACITY, TRUE
from client.viewing.case_slices import CaseSlices, PlaneSlice

Array = NDArray[Any]

SIDE_PX: Final = 200
GAP_PX: Final = 4
QUALITY: Final = 80
NO_DATA: Final = np.array([58, 66, 92], np.uint8)
ROWS: Final = ("ct", "pet", "fused")
RULERS_MM: Final = (100, 50, 20, 10)


@dataclass(frozen=True)
class Thumbnail:
    """A picture of a case, what its PET ends at (SUV, None without PET), and the rows that it has."""

    jpeg: bytes
    width: int
    height: int
    top_suv: float | None
    rows: tuple[str, ...]


def draw_thumbnail(slices: CaseSlices) -> Thumbnail:
    """Draw the planes of a case, a row for each image that it has."""
    top_suv = None if slices.top_suv is None else max(LOWEST_SUV_SCALE, math.ceil(slices.top_suv))
    first = slices.planes[0]
    has = {"ct": first.ct is not None, "pet": first.pet is not None}
    rows = tuple(row for row in ROWS if (all(has.values()) if row == "fused" else has[row]))
    step = SIDE_PX + GAP_PX
    page = Image.new("RGB", (len(slices.planes) * step - GAP_PX, len(rows) * step - GAP_PX), "white")
    for line, row in enumerate(rows):
        for column, plane in enumerate(slices.planes):
            panel = _draw_panel(plane, row, top_suv or LOWEST_SUV_SCALE, oriented=slices.oriented)
            page.paste(panel, (column * step, line * step))
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return Thumbnail(buffer.getvalue(), *page.size, top_suv, rows)


def _draw_panel(plane: PlaneSlice, row: str, top_suv: float, *, oriented: bool) -> Image.Image:
    """One plane in a square, as large as it goes, with contour, ruler and the letters of the sides."""
    px_per_mm = SIDE_PX / max(plane.size_mm)
    height, width = (max(1, round(extent_mm * px_per_mm)) for extent_mm in plane.size_mm)
    colours = _colours(plane, row, top_suv, (width, height))
    if plane.inside is not None and plane.inside.any():
        colours = _outline(colours, _stretch(plane.inside, (width, height)) > 0.5)
    panel = Image.new("RGB", (SIDE_PX, SIDE_PX), "white" if row == "pet" else "black")
    left, top = (SIDE_PX - width) // 2, (SIDE_PX - height) // 2
    panel.paste(Image.fromarray(colours), (left, top))
    _letter(panel, plane.plane, dark=row == "pet", oriented=oriented)
    if row == "ct" or plane.ct is None:
        _draw_ruler(panel, px_per_mm)
    return panel


def _colours(plane: PlaneSlice, row: str, top_suv: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """RGB of a plane; where an image does not reach, the colour of no data, over a CT nothing."""
    if row == "pet":
        return _grey(_stretch(plane.pet, size), top_suv, 0.0)
    low_hu, high_hu = CT_WINDOW_HU
    ct = _grey(_stretch(plane.ct, size), low_hu, high_hu)
    if row == "ct":
        return ct
    uptake = np.nan_to_num(np.clip(_stretch(plane.pet, size) / top_suv, 0, 1))
    hot = mpl.colormaps["hot"](uptake)[..., :3] * 255
    opacity = np.clip(uptake * 2, 0, PET_OPACITY)[..., None]
    return np.asarray(ct * (1 - opacity) + hot * opacity).astype(np.uint8)


def _grey(values: Array, black: float, white: float) -> NDArray[np.uint8]:
    grey = np.clip((values - black) / (white - black), 0, 1)
    colours = np.repeat((np.nan_to_num(grey) * 255).astype(np.uint8)[..., None], 3, axis=-1)
    colours[~np.isfinite(values)] = NO_DATA
    return colours


def _stretch(values: Array | None, size: tuple[int, int]) -> NDArray[np.float32]:
    """A plane at (width, height) pixels, interpolated; NaN stays where the nearest voxel has none."""
    if values is None:
        return np.full(size[::-1], np.nan, np.float32)
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float32)
    stretched = np.array(Image.fromarray(filled).resize(size, Image.Resampling.BILINEAR))
    reached = np.array(Image.fromarray(known.astype(np.uint8)).resize(size, Image.Resampling.NEAREST))
    return np.where(reached > 0, stretched, np.float32(np.nan)).astype(np.float32)


def _outline(colours: NDArray[np.uint8], inside: Array) -> NDArray[np.uint8]:
    """The border of a contour in its colour, on a dark line that shows on any ground."""
    border = inside & ~binary_erosion(inside)
    drawn = colours.copy()
    drawn[binary_dilation(border) & ~inside] = 0
    drawn[border] = [int(TRUE[place : place + 2], 16) for place in (1, 3, 5)]
    return drawn


def _letter(panel: Image.Image, plane: str, *, dark: bool, oriented: bool) -> None:
    """Name of the plane; where the grid follows the patient's axes, the letters of the sides: left, right, up, down."""
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(11)
    fill, edge = ("black", "white") if dark else ("white", "black")
    middle, end = SIDE_PX / 2, SIDE_PX - 3
    draw.text((3, 2), plane, fill, font, stroke_width=1, stroke_fill=edge)
    places = (((3, middle), "lm"), ((end, middle), "rm"), ((middle, 2), "mt"), ((middle, end), "mb"))
    for letter, (place, anchor) in zip(LETTERS[plane] if oriented else "", places, strict=oriented):
        draw.text(place, letter, fill, font, anchor=anchor, stroke_width=1, stroke_fill=edge)


def _draw_ruler(panel: Image.Image, px_per_mm: float) -> None:
    """A bar of a round length, at most half the panel."""
    fitting = [length for length in RULERS_MM if length * px_per_mm <= SIDE_PX / 2]
    if not fitting:
        return
    draw, width, y = ImageDraw.Draw(panel), fitting[0] * px_per_mm, SIDE_PX - 7
    draw.line((5, y, 5 + width, y), "black", 4)
    draw.line((5, y, 5 + width, y), "white", 2)
    draw.text(
        (5, y - 4), f"{fitting[0]} mm", "white", ImageFont.load_default(10), "lb", stroke_width=1, stroke_fill="black"
    )
