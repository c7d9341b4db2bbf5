"""A series becomes the volume that was scanned, or says why it does not; real patients come out to the HU."""

import subprocess
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from client.data.volume import read_volume, same_grid
from client.dicom.findings import RefusedSeriesError
from client.dicom.image_series import read_ct, read_stored_pet
from client.dicom.pairing import pair_studies
from tests.support.dicom_study import MadeGrid, MadeStudy, body_phantom, write_ct, write_pet
from tests.support.indexed import SUBJECT, codes, index, needs_dcmtk, only_series

HU = np.random.default_rng(11).integers(-1024, 2000, (6, 7, 9)).astype(float)
MULTI_FRAME: dict[str, Any] = {
    "ct": (write_ct, read_ct, hd.legacy.LegacyConvertedEnhancedCTImage),
    "pet": (write_pet, read_stored_pet, hd.legacy.LegacyConvertedEnhancedPETImage),
}
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)


def write_moved(folder: Path, positions_xyz_mm: list[tuple[float, float, float]], values: np.ndarray = HU) -> None:
    """A CT whose slices lie at these positions, axial."""
    for position, path in zip(positions_xyz_mm, write_ct(folder, MadeStudy(), values), strict=True):
        data = dcmread(path)
        data.ImagePositionPatient = list(position)
        data.save_as(path)


def test_a_ct_comes_back_exactly_and_in_its_place(tmp_path: Path) -> None:
    grid = MadeGrid((2.5, 0.9, 1.1), (-12.5, 30.0, -400.0), OBLIQUE)
    write_ct(tmp_path / "ct", MadeStudy(), HU, grid)
    volume, issues = read_ct(only_series(tmp_path / "ct"), SUBJECT)
    np.testing.assert_array_equal(volume.array_zyx, HU)
    assert volume.array_zyx.dtype == np.float32
    assert (volume.quantity, issues) == ("ct_hu", ())
    assert volume.spacing_zyx_mm == pytest.approx((2.5, 0.9, 1.1))
    assert volume.origin_xyz_mm == (-12.5, 30.0, -400.0)
    np.testing.assert_allclose(np.reshape(volume.direction, (3, 3)).T, [OBLIQUE[:3], OBLIQUE[3:], [-0.6, 0.8, 0]])


@needs_dcmtk
@pytest.mark.parametrize("program", ["dcmcjpeg", "dcmcrle"])
def test_a_compressed_ct_comes_back_exactly(tmp_path: Path, program: str) -> None:
    for image in write_ct(tmp_path / "ct", MadeStudy(), HU[:3]):
        subprocess.run([program, image, image], check=True)
    volume, issues = read_ct(only_series(tmp_path / "ct"), SUBJECT)
    np.testing.assert_array_equal(volume.array_zyx, HU[:3])
    assert issues == ()


def test_a_pet_comes_with_the_header_of_each_plane(tmp_path: Path) -> None:
    activity = np.abs(HU) * np.arange(1, 7)[:, None, None]
    write_pet(tmp_path / "pet", MadeStudy(), activity)
    volume, headers, issues = read_stored_pet(only_series(tmp_path / "pet"), SUBJECT)
    np.testing.assert_allclose(volume.array_zyx, activity, atol=0.5 * activity.max() / 32000)
    assert [float(header.ImagePositionPatient[2]) for header in headers] == [0, 3, 6, 9, 12, 15]
    assert issues == ()


