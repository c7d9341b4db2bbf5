"""Training crops: repeatable, over every voxel of a volume, and blind to the contour unless they are to hold it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data.crops import Crop, apply_crop, draw_crop, draw_lesion_crop, shape_of, windows
from client.data.preprocessing import PreparedCase
from tests.support.masked_case import mask_of, masked

PLAIN = Crop((0, 0, 0), (2, 2, 2), (), ct_scale=1.0, ct_shift=0.0, pet_scale=1.0)
shapes = st.tuples(*[st.integers(1, 9)] * 3)


def case(shape: Sequence[int] = (4, 5, 6)) -> PreparedCase:
    """Every voxel has its own value: CT counts up from 1, PET is ten times that, the contour is where CT is odd."""
    ct = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    return masked("one", ct, 10 * ct, (ct % 2).astype(np.uint8))


@given(shapes, shapes, st.integers(0, 2**32))
def test_the_same_generator_draws_the_same_crop(shape: Sequence[int], size: Sequence[int], seed: int) -> None:
    assert draw_crop(shape, size, np.random.default_rng(seed)) == draw_crop(shape, size, np.random.default_rng(seed))


@given(shapes, shapes, st.integers(0, 2**32))
def test_a_crop_lies_in_the_volume_or_holds_it(shape: Sequence[int], size: Sequence[int], seed: int) -> None:
    crop = draw_crop(shape, size, np.random.default_rng(seed))
    for n, start, edge in zip(shape, crop.start_zyx, size, strict=True):
        assert (start >= 0 and start + edge <= n) if edge <= n else (start <= 0 and start + edge >= n)


@given(shapes, shapes, st.integers(0, 2**32))
def test_every_array_of_a_crop_has_the_size_asked_for(shape: Sequence[int], size: Sequence[int], seed: int) -> None:
    cut = apply_crop(case(shape), draw_crop(shape, size, np.random.default_rng(seed)))
    assert cut.ct is not None
    assert cut.pet is not None
    assert cut.ct.shape == cut.pet.shape == mask_of(cut).shape == tuple(size)
    assert [str(array.dtype) for array in (cut.ct, cut.pet, mask_of(cut))] == ["float32", "float32", "uint8"]


def test_every_voxel_is_reached_and_every_start_is_drawn() -> None:
    """Along 5, 3 and 2 voxels a crop of 2 starts at 4 x 2 x 1 places; 400 draws miss one with chance 8 (7/8)^400."""
    rng = np.random.default_rng(0)
    crops = [draw_crop((5, 3, 2), (2, 2, 2), rng) for _ in range(400)]
    reached = np.zeros((5, 3, 2), bool)
    for z, y, x in {crop.start_zyx for crop in crops}:
        reached[z : z + 2, y : y + 2, x : x + 2] = True
    assert reached.all()
    assert len({crop.start_zyx for crop in crops}) == 8
    assert len({crop.flipped for crop in crops}) == 8


def test_intensities_stay_within_a_tenth_and_a_twentieth() -> None:
    rng = np.random.default_rng(0)
    crops = [draw_crop((4, 4, 4), (2, 2, 2), rng) for _ in range(200)]
    assert all(0.9 <= scale <= 1.1 for crop in crops for scale in (crop.ct_scale, crop.pet_scale))
    assert all(-0.05 <= crop.ct_shift <= 0.05 for crop in crops)
    assert len({crop.ct_scale for crop in crops}) == 200


def test_where_a_crop_lies_does_not_depend_on_the_contour() -> None:
    """The same crop is cut of a case whose contour is elsewhere or absent, and its images are the same."""
    full = case()
    for contour in ({}, {"segmentation": np.zeros((4, 5, 6), np.uint8)}):
        crop = draw_crop((4, 5, 6), (2, 2, 2), np.random.default_rng(3))
        seen, other = apply_crop(full, crop), apply_crop(replace(full, targets=contour), crop)
        np.testing.assert_array_equal(seen.ct, other.ct)


@given(shapes, shapes, st.integers(0, 2**32))
def test_a_lesion_crop_lies_in_the_volume_and_holds_a_voxel_of_the_contour(
    shape: tuple[int, ...], size: Sequence[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    mask[tuple(rng.integers(0, shape))] = 1
    crop = draw_lesion_crop(mask, size, rng)
    assert crop.held_zyx is not None
    assert mask[tuple(np.add(crop.start_zyx, crop.held_zyx))] == 1
    assert mask_of(apply_crop(masked("one", mask, None, mask), crop)).sum() == 1
    for n, start, edge in zip(shape, crop.start_zyx, size, strict=True):
        assert (start >= 0 and start + edge <= n) if edge <= n else (start <= 0 and start + edge >= n)


def test_a_lesion_may_be_anywhere_in_its_crop() -> None:
    """One voxel at 5 of 11 in crops of 4 starts at 2, 3, 4 or 5, a quarter each: 400 draws, 100 give or take 26."""
    rng, mask = np.random.default_rng(0), np.zeros((11, 11, 11), np.uint8)
    mask[5, 5, 5] = 1
    starts = [draw_lesion_crop(mask, (4, 4, 4), rng).start_zyx[0] for _ in range(400)]
    assert all(74 <= starts.count(start) <= 126 for start in (2, 3, 4, 5))


def test_every_voxel_of_a_contour_is_held_by_some_crop() -> None:
    """A large part of a contour is drawn as much more often as it has voxels: 3 of 4 in 200 draws, give or take 18."""
    rng, mask = np.random.default_rng(0), np.zeros((9, 3, 3), np.uint8)
    mask[0, 0, 0] = mask[8, 0:3, 1] = 1
    crops = [draw_lesion_crop(mask, (1, 1, 1), rng) for _ in range(200)]
    assert {crop.start_zyx for crop in crops} == {(0, 0, 0), (8, 0, 1), (8, 1, 1), (8, 2, 1)}
    assert 132 <= sum(crop.start_zyx[0] == 8 for crop in crops) <= 168


def test_a_lesion_crop_of_an_empty_contour_is_any_crop() -> None:
    crops = [
        draw(np.random.default_rng(3))
        for draw in (
            lambda rng: draw_lesion_crop(np.zeros((4, 5, 6), np.uint8), (2, 2, 2), rng),
            lambda rng: draw_crop((4, 5, 6), (2, 2, 2), rng),
        )
    ]
    assert crops[0] == crops[1]


def test_images_and_contour_are_cut_and_flipped_together() -> None:
    crop = replace(PLAIN, start_zyx=(1, 2, 3), flipped=(0, 2))
    cut, whole = apply_crop(case(), crop), case()
    assert whole.ct is not None
    np.testing.assert_array_equal(cut.ct, whole.ct[1:3, 2:4, 3:5][::-1, :, ::-1])
    assert cut.ct is not None
    np.testing.assert_array_equal(cut.pet, 10 * cut.ct)
    np.testing.assert_array_equal(mask_of(cut), cut.ct % 2)


def test_flipping_twice_gives_the_crop_back() -> None:
    once = apply_crop(case(), replace(PLAIN, flipped=(0, 1)))
    np.testing.assert_array_equal(apply_crop(once, replace(PLAIN, flipped=(0, 1))).ct, apply_crop(case(), PLAIN).ct)


def test_scale_and_shift_reach_the_images_alone() -> None:
    """CT of 1 and 2 with scale 2 and shift 0.5 are 2.5 and 4.5; PET of 10 with scale 3 is 30."""
    cut = apply_crop(case(), replace(PLAIN, ct_scale=2.0, ct_shift=0.5, pet_scale=3.0))
    assert cut.ct is not None
    assert cut.pet is not None
    assert (cut.ct[0, 0, 0], cut.ct[0, 0, 1], cut.pet[0, 0, 0]) == (2.5, 4.5, 30)
    assert (mask_of(cut)[0, 0, 0], mask_of(cut)[0, 0, 1]) == (1, 0)


def test_outside_the_volume_is_the_low_end_also_after_a_shift() -> None:
    cut = apply_crop(case((1, 1, 1)), replace(PLAIN, start_zyx=(-1, 0, 0), ct_shift=0.05))
    assert cut.ct is not None
    assert cut.ct[1, 0, 0] == np.float32(1.05)
    assert cut.pet is not None
    assert [np.count_nonzero(array) for array in (cut.ct, cut.pet, mask_of(cut))] == [1, 1, 1]


@given(shapes, st.integers(0, 2**32))
def test_a_crop_shares_no_memory_with_its_case(size: Sequence[int], seed: int) -> None:
    source = case()
    cut = apply_crop(source, draw_crop((4, 5, 6), size, np.random.default_rng(seed)))
    parts = [(case.ct, case.pet, mask_of(case)) for case in (cut, source)]
    for mine, other in zip(*parts, strict=True):
        assert mine is not None
        assert other is not None
        assert not np.shares_memory(mine, other)
        mine[...] = 7
    np.testing.assert_array_equal(source.ct, case().ct)
    np.testing.assert_array_equal(mask_of(source), mask_of(case()))


def test_an_absent_modality_stays_absent() -> None:
    cut = apply_crop(PreparedCase("one", case().ct), PLAIN)
    assert (cut.pet, cut.targets, cut.modalities) == (None, {}, ("ct",))


def test_a_target_of_the_whole_case_is_not_cut() -> None:
    """A class and the times of two endpoints say of a crop what they say of the case."""
    targets = {"classification": np.array(1), "survival": np.array([[30.0, 1.0], [np.nan, np.nan]])}
    cut = apply_crop(replace(case(), targets=targets), PLAIN)
    assert cut.targets["classification"] == 1
    np.testing.assert_array_equal(cut.targets["survival"], targets["survival"])


def test_a_crop_keeps_the_covariates() -> None:
    cut = apply_crop(replace(case(), ehr=np.ones(3, np.float32)), PLAIN)
    assert cut.ehr is not None
    assert cut.ehr.tolist() == [1, 1, 1]


def test_windows_cover_a_volume_with_the_fewest_and_hold_a_smaller_one_in_their_middle() -> None:
    """10 voxels by windows of 4: from 0, 3 and 6. 2 voxels in 4: one voxel before, one after."""
    found = windows((10, 2, 4), (4, 4, 4))
    assert [crop.start_zyx for crop in found] == [(0, -1, 0), (3, -1, 0), (6, -1, 0)]


def test_a_case_without_images_has_no_shape() -> None:
    assert shape_of(case()) == (4, 5, 6)
    with pytest.raises(ValueError, match=r"case 'none' has neither CT nor PET"):
        shape_of(PreparedCase("none"))
