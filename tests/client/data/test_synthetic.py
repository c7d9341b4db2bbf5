"""The synthetic cohort: repeatable, and a task that neither modality solves alone."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from client.data.phantom import USUAL
from client.data.scan import scan_center
from client.data.scanner import Scan
from client.data.synthetic import CENTERS, SyntheticCenter, acquire, labels_of, score_patient, write_synthetic_cohort
from client.data.synthetic_labels import ehr_score
from client.data.volume import same_grid, to_image
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


def test_each_center_has_a_table_of_labels_with_a_row_a_case(cohort: Path):
    for center in SMALL:
        rows = (cohort / center.name / "labels.csv").read_text().splitlines()
        assert rows[0] == "case,subtype,days,event,age_years,stage"
        assert [row.partition(",")[0] for row in rows[1:]] == list(center.cases)


def test_a_row_holds_the_labels_drawn_for_its_case(cohort: Path):
    case = CENTERS[1].cases[0]
    text = (cohort / "center-b" / "labels.csv").read_text().splitlines()[1]
    assert text == ",".join((case, *labels_of(CENTERS[1], case, 0).cells()))


def test_a_patient_is_scored_by_the_record_in_the_table():
    """Of age the table holds whole years, whose half is worth 0.03."""
    case = CENTERS[0].cases[0]
    row = labels_of(CENTERS[0], case, 0)
    assert row.age_years is not None
    assert row.stage is not None
    assert score_patient(CENTERS[0], case, 0)[2] == pytest.approx(ehr_score(row.age_years, row.stage), abs=0.033)


def test_labels_change_with_the_seed():
    first, second = (labels_of(CENTERS[0], CENTERS[0].cases[0], seed) for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize(("center", "ct_sum", "pet_sum"), [(0, -43_005_413, 13_300.118), (1, -36_814_319, 24_219.936)])
def test_the_images_are_those_of_earlier_versions(center: int, ct_sum: int, pet_sum: float):
    """Sums of HU and SUV as they were before the cohort had labels, and before its patients fasted."""
    images = acquire(replace(CENTERS[center], anatomy=USUAL), CENTERS[center].cases[0], 0)
    assert images.pet is not None
    assert images.ct.array_zyx.sum(dtype=int) == pytest.approx(ct_sum, abs=50)
    assert images.pet.array_zyx.sum(dtype=float) == pytest.approx(pet_sum, abs=0.5)


def test_the_readme_calls_the_labels_synthetic(cohort: Path):
    assert "SYNTHETIC LABELS" in (cohort / "README.txt").read_text()


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


def test_the_tumour_is_hotter_than_the_background(scans: tuple[Scan, ...]):
    for images in scans:
        suv, mask = _pet_on_ct(images), images.gtv.array_zyx > 0
        assert suv[mask].mean() > 2 * suv[~mask].mean()


def test_some_organ_of_a_patient_who_did_not_fast_is_hotter_than_the_tumour():
    usual = replace(CENTERS[0], anatomy=USUAL)
    hotter = []
    for case in usual.cases[:3]:
        images = acquire(usual, case, 0)
        suv, mask = _pet_on_ct(images), images.gtv.array_zyx > 0
        hotter.append(np.percentile(suv[~mask], 99.9) > np.percentile(suv[mask], 95))
    assert any(hotter)


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
