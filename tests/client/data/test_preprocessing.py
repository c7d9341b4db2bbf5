"""From volumes on their own grids to one grid: physical places, volumes and intensities survive; the cache is exact."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from client.data.manifest import File
from client.data.preprocessing import (
    are_parallel,
    cache_key,
    prepare_case,
    prepare_once,
    prepare_volumes,
    resample,
    rescale,
    spacing_along,
    study_grid,
)
from client.data.volume import IDENTITY, Quantity, Volume, bounds_xyz_mm, from_image, to_image, write_volume
from protocol.messages.settings import Preprocessing
from tests.support.masked_case import mask_of

SETTINGS = Preprocessing(spacing_zyx_mm=(4.0, 4.0, 4.0), pet_window_suv=(0.0, 20.0), crop_zyx=(16, 16, 16))
Array = NDArray[Any]


def turned(degrees: float) -> tuple[float, ...]:
    """Direction cosines of a grid turned about z."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0)


def positions_xyz_mm(volume: Volume) -> Array:
    """Physical position of every voxel, (3, z, y, x)."""
    index_xyz = np.indices(volume.shape_zyx)[::-1].astype(float)
    steps = np.reshape(volume.direction, (3, 3)) * np.array(volume.spacing_zyx_mm[::-1])
    return np.tensordot(steps, index_xyz, axes=1) + np.reshape(volume.origin_xyz_mm, (3, 1, 1, 1))


def suv_at(positions: Array) -> Array:
    """A linear field, which linear interpolation repeats exactly: 10 + 0.1 x - 0.05 y + 0.08 z."""
    x, y, z = positions
    return np.asarray(10 + 0.1 * x - 0.05 * y + 0.08 * z)


def blank(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    direction: tuple[float, ...] = IDENTITY,
    quantity: Quantity = "ct_hu",
) -> Volume:
    return Volume(np.zeros(shape, np.float32), spacing, origin, direction, quantity)


def filled(volume: Volume, array: Array) -> Volume:
    dtype = np.uint8 if volume.quantity == "mask" else np.float32
    return Volume(array.astype(dtype), volume.spacing_zyx_mm, volume.origin_xyz_mm, volume.direction, volume.quantity)


def written(folder: Path, **volumes: Volume) -> dict[File, Path]:
    names: tuple[File, ...] = ("ct", "pet", "gtv")
    paths: dict[File, Path] = {name: folder / f"{name}.nii.gz" for name in names if name in volumes}
    for name, path in paths.items():
        write_volume(volumes[name], path)
    return paths


def on_study_grid(volume: Volume, spacing: tuple[float, float, float] = (4.0, 4.0, 4.0)) -> Volume:
    return from_image(study_grid(to_image(volume), spacing), volume.quantity)


@pytest.mark.parametrize("direction", [IDENTITY, turned(90), turned(30)])
@pytest.mark.parametrize("spacing", [(5.0, 5.0, 5.0), (1.0, 1.0, 1.0)])
def test_the_study_grid_fills_the_same_box(direction: tuple[float, ...], spacing: tuple[float, float, float]) -> None:
    """10 x 20 x 24 voxels of 3, 2 and 2.5 mm are 30 x 40 x 60 mm."""
    ct = blank((10, 20, 24), (3.0, 2.0, 2.5), (-7.0, 11.0, -300.0), direction)
    grid = on_study_grid(ct, spacing)
    assert grid.shape_zyx == tuple(int(mm / spacing[0]) for mm in (30, 40, 60))
    np.testing.assert_allclose(bounds_xyz_mm(grid), bounds_xyz_mm(ct), atol=1e-9)


@pytest.mark.parametrize("direction", [IDENTITY, turned(90), turned(30), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)])
def test_pet_on_its_own_grid_lands_where_the_ct_is(direction: tuple[float, ...], tmp_path: Path) -> None:
    ct = blank((20, 20, 20), (4.0, 2.0, 2.0), (-20.0, -20.0, -40.0))
    x, y, _ = np.reshape(direction, (3, 3)) @ np.full(3, -5.5 * 5.0)
    pet = blank((18, 12, 12), (5.0, 5.0, 5.0), (float(x), float(y), -42.0), direction, "pet_suv")
    paths = written(tmp_path, ct=ct, pet=filled(pet, suv_at(positions_xyz_mm(pet))))
    found = prepare_case("one", paths, SETTINGS)
    expected = suv_at(positions_xyz_mm(on_study_grid(ct))) / 20
    assert found.pet is not None
    covered = found.pet > 0
    assert covered.mean() > 0.9
    inside = positions_xyz_mm(on_study_grid(ct))
    sure = (np.hypot(inside[0], inside[1]) < 20) & (abs(inside[2]) < 40)
    assert sure.sum() > 400
    np.testing.assert_allclose(found.pet[sure], expected[sure], atol=1e-3)


