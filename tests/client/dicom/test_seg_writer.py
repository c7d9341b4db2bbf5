"""A mask written as SEG: the same voxels in the same place, with references to the slices that it lies on."""

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset

from client.data.volume import Volume, to_image
from client.dicom.seg_writer import write_seg
from client.dicom.segmentation import place_segments, read_segments
from tests.support.drawn_mask import ALGORITHM, ORIENTATIONS, SHA256, dciodvfy, draw_mask


def source_of(frame: Dataset) -> str:
    """The source instance of a frame."""
    (derived,) = frame.DerivationImageSequence
    (image,) = derived.SourceImageSequence
    return str(image.ReferencedSOPInstanceUID)


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_highdicom_and_convert_read_the_mask_back_voxel_by_voxel(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    drawn = draw_mask(tmp_path / "ct", orientation)
    write_seg(drawn.mask, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    read = hd.seg.segread(tmp_path / "seg.dcm")
    uids = [str(header.SOPInstanceUID) for header in drawn.source]
    planes = read.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(planes, drawn.mask.array_zyx)
    placed = place_segments(read_segments(tmp_path / "seg.dcm"), [1], drawn.mask.grid)
    np.testing.assert_array_equal(placed.mask_zyx, drawn.mask.array_zyx)
    assert not placed.resampled
    assert drawn.mask.array_zyx.sum() == 284


@pytest.mark.parametrize(("columns", "kind", "bits"), [(40, "BINARY", 1), (41, "FRACTIONAL", 8), (42, "FRACTIONAL", 8)])
def test_rows_that_fill_no_whole_bytes_are_written_as_bytes(tmp_path: Path, columns: int, kind: str, bits: int) -> None:
    """Frames that begin within a byte are shown distorted by viewers that clinicians use; the voxels stay the same."""
    drawn = draw_mask(tmp_path / "ct", shape_zyx=(12, 37, columns))
    seg = write_seg(drawn.mask, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    assert (seg.SegmentationType, seg.BitsAllocated) == (kind, bits)
    placed = place_segments(read_segments(tmp_path / "seg.dcm"), [1], drawn.mask.grid)
    np.testing.assert_array_equal(placed.mask_zyx, drawn.mask.array_zyx)
    assert dciodvfy(tmp_path / "seg.dcm") == []


def test_simpleitk_finds_the_tumour_in_the_same_place(tmp_path: Path) -> None:
    """Frames without a voxel are left out: six of the twelve slices hold the tumour."""
    drawn = draw_mask(tmp_path / "ct", ORIENTATIONS["oblique"])
    write_seg(drawn.mask, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    read = sitk.ReadImage(str(tmp_path / "seg.dcm")) > 0
    z, y, x = np.argwhere(drawn.mask.array_zyx)[0].tolist()
    place = to_image(drawn.mask).TransformIndexToPhysicalPoint((x, y, z))
    assert read[read.TransformPhysicalPointToIndex(place)] == 1
    assert read.GetSize() == (42, 40, 6)


def test_each_frame_names_the_slice_it_lies_on_whatever_the_order_of_the_files(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    seg = write_seg(drawn.mask, drawn.source[::-1], ALGORITHM, tmp_path / "seg.dcm")
    position = {str(header.SOPInstanceUID): header.ImagePositionPatient for header in drawn.source}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        assert frame.PlanePositionSequence[0].ImagePositionPatient == position[source_of(frame)]
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == drawn.source[0].SeriesInstanceUID
    assert len(series.ReferencedInstanceSequence) == 12


def test_it_belongs_to_study_patient_and_frame_of_reference_of_its_source(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    seg = write_seg(drawn.mask, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    same = ("StudyInstanceUID", "PatientID", "FrameOfReferenceUID")
    assert [seg[name].value for name in same] == [drawn.source[0][name].value for name in same]


def test_it_says_what_made_it_and_that_it_is_research(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    seg = write_seg(drawn.mask, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    said = f"shared/0002 {SHA256[:12]}; research, not a medical device"
    assert (seg.SeriesDescription, seg.ContentDescription) == (said, said)
    (segment,) = seg.SegmentSequence
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == SHA256
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "108369006"


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_dciodvfy_finds_nothing_wrong(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    drawn = draw_mask(tmp_path / "ct", orientation)
    write_seg(drawn.mask, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    assert dciodvfy(tmp_path / "seg.dcm") == []


def test_dciodvfy_does_find_what_is_wrong(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    seg = write_seg(drawn.mask, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    del seg.SegmentSequence
    seg.save_as(tmp_path / "broken.dcm")
    assert any("SegmentSequence" in line for line in dciodvfy(tmp_path / "broken.dcm"))


def test_a_mask_on_a_grid_between_the_slices_keeps_its_place(tmp_path: Path) -> None:
    """A mask of 1.5 mm slices over a CT of 3 mm ones: no slice of the source is named, the voxels are all there."""
    drawn = draw_mask(tmp_path / "ct")
    fine = Volume(
        np.repeat(drawn.mask.array_zyx, 2, axis=0), (1.5, 1.5, 1.5), (-30.0, -30.0, -0.75), drawn.mask.direction, "mask"
    )
    write_seg(fine, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    read = hd.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
    assert (int(read.array.sum()), read.spacing) == (568, (1.5, 1.5, 1.5))
    assert dciodvfy(tmp_path / "seg.dcm") == []


def test_a_mask_without_a_voxel_is_a_seg_of_empty_frames(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    empty = replace(drawn.mask, array_zyx=np.zeros_like(drawn.mask.array_zyx))
    seg = write_seg(empty, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    assert (seg.NumberOfFrames, int(seg.pixel_array.sum())) == (12, 0)
    assert dciodvfy(tmp_path / "seg.dcm") == []
