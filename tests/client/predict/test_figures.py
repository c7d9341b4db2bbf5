"""Figures of masks whose numbers one can check by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from client.data.volume import IDENTITY, Quantity, Volume
from client.predict.figures import OF_PET, PEAK_RADIUS_MM, cover, measure, peak_kernel


def volume(array: NDArray[np.floating | np.integer], spacing: float, origin: float, quantity: Quantity) -> Volume:
    """Cubic voxels, with the first center at `origin` along every axis."""
    return Volume(array, (spacing,) * 3, (origin,) * 3, IDENTITY, quantity)


def mask_of(*slices: slice, size: int = 20) -> Volume:
    """A mask of 2 mm voxels over [0, 40] mm."""
    array = np.zeros((size,) * 3, np.uint8)
    array[slices] = 1
    return volume(array, 2.0, 1.0, "mask")


def pet_of(values: dict[tuple[int, int, int], float], base: float = 0.0, size: int = 10) -> Volume:
    """A PET of 4 mm voxels over the same 40 mm."""
    array = np.full((size,) * 3, base, np.float32)
    for place, value in values.items():
        array[place] = value
    return volume(array, 4.0, 2.0, "pet_suv")


BLOCK = (slice(4, 8), slice(4, 8), slice(4, 8))
"""8 mm along each axis: 64 voxels of 2 mm, 8 of 4 mm (indices 2 and 3)."""


def test_a_block_of_eight_voxels_of_which_one_is_hot() -> None:
    """SUV 9 in one and 1 in seven: mean 2; 8 voxels of 0.064 ml; TLG 2 x 0.512 = 1.024 g."""
    found = measure(mask_of(*BLOCK), pet_of({(2, 3, 2): 9.0}, base=1.0))
    assert found.values["volume_ml"] == pytest.approx(0.512)
    assert found.values["suv_max"] == 9.0
    assert found.values["suv_mean"] == pytest.approx(2.0)
    assert found.values["mtv_ml"] == pytest.approx(0.512)
    assert found.values["tlg"] == pytest.approx(1.024)
    assert (found.undefined, found.beyond_pet_ml) == ({}, 0.0)


def test_a_hot_voxel_of_4_mm_alone_fills_6_4_percent_of_the_peak_s_sphere() -> None:
    """Its 64 mm3 lie in the sphere of 1000 mm3: peak 100 x 0.064 = 6.4, to what nine points an axis can tell."""
    found = measure(mask_of(*BLOCK), pet_of({(2, 2, 2): 100.0}))
    assert found.values["suv_peak"] == pytest.approx(6.4, rel=0.01)


def test_the_peak_of_an_even_pet_is_its_value_also_at_the_edge_of_the_image() -> None:
    edge = mask_of(slice(0, 2), slice(0, 2), slice(0, 2))
    assert measure(edge, pet_of({}, base=3.0)).values["suv_peak"] == pytest.approx(3.0)


def test_the_peak_s_sphere_reaches_beyond_the_mask_and_its_center_does_not() -> None:
    """A hot voxel next to the mask counts as a neighbour of its center, and never as one of R."""
    found = measure(mask_of(*BLOCK), pet_of({(4, 2, 2): 100.0}))
    assert found.values["suv_max"] == 0.0
    assert 0 < (found.values["suv_peak"] or 0) <= 6.5


@given(st.tuples(*[st.floats(1.0, 8.0)] * 3))
def test_the_peak_s_sphere_has_one_milliliter_on_every_grid(spacing_zyx_mm: tuple[float, float, float]) -> None:
    volume_mm3 = peak_kernel(spacing_zyx_mm).sum() * math.prod(spacing_zyx_mm)
    assert volume_mm3 == pytest.approx(1000, rel=0.015)


def test_the_radius_of_one_milliliter_is_6_2_mm() -> None:
    assert pytest.approx(6.2035, abs=1e-4) == PEAK_RADIUS_MM


def test_a_voxel_counts_from_one_half_covered_on() -> None:
    """10 mm along x are two voxels and a half of the PET: the half counts."""
    half = measure(mask_of(slice(4, 8), slice(4, 8), slice(4, 9)), pet_of({(2, 2, 4): 5.0}, base=1.0))
    assert half.values["suv_max"] == 5.0
    assert half.values["mtv_ml"] == pytest.approx(12 * 0.064)


def test_a_mask_between_the_voxels_of_the_pet_covers_parts_of_them() -> None:
    """From 9 to 17 mm along x: three quarters of [8, 12], all of [12, 16], a quarter of [16, 20], too little."""
    shifted = replace(mask_of(*BLOCK), origin_xyz_mm=(2.0, 1.0, 1.0))
    assert cover(shifted, pet_of({}))[2, 2, 2:5].tolist() == [0.75, 1.0, 0.25]
    assert measure(shifted, pet_of({})).values["mtv_ml"] == pytest.approx(8 * 0.064)


def test_a_mask_coarser_than_the_pet_covers_it_without_gaps() -> None:
    mask = volume(np.ones((4, 4, 4), np.uint8), 10.0, 5.0, "mask")
    np.testing.assert_array_equal(cover(mask, pet_of({})), np.ones((10, 10, 10)))


def test_a_pet_turned_around_gives_the_same_figures() -> None:
    pet = pet_of({(2, 3, 2): 9.0, (3, 3, 3): 4.0}, base=1.0)
    turned = Volume(
        pet.array_zyx[::-1, ::-1].copy(),
        pet.spacing_zyx_mm,
        (2.0, 38.0, 38.0),
        (1, 0, 0, 0, -1, 0, 0, 0, -1),
        "pet_suv",
    )
    plain, other = measure(mask_of(*BLOCK), pet).values, measure(mask_of(*BLOCK), turned).values
    assert plain == {name: pytest.approx(value) for name, value in other.items()}


def test_without_a_pet_or_a_voxel_figures_of_the_pet_are_undefined_and_say_why() -> None:
    bare = measure(mask_of(*BLOCK), None)
    assert bare.values == {"volume_ml": pytest.approx(0.512), **dict.fromkeys(OF_PET)}
    assert set(bare.undefined.values()) == {"there is no PET"}
    empty = measure(mask_of(slice(0, 0)), pet_of({}, base=1.0))
    assert empty.values == {"volume_ml": 0.0, **dict.fromkeys(OF_PET)}
    assert empty.undefined["suv_max"] == "the mask has no voxel inside"


def test_a_mask_smaller_than_half_a_voxel_of_the_pet_has_no_suv() -> None:
    """One voxel of 8 mm3 in one of 64."""
    one = (slice(4, 5),) * 3
    assert measure(mask_of(*one), pet_of({}, base=1.0)).undefined["tlg"] == (
        "the mask covers no voxel of the PET by one half"
    )


def test_what_lies_beyond_the_pet_is_told() -> None:
    """A PET over [0, 40] mm, a mask of 8 mm along each axis of which 4 mm along x lie beyond."""
    mask = replace(mask_of(*BLOCK), origin_xyz_mm=(29.0, 1.0, 1.0))
    found = measure(mask, pet_of({}, base=1.0))
    assert found.beyond_pet_ml == pytest.approx(0.256)
    assert found.values["mtv_ml"] == pytest.approx(0.256)