def test_pet_shorter_than_ct_is_zero_where_it_was_not_acquired(tmp_path: Path) -> None:
    """CT over 80 mm along z, PET of SUV 10 over the lower 40 mm: half of the 20 slices hold 10 / 20."""
    ct = blank((20, 8, 8), (4.0, 4.0, 4.0))
    pet = filled(blank((10, 8, 8), (4.0, 4.0, 4.0), quantity="pet_suv"), np.full((10, 8, 8), 10.0))
    found = prepare_case("one", written(tmp_path, ct=ct, pet=pet), SETTINGS)
    assert found.pet is not None
    np.testing.assert_allclose(found.pet[:10], 0.5, atol=1e-6)
    assert not found.pet[10:].any()


def test_a_sphere_keeps_its_volume(tmp_path: Path) -> None:
    """Radius 20 mm: 33.5 ml, drawn on 2 mm and carried to 4 mm."""
    ct = blank((30, 30, 30), (2.0, 2.0, 2.0))
    inside = np.linalg.norm(positions_xyz_mm(ct) - 30.3, axis=0) <= 20
    mask = filled(blank(ct.shape_zyx, ct.spacing_zyx_mm, quantity="mask"), inside)
    found = prepare_case("one", written(tmp_path, ct=ct, gtv=mask), SETTINGS)
    assert mask_of(found).dtype == np.uint8
    assert int(mask_of(found).sum()) * 64 == pytest.approx(int(inside.sum()) * 8, rel=0.05)
    assert set(np.unique(mask_of(found))) == {0, 1}


def test_smoothing_stops_fine_stripes_from_folding_back(tmp_path: Path) -> None:
    """Stripes of one 1 mm voxel at 0 and 50 HU are 25 HU at 4 mm, which the window maps to one half."""
    stripes = np.zeros((32, 32, 32)) + 50 * (np.arange(32) % 2)
    ct = filled(blank(stripes.shape, (1.0, 1.0, 1.0)), stripes)
    found = prepare_case("one", written(tmp_path, ct=ct), SETTINGS)
    assert found.ct is not None
    np.testing.assert_allclose(found.ct[:, :, 2:-2], 0.5, atol=0.01)


def test_a_window_clips_and_maps_to_zero_and_one() -> None:
    hounsfield = np.array([-1000, -200, 25, 250, 3000], np.float32)
    np.testing.assert_array_equal(rescale(hounsfield, (-200, 250)), np.array([0, 0, 0.5, 1, 1], np.float32))


def test_a_case_with_pet_alone_lies_on_the_grid_of_its_pet(tmp_path: Path) -> None:
    """10 x 6 x 6 voxels of 8 mm are 20 x 12 x 12 of 4 mm."""
    pet = filled(blank((10, 6, 6), (8.0, 8.0, 8.0), quantity="pet_suv"), np.full((10, 6, 6), 5.0))
    mask = filled(blank((10, 6, 6), (8.0, 8.0, 8.0), quantity="mask"), np.ones((10, 6, 6)))
    found = prepare_case("one", written(tmp_path, pet=pet, gtv=mask), SETTINGS)
    assert found.modalities == ("pet",)
    assert found.ct is None
    assert found.pet is not None
    assert found.pet.shape == mask_of(found).shape == (20, 12, 12)
    np.testing.assert_allclose(found.pet, 0.25)


