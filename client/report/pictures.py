"""Slices of one case as a PNG: CT in grey, PET over it, the true and the predicted contour.

Shown as a radiologist reads: the patient's right on the left of the picture, head up. All panels share one scale in mm.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from client.report.prediction_file import read_arrays
from protocol.errors import CaseError

Array = NDArray[Any]
Extent = tuple[float, float, float, float]

CT_WINDOW_HU = (-160.0, 240.0)
LOWEST_SUV_SCALE = 5.0
PET_OPACITY = 0.85
TRUE, PREDICTED = "#19d3ff", "#7dff3c"
TRUE_LINE: Final = "-"
PREDICTED_LINE: Final = "--"
LARGEST_WIDTH, LARGEST_HEIGHT = 10.4, 3.6
GAP, TOP, RIGHT = 0.06, 0.3, 0.75
DOTS_PER_INCH = 110
PLANES = ("axial", "coronal", "sagittal")
LETTERS = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}


@dataclass(frozen=True, eq=False)
class Prediction:
    """One predicted case on the study grid; arrays (z, y, x), None where absent.

    ct in HU, pet in SUV, truth and predicted 0 or 1; `modalities` is the input the prediction was made from;
    `oriented` tells whether x runs to the patient's left, y to the back and z to the head.
    """

    name: str
    ct: Array | None
    pet: Array | None
    truth: Array | None
    predicted: Array
    spacing_zyx_mm: tuple[float, float, float]
    modalities: str
    oriented: bool = False

    @property
    def reference(self) -> Array:
        """What the slices go through: the true contour, the predicted one where no truth is marked."""
        return self.truth if self.truth is not None and self.truth.any() else self.predicted

    def millilitres(self, mask: Array) -> float:
        """Volume inside a mask."""
        return float(np.count_nonzero(mask)) * float(np.prod(self.spacing_zyx_mm)) / 1000


def read_prediction(path: Path) -> Prediction:
    """Read `predictions/<case>.npz`.

    Raises:
        CaseError: the file is missing, broken, or holds arrays of different shapes.
    """
    found = read_arrays(path)
    missing = sorted({"predicted", "spacing_zyx_mm", "modalities"} - set(found))
    shapes = {key: found[key].shape for key in ("ct", "pet", "gtv", "predicted") if key in found}
    if missing or len(set(shapes.values())) != 1 or not {"ct", "pet"} & set(found):
        raise CaseError(
            f"prediction {path} holds {shapes} and lacks {missing or 'nothing'}; expected ct or pet, predicted, "
            "spacing_zyx_mm and modalities on one grid; evaluate the case again"
        )
    z_mm, y_mm, x_mm = (float(step) for step in found["spacing_zyx_mm"])
    return Prediction(
        name=path.stem,
        ct=found.get("ct"),
        pet=found.get("pet"),
        truth=found.get("gtv"),
        predicted=found["predicted"],
        spacing_zyx_mm=(z_mm, y_mm, x_mm),
        modalities=str(found["modalities"]),
    )


def orient(prediction: Prediction, direction: Sequence[float]) -> Prediction:
    """The prediction with its axes turned to left, back and head, where the grid lies along the patient's axes.

    Args:
        prediction: arrays as stored.
        direction: nine direction cosines of the case's grid, SimpleITK order (LPS). An oblique or permuted grid
            is returned as it is, and its slices carry no orientation letters.
    """
    along_xyz = np.diag(np.reshape(direction, (3, 3)))
    if np.abs(along_xyz).min() < 0.9:
        return prediction
    flipped = tuple(axis for axis, cosine in enumerate(along_xyz[::-1]) if cosine < 0)
    held = (key for key in ("ct", "pet", "truth", "predicted") if getattr(prediction, key) is not None)
    turned: dict[str, Any] = {key: np.flip(getattr(prediction, key), flipped) for key in held}
    return replace(prediction, oriented=True, **turned)


def slices_zyx(mask: Array) -> tuple[int, int, int]:
    """Along each axis the slice where the mask is largest, the middle one of several; the center if it is empty."""
    chosen = []
    for axis in range(3):
        areas = np.count_nonzero(mask, axis=tuple(other for other in range(3) if other != axis))
        largest = np.flatnonzero(areas == areas.max())
        chosen.append(int(largest[len(largest) // 2]))
    return chosen[0], chosen[1], chosen[2]


def case_png(prediction: Prediction) -> bytes:
    """Axial, coronal and sagittal slices, a row for each image: CT, and PET alone or over the CT."""
    figure, panels = _panels(prediction, rows=1 if prediction.ct is None or prediction.pet is None else 2)
    rows = [row for row in ("ct", "pet") if getattr(prediction, row) is not None]
    shown: AxesImage | None = None
    for name, row in zip(rows, panels, strict=True):
        for plane, panel in row.items():
            if prediction.ct is not None:
                low_hu, high_hu = CT_WINDOW_HU
                cut_hu = _cut(prediction, prediction.ct, plane)
                panel.imshow(cut_hu, cmap="gray", vmin=low_hu, vmax=high_hu, **_place(prediction, plane))
            if name == "pet":
                shown = _draw_pet(panel, prediction, plane)
            _draw_contours(panel, prediction, plane)
            _letter(panel, plane, prediction)
    if shown is not None:
        _draw_scale(figure, shown, panels[-1]["sagittal"])
    _draw_ruler(panels[-1]["axial"])
    _draw_legend(figure, prediction)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _panels(prediction: Prediction, rows: int) -> tuple[Figure, list[dict[str, Axes]]]:
    """One row of three panels per image, all at one scale; sizes in inches."""
    sizes_mm = {plane: _size_mm(prediction, plane) for plane in PLANES}
    widest, highest = sum(width for width, _ in sizes_mm.values()), max(height for _, height in sizes_mm.values())
    scale = min(LARGEST_WIDTH / widest, LARGEST_HEIGHT / highest)
    total = max(widest * scale + 2 * GAP, 5.0) + RIGHT, TOP + rows * (highest * scale + GAP)
    figure = Figure(figsize=total, facecolor="white")
    panels = []
    for row in range(rows):
        left, top, made = 0.0, total[1] - TOP - row * (highest * scale + GAP), {}
        for plane, (width_mm, height_mm) in sizes_mm.items():
            width, height = width_mm * scale, height_mm * scale
            box = left / total[0], (top - height) / total[1], width / total[0], height / total[1]
            made[plane] = figure.add_axes(box, facecolor="black", xticks=[], yticks=[])
            left += width + GAP
        panels.append(made)
    return figure, panels


def _size_mm(prediction: Prediction, plane: str) -> tuple[float, float]:
    z_mm, y_mm, x_mm = np.multiply(prediction.predicted.shape, prediction.spacing_zyx_mm)
    return {"axial": (x_mm, y_mm), "coronal": (x_mm, z_mm), "sagittal": (y_mm, z_mm)}[plane]


def _cut(prediction: Prediction, array: Array, plane: str) -> NDArray[np.float32]:
    z, y, x = slices_zyx(prediction.reference)
    cut = {"axial": array[z], "coronal": array[:, y], "sagittal": array[:, :, x]}[plane]
    return cut.astype(np.float32)


def _place(prediction: Prediction, plane: str) -> dict[str, Any]:
    """Where a slice lies in mm: rows of an axial slice run down to the back, the others up to the head."""
    width_mm, height_mm = _size_mm(prediction, plane)
    axial = plane == "axial"
    extent: Extent = (0, width_mm, height_mm, 0) if axial else (0, width_mm, 0, height_mm)
    return {"extent": extent, "origin": "upper" if axial else "lower", "interpolation": "bilinear", "aspect": "equal"}


def _draw_pet(panel: Axes, prediction: Prediction, plane: str) -> AxesImage:
    """PET in `hot`, scaled to the tumour's uptake, not to a bladder's; over a CT only uptake is opaque."""
    if prediction.pet is None:
        raise CaseError(f"case '{prediction.name}' has no PET to draw")
    inside = prediction.pet[prediction.reference > 0] if prediction.reference.any() else prediction.pet
    top = max(LOWEST_SUV_SCALE, float(np.ceil(np.percentile(inside, 99))))
    suv = _cut(prediction, prediction.pet, plane)
    opacity = 1.0 if prediction.ct is None else np.clip(suv / top * 2, 0, PET_OPACITY)
    return panel.imshow(suv, cmap="hot", vmin=0, vmax=top, alpha=opacity, **_place(prediction, plane))


def _draw_contours(panel: Axes, prediction: Prediction, plane: str) -> None:
    """Both contours at one half; a margin of background closes them at the border."""
    width_mm, height_mm = _size_mm(prediction, plane)
    lines = ((prediction.truth, TRUE, TRUE_LINE), (prediction.predicted, PREDICTED, PREDICTED_LINE))
    for mask, colour, style in lines:
        cut = np.zeros((1, 1)) if mask is None else _cut(prediction, mask, plane)
        if not cut.any():
            continue
        rows, columns = ((np.arange(-1, count + 1) + 0.5) / count for count in cut.shape)
        contour = panel.contour(
            columns * width_mm, rows * height_mm, np.pad(cut, 1), [0.5], colors=colour, linestyles=style, linewidths=1.5
        )
        contour.set_path_effects([Stroke(linewidth=2.8, foreground="#000000", alpha=0.55), Normal()])
    panel.set_xlim(0, width_mm)
    panel.set_ylim((height_mm, 0) if plane == "axial" else (0, height_mm))


def _letter(panel: Axes, plane: str, prediction: Prediction) -> None:
    """Name of the plane, and where the grid is known to follow the patient's axes, the sides."""
    beside = [(0.012, 0.5, "left", "center"), (0.988, 0.5, "right", "center")]
    places = [*beside, (0.5, 0.985, "center", "top"), (0.5, 0.015, "center", "bottom")]
    style: dict[str, Any] = {
        "transform": panel.transAxes,
        "color": "white",
        "path_effects": [Stroke(linewidth=2, foreground="black"), Normal()],
    }
    panel.text(0.012, 0.985, plane, ha="left", va="top", fontsize=8, **style)
    if prediction.oriented:
        for letter, (x, y, horizontal, vertical) in zip(LETTERS[plane], places, strict=True):
            panel.text(x, y, letter, ha=horizontal, va=vertical, fontsize=8, fontweight="bold", **style)


