"""What the overview of a cohort says of one case in numbers; what cannot be told is None, never zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from client.data.manifest import File
from client.data.volume import Volume
from client.viewing.case_slices import mask_on

HU_EDGES: Final = tuple(range(-1000, 1501, 50))


@dataclass(frozen=True)
class CaseFigures:
    """The figures of one case.

    tumour_suv_max: of the PET's own voxels within the contour. image_suv_max: of the whole PET. volume_ml: of the
    contour. hu_shares: share of the CT's voxels between neighbouring HU_EDGES, of those from the first to the last.
    """

    tumour_suv_max: float | None = None
    image_suv_max: float | None = None
    volume_ml: float | None = None
    hu_shares: tuple[float, ...] | None = None


def measure(volumes: Mapping[File, Volume]) -> CaseFigures:
    """Measure a case's images, those that are there."""
    ct, pet, mask = volumes.get("ct"), volumes.get("pet"), volumes.get("gtv")
    contoured = mask is not None and bool((mask.array_zyx > 0).any())
    return CaseFigures(
        tumour_suv_max=_largest(pet, mask) if pet is not None and mask is not None else None,
        image_suv_max=_largest(pet, None) if pet is not None else None,
        volume_ml=_volume_ml(mask) if mask is not None and contoured else None,
        hu_shares=_hu_shares(ct) if ct is not None else None,
    )


def _largest(pet: Volume, mask: Volume | None) -> float | None:
    values = pet.array_zyx if mask is None else pet.array_zyx[mask_on(mask, pet)]
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else None


def _volume_ml(mask: Volume) -> float:
    return float(np.count_nonzero(mask.array_zyx > 0)) * float(np.prod(mask.spacing_zyx_mm)) / 1000


def _hu_shares(ct: Volume) -> tuple[float, ...] | None:
    counts, _ = np.histogram(ct.array_zyx[np.isfinite(ct.array_zyx)], HU_EDGES)
    return tuple(float(share) for share in counts / counts.sum()) if counts.any() else None
