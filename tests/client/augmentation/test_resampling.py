"""One look-up in the case's own volume: turns, shifts and fields that one can check by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from client.augmentation.affine import Affine
from client.augmentation.elastic import draw_elastic
from client.augmentation.resampling import look_up, positions, resample_crop
from client.augmentation.variation import Variation, draw_variation
from client.data.crops import Crop, apply_crop, draw_lesion_crop
from client.data.preprocessing import SEGMENTATION, PreparedCase
from protocol.messages.recipe import Augmentation
from tests.support.masked_case import mask_of, masked

CPU = torch.device("cpu")
EVEN = (4.0, 4.0, 4.0)
WHOLE = Crop((0, 0, 0), (6, 6, 6), (), 1.0, 0.0, 1.0)
NO_TURN, NO_SCALE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
IDENTITY = Variation(affine=Affine(NO_TURN, NO_SCALE))


def case(shape: tuple[int, int, int] = (6, 6, 6)) -> PreparedCase:
    rng = np.random.default_rng(0)
    ct, pet = (rng.random(shape, dtype=np.float32) for _ in range(2))
    return masked("one", ct, pet, (ct > 0.6).astype(np.uint8))


def shown(variation: Variation, crop: Crop = WHOLE, of: PreparedCase | None = None, spacing=EVEN) -> dict[str, Tensor]:
    return resample_crop(of or case(), crop, variation, spacing, CPU)


def test_nothing_asked_is_nothing_looked_up() -> None:
    assert shown(Variation()) == {}
    assert shown(Variation(shift_mm=(0.0, 0.0, 0.0))) == {}


@pytest.mark.parametrize("start", [(0, 0, 0), (2, 1, 0), (-2, 0, 3)])
def test_an_affine_that_moves_nothing_shows_the_cut(start: tuple[int, int, int]) -> None:
    crop = replace(WHOLE, start_zyx=start, flipped=(0, 2), ct_scale=1.1, ct_shift=0.05, pet_scale=0.9)
    found, cut = shown(IDENTITY, crop), apply_crop(case(), crop)
    assert cut.ct is not None
    assert cut.pet is not None
    np.testing.assert_allclose(found["ct"], cut.ct, atol=1e-5)
    np.testing.assert_allclose(found["pet"], cut.pet, atol=1e-5)
    np.testing.assert_array_equal(found[SEGMENTATION], mask_of(cut))


@pytest.mark.parametrize(("about", "axes"), [(0, (1, 2)), (1, (2, 0)), (2, (0, 1))], ids=["z", "y", "x"])
def test_a_quarter_turn_is_that_of_torch(about: int, axes: tuple[int, int]) -> None:
    """About z x goes to y, about y z goes to x, about x y goes to z: rot90 from the second axis named to the first."""
    angles = [90.0 if axis == about else 0.0 for axis in range(3)]
    found = shown(Variation(affine=Affine((angles[0], angles[1], angles[2]), NO_SCALE)))
    whole = case()
    assert whole.ct is not None
    np.testing.assert_allclose(found["ct"], torch.rot90(torch.from_numpy(whole.ct), 1, axes[::-1]), atol=1e-5)
    mask = torch.from_numpy(mask_of(whole))
    assert torch.equal(found[SEGMENTATION], torch.rot90(mask, 1, axes[::-1]).float())


def test_a_quarter_turn_of_flat_voxels_is_one_in_millimeters() -> None:
    """Along y a voxel is 2 mm, along x 4: 8 x 4 voxels are 16 mm each way, and one step along x shows two along y.

    The first and last row lie beyond the middles of the outermost voxels, where the volume fades.
    """
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[None, :, None], (1, 8, 4)).copy()
    crop = Crop((0, 0, 0), (1, 8, 4), (), 1.0, 0.0, 1.0)
    found = shown(Variation(affine=Affine((90.0, 0.0, 0.0), NO_SCALE)), crop, masked("r", ramp, None, None), (1, 2, 4))
    np.testing.assert_allclose(found["ct"][0, 4].sort().values, [0.5, 2.5, 4.5, 6.5], atol=1e-5)
    np.testing.assert_allclose(found["ct"][0, 1:-1].std(dim=0), 0, atol=1e-5)


def test_twice_as_large_shows_the_middle_half() -> None:
    """The middle four of eight voxels, each twice: 2.25, 2.75 .. 5.25, 5.75 hold the ramp at half its steepness."""
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32), (8, 8, 8)).copy()
    found = shown(
        Variation(affine=Affine(NO_TURN, (2, 2, 2))), replace(WHOLE, size_zyx=(8, 8, 8)), masked("r", ramp, None, None)
    )
    np.testing.assert_allclose(found["ct"][4, 4], np.arange(8) / 2 + 1.75, atol=1e-5)


def test_turned_corners_show_what_lies_outside_of_the_crop() -> None:
    """A crop in the middle of an even volume is even whatever its turn; the whole volume turned has empty corners."""
    even = masked("even", np.ones((20, 20, 20), np.float32), None, None)
    turned = Variation(affine=Affine((45.0, 0.0, 0.0), NO_SCALE))
    assert torch.allclose(shown(turned, replace(WHOLE, start_zyx=(7, 7, 7)), even)["ct"], torch.ones(()))
    assert shown(turned, Crop((0, 0, 0), (20, 20, 20), (), 1.0, 0.5, 1.0), even)["ct"][10, 0, 0] == 0


def test_pet_moves_alone_and_by_whole_voxels_exactly() -> None:
    """A shift of 4 mm along z on a grid of 4 mm: PET shows the next slice, and nothing where there is none."""
    found, whole = shown(Variation(shift_mm=(4.0, 0.0, 0.0))), case()
    assert set(found) == {"pet"}
    assert whole.pet is not None
    np.testing.assert_allclose(found["pet"][:5], whole.pet[1:], atol=1e-5)
    assert not found["pet"][5].any()


def test_pet_that_moves_with_a_turn_is_looked_up_once() -> None:
    """Turned and moved is what turning the moved PET shows."""
    turn, whole = Affine((90.0, 0.0, 0.0), NO_SCALE), case()
    assert whole.pet is not None
    moved = replace(whole, pet=np.concatenate([whole.pet[1:], np.zeros((1, 6, 6), np.float32)]))
    both = shown(Variation(affine=turn, shift_mm=(4.0, 0.0, 0.0)))
    apart = shown(Variation(affine=turn), of=moved)
    torch.testing.assert_close(both["pet"], apart["pet"], atol=1e-5, rtol=0)
    assert torch.equal(both["ct"], apart["ct"])


def test_pet_without_ct_is_not_moved() -> None:
    alone = replace(case(), ct=None)
    assert shown(Variation(shift_mm=(4.0, 0.0, 0.0)), of=alone) == {}
    found = shown(replace(IDENTITY, shift_mm=(4.0, 0.0, 0.0)), of=alone)
    assert set(found) == {"pet", SEGMENTATION}
    assert alone.pet is not None
    np.testing.assert_allclose(found["pet"], alone.pet, atol=1e-5)


def test_what_a_case_lacks_is_not_looked_up() -> None:
    assert set(shown(IDENTITY, of=replace(case(), pet=None, targets={"classification": np.array(1)}))) == {"ct"}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([(6, 6, 6), (9, 5, 12), (1, 8, 8), (3, 12, 12)]))
def test_a_crop_goes_on_holding_its_voxel_of_the_contour_and_a_mask_stays_one(
    seed: int, size: tuple[int, int, int]
) -> None:
    """However it is turned, scaled and bent; images stay within what a turn can show of values from 0 to 1."""
    rng, spacing = np.random.default_rng(seed), (5.0, 3.0, 4.0)
    mask = np.zeros((8, 9, 7), np.uint8)
    mask[tuple(rng.integers(0, mask.shape))] = 1
    crop = draw_lesion_crop(mask, size, rng)
    asked = Augmentation(affine=1, rotation_degrees=60, elastic=1, misalignment=1, misalignment_mm=10)
    variation = draw_variation(asked, size, spacing, rng)
    some = case(mask.shape)
    found = shown(variation, replace(crop, ct_shift=0.0), replace(some, targets={SEGMENTATION: mask}), spacing)
    assert found[SEGMENTATION].sum() >= 1
    assert set(found[SEGMENTATION].unique().tolist()) <= {0.0, 1.0}
    assert 0 <= found["ct"].min() <= found["ct"].max() <= 1.1
    assert found["ct"].shape == found["pet"].shape == size


def test_the_field_moves_everything_but_the_point_that_stays() -> None:
    elastic = draw_elastic((6, 6, 6), EVEN, set(), np.random.default_rng(0))
    crop = replace(WHOLE, held_zyx=(1, 2, 3))
    places = torch.stack(list(positions(crop, Variation(elastic=elastic), EVEN, CPU)))
    plain = torch.stack(list(positions(crop, Variation(), EVEN, CPU)))
    moved = (places - plain).abs()
    assert not moved[:, 1, 2, 3].any()
    assert moved.max() > 0.1


@pytest.mark.parametrize("far", [-50.0, 50.0])
def test_places_outside_of_a_volume_show_nothing(far: float) -> None:
    places = [torch.full((2, 2, 2), far) for _ in range(3)]
    assert not look_up(np.ones((3, 4, 5), np.float32), places, "bilinear", 1.0, 1.0).any()


def test_a_volume_is_left_as_it_was() -> None:
    whole, crop = case(), replace(WHOLE, ct_scale=2.0, ct_shift=1.0, pet_scale=2.0)
    shown(IDENTITY, crop, whole)["ct"].zero_()
    assert whole.ct is not None
    before = case().ct
    assert before is not None
    np.testing.assert_array_equal(whole.ct, before)
