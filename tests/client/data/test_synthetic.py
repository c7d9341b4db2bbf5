"""The synthetic cohort: repeatable, and a task that neither modality solves alone."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from client.data.manifest import scan_center
from client.data.phantom import Ellipsoid, Phantom, Points, Tissue, Tumour, draw_phantom, rasterise
from client.data.scanner import CtScanner, PetScanner, Scan, scan
from client.data.synthetic import CENTERS, SyntheticCenter, acquire, write_synthetic_cohort
from client.data.volume import Volume, same_grid, to_image
from protocol.errors import CaseError

SMALL = tuple(replace(center, patients=2) for center in CENTERS)
Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic")
    write_synthetic_cohort(root, centers=SMALL, seed=0)
    return root


@pytest.fixture(scope="module")
def scans() -> tuple[Scan, ...]:
    return tuple(acquire(center, case, 0) for center in CENTERS if center.pet for case in center.cases[:3])


def _bytes(root: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def _pet_on_ct(scan: Scan) -> Array:
    assert scan.pet is not None
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(to_image(scan.pet), to_image(scan.ct))))


def _best_dice(mask: NDArray[np.bool_], predictions: Iterable[NDArray[np.bool_]]) -> float:
    return max(float(2 * (mask & found).sum() / (mask.sum() + found.sum())) for found in predictions)


def _ball(center: tuple[float, float, float], radius_mm: float) -> Ellipsoid:
    return Ellipsoid(center, (radius_mm, radius_mm, radius_mm))


def _block(hu: float, suv: float) -> Phantom:
    """One tissue everywhere and a tumour of no size."""
    everywhere = _ball((0, 0, 0), 1e6)
    tumour = Tumour(_ball((0, 0, 0), 1e-3), (1, 0, 0), 0, hu, suv, hu, suv)
    return Phantom((Tissue("water", everywhere, hu, suv),), tumour, (), everywhere)


def test_the_same_seed_writes_the_same_bytes(cohort: Path, tmp_path: Path):
    write_synthetic_cohort(tmp_path, centers=SMALL, seed=0)
    assert _bytes(tmp_path) == _bytes(cohort)


def test_another_seed_draws_other_patients():
    first, second = (acquire(CENTERS[0], "synthetic-center-a-01", seed) for seed in (0, 1))
    assert (first.gtv.array_zyx != second.gtv.array_zyx).any()


def test_a_longer_cohort_keeps_the_first_patients(cohort: Path, tmp_path: Path):
    write_synthetic_cohort(tmp_path, centers=[replace(CENTERS[0], patients=1)], seed=0)
    file = Path("center-a") / "synthetic-center-a-01" / "pet.nii.gz"
    assert (tmp_path / file).read_bytes() == (cohort / file).read_bytes()


@pytest.mark.parametrize("center", SMALL, ids=lambda center: center.name)
def test_a_scan_of_the_cohort_finds_no_issue(cohort: Path, center: SyntheticCenter):
    manifest = scan_center(center.name, [cohort / center.name], ("ct", "pet"))
    assert len(manifest.usable) == 2
    assert manifest.all_issues == ()


def test_only_the_ct_only_center_has_no_pet(cohort: Path):
    without = {
        path.parent.parent.name for path in cohort.rglob("ct.nii.gz") if not (path.parent / "pet.nii.gz").exists()
    }
    assert without == {"center-d"}


def test_everything_is_called_synthetic(cohort: Path):
    assert (cohort / "README.txt").read_text().startswith("SYNTHETIC DATA")
    rows = (cohort / "participants.csv").read_text().splitlines()
    assert rows[:2] == ["patient,center,pet_spacing_mm", "synthetic-center-a-01,center-a,5.47"]
    assert rows[-1] == "synthetic-center-d-02,center-d,"
    assert len(rows) == 9


def test_a_folder_with_other_cases_is_left_alone(tmp_path: Path):
    (tmp_path / "center-b" / "STS_001").mkdir(parents=True)
    with pytest.raises(CaseError, match="STS_001"):
        write_synthetic_cohort(tmp_path, centers=SMALL, seed=0)
    assert not (tmp_path / "center-a").exists()


def test_the_pet_has_its_own_grid_and_the_mask_the_grid_of_the_ct(scans: tuple[Scan, ...]):
    for images in scans:
        assert images.pet is not None
        assert not same_grid(images.pet, images.ct)
        assert same_grid(images.gtv, images.ct)


def test_the_tumour_is_hotter_than_the_background_and_some_organ_is_hotter_than_the_tumour(scans: tuple[Scan, ...]):
    organs_hotter = []
    for images in scans:
        suv, mask = _pet_on_ct(images), images.gtv.array_zyx > 0
        assert suv[mask].mean() > 2 * suv[~mask].mean()
        organs_hotter.append(np.percentile(suv[~mask], 99.9) > np.percentile(suv[mask], 95))
    assert any(organs_hotter)


def test_no_threshold_on_pet_finds_the_tumour(scans: tuple[Scan, ...]):
    dices = []
    for images in scans:
        suv = _pet_on_ct(images)
        dices.append(_best_dice(images.gtv.array_zyx > 0, (suv > level for level in np.linspace(0.5, 12, 40))))
    assert np.mean(dices) < 0.85


def test_no_density_window_on_ct_finds_the_tumour(scans: tuple[Scan, ...]):
    dices = []
    for images in scans:
        hu = images.ct.array_zyx
        windows = ((hu > low) & (hu < low + width) for low in range(-60, 80, 10) for width in (20, 40, 60, 80))
        dices.append(_best_dice(images.gtv.array_zyx > 0, windows))
    assert np.mean(dices) < 0.85


def test_each_modality_shows_a_part_of_the_tumour_that_the_other_does_not():
    phantom = draw_phantom(np.random.default_rng(5))
    x, y, z = np.meshgrid(*[np.arange(-70, 70, 2, dtype=np.float32)] * 3, indexing="ij", sparse=True)
    maps = rasterise(phantom, Points(z, y, x))
    hot = maps.tumour & np.isclose(maps.suv, phantom.tumour.hot_suv)
    dull = maps.tumour & np.isclose(maps.hu, phantom.tumour.dull_hu)
    muscle = phantom.below[1]
    assert maps.hu[hot] == pytest.approx(muscle.hu)
    assert maps.suv[dull].max() < muscle.suv + 0.8
    assert min(hot.sum(), dull.sum()) > 0.15 * maps.tumour.sum()


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
