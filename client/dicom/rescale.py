"""From stored values to what they mean: value = slope x stored + intercept, of each plane with its own two numbers.

ITK's reader of series takes the type of the first slice for all, which cuts PET slices of other slopes to integers;
here each plane is computed in float64. A CT of whole HU stays exact: float32 holds all integers up to 2^24.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from client.dicom.frames import group, items

PADDING_BELOW_HU = -1024.0
HU_TYPES = ("", "HU", "US")


@dataclass(frozen=True)
class Rescale:
    """What a header says of the values of one frame; None where it says nothing, type "" likewise."""

    slope: float | None
    intercept: float | None
    type: str = ""

    @property
    def usable(self) -> bool:
        """Whether values can be computed; a slope of 0 is damage."""
        both = self.slope is not None and self.intercept is not None
        return (
            both
            and math.isfinite(float(self.slope or 0))
            and math.isfinite(float(self.intercept or 0))
            and bool(self.slope)
        )


def read_rescales(header: Dataset, frames: int) -> tuple[Rescale, ...]:
    """One for each frame; of a multi-frame object from its functional groups."""
    per_frame = items(header, "PerFrameFunctionalGroupsSequence")
    if not per_frame:
        return (_rescale(header),) * frames
    shared = (*items(header, "SharedFunctionalGroupsSequence"), Dataset())[0]
    return tuple(_rescale(group(shared, frame, "PixelValueTransformationSequence")) for frame in per_frame)


def apply(stored_yx: NDArray[np.integer], rescale: Rescale) -> NDArray[np.float64]:
    """The values of one plane; `rescale` must be usable."""
    return stored_yx.astype(np.float64) * float(rescale.slope or 1) + float(rescale.intercept or 0)


def padding_values(header: Dataset) -> tuple[int, int] | None:
    """Lowest and highest stored value that mark pixels without image, where the header names them."""
    low = header.get("PixelPaddingValue")
    if not isinstance(low, int):
        return None
    high = header.get("PixelPaddingRangeLimit")
    signed = header.get("PixelRepresentation") == 1
    ends = sorted(_signed(value, signed=signed) for value in (low, high if isinstance(high, int) else low))
    return ends[0], ends[1]


def _signed(value: int, *, signed: bool) -> int:
    """Files often write a negative padding value as if it had no sign."""
    return value - (1 << 16) if signed and value >= 1 << 15 else value


def _rescale(header: Dataset) -> Rescale:
    kind = header.get("RescaleType")
    return Rescale(_number(header, "RescaleSlope"), _number(header, "RescaleIntercept"), str(kind or "").strip())


def _number(header: Dataset, keyword: str) -> float | None:
    value: Any = header.get(keyword)
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None
