"""Planes of single images, and of multi-frame images from shared and own functional groups."""

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from client.dicom.frames import group, items, read_planes
from tests.support.dicom_study import AXIAL


def single(**tags: object) -> Dataset:
    data = Dataset()
    made = {"Rows": 4, "Columns": 6, "PixelSpacing": [2, 1], "ImagePositionPatient": [1, 2, 3]}
    for name, value in {**made, "ImageOrientationPatient": list(AXIAL), **tags}.items():
        setattr(data, name, value)
    return data


def multi_frame(z_mm: list[float]) -> Dataset:
    """Positions of their own, orientation and spacing shared."""
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, orientation.ImageOrientationPatient = [2, 1], list(AXIAL)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    frames = []
    for z in z_mm:
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, z]
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    data = Dataset()
    data.Rows = 4
    data.Columns = 6
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(frames)
    return data


def test_a_single_image_has_one_plane() -> None:
    (plane,) = read_planes(single())
    assert plane.position_xyz_mm == (1.0, 2.0, 3.0)
    assert (plane.spacing_yx_mm, plane.shape_yx) == ((2, 1), (4, 6))
    assert plane.orientation == AXIAL


def test_a_multi_frame_image_has_one_for_each_frame_in_their_order() -> None:
    planes = read_planes(multi_frame([9.0, 3.0, 6.0]))
    assert [plane.position_xyz_mm[2] for plane in planes] == [9, 3, 6]
    assert {plane.spacing_yx_mm for plane in planes} == {(2, 1)}


def test_what_a_frame_says_itself_wins_over_what_all_share() -> None:
    data = multi_frame([0.0])
    own = Dataset()
    own.PixelSpacing = [5, 5]
    data.PerFrameFunctionalGroupsSequence[0].PixelMeasuresSequence = Sequence([own])
    assert read_planes(data)[0].spacing_yx_mm == (5, 5)
    assert len(group(Dataset(), Dataset(), "PixelMeasuresSequence")) == 0


@pytest.mark.parametrize(
    "tags",
    [
        {"ImagePositionPatient": None},
        {"ImagePositionPatient": [1, 2]},
        {"PixelSpacing": None},
        {"ImageOrientationPatient": [1, 0, 0]},
        {"Rows": None},
    ],
)
def test_an_image_that_does_not_say_where_it_lies_has_no_plane(tags: dict[str, object]) -> None:
    assert read_planes(single(**tags)) == ()


def test_one_frame_without_a_place_takes_the_place_of_all() -> None:
    data = multi_frame([0.0, 3.0])
    del data.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    assert read_planes(data) == ()
    assert items(data, "Rows") == ()
