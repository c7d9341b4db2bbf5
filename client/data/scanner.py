"""Synthetic scanners: what a phantom looks like on one center's CT and PET.

CT   = mean density of a voxel + offset of the scanner + Gaussian noise,  HU
PET  = Poisson(k (uptake * PSF)) / k on the PET's own grid,               SUV
       k counts per SUV and voxel;  PSF Gaussian, sigma = FWHM / (2 sqrt(2 ln 2))
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from client.data.phantom import FIELD_OF_VIEW_XYZ_MM, Maps, Phantom, Points, rasterise
from client.data.volume import IDENTITY, Grid, Volume

SIGMA_PER_FWHM = 1 / (2 * math.sqrt(2 * math.log(2)))
FINE = 2
ML_PER_MM3 = 1e-3

Zyx = tuple[float, float, float]


@dataclass(frozen=True)
class CtScanner:
    """Voxel spacing, noise and calibration error of a CT."""

    spacing_zyx_mm: Zyx = (4.0, 3.0, 3.0)
    noise_hu: float = 12.0
    offset_hu: float = 0.0


@dataclass(frozen=True)
class PetScanner:
    """Voxel spacing, resolution and counts of a PET; more counts, less noise."""

    spacing_zyx_mm: Zyx = (4.0, 5.47, 5.47)
    psf_fwhm_mm: float = 6.0
    counts_per_suv_ml: float = 400.0


@dataclass(frozen=True)
class Scan:
    """A synthetic patient as a scanner sees it; `pet` is None where no PET was acquired."""

    ct: Volume
    gtv: Volume
    pet: Volume | None


def scan(phantom: Phantom, ct: CtScanner, pet: PetScanner | None, isocenter_xyz_mm: Zyx, rng: Generator) -> Scan:
    """Acquire the phantom; `isocenter_xyz_mm` is where its middle lies in the scanner's coordinates."""
    grid = grid_around_zero(ct.spacing_zyx_mm)
    fine = _refine(grid)
    maps = rasterise(phantom, points_of(fine))
    density_hu = _block_mean(maps.hu) + np.float32(ct.offset_hu)
    noisy_hu = density_hu + rng.normal(0, ct.noise_hu, density_hu.shape)
    ct_volume = Volume(
        np.clip(np.rint(noisy_hu), -1024, 3071).astype(np.int16),
        grid.spacing_zyx_mm,
        _shift_origin(grid, isocenter_xyz_mm),
        IDENTITY,
        "ct_hu",
    )
    mask = (_block_mean(maps.tumour) >= 0.5).astype(np.uint8)
    gtv = Volume(mask, grid.spacing_zyx_mm, ct_volume.origin_xyz_mm, IDENTITY, "mask")
    return Scan(ct_volume, gtv, _acquire_pet(maps, fine, pet, isocenter_xyz_mm, rng) if pet else None)


def _acquire_pet(maps: Maps, fine: Grid, pet: PetScanner, isocenter_xyz_mm: Zyx, rng: Generator) -> Volume:
    sigma = [pet.psf_fwhm_mm * SIGMA_PER_FWHM / mm for mm in fine.spacing_zyx_mm]
    blurred = ndimage.gaussian_filter(maps.suv, sigma, mode="nearest")
    grid = grid_around_zero(pet.spacing_zyx_mm)
    expected = np.clip(_resample(blurred, fine, grid), 0, None)
    counts_per_suv = pet.counts_per_suv_ml * math.prod(grid.spacing_zyx_mm) * ML_PER_MM3
    suv = rng.poisson(expected * counts_per_suv) / counts_per_suv
    origin = _shift_origin(grid, isocenter_xyz_mm)
    return Volume(suv.astype(np.float32), grid.spacing_zyx_mm, origin, IDENTITY, "pet_suv")


def grid_around_zero(spacing_zyx_mm: Zyx) -> Grid:
    """The smallest grid of this spacing that covers the field of view, its middle at 0."""
    depth, height, width = (
        math.ceil(extent / mm) for extent, mm in zip(FIELD_OF_VIEW_XYZ_MM[::-1], spacing_zyx_mm, strict=True)
    )
    shape = (depth, height, width)
    z, y, x = (-0.5 * (size - 1) * mm for size, mm in zip(shape, spacing_zyx_mm, strict=True))
    return Grid(shape, spacing_zyx_mm, (x, y, z))


def _refine(grid: Grid) -> Grid:
    """The grid with every voxel cut in `FINE` along each axis."""
    depth, height, width = grid.shape_zyx
    z_mm, y_mm, x_mm = (mm / FINE for mm in grid.spacing_zyx_mm)
    x, y, z = (start - 0.5 * (FINE - 1) * mm for start, mm in zip(grid.origin_xyz_mm, (x_mm, y_mm, z_mm), strict=True))
    return Grid((depth * FINE, height * FINE, width * FINE), (z_mm, y_mm, x_mm), (x, y, z))


def _axes_zyx_mm(grid: Grid) -> list[NDArray[np.float32]]:
    """Voxel centers along z, y and x."""
    axes = zip(grid.shape_zyx, grid.spacing_zyx_mm, grid.origin_xyz_mm[::-1], strict=True)
    return [(start + mm * np.arange(size)).astype(np.float32) for size, mm, start in axes]


def points_of(grid: Grid) -> Points:
    """The coordinates of a grid's voxel centers, in mm."""
    z, y, x = np.meshgrid(*_axes_zyx_mm(grid), indexing="ij", sparse=True)
    return Points(x, y, z)


def _block_mean(fine: NDArray[np.float32] | NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean over blocks of `FINE` voxels along each axis."""
    depth, height, width = (size // FINE for size in fine.shape)
    blocks = fine.reshape(depth, FINE, height, FINE, width, FINE)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


def _resample(values: NDArray[np.float32], fine: Grid, grid: Grid) -> NDArray[np.float32]:
    """Values of the fine grid at the voxel centers of another, linear, one axis after the other."""
    for axis, (at, known) in enumerate(zip(_axes_zyx_mm(grid), _axes_zyx_mm(fine), strict=True)):
        position = np.interp(at, known, np.arange(known.size))
        low = np.minimum(position.astype(int), known.size - 2)
        weight = np.expand_dims((position - low).astype(np.float32), [a for a in range(3) if a != axis])
        values = values.take(low, axis) * (1 - weight) + values.take(low + 1, axis) * weight
    return values


def _shift_origin(grid: Grid, by_xyz_mm: Zyx) -> tuple[float, float, float]:
    x, y, z = (start + shift for start, shift in zip(grid.origin_xyz_mm, by_xyz_mm, strict=True))
    return x, y, z
