"""A mask written as RTSTRUCT: the same voxels in the same place, with references to the slices that it lies on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from client.data.volume import Volume, to_image
from client.dicom.contours import rasterize, read_rois
from client.dicom.report_writer import write_report
from client.dicom.rtstruct_writer import write_rtstruct
from client.dicom.seg_writer import write_seg
from client.dicom.segmentation import place_segments, read_segments
from tests.support.dicom_study import MadeGrid, MadeStudy, body_phantom, write_ct
from tests.support.drawn_mask import ALGORITHM, ORIENTATIONS, SHA256, SHAPE_ZYX, dciodvfy, draw_mask


def fill(contours: list[Dataset], grid: Volume) -> NDArray[np.uint8]:
    """Which voxel centers the contours hold, each contour on its own slice, and none twice."""
    image, found = to_image(grid), np.zeros(grid.shape_zyx, np.uint8)
    y, x = np.indices(grid.shape_zyx[1:])
    for contour in contours:
        points = np.reshape(np.array(contour.ContourData, dtype=float), (-1, 3))
        indices = np.array([image.TransformPhysicalPointToContinuousIndex(point) for point in points.tolist()])
        assert np.ptp(indices[:, 2]) < 1e-3
        inside = Polygon(indices[:, :2]).contains_points(np.column_stack([x.ravel(), y.ravel()]))
        found[round(indices[0, 2])] += inside.reshape(x.shape).astype(np.uint8)
    return found


def contours_of(data: Dataset) -> list[Dataset]:
    (drawn,) = data.ROIContourSequence
    return list(drawn.ContourSequence)


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_filled_again_it_is_the_mask_with_its_hole(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    drawn = draw_mask(tmp_path / "ct", orientation)
    array = drawn.mask.array_zyx.copy()
    z, y, x = np.round(np.argwhere(array).mean(axis=0)).astype(int)
    array[z, y, x] = 0
    holed = replace(drawn.mask, array_zyx=array)
    write_rtstruct(holed, drawn.source, ALGORITHM, tmp_path / "rt.dcm")
    np.testing.assert_array_equal(fill(contours_of(dcmread(tmp_path / "rt.dcm")), holed), array)
    (roi,) = read_rois(tmp_path / "rt.dcm")
    np.testing.assert_array_equal(rasterize(roi, holed.grid), array)
    assert array.sum() == 283
    assert dciodvfy(tmp_path / "rt.dcm") == []


def test_each_contour_names_the_slice_that_it_lies_on(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    contours = contours_of(write_rtstruct(drawn.mask, drawn.source[::-1], ALGORITHM, tmp_path / "rt.dcm"))
    place = {header.SOPInstanceUID: header.ImagePositionPatient[2] for header in drawn.source}
    named = [contour.ContourImageSequence[0].ReferencedSOPInstanceUID for contour in contours]
    assert [place[uid] for uid in named] == [contour.ContourData[2] for contour in contours]
    assert len(contours) == 6


def test_it_refers_to_study_series_and_every_slice_of_its_source(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    data = write_rtstruct(drawn.mask, drawn.source, ALGORITHM, tmp_path / "rt.dcm")
    (frame,) = data.ReferencedFrameOfReferenceSequence
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == drawn.source[0].FrameOfReferenceUID
    assert series.SeriesInstanceUID == drawn.source[0].SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence} == {
        header.SOPInstanceUID for header in drawn.source
    }


def test_it_says_what_made_it_and_that_it_is_research(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    data = write_rtstruct(drawn.mask, drawn.source, ALGORITHM, tmp_path / "rt.dcm")
    said = f"shared/0002 {SHA256[:12]}; research, not a medical device"
    assert (data.SeriesDescription, data.StructureSetName) == (said, said)
    assert SHA256 in data.StructureSetDescription
    (roi,) = data.StructureSetROISequence
    assert (roi.ROIName, roi.ROIGenerationAlgorithm) == ("Predicted tumour", "AUTOMATIC")
    assert (data.ApprovalStatus, data.RTROIObservationsSequence[0].RTROIInterpretedType) == ("UNAPPROVED", "")


def test_a_mask_without_a_voxel_is_an_roi_without_a_contour(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    empty = replace(drawn.mask, array_zyx=np.zeros_like(drawn.mask.array_zyx))
    data = write_rtstruct(empty, drawn.source, ALGORITHM, tmp_path / "rt.dcm")
    assert "ContourSequence" not in data.ROIContourSequence[0]
    assert dciodvfy(tmp_path / "rt.dcm") == []


def test_a_slice_between_those_of_the_source_names_none(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    between = replace(drawn.mask, origin_xyz_mm=(-30.0, -30.0, 1.0))
    contours = contours_of(write_rtstruct(between, drawn.source, ALGORITHM, tmp_path / "rt.dcm"))
    assert not any("ContourImageSequence" in contour for contour in contours)


def test_a_name_in_another_character_set_stays_a_name(tmp_path: Path) -> None:
    hu, _ = body_phantom(SHAPE_ZYX)
    study = MadeStudy(patient_name="Müller^Jörg")
    paths = write_ct(tmp_path / "latin", study, hu, MadeGrid(), SpecificCharacterSet="ISO_IR 100")
    source = [dcmread(path, stop_before_pixels=True) for path in paths]
    write_rtstruct(draw_mask(tmp_path / "ct").mask, source, ALGORITHM, tmp_path / "rt.dcm")
    assert str(dcmread(tmp_path / "rt.dcm").PatientName) == "Müller^Jörg"


def test_a_long_contour_is_kept_whole(tmp_path: Path) -> None:
    """A comb of 300 teeth over 100 columns: more than the 64 kB that a value may take in an explicit syntax."""
    mask = np.zeros((2, 601, 100), np.uint8)
    mask[0, ::2, :] = 1
    mask[0, :, 0] = 1
    wide = Volume(mask, (3.0, 1.5, 1.5), (-30.0, -30.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), "mask")
    drawn = draw_mask(tmp_path / "ct")
    write_rtstruct(wide, drawn.source, ALGORITHM, tmp_path / "rt.dcm")
    (contour,) = contours_of(dcmread(tmp_path / "rt.dcm"))
    assert contour.NumberOfContourPoints > 1200
    np.testing.assert_array_equal(fill([contour], wide), mask)


def test_contours_segments_and_report_on_a_multi_frame_image_name_its_frames(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    images = [dcmread(path) for path in drawn.paths]
    for image in images:
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    many = LegacyConvertedEnhancedCTImage(images, generate_uid(), 2, generate_uid(), 1)
    contours = contours_of(write_rtstruct(drawn.mask, [many], ALGORITHM, tmp_path / "rt.dcm"))
    named = [contour.ContourImageSequence[0] for contour in contours]
    frames = [many.PerFrameFunctionalGroupsSequence[item.ReferencedFrameNumber - 1] for item in named]
    places_mm = [frame.PlanePositionSequence[0].ImagePositionPatient[2] for frame in frames]
    assert places_mm == [contour.ContourData[2] for contour in contours]
    assert {item.ReferencedSOPInstanceUID for item in named} == {many.SOPInstanceUID}
    seg = write_seg(drawn.mask, [many], ALGORITHM, tmp_path / "seg.dcm")
    write_report({"volume_ml": 1.0}, "bw", seg, [many], ALGORITHM, tmp_path / "sr.dcm")
    placed = place_segments(read_segments(tmp_path / "seg.dcm"), [1], drawn.mask.grid)
    np.testing.assert_array_equal(placed.mask_zyx, drawn.mask.array_zyx)
    assert [line for name in ("rt", "seg", "sr") for line in dciodvfy(tmp_path / f"{name}.dcm")] == []
