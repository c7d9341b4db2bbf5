"""What speaks against a prediction, as far as study and scan tell: each a warning, none stops it."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from client.data.checks import Issue
from client.data.volume import Volume
from client.predict.contract import Scan
from client.predict.figures import Figures
from protocol.messages.settings import Preprocessing
from protocol.modalities import IMAGES, modalities_in, parts_of

COARSEST = 2.0
ROUNDING_ML = 1e-6


def scan_doubts(scan: Scan, settings: Preprocessing) -> Iterator[Issue]:
    """About the images: a grid that is not the scanner's, coarse voxels, SUV of another kind than those of training."""
    if scan.base_resampled:
        yield _warn(
            "resampled-grid",
            scan.case,
            f"slices of the {'PET' if scan.ct is None else 'CT'} are uneven, missing or tilted, so mask, SEG and "
            "contours lie on the regular grid that it was resampled to; viewers may refuse the SEG",
        )
    for name, volume in (("CT", scan.ct), ("PET", scan.pet)):
        if volume is not None and _is_coarse(volume, settings):
            yield _warn(
                "coarse-scan",
                scan.case,
                f"voxels of the {name} are {_mm(volume.spacing_zyx_mm)} mm along z, y, x, more than {COARSEST:g} times "
                f"the study's {_mm(settings.spacing_zyx_mm)} mm",
            )
    if scan.pet_values is not None and scan.pet_values.kind != "bw":
        yield _warn(
            "other-suv",
            scan.case,
            f"SUV of the PET are by '{scan.pet_values.kind}', those of the study by body weight ('bw')",
        )


def setting_doubts(
    case: str, present: Collection[str], setting: str, able: Collection[str], support: Mapping[str, Any]
) -> Iterator[Issue]:
    """About what the network was shown: images that it could use and did not get, or that no training case had."""
    usable = set().union(*(parts_of(name) for name in able)) & set(IMAGES)
    for name in modalities_in("+".join(sorted(usable))):
        if name not in parts_of(setting):
            reason = "was left out" if name in present else "is not there"
            yield _warn("missing-modality", case, f"the model takes {name.upper()}, which {reason}")
    for name in modalities_in(setting):
        if support.get(name) == 0:
            yield _warn("untrained-modality", case, f"no training case stands behind the adapter's {name.upper()}")


def mask_doubts(case: str, figures: Figures) -> Iterator[Issue]:
    """About the mask: none, or one that leaves the PET."""
    if not figures.values["volume_ml"]:
        yield _warn("empty-prediction", case, "no voxel was predicted as tumour")
    if figures.beyond_pet_ml > ROUNDING_ML:
        yield _warn(
            "beyond-pet",
            case,
            f"{figures.beyond_pet_ml:.2f} ml of the mask lie outside of the PET; figures of the PET are of the rest",
        )


def _is_coarse(volume: Volume, settings: Preprocessing) -> bool:
    return max(volume.spacing_zyx_mm) > COARSEST * max(settings.spacing_zyx_mm)


def _mm(spacing_zyx_mm: tuple[float, float, float]) -> str:
    return " x ".join(f"{step:.2f}" for step in spacing_zyx_mm)


def _warn(code: str, case: str, text: str) -> Issue:
    return Issue(code, case, f"case '{case}': {text}", "warning")
