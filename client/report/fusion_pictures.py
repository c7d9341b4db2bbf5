"""What a center's own page shows of a fused case: CT, PET and the fused image through one place, beside each other.

Axial and coronal slices go through the hottest voxel of the PET, or the middle of a case without one. CT and fused
image are grey, PET dark where it is hot, as it is read; each over the study's window. Where the case's grid follows the
patient's axes, the patient's right is on the left of the picture and the head is up.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from client.report.prediction_file import read_arrays
from client.report.task_rows import TaskPicture
from protocol.errors import CaseError
from reporting import formats

Array = NDArray[Any]

FOLDER = Path("predictions") / "fusion"
COLOURS = {"ct": "gray", "pet": "gray_r", "fused": "gray"}
TITLES = {"ct": "CT", "pet": "PET", "fused": "fused"}
ALONG_AN_AXIS = 0.9
DOTS_PER_INCH = 110


@dataclass(frozen=True, eq=False)
class FusedCase:
    """One fused case.

    images: ct, pet where it was a source, and fused, each (z, y, x) in [0, 1] on the study grid. modalities: the input.
    """

    name: str
    images: Mapping[str, Array]
    spacing_zyx_mm: tuple[float, float, float]
    modalities: str


def fusion_picture(path: Path, direction: Sequence[float], caption: str) -> TaskPicture:
    """The picture of a stored case, or why there is none.

    Args:
        path: `predictions/fusion/<case>.npz`.
        direction: nine direction cosines of the case's grid, SimpleITK order (LPS).
        caption: of the picture, after the input.
    """
    try:
        case = turn(read_case(path), direction)
    except CaseError as error:
        return TaskPicture(path.stem, "", "", problem=str(error))
    shown = f"From {formats.label(case.modalities)} · {caption}"
    return TaskPicture(case.name, shown, base64.b64encode(case_png(case)).decode())


def read_case(path: Path) -> FusedCase:
    """Read `predictions/fusion/<case>.npz`.

    Raises:
        CaseError: the file is broken, lacks an array, or holds images of several shapes.
    """
    found = read_arrays(path)
    try:
        images = {name: found[name] for name in COLOURS if name in found or name != "pet"}
        z_mm, y_mm, x_mm = (float(step) for step in found["spacing_zyx_mm"])
        modalities = str(found["modalities"])
    except (ValueError, TypeError, KeyError) as error:
        raise CaseError(f"prediction {path} cannot be read ({error!r}); evaluate the case again") from error
    shapes = {name: image.shape for name, image in images.items()}
    if len(set(shapes.values())) != 1 or len(images["ct"].shape) != 3:
        raise CaseError(f"prediction {path} holds {shapes}; expected volumes on one grid; evaluate the case again")
    return FusedCase(path.stem, images, (z_mm, y_mm, x_mm), modalities)


def turn(case: FusedCase, direction: Sequence[float]) -> FusedCase:
    """The case with x to the patient's left, y to the back and z to the head; an oblique grid stays as it is."""
    along_xyz = np.diag(np.reshape(direction, (3, 3)))
    if np.abs(along_xyz).min() < ALONG_AN_AXIS:
        return case
    flipped = tuple(axis for axis, cosine in enumerate(along_xyz[::-1]) if cosine < 0)
    return replace(case, images={name: np.flip(image, flipped) for name, image in case.images.items()})


def place_of(case: FusedCase) -> tuple[int, int]:
    """Slice z and row y that the picture goes through."""
    pet, (depth, height, _) = case.images.get("pet"), case.images["ct"].shape
    if pet is None:
        return depth // 2, height // 2
    z, y, _ = np.unravel_index(int(pet.argmax()), pet.shape)
    return int(z), int(y)


def case_png(case: FusedCase) -> bytes:
    """A column for each image, an axial slice over a coronal one."""
    z, y = place_of(case)
    z_mm, y_mm, x_mm = case.spacing_zyx_mm
    figure = Figure(figsize=(3.4 * len(case.images), 5.2), layout="constrained", facecolor="white")
    rows = figure.subplots(2, len(case.images), squeeze=False)
    for (name, image), axial, coronal in zip(case.images.items(), *rows, strict=True):
        shown: dict[str, Any] = {"cmap": COLOURS[name], "vmin": 0, "vmax": 1}
        axial.imshow(image[z], aspect=y_mm / x_mm, origin="upper", **shown)
        coronal.imshow(image[:, y], aspect=z_mm / x_mm, origin="lower", **shown)
        axial.set(xticks=[], yticks=[], title=f"{TITLES[name]}, axial")
        coronal.set(xticks=[], yticks=[], title=f"{TITLES[name]}, coronal")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
