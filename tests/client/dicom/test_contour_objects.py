from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from client.data.volume import Grid
from client.dicom.contour_objects import read_contour_object
from client.dicom.findings import UnreadableFileError
from client.dicom.objects import read_instance
from tests.support.dicom_study import MadeStudy, square, write_ct, write_rtstruct
from tests.support.made_segs import write_segments
from tests.support.pet_headers import SUBJECT

GRID = Grid((4, 20, 20), (3.0, 1.5, 1.5), (-30.0, -30.0, 0.0))
SQUARE = [square((-15, -15), 4.5, 3.0)]
"""9 voxels of 1.5 mm, between half voxels."""


@pytest.fixture
def study() -> MadeStudy:
    return MadeStudy()


@pytest.fixture
def images(tmp_path: Path, study: MadeStudy) -> list[Path]:
    return write_ct(tmp_path / "ct", study, np.zeros(GRID.shape_zyx))


def test_a_structure_set_names_its_drawn_and_its_empty_regions(
    tmp_path: Path, study: MadeStudy, images: list[Path]
) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", study, images, {"GTV": SQUARE, "Cord": [], "Node": SQUARE})
    item = read_contour_object(read_instance(path), "rtstruct")
    assert (item.kind, item.names, item.empty_names) == ("rtstruct", ("GTV", "Node"), ("Cord",))
    assert item.drawn == "20200301100000"
    assert item.referenced == (read_instance(images[0]).series_uid,)


def test_regions_of_one_name_are_drawn_together(tmp_path: Path, study: MadeStudy, images: list[Path]) -> None:
    other = [square((-6, -6), 1.5, 6.0)]
    path = write_rtstruct(tmp_path / "rs.dcm", study, images, {"GTV 1": SQUARE, "GTV 2": other, "Cord": SQUARE})
    mask, issues = read_contour_object(read_instance(path), "rtstruct").draw(("GTV 1", "GTV 2"), GRID, SUBJECT)
    assert mask is not None
    assert mask.sum(axis=(1, 2)).tolist() == [0, 9, 1, 0]
    assert issues == ()


def test_a_segmentation_names_its_segments_and_when_it_was_made(tmp_path: Path, images: list[Path]) -> None:
    region = np.zeros(GRID.shape_zyx)
    region[1, 2:5, 2:5] = 1
    path = write_segments(tmp_path / "s.dcm", images, {"GTV": region, "Node": region}, content_time="113000")
    item = read_contour_object(read_instance(path), "seg")
    assert (item.kind, item.names, item.empty_names, item.drawn) == ("seg", ("GTV", "Node"), (), "20200301113000")
    mask, issues = item.draw(("GTV",), GRID, SUBJECT)
    assert mask is not None
    assert np.array_equal(mask, region)
    assert issues == ()


def test_a_segment_that_an_algorithm_made_is_known(tmp_path: Path, images: list[Path]) -> None:
    region = np.zeros(GRID.shape_zyx)
    region[1, 2:5, 2:5] = 1
    path = write_segments(tmp_path / "s.dcm", images, {"GTV": region, "Node": region})
    data = dcmread(path)
    data.SegmentSequence[1].SegmentAlgorithmType = "AUTOMATIC"
    data.SegmentSequence[1].SegmentAlgorithmName = "made"
    data.save_as(path)
    assert read_contour_object(read_instance(path), "seg").automatic_names == ("Node",)


def test_frames_that_cannot_be_decoded_are_an_issue_without_a_path(tmp_path: Path, images: list[Path]) -> None:
    region = np.zeros(GRID.shape_zyx)
    region[1, 2:5, 2:5] = 1
    path = write_segments(tmp_path / "s.dcm", images, {"GTV": region})
    data = dcmread(path)
    data.PixelData = data.PixelData[:2]
    data.save_as(path)
    mask, (issue,) = read_contour_object(read_instance(path), "seg").draw(("GTV",), GRID, SUBJECT)
    assert mask is None
    assert (issue.code, issue.grade) == ("contours-unreadable", "error")
    assert str(tmp_path) not in issue.message
    assert issue.source == str(path)


def test_a_file_of_another_kind_is_refused(images: list[Path]) -> None:
    with pytest.raises(UnreadableFileError, match="for contours"):
        read_contour_object(read_instance(images[0]), "rtstruct")
