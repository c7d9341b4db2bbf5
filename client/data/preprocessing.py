"""From volumes on their own grids to arrays on one grid: resampled in physical space, then windowed.

The grid of a case is its CT's (or its PET's where there is no CT): same origin and axes, the study's spacing,
the same extent. Images are smoothed before they are made coarser, so that no detail folds back; a contour is
resampled as a smoothed fraction and cut at one half, which nearly keeps its volume (a sphere of 15 mm loses 6 %
at 4 mm). Intensities map a window to [0, 1].
"""

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from client.data.cache_file import DamagedCacheError, read_cached, write_cached
from client.data.manifest import QUANTITIES, File
from client.data.volume import Volume, read_volume, to_image
from protocol.messages.settings import Preprocessing
from protocol.modalities import IMAGES, MODALITIES, Modality

logger = logging.getLogger(__name__)

ALGORITHM = 2
SEGMENTATION: Final = "segmentation"
PARALLEL = 1e-6
OUTSIDE = {"ct": -1000.0, "pet": 0.0, "gtv": 0.0}


@dataclass(frozen=True)
class PreparedCase:
    """One case: what a network may see of it, and what it is to answer; None, or not among the targets, where absent.

    ct, pet: on the study grid (z, y, x), scaled to [0, 1]. ehr: encoded covariates (width,).
    targets: by task, "segmentation" the mask on the study grid (z, y, x), 0 or 1; "classification" the index of the
    class, (); "survival" days and event (endpoints, 2), NaN where missing.
    """

    name: str
    ct: NDArray[np.float32] | None = None
    pet: NDArray[np.float32] | None = None
    targets: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    ehr: NDArray[np.float32] | None = None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that are present."""
        return tuple(name for name in MODALITIES if getattr(self, name) is not None)


def prepare_case(name: str, paths: Mapping[File, Path], settings: Preprocessing) -> PreparedCase:
    """Read, resample and window one case; `paths` maps "ct", "pet" and "gtv" to files, any may be absent."""
    if not set(paths) & set(IMAGES):
        return PreparedCase(name)
    return prepare_volumes(name, {key: read_volume(path, QUANTITIES[key]) for key, path in paths.items()}, settings)


def prepare_volumes(name: str, volumes: Mapping[File, Volume], settings: Preprocessing) -> PreparedCase:
    """Resample and window the volumes of one case, CT or PET among them, each on its own grid."""
    images = {key: to_image(volume) for key, volume in volumes.items()}
    grid = study_grid(images["ct"] if "ct" in images else images["pet"], settings.spacing_zyx_mm)
    arrays = {key: resample(image, grid, outside=OUTSIDE[key]) for key, image in images.items()}
    windows = {"ct": settings.ct_window_hu, "pet": settings.pet_window_suv}
    scaled = {key: rescale(arrays[key], windows[key]) for key in windows if key in arrays}
    masks = {SEGMENTATION: (arrays["gtv"] >= 0.5).astype(np.uint8)} if "gtv" in arrays else {}
    return PreparedCase(name, scaled.get("ct"), scaled.get("pet"), masks)


def prepare_once(
    name: str, paths: Mapping[File, Path], checksums: Mapping[File, str], settings: Preprocessing, cache: Path
) -> PreparedCase:
    """The prepared case, from the cache when the files' contents and the settings are the same."""
    entry = cache_entry(checksums, settings, cache)
    if entry.exists():
        try:
            arrays = read_cached(entry)
        except (DamagedCacheError, OSError) as error:
            logger.warning("cache entry %s cannot be used (%s); case '%s' is prepared again", entry, error, name)
        else:
            masks = {SEGMENTATION: arrays["gtv"]} if "gtv" in arrays else {}
            return PreparedCase(name, arrays.get("ct"), arrays.get("pet"), masks)
    case = prepare_case(name, paths, settings)
    found = {"ct": case.ct, "pet": case.pet, "gtv": case.targets.get(SEGMENTATION)}
    write_cached(entry, {key: np.ascontiguousarray(array) for key, array in found.items() if array is not None})
    return case


def cache_entry(checksums: Mapping[File, str], settings: Preprocessing, cache: Path) -> Path:
    """Where a prepared case is kept."""
    return cache / f"{cache_key(checksums, settings)}.safetensors"