def test_the_cache_answers_without_the_files(tmp_path: Path) -> None:
    ct = filled(blank((8, 8, 8), (4.0, 4.0, 4.0)), np.random.default_rng(0).uniform(-300, 300, (8, 8, 8)))
    paths = written(tmp_path, ct=ct)
    first = prepare_once("one", paths, {"ct": "aa"}, SETTINGS, tmp_path / "cache")
    paths["ct"].unlink()
    again = prepare_once("one", paths, {"ct": "aa"}, SETTINGS, tmp_path / "cache")
    assert first.ct is not None
    assert again.ct is not None
    np.testing.assert_array_equal(again.ct, first.ct)
    assert (again.pet, again.targets) == (None, {})
    assert {entry.stat().st_mode & 0o777 for entry in (tmp_path / "cache").iterdir()} == {0o600}


def test_the_cache_key_follows_contents_and_settings_but_not_the_crop() -> None:
    key = cache_key({"ct": "aa", "gtv": "bb"}, SETTINGS)
    assert cache_key({"gtv": "bb", "ct": "aa"}, SETTINGS) == key
    assert cache_key({"ct": "aa", "gtv": "bb"}, SETTINGS.model_copy(update={"crop_zyx": (32, 32, 32)})) == key
    others = [
        cache_key({"ct": "ab", "gtv": "bb"}, SETTINGS),
        cache_key({"ct": "aa"}, SETTINGS),
        cache_key({"ct": "bb", "gtv": "aa"}, SETTINGS),
        cache_key({"ct": "aa", "gtv": "bb"}, SETTINGS.model_copy(update={"spacing_zyx_mm": (4.0, 4.0, 5.0)})),
        cache_key({"ct": "aa", "gtv": "bb"}, SETTINGS.model_copy(update={"pet_window_suv": (0.0, 15.0)})),
        cache_key({"ct": "aa", "gtv": "bb"}, SETTINGS.model_copy(update={"ct_window_hu": (-100.0, 250.0)})),
    ]
    assert len({key, *others}) == 7


def test_smoothing_follows_axes_stored_in_another_order() -> None:
    """A coronal image of 1 x 2 x 3 mm along its own axes, on a grid of 4 x 5 x 6 mm along x, y, z."""
    image = sitk.Image(4, 4, 4, sitk.sitkFloat32)
    image.SetDirection((1, 0, 0, 0, 0, 1, 0, 1, 0))
    grid = sitk.Image(4, 4, 4, sitk.sitkFloat32)
    grid.SetSpacing((4.0, 5.0, 6.0))
    assert spacing_along(image, grid) == [4.0, 6.0, 5.0]


def test_volumes_in_memory_are_prepared_as_their_files_are(tmp_path: Path) -> None:
    ct = blank((8, 8, 8), (4.0, 3.0, 3.0))
    ct = filled(ct, suv_at(positions_xyz_mm(ct)))
    from_files, from_memory = (
        prepare_case("one", written(tmp_path, ct=ct), SETTINGS),
        prepare_volumes("one", {"ct": ct}, SETTINGS),
    )
    assert from_files.ct is not None
    assert from_memory.ct is not None
    np.testing.assert_array_equal(from_files.ct, from_memory.ct)


@pytest.mark.parametrize(
    "direction",
    [
        (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0),
        (0.0, 0.0, 1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    ],
)
def test_an_axis_brought_to_the_grid_early_changes_nothing(monkeypatch: pytest.MonkeyPatch, direction):
    """Part of the image lies beyond the grid, and part of the grid beyond the image; its axes are flipped or turned."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(0, 300, (12, 16, 20)).astype(np.float32))
    image.SetSpacing((1.0, 1.5, 2.0))
    image.SetDirection(direction)
    middle = np.array(image.TransformContinuousIndexToPhysicalPoint((10.0, 8.0, 6.0)))
    grid = sitk.Image((7, 6, 5), sitk.sitkFloat32)
    grid.SetSpacing((4.0, 3.0, 5.0))
    grid.SetOrigin((middle - 3.3).tolist())
    assert are_parallel(image, grid)
    early = resample(image, grid, outside=-1000.0)
    monkeypatch.setattr("client.data.preprocessing.are_parallel", lambda *_: False)
    late = resample(image, grid, outside=-1000.0)
    np.testing.assert_allclose(early, late, atol=1e-3)
    assert (late == -1000).any()
    assert (late != -1000).any()


def test_an_oblique_image_is_not_parallel_to_a_straight_grid():
    image, grid = sitk.Image((4, 4, 4), sitk.sitkFloat32), sitk.Image((4, 4, 4), sitk.sitkFloat32)
    image.SetDirection((0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))
    assert not are_parallel(image, grid)
