"""The planes of an image object: of a single image from its own elements, of a multi-frame one from functional groups.

Functional groups (PS3.3 C.7.6.16) hold for all frames (shared) or for one (per frame); the latter wins.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from client.dicom.series import Plane

PLANE_KEYWORDS: Final = (
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""What `read_planes` reads."""


def read_planes(header: Dataset) -> tuple[Plane, ...]:
    """Where each frame lies, in the order of the frames; none where the header does not say it of all."""
    frames = items(header, "PerFrameFunctionalGroupsSequence")
    if not frames:
        plane = _plane(header, header, header, header)
        return (plane,) if plane else ()
    shared = _first(header, "SharedFunctionalGroupsSequence")
    planes = [_plane_of_frame(header, shared, frame) for frame in frames]
    return tuple(plane for plane in planes if plane) if all(planes) else ()


def group(shared: Dataset, frame: Dataset, keyword: str) -> Dataset:
    """The functional group of a frame; empty where neither the frame nor all frames have it."""
    own = _first(frame, keyword)
    return own if len(own) else _first(shared, keyword)


def items(data: Dataset, keyword: str) -> Sequence[Dataset]:
    """The items of a sequence; none where it is missing or empty."""
    value = data.get(keyword)
    return value if isinstance(value, DicomSequence) else ()


def _plane_of_frame(header: Dataset, shared: Dataset, frame: Dataset) -> Plane | None:
    return _plane(
        header,
        group(shared, frame, "PlanePositionSequence"),
        group(shared, frame, "PlaneOrientationSequence"),
        group(shared, frame, "PixelMeasuresSequence"),
    )


def _plane(header: Dataset, position: Dataset, orientation: Dataset, measures: Dataset) -> Plane | None:
    xyz_mm = _numbers(position, "ImagePositionPatient", 3)
    cosines = _numbers(orientation, "ImageOrientationPatient", 6)
    spacing_mm = _numbers(measures, "PixelSpacing", 2)
    shape = _numbers(header, "Rows", 1) + _numbers(header, "Columns", 1)
    if not (xyz_mm and cosines and spacing_mm) or len(shape) != 2:
        return None
    return Plane(
        (xyz_mm[0], xyz_mm[1], xyz_mm[2]), cosines, (spacing_mm[0], spacing_mm[1]), (int(shape[0]), int(shape[1]))
    )


def _numbers(data: Dataset, keyword: str, count: int) -> tuple[float, ...]:
    """The element's values; none where it has another number of them or one that is no number."""
    value = data.get(keyword)
    values: Sequence[Any] = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if value is None or len(values) != count:
        return ()
    try:
        numbers = tuple(float(number) for number in values)
    except (TypeError, ValueError):
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def _first(data: Dataset, keyword: str) -> Dataset:
    return (*items(data, keyword), Dataset())[0]
