"""From a batch to its variations: which rows change, in which arrays, and that the batch given stays."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from client.augmentation.affine import Affine
from client.augmentation.brightness import Brightness
from client.augmentation.noise import Noise
from client.augmentation.variation import ImageVariation, Variation
from client.augmentation.varying import vary_crops, vary_image
from client.data.crops import Crop, apply_crop
from client.data.preprocessing import SEGMENTATION, PreparedCase
from tests.support.masked_case import masked

SPACING = (4.0, 4.0, 4.0)
CROP = Crop((1, 0, 2), (4, 6, 4), (1,), 1.0, 0.0, 1.0)
CROPS = [CROP, replace(CROP, start_zyx=(0, 0, 0))]
TURN = Variation(affine=Affine((90.0, 0.0, 0.0), (1.0, 1.0, 1.0)))


def case(name: str, seed: int) -> PreparedCase:
    rng = np.random.default_rng(seed)
    ct, pet = (rng.random((6, 6, 6), dtype=np.float32) for _ in range(2))
    return masked(name, ct, pet, (ct > 0.5).astype(np.uint8))


CASES = [case("a", 1), case("b", 2)]


def cut() -> dict[str, Tensor]:
    """The batch of both crops, and the class of each case."""
    shown = [apply_crop(case, crop) for case, crop in zip(CASES, CROPS, strict=True)]
    arrays: dict[str, list[Any]] = {
        "ct": [case.ct for case in shown],
        "pet": [case.pet for case in shown],
        SEGMENTATION: [case.targets[SEGMENTATION] for case in shown],
    }
    found = {name: torch.from_numpy(np.stack(parts).astype(np.float32))[:, None] for name, parts in arrays.items()}
    return {**found, "classification": torch.tensor([0.0, 1.0])}


def varied(*variations: Variation) -> dict[str, Tensor]:
    return vary_crops(cut(), CASES, CROPS, variations, SPACING)


def changed(*variations: Variation) -> dict[str, list[bool]]:
    """Which rows of which arrays are others than the cut."""
    before, after = cut(), varied(*variations)
    return {name: [not torch.equal(*rows) for rows in zip(before[name], after[name], strict=True)] for name in before}


def test_no_variation_changes_no_bit() -> None:
    assert changed(Variation(), Variation()) == {name: [False, False] for name in cut()}


def test_a_turn_reaches_images_and_mask_of_its_own_row() -> None:
    assert changed(Variation(), TURN) == {
        "ct": [False, True],
        "pet": [False, True],
        SEGMENTATION: [False, True],
        "classification": [False, False],
    }


def test_misalignment_reaches_pet_alone() -> None:
    found = changed(Variation(shift_mm=(1.0, 2.0, 3.0)), Variation())
    assert {name for name, rows in found.items() if any(rows)} == {"pet"}
    assert found["pet"] == [True, False]


@pytest.mark.parametrize("image", ["ct", "pet"])
def test_intensities_of_one_image_reach_nothing_else(image: str) -> None:
    variation = Variation(**{image: ImageVariation(gamma=2.0)})  # type: ignore[arg-type]
    found = changed(variation, Variation())
    assert {name for name, rows in found.items() if any(rows)} == {image}
    torch.testing.assert_close(varied(variation, Variation())[image][0], cut()[image][0] ** 2)


def test_a_batch_without_pet_stays_without() -> None:
    arrays = {"ct": cut()["ct"]}
    found = vary_crops(arrays, CASES, CROPS, [replace(TURN, shift_mm=(4.0, 0.0, 0.0))] * 2, SPACING)
    assert set(found) == {"ct"}


def test_the_batch_that_is_given_stays_and_its_layout_is_kept() -> None:
    given = {name: array.to(memory_format=torch.channels_last_3d) for name, array in cut().items() if array.ndim == 5}
    before = {name: array.clone() for name, array in given.items()}
    found = vary_crops(given, CASES, CROPS, [TURN, TURN], SPACING)
    assert all(torch.equal(given[name], before[name]) for name in given)
    assert all(array.is_contiguous(memory_format=torch.channels_last_3d) for array in found.values())
    assert {str(array.dtype) for array in found.values()} == {"torch.float32"}


def test_the_same_parameters_show_the_same() -> None:
    variation = replace(TURN, ct=ImageVariation(Noise(0.1, 5), Brightness(1.1, 0.0), 0.5, 1.2))
    first, again = varied(variation, TURN), varied(variation, TURN)
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("shift", [-0.04, 0.0, 0.03])
@pytest.mark.parametrize("turned", [False, True])
def test_noise_and_brightness_reach_tissue_and_neither_air_nor_what_lies_outside(shift: float, turned: bool) -> None:
    """Half of a CT is air; every crop has moved it by `ct_shift` before it is varied, and begins outside the volume."""
    ct = np.repeat(np.array([0, 0, 0, 0.5, 0.5, 0.5], np.float32), 36).reshape(6, 6, 6)
    source = masked("half", ct, None, (ct > 0).astype(np.uint8))
    crop = replace(CROP, start_zyx=(0, -2, 0), size_zyx=(6, 6, 6), flipped=(), ct_shift=shift)
    arrays = {"ct": torch.from_numpy(apply_crop(source, crop).ct)[None, None]}
    louder = ImageVariation(Noise(0.1, 5), Brightness(1.1, 0.05))
    varied_ct = vary_crops(
        arrays, [source], [crop], [Variation(affine=TURN.affine if turned else None, ct=louder)], SPACING
    )["ct"][0, 0]
    assert all(min(abs(value), abs(value - shift)) < 1e-6 for value in varied_ct[:2].unique().tolist())
    assert len(varied_ct[4:].unique()) > 40


def test_noise_is_seen_by_a_coarser_scanner_before_the_window() -> None:
    """CT in the order noise, brightness, low resolution, gamma: (0.5 x 2 x 0.25)^2 of an even image without noise."""
    even = torch.full((1, 1, 4, 4, 4), 0.25)
    found = vary_image(even, "ct", ImageVariation(Noise(0.0, 1), Brightness(2.0, 0.0), 0.5, 2.0))
    torch.testing.assert_close(found, torch.full_like(even, 0.25))
    noisy = ImageVariation(Noise(0.1, 1), zoom=0.5)
    assert vary_image(even, "ct", noisy).std() < vary_image(even, "ct", replace(noisy, zoom=None)).std() / 1.5