def cache_key(checksums: Mapping[File, str], settings: Preprocessing) -> str:
    """SHA-256 of what a prepared case depends on: the files' contents, the settings, and the version of this code."""
    facts = {
        "algorithm": ALGORITHM,
        "files": dict(sorted(checksums.items())),
        "settings": settings.model_dump(mode="json", exclude={"crop_zyx"}),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def study_grid(image: sitk.Image, spacing_zyx_mm: Sequence[float]) -> sitk.Image:
    """An empty image over the extent of `image` with the study's spacing."""
    spacing_xyz = tuple(reversed(spacing_zyx_mm))
    extent_xyz = [size * step for size, step in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    size_xyz = [max(1, math.floor(extent / step + 0.5)) for extent, step in zip(extent_xyz, spacing_xyz, strict=True)]
    first = [(new - old) / (2 * old) for new, old in zip(spacing_xyz, image.GetSpacing(), strict=True)]
    grid = sitk.Image(size_xyz, sitk.sitkFloat32)
    grid.SetSpacing(spacing_xyz)
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(first))
    grid.SetDirection(image.GetDirection())
    return grid


def resample(image: sitk.Image, grid: sitk.Image, *, outside: float) -> NDArray[np.float32]:
    """`image` on `grid`, (z, y, x) float32: smoothed where the grid is coarser, then linear interpolation.

    Smoothing along one axis and interpolation along another commute. So where the axes of both are parallel an axis is
    brought to the grid as soon as it is smoothed, the one that loses most voxels first, and the next has less to do.
    """
    smooth = sitk.Cast(image, sitk.sitkFloat32)
    parallel = are_parallel(image, grid)
    becomes = list(zip(spacing_along(image, grid), image.GetSpacing(), strict=True))
    for axis in sorted(range(3), key=lambda axis: becomes[axis][1] / becomes[axis][0]):
        new, old = becomes[axis]
        if new > old and image.GetSize()[axis] >= 4:
            sigma_mm = 0.5 * math.sqrt(new**2 - old**2) / math.sqrt(2 * math.log(2))
            smooth = sitk.RecursiveGaussian(smooth, sigma=sigma_mm, direction=axis)
            smooth = _bring_to_grid(smooth, axis, grid, outside) if parallel else smooth
    moved = sitk.Resample(smooth, grid, sitk.Transform(), sitk.sitkLinear, outside)
    array: NDArray[np.float32] = sitk.GetArrayFromImage(moved)
    return array


def spacing_along(image: sitk.Image, grid: sitk.Image) -> list[float]:
    """The grid's spacing in mm along each axis of the image, whose axes may be stored in another order."""
    return [grid.GetSpacing()[axis] for axis in _alignment(image, grid).argmax(axis=0)]


def are_parallel(image: sitk.Image, grid: sitk.Image) -> bool:
    """Whether each axis of the image runs along one of the grid's, either way."""
    alignment = _alignment(image, grid)
    return bool(np.allclose(np.sort(alignment, axis=0), [[0], [0], [1]], rtol=0, atol=PARALLEL))


def _alignment(image: sitk.Image, grid: sitk.Image) -> NDArray[np.float64]:
    """Cosine of the angle between axes, without sign: grid's axis (row), image's axis (column)."""
    directions = [np.reshape(each.GetDirection(), (3, 3)) for each in (grid, image)]
    return np.abs(directions[0].T @ directions[1])


def _bring_to_grid(image: sitk.Image, axis: int, grid: sitk.Image, outside: float) -> sitk.Image:
    """The image with the grid's planes along one of its axes, its own along the others."""
    own = int(_alignment(image, grid)[:, axis].argmax())
    size, spacing = list(image.GetSize()), list(image.GetSpacing())
    direction = np.reshape(image.GetDirection(), (3, 3)).copy()
    direction[:, axis] = along = np.reshape(grid.GetDirection(), (3, 3))[:, own]
    size[axis], spacing[axis] = grid.GetSize()[own], grid.GetSpacing()[own]
    origin = np.array(image.GetOrigin())
    origin += np.dot(np.array(grid.GetOrigin()) - origin, along) * along
    return sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, origin.tolist(), spacing, direction.ravel().tolist(), outside
    )


def rescale(array: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.float32]:
    """Clip to the window and map it to [0, 1]."""
    low, high = window
    return ((np.clip(array, low, high) - low) / (high - low)).astype(np.float32)