def _draw_scale(figure: Figure, shown: AxesImage, beside: Axes) -> None:
    box = beside.get_position()
    width = figure.get_size_inches()[0]
    bar = figure.add_axes((box.x1 + 0.1 / width, box.y0 + 0.05 * box.height, 0.12 / width, 0.8 * box.height))
    opaque = ScalarMappable(norm=shown.norm, cmap=shown.cmap)
    figure.colorbar(opaque, cax=bar, extend="max")
    bar.set_title("SUV", fontsize=8)
    bar.tick_params(labelsize=8)


def _draw_ruler(panel: Axes) -> None:
    """A bar of 50 mm, or of 10 mm in a small field."""
    width_mm, height_mm = panel.get_xlim()[1], panel.get_ylim()[0]
    length_mm = 50 if width_mm > 100 else 10
    effects = [Stroke(linewidth=4, foreground="black"), Normal()]
    y = 0.95 * height_mm
    panel.plot((0.04 * width_mm, 0.04 * width_mm + length_mm), (y, y), color="white", linewidth=2, path_effects=effects)
    panel.text(
        0.04 * width_mm,
        0.93 * height_mm,
        f"{length_mm} mm",
        color="white",
        fontsize=8,
        va="bottom",
        path_effects=effects,
    )


def _draw_legend(figure: Figure, prediction: Prediction) -> None:
    outline = [Stroke(linewidth=3.4, foreground="black"), Normal()]
    true = Line2D([], [], color=TRUE, linestyle=TRUE_LINE, linewidth=1.8, path_effects=outline)
    predicted = Line2D([], [], color=PREDICTED, linestyle=PREDICTED_LINE, linewidth=1.8, path_effects=outline)
    labels = (
        "no true contour" if prediction.truth is None else "true contour",
        "predicted contour" if prediction.predicted.any() else "predicted: nothing",
    )
    figure.legend([true, predicted], labels, loc="upper left", ncols=2, frameon=False, fontsize=9, borderaxespad=0.1)
