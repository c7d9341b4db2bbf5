"""A fused case on pages that one leafs through: CT, PET and fused image of a few axial slices each, as PNG.

Slices are those of the study's grid, the feet first where the grid runs to the head. CT and fused image are bright
where they are high, PET is dark where it is hot, as it is read.
"""

import io
from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from client.predict.fused import FusedScan

Array = NDArray[Any]
SLICES_A_PAGE = 6
COLOURS = {"CT": "gray", "PET": "gray_r", "fused": "gray"}
WIDTH_OF_A_SLICE = 2.4
DOTS_PER_INCH = 110


def draw_pages(fused: FusedScan) -> Iterator[bytes]:
    """Every slice of the study's grid once, SLICES_A_PAGE a page."""
    images = _images(fused)
    depth = len(fused.fused_zyx)
    for page in range(ceil(depth / SLICES_A_PAGE)):
        shown = range(page * SLICES_A_PAGE, min(depth, (page + 1) * SLICES_A_PAGE))
        yield _draw(images, shown, fused)


def _images(fused: FusedScan) -> Mapping[str, Array]:
    found = {"CT": fused.case.ct, "PET": fused.case.pet if "pet" in fused.setting else None, "fused": fused.fused_zyx}
    return {name: image for name, image in found.items() if image is not None}


def _draw(images: Mapping[str, Array], shown: range, fused: FusedScan) -> bytes:
    z_mm, y_mm, x_mm = (float(step) for step in fused.spacing_zyx_mm)
    size = (WIDTH_OF_A_SLICE * SLICES_A_PAGE, WIDTH_OF_A_SLICE * len(images) + 0.6)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    figure.suptitle(f"{fused.scan.case}, {fused.setting.upper()}; {fused.answering.algorithm.description}", fontsize=9)
    rows = figure.subplots(len(images), SLICES_A_PAGE, squeeze=False)
    for (name, image), row in zip(images.items(), rows, strict=True):
        for panel in row:
            panel.set_axis_off()
        for panel, z in zip(row, shown, strict=False):
            panel.imshow(np.asarray(image[z]), cmap=COLOURS[name], vmin=0, vmax=1, aspect=y_mm / x_mm)
            panel.set_title(f"{name}, {z * z_mm:.0f} mm", fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
