"""A fused image as secondary capture: the same values in the same place, of the same patient."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

from client.data.volume import to_image
from client.dicom.capture_writer import write_captures
from tests.support.drawn_mask import ALGORITHM, ORIENTATIONS, SHA256, DrawnMask, dciodvfy, draw_mask


def drawn_image(folder: Path, orientation: tuple[float, ...] = ORIENTATIONS["axial"]) -> DrawnMask:
    """A ramp of 0 to 1 on the grid of a made CT."""
    drawn = draw_mask(folder, orientation)
    ramp = np.linspace(0, 1, drawn.mask.array_zyx.size, dtype=np.float32).reshape(drawn.mask.shape_zyx)
    return replace(drawn, mask=replace(drawn.mask, array_zyx=ramp))


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_simpleitk_reads_the_series_as_one_volume_in_the_same_place(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    drawn = drawn_image(tmp_path / "ct", orientation)
    write_captures(drawn.mask, drawn.source, ALGORITHM, tmp_path / "out")
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "out"))
    read, own = sitk.ReadImage(names), to_image(drawn.mask)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), np.rint(drawn.mask.array_zyx * 255))
    for found, expected in ((read.GetOrigin(), own.GetOrigin()), (read.GetDirection(), own.GetDirection())):
        np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(read.GetSpacing(), own.GetSpacing(), atol=1e-3)


def test_each_instance_is_the_patient_s_names_its_slice_and_what_made_it(tmp_path: Path) -> None:
    drawn = drawn_image(tmp_path / "ct")
    written = write_captures(drawn.mask, drawn.source, ALGORITHM, tmp_path / "out")
    assert len(written) == 12
    first, source = dcmread(tmp_path / "out" / "0001.dcm"), drawn.source[0]
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert first[keyword].value == source[keyword].value
    places = {round(float(header.ImagePositionPatient[2]), 3): header.SOPInstanceUID for header in drawn.source}
    for capture in written:
        (made_of,) = capture.SourceImageSequence
        assert made_of.ReferencedSOPInstanceUID == places[round(float(capture.ImagePositionPatient[2]), 3)]
    assert len({capture.SOPInstanceUID for capture in written}) == 12
    assert {capture.SeriesInstanceUID for capture in written} == {first.SeriesInstanceUID}
    assert first.SeriesDescription == f"shared/0002 {SHA256[:12]}; research, not a medical device"
    assert list(first.ImageType) == ["DERIVED", "SECONDARY"]


def test_dciodvfy_finds_nothing_wrong(tmp_path: Path) -> None:
    """But that it cannot tell whether the body part is a paired one: of a trunk the side has to be absent."""
    drawn = drawn_image(tmp_path / "ct")
    write_captures(drawn.mask, drawn.source, ALGORITHM, tmp_path / "out")
    found = dciodvfy(tmp_path / "out" / "0003.dcm")
    assert [line for line in found if "<Laterality>" not in line] == []


def test_values_beyond_0_and_1_are_cut_and_slices_without_a_source_left_out(tmp_path: Path) -> None:
    drawn = drawn_image(tmp_path / "ct")
    wide = replace(drawn.mask, array_zyx=drawn.mask.array_zyx * 4 - 1)
    written = write_captures(wide, drawn.source[:5], ALGORITHM, tmp_path / "out")
    assert len(written) == 5
    assert written[0].pixel_array.min() == 0


def test_a_series_that_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    drawn = drawn_image(tmp_path / "ct")
    moved = replace(drawn.mask, origin_xyz_mm=(0.0, 0.0, 1000.5))
    with pytest.raises(ValueError, match="none of 12 slices lies on one of the 12 of its source series"):
        write_captures(moved, drawn.source, ALGORITHM, tmp_path / "out")