def test_a_missing_slice_is_interpolated_and_named_by_its_place(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct", MadeStudy(), HU)[2].unlink()
    volume, issues = read_ct(only_series(tmp_path / "ct"), SUBJECT)
    np.testing.assert_array_equal(volume.array_zyx[2], (HU[1] + HU[3]) / 2)
    np.testing.assert_array_equal(volume.array_zyx[[0, 1, 3, 4, 5]], HU[[0, 1, 3, 4, 5]])
    assert codes(issues) == {("slices-uneven", "warning"): 1}
    assert "after 3.0 mm from the first" in issues[0].message


def test_a_tilted_gantry_is_straightened_with_its_degrees(tmp_path: Path) -> None:
    """Each slice leans by one pixel of 1.5 mm on 3 mm: 26.6 degrees; the body stands upright again."""
    upright = body_phantom((6, 20, 16))[0]
    leaning = np.stack([np.roll(plane, -k, axis=0) for k, plane in enumerate(upright)])
    write_moved(tmp_path / "ct", [(0.0, 1.5 * k, 3.0 * k) for k in range(6)], leaning)
    volume, issues = read_ct(only_series(tmp_path / "ct"), SUBJECT)
    assert codes(issues) == {("tilted", "warning"): 1}
    assert "26.6 degrees" in issues[0].message
    assert volume.shape_zyx == (6, 25, 16)
    np.testing.assert_allclose(volume.array_zyx[:, 5:15], upright[:, 5:15], atol=0.1)


def test_a_little_jitter_is_a_note(tmp_path: Path) -> None:
    write_moved(tmp_path / "ct", [(0.0, 0.0, z) for z in (0, 3.1, 6, 9, 12, 15)])
    volume, issues = read_ct(only_series(tmp_path / "ct"), SUBJECT)
    np.testing.assert_array_equal(volume.array_zyx, HU)
    assert codes(issues) == {("slices-jitter", "note"): 1}


@pytest.mark.parametrize(
    ("positions", "code"),
    [
        ([(0, 0, z) for z in (0, 3, 6, 9, 12, 40)], "slices-missing"),
        ([(0, 0, 0), (5, 0, 3), (0, 0, 6), (5, 0, 9), (0, 0, 12), (0, 0, 15)], "slices-shifted"),
        ([(0, y, 3 * y) for y in (0, 1, 2, 4, 5, 6)], "tilted-uneven"),
        ([(0, 0, z) for z in (0, 3, 6, 0, 3, 6)], "several-times"),
    ],
)
def test_slices_that_form_no_volume_are_refused(tmp_path: Path, positions: Any, code: str) -> None:
    write_moved(tmp_path / "ct", positions)
    with pytest.raises(RefusedSeriesError) as refused:
        read_ct(only_series(tmp_path / "ct"), SUBJECT)
    assert codes(refused.value.issues) == {(code, "error"): 1}
    assert refused.value.issues[0].source == only_series(tmp_path / "ct").uid


def test_a_single_slice_is_no_volume(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct", MadeStudy(), HU[:1])
    (series,), _ = index(tmp_path / "ct")
    with pytest.raises(RefusedSeriesError, match="a single slice"):
        read_ct(series, SUBJECT)


def test_an_orientation_that_cannot_be_is_refused(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct", MadeStudy(), HU, ImageOrientationPatient=[1, 0, 0, 0.5, 0.9, 0])
    with pytest.raises(RefusedSeriesError, match="perpendicular"):
        read_ct(only_series(tmp_path / "ct"), SUBJECT)


@pytest.mark.parametrize("kind", ["ct", "pet"])
def test_a_multi_frame_image_gives_the_volume_of_the_single_ones(tmp_path: Path, kind: str) -> None:
    """Converted by highdicom: each frame with the place and the rescale of its own."""
    study = MadeStudy(frame_of_reference_uid=generate_uid())
    write, read, convert = MULTI_FRAME[kind]
    images = write(tmp_path / "one", study, np.abs(HU), ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    headers = [dcmread(image) for image in images]
    (tmp_path / "many").mkdir()
    convert(headers, generate_uid(), 2, generate_uid(), 1).save_as(tmp_path / "many" / "x")
    many = read(only_series(tmp_path / "many"), SUBJECT)[0]
    one = read(only_series(tmp_path / "one"), SUBJECT)[0]
    np.testing.assert_array_equal(many.array_zyx, one.array_zyx)
    assert same_grid(many, one)
    assert len(only_series(tmp_path / "many").instances) == 1


@pytest.mark.realdata
@pytest.mark.parametrize(("case", "center"), [("STS_003", "d"), ("STS_008", "b"), ("STS_025", "c")])
def test_real_patients_are_read_to_the_hu_and_to_a_thousandth_of_suv(data_root: Path, case: str, center: str) -> None:
    """Published as DICOM and, cropped to the same voxels, as NIfTI; these PET values are SUV already."""
    found, issues = index(data_root / "sts_dicom" / case)
    (study,), left = pair_studies(found)
    assert (issues, left, study.issues) == ((), (), ())
    assert study.ct is not None
    assert study.pet is not None
    on_ct, on_pet = study.contours
    assert on_ct.instances[0].referenced == (study.ct.uid,)
    assert on_pet.instances[0].referenced == (study.pet.uid,)
    ct, about_ct = read_ct(study.ct, SUBJECT)
    pet, _, about_pet = read_stored_pet(study.pet, SUBJECT)
    assert about_ct + about_pet == ()
    folder = data_root / "sts" / f"center-{center}" / case
    published_ct, published_pet = (
        read_volume(folder / "ct.nii.gz", "ct_hu"),
        read_volume(folder / "pet.nii.gz", "pet_suv"),
    )
    assert same_grid(ct, published_ct)
    assert same_grid(pet, published_pet)
    np.testing.assert_array_equal(ct.array_zyx, published_ct.array_zyx)
    assert np.abs(pet.array_zyx - published_pet.array_zyx).max() < 1e-5
