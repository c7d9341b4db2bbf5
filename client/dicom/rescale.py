"""From stored values to what they mean: value = slope x stored + intercept, of each plane with its own two numbers.

ITK's reader of series takes the type of the first slice for all, which cuts PET slices of other slopes to integers;
here each plane is computed in float64. A CT of whole HU stays exact: float32 holds all integers up to 2^24.

A file may mark pixels that hold no image (PixelPaddingValue), such as those outside of the scanner's circle. They
become the least that the quantity can be, -1024 HU or 0, where they lie below it; a padding value inside the range of
tissue is left alone, since it may be tissue.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from client.data.checks import HU_OF_AIR_AT_MOST, HU_OF_TISSUE_AT_LEAST, Issue
from client.data.volume import Quantity
from client.dicom.findings import SeriesSubject
from client.dicom.frames import group, items

LEAST: dict[Quantity, float] = {"ct_hu": -1024.0, "pet_suv": 0.0}
HU_TYPES = ("", "HU", "US")
"""RescaleType of a CT in HU: the default, its name, and unspecified."""
KEYWORDS = (
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelRepresentation",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
STEP = "export the series again"


@dataclass(frozen=True)
class Rescale:
    """What a header says of the values of one frame; None where it says nothing, type "" likewise."""

    slope: float | None
    intercept: float | None
    type: str = ""

    @property
    def missing(self) -> bool:
        """Whether the header says nothing of slope or of intercept."""
        return self.slope is None or self.intercept is None

    @property
    def possible(self) -> bool:
        """Whether both numbers are such as a scanner writes."""
        slope, intercept = self.slope or 0.0, self.intercept or 0.0
        return math.isfinite(slope) and math.isfinite(intercept) and (self.missing or slope > 0)


def read_rescales(header: Dataset, frames: int) -> tuple[Rescale, ...]:
    """One for each frame; of a multi-frame object from its functional groups."""
    per_frame = items(header, "PerFrameFunctionalGroupsSequence")
    if not per_frame:
        return (_rescale(header),) * frames
    shared = (*items(header, "SharedFunctionalGroupsSequence"), Dataset())[0]
    return tuple(_rescale(group(shared, frame, "PixelValueTransformationSequence")) for frame in per_frame)


def apply(stored: NDArray[np.integer[Any]], rescale: Rescale) -> NDArray[np.float64]:
    """The values; stored as they are where the header says nothing."""
    slope = 1.0 if rescale.slope is None else rescale.slope
    return stored.astype(np.float64) * slope + (rescale.intercept or 0.0)


def mark_padding(stored: NDArray[np.integer[Any]], values: NDArray[np.float64], header: Dataset, least: float) -> int:
    """Set the padding among `values` that lies below `least` to it; how many there were."""
    ends = _padding(header)
    if ends is None:
        return 0
    padding = (stored >= ends[0]) & (stored <= ends[1]) & (values < least)
    values[padding] = least
    return int(np.count_nonzero(padding))


def judge_rescales(rescales: Sequence[Rescale], quantity: Quantity, subject: SeriesSubject) -> list[Issue]:
    """What is wrong with the numbers themselves; what depends on values is `judge_values`."""
    issues = []
    missing = sum(rescale.missing for rescale in rescales)
    if missing and (quantity == "pet_suv" or missing < len(rescales)):
        found = f"{missing} of {len(rescales)} slices without RescaleSlope or RescaleIntercept"
        issues.append(subject.issue("no-rescale", found, "both for each slice", STEP))
    impossible = sum(not rescale.possible for rescale in rescales)
    if impossible:
        found = f"{impossible} of {len(rescales)} slices with a slope that is not above 0"
        issues.append(subject.issue("impossible-rescale", found, "a slope above 0", STEP))
    if quantity == "ct_hu":
        return [*issues, *_judge_ct(rescales, subject)]
    shifted = sum(bool(rescale.intercept) for rescale in rescales)
    if shifted:
        found = f"{shifted} of {len(rescales)} PET slices with an intercept other than 0"
        issues.append(subject.issue("pet-intercept", found, "0, as the standard has it", "check it", grade="warning"))
    return issues


def judge_unscaled(rescales: Sequence[Rescale], low: float, high: float, subject: SeriesSubject) -> list[Issue]:
    """A CT without any rescale is in HU already if its stored values go from air to tissue; else nobody can tell."""
    if not all(rescale.missing for rescale in rescales):
        return []
    found, expected = f"no RescaleSlope, and stored values from {low:g} to {high:g}", "a slope and an intercept"
    if low <= HU_OF_AIR_AT_MOST and high >= HU_OF_TISSUE_AT_LEAST:
        step = "nothing to do: they are HU by their range"
        return [subject.issue("ct-unscaled", found, expected, step, grade="warning")]
    return [subject.issue("no-rescale", found, expected, STEP)]


def _judge_ct(rescales: Sequence[Rescale], subject: SeriesSubject) -> list[Issue]:
    issues = []
    others = sorted({rescale.type for rescale in rescales} - set(HU_TYPES))
    if others:
        step = "export the series in HU"
        issues.append(subject.issue("ct-units", f"CT values of type '{others[0][:16]}'", "HU", step))
    if len({(rescale.slope, rescale.intercept) for rescale in rescales}) > 1:
        found, expected = "CT slices of different slope or intercept", "one for the series"
        issues.append(subject.issue("ct-rescale-differs", found, expected, "check the images", grade="warning"))
    return issues


def _padding(header: Dataset) -> tuple[int, int] | None:
    """Lowest and highest stored value of padding, where the header names them."""
    first = header.get("PixelPaddingValue")
    if not isinstance(first, int):
        return None
    second = header.get("PixelPaddingRangeLimit")
    signed = header.get("PixelRepresentation") == 1
    ends = sorted(_signed(value, signed=signed) for value in (first, second if isinstance(second, int) else first))
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
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return math.nan
