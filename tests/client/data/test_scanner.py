"""Synthetic scanners: offset, noise and resolution are those that are given."""

from dataclasses import replace

import numpy as np
import pytest

from client.data.phantom import Ellipsoid, Phantom, Tissue, Tumour
from client.data.scanner import CtScanner, PetScanner, scan
from client.data.synthetic import CENTERS, acquire
from client.data.volume import Volume


def _ball(center: tuple[float, float, float], radius_mm: float) -> Ellipsoid:
    return Ellipsoid(center, (radius_mm, radius_mm, radius_mm))


def _block(hu: float, suv: float) -> Phantom:
    """One tissue everywhere and a tumour of no size."""
    everywhere = _ball((0, 0, 0), 1e6)
    tumour = Tumour(_ball((0, 0, 0), 1e-3), (1, 0, 0), 0, hu, suv, hu, suv)
    return Phantom((Tissue("water", everywhere, hu, suv),), tumour, (), everywhere)


def test_the_offset_between_two_scanners_can_be_measured():
    plain, shifted = (
        scan(_block(40, 1), CtScanner(noise_hu=10, offset_hu=offset), None, (0, 0, 0), np.random.default_rng(0))
        for offset in (0, 12)
    )
    difference = shifted.ct.array_zyx.mean(dtype=float) - plain.ct.array_zyx.mean(dtype=float)
    assert difference == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize(("counts", "scatter_suv"), [(100.0, 0.4), (1600.0, 0.1)])
def test_pet_noise_is_that_of_its_counts(counts: float, scatter_suv: float):
    pet = PetScanner(spacing_zyx_mm=(5, 5, 5), counts_per_suv_ml=counts)
    images = scan(_block(40, 2), CtScanner(), pet, (0, 0, 0), np.random.default_rng(0))
    assert images.pet is not None
    # 125 mm3 hold counts/8 per SUV, so SUV 2 gives counts/4 and scatters by sqrt(counts/4) / (counts/8).
    assert images.pet.array_zyx.mean() == pytest.approx(2, rel=0.02)
    assert images.pet.array_zyx.std() == pytest.approx(scatter_suv, rel=0.05)


def test_the_point_spread_has_the_width_it_is_given():
    def width_mm(psf_fwhm_mm: float) -> float:
        phantom = _block(40, 0)
        wall = Ellipsoid((0, 0, 0), (3.0, 1e6, 1e6))
        phantom = replace(phantom, below=(*phantom.below, Tissue("line", wall, 40, 50)), tumour=_block(40, 50).tumour)
        pet = PetScanner((4, 4, 1.0), psf_fwhm_mm, counts_per_suv_ml=1e5)
        images = scan(phantom, CtScanner((4, 4, 1.0)), pet, (0, 0, 0), np.random.default_rng(0))
        assert isinstance(images.pet, Volume)
        profile = images.pet.array_zyx.mean(axis=(0, 1), dtype=float)
        at = np.arange(profile.size) - (profile.size - 1) / 2
        return float(np.sqrt((profile * at**2).sum() / profile.sum()))

    # Variances add: a slab 6 mm wide has 6^2/12, a Gaussian of FWHM 12 mm has (12/2.3548)^2.
    assert width_mm(12) ** 2 == pytest.approx(6**2 / 12 + (12 / 2.3548) ** 2, rel=0.05)


def test_the_scanner_moves_the_patient_not_the_voxels():
    center = acquire(CENTERS[0], "synthetic-center-a-01", 0)
    assert center.pet is not None
    ct, pet = (
        np.array(volume.origin_xyz_mm) + 0.5 * (np.array(volume.shape_zyx) - 1)[::-1] * volume.spacing_zyx_mm[::-1]
        for volume in (center.ct, center.pet)
    )
    np.testing.assert_allclose(ct, pet, atol=1e-6)
    assert np.abs(ct).max() > 100
