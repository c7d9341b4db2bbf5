"""Planes through a case: where they go, that images agree on them, and how the patient lies in them."""

from dataclasses import replace

import numpy as np
import pytest

from client.data.manifest import Manifest
from client.data.volume import Volume
from client.viewing.case_slices import CaseSlices, PlaneSlice, cut_slices, mask_on, read_volumes
from tests.support.viewed import TUMOUR, viewed_volumes

RIGHT_HANDED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


def plane_of(slices: CaseSlices | None, plane: str) -> PlaneSlice:
    assert slices is not None
    return next(cut for cut in slices.planes if cut.plane == plane)


def test_planes_go_through_the_contour():
    slices = cut_slices(viewed_volumes())
    axial = plane_of(slices, "axial")
    assert slices is not None
    assert (slices.place, slices.oriented) == ("contour", True)
    assert axial.inside is not None
    assert axial.inside.sum() == 100
    assert axial.pet is not None
    assert np.nanmax(axial.pet) == pytest.approx(8)


def test_without_a_contour_they_go_through_the_largest_uptake():
    volumes = viewed_volumes()
    del volumes["gtv"]
    volumes["pet"].array_zyx[8, 2, 3] = 20
    slices = cut_slices(volumes)
    coronal = plane_of(slices, "coronal")
    assert slices is not None
    assert slices.place == "pet"
    assert coronal.inside is None
    assert coronal.pet is not None
    assert np.nanmax(coronal.pet) > 10


def test_a_ct_alone_is_cut_in_the_middle_and_no_image_gives_nothing():
    slices = cut_slices({"ct": viewed_volumes()["ct"]})
    assert slices is not None
    assert (slices.place, slices.top_suv) == ("middle", None)
    assert cut_slices({"gtv": viewed_volumes()["gtv"]}) is None


def test_sizes_are_in_millimetres_so_that_slices_of_4_mm_are_not_squeezed():
    slices = cut_slices(viewed_volumes())
    assert slices is not None
    assert {plane.plane: plane.size_mm for plane in slices.planes} == {
        "axial": (30.0, 40.0),
        "coronal": (40.0, 40.0),
        "sagittal": (40.0, 30.0),
    }


def test_the_head_is_up():
    """The last slice along z is the one nearest to the head."""
    volumes = viewed_volumes()
    volumes["ct"].array_zyx[-1] = 500
    coronal = plane_of(cut_slices(volumes), "coronal").ct
    assert coronal is not None
    assert (coronal[0] == 500).all()


def test_an_image_stored_from_left_to_right_is_shown_the_same_way_round():
    """The same patient with rows and columns stored backwards: the tumour stays on the picture's right, its left."""
    volumes = viewed_volumes()
    turned = {
        file: replace(
            volume,
            array_zyx=np.ascontiguousarray(volume.array_zyx[:, ::-1, ::-1]),
            origin_xyz_mm=last_voxel_mm(volume),
            direction=RIGHT_HANDED,
        )
        for file, volume in volumes.items()
    }
    straight, back = plane_of(cut_slices(volumes), "axial"), plane_of(cut_slices(turned), "axial")
    assert np.argwhere(straight.inside).mean(0)[1] > 20
    np.testing.assert_array_equal(straight.inside, back.inside)
    np.testing.assert_array_equal(straight.ct, back.ct)


def last_voxel_mm(volume: Volume) -> tuple[float, float, float]:
    """Center of the last voxel of the first slice."""
    _, height, width = volume.shape_zyx
    x, y, z = volume.origin_xyz_mm
    return x + (width - 1) * volume.spacing_zyx_mm[2], y + (height - 1) * volume.spacing_zyx_mm[1], z


def test_where_the_pet_does_not_reach_there_is_no_value():
    volumes = viewed_volumes()
    volumes["pet"] = replace(volumes["pet"], origin_xyz_mm=(20.5, 0.5, 0.0))
    pet = plane_of(cut_slices(volumes), "axial").pet
    assert pet is not None
    assert np.isnan(pet[:, :20]).all()
    assert np.isfinite(pet[1:28, 21:]).all()


def test_an_oblique_grid_names_no_sides():
    turn = np.deg2rad(35)
    direction = (np.cos(turn), -np.sin(turn), 0.0, np.sin(turn), np.cos(turn), 0.0, 0.0, 0.0, 1.0)
    slices = cut_slices({"ct": replace(viewed_volumes()["ct"], direction=direction)})
    assert slices is not None
    assert not slices.oriented


def test_the_scale_of_a_pet_is_that_of_the_tumour():
    volumes = viewed_volumes()
    volumes["pet"].array_zyx[0, 0, 0] = 60
    slices = cut_slices(volumes)
    assert slices is not None
    assert slices.top_suv == pytest.approx(8)


def test_a_contour_is_found_on_the_grid_of_the_pet():
    volumes = viewed_volumes()
    assert mask_on(volumes["gtv"], volumes["pet"]).sum() == 3 * 5 * 5
    assert volumes["gtv"].array_zyx[TUMOUR].sum() == 3 * 10 * 10


def test_a_file_that_cannot_be_read_leaves_the_others(looked_at: Manifest, tmp_path):
    case = looked_at.cases[0]
    (tmp_path / "pet.nii.gz").write_bytes(b"no image")
    broken = replace(case, paths={**case.paths, "pet": tmp_path / "pet.nii.gz"})
    assert set(read_volumes(broken)) == {"ct", "gtv"}
