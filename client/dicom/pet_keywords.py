"""What of a PET's header is kept with its slices: all that its SUV may need, and nothing that only takes time."""

from typing import Final

KEYWORDS: Final = (
    "Units",
    "SUVType",
    "DecayCorrection",
    "CorrectedImage",
    "PatientWeight",
    "PatientSize",
    "PatientSex",
    "RadiopharmaceuticalInformationSequence",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "TimezoneOffsetFromUTC",
    "FrameReferenceTime",
    "DecayFactor",
    "ActualFrameDuration",
    "PerFrameFunctionalGroupsSequence",
)
PRIVATE_GROUPS: Final = (0x0009, 0x7053)
"""Of GE, which keeps the start of the scan there, and of Philips, which keeps its scale factors there."""
