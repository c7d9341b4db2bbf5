"""Values of planes in the order that was asked for; images that are not whole are all named at once."""

from pathlib import Path

import numpy as np
import pytest

from client.dicom.findings import RefusedSeriesError, SeriesSubject
from client.dicom.slices import places_of, read_slices
from tests.support.dicom_study import MadeStudy, write_ct, write_pet
from tests.support.indexed import ABOUT_CT, SUBJECT, codes, only_series

HU = np.arange(-1000.0, -1000 + 4 * 30).reshape(4, 5, 6)


def test_planes_come_in_the_order_of_the_places(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct", MadeStudy(), HU, RescaleType=None)
    places = places_of(only_series(tmp_path / "ct"), ABOUT_CT)
    order = [2, 0, 3, 1]
    by_height = sorted(places, key=lambda place: place.plane.position_xyz_mm[2])
    slices = read_slices([by_height[index] for index in order], "ct_hu", ABOUT_CT)
    np.testing.assert_array_equal(slices.values_zyx, HU[order])
    assert slices.values_zyx.dtype == np.float32
    assert codes(slices.issues) == {}
    assert all("PixelData" not in header for header in slices.headers)


def test_a_pet_keeps_the_slope_of_each_slice_and_its_whole_header(tmp_path: Path) -> None:
    """The slopes differ by a factor of a thousand: none is lost to the type of the first slice."""
    activity = np.stack([np.full((5, 6), 30000.0), np.full((5, 6), 30.0)])
    activity[:, 0, 0] = 1.0
    write_pet(tmp_path / "pet", MadeStudy(), activity)
    about = SeriesSubject(SUBJECT, "pet.nii.gz", "1.2.3")
    places = sorted(places_of(only_series(tmp_path / "pet"), about), key=lambda place: place.plane.position_xyz_mm[2])
    slices = read_slices(places, "pet_suv", about)
    np.testing.assert_allclose(slices.values_zyx[1, 0, 0], 1.0, atol=0.5 * 30 / 32000)
    np.testing.assert_allclose(slices.values_zyx[0, 0, 0], 1.0, atol=0.5 * 30000 / 32000)
    assert slices.headers[0].RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose == 350e6


def test_every_damaged_image_is_named_with_its_file(tmp_path: Path) -> None:
    images = write_ct(tmp_path / "ct", MadeStudy(), HU)
    places = places_of(only_series(tmp_path / "ct"), ABOUT_CT)
    for image in images[1:3]:
        image.write_bytes(image.read_bytes()[:-10])
    with pytest.raises(RefusedSeriesError) as refused:
        read_slices(places, "ct_hu", ABOUT_CT)
    assert codes(refused.value.issues) == {("slice-unreadable", "error"): 2}
    assert sorted(issue.source for issue in refused.value.issues) == [str(image) for image in images[1:3]]


def test_an_image_that_changed_since_it_was_found_is_refused(tmp_path: Path) -> None:
    images = write_ct(tmp_path / "ct", MadeStudy(), HU)
    places = places_of(only_series(tmp_path / "ct"), ABOUT_CT)
    images[0].write_bytes(images[1].read_bytes())
    with pytest.raises(RefusedSeriesError, match="changed since it was found"):
        read_slices(places, "ct_hu", ABOUT_CT)


def test_an_image_without_position_refuses_its_series(tmp_path: Path) -> None:
    study = MadeStudy()
    write_ct(tmp_path / "ct", study, HU, SeriesInstanceUID="1.2.3")
    write_ct(tmp_path / "ct" / "lost", study, HU[:1], SeriesInstanceUID="1.2.3", ImagePositionPatient=None)
    with pytest.raises(RefusedSeriesError, match="without position") as refused:
        places_of(only_series(tmp_path / "ct"), ABOUT_CT)
    assert refused.value.issues[0].source.endswith("lost/ct-0000.dcm")


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"LossyImageCompression": "01"}, ("lossy", "warning")),
        ({"RescaleIntercept": -1500, "PixelPaddingValue": 24}, ("padding", "note")),
        ({"RescaleSlope": None, "RescaleIntercept": None}, ("no-rescale", "error")),
    ],
)
def test_what_the_values_are_not_is_told(tmp_path: Path, tags: dict[str, object], code: tuple[str, str]) -> None:
    write_ct(tmp_path / "ct", MadeStudy(), HU, **tags)  # type: ignore[arg-type]
    places = places_of(only_series(tmp_path / "ct"), ABOUT_CT)
    try:
        issues = read_slices(places, "ct_hu", ABOUT_CT).issues
    except RefusedSeriesError as error:
        issues = error.issues
    assert codes(issues) == {code: 1}


def test_images_of_different_formats_are_told(tmp_path: Path) -> None:
    """A slice whose values lost their sign would be 65,536 too high."""
    study = MadeStudy()
    write_ct(tmp_path / "ct", study, HU, SeriesInstanceUID="1.2.3")
    write_ct(tmp_path / "ct" / "other", study, HU[:1], SeriesInstanceUID="1.2.3", PixelRepresentation=0)
    slices = read_slices(places_of(only_series(tmp_path / "ct"), ABOUT_CT), "ct_hu", ABOUT_CT)
    assert codes(slices.issues) == {("formats-differ", "warning"): 1}
