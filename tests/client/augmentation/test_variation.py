"""Variations: what is not asked for draws nothing, what is asked for happens in its share, repeatably."""

from typing import Any

import numpy as np
import pytest

from client.augmentation.variation import ImageVariation, Variation, draw_variation
from protocol.messages.recipe import Augmentation

SIZE, SPACING = (16, 16, 16), (4.0, 4.0, 4.0)
WAYS = ("affine", "elastic", "misalignment", "noise", "brightness", "low_resolution", "gamma")


def drawn(seed: int = 0, **asked: Any) -> Variation:
    return draw_variation(Augmentation.model_validate(asked), SIZE, SPACING, np.random.default_rng(seed))


def happens(variation: Variation) -> dict[str, bool]:
    """Which ways a crop or one of its images is varied in."""
    images = (variation.ct, variation.pet)
    return {
        "affine": variation.affine is not None,
        "elastic": variation.elastic is not None,
        "misalignment": variation.shift_mm is not None,
        "noise": any(image.noise is not None for image in images),
        "brightness": any(image.brightness is not None for image in images),
        "low_resolution": any(image.zoom is not None for image in images),
        "gamma": any(image.gamma is not None for image in images),
    }


def test_a_recipe_that_says_nothing_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    assert draw_variation(Augmentation(), SIZE, SPACING, rng) == Variation()
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("way", WAYS)
def test_a_way_that_always_happens_happens_alone(way: str) -> None:
    for seed in range(5):
        assert happens(drawn(seed, **{way: 1.0})) == {name: name == way for name in WAYS}


@pytest.mark.parametrize("way", ["affine", "misalignment"])
def test_a_share_is_that_of_crops(way: str) -> None:
    """A third of 300, give or take 24 (three standard deviations)."""
    rng, asked = np.random.default_rng(0), Augmentation.model_validate({way: 1 / 3})
    found = [happens(draw_variation(asked, SIZE, SPACING, rng))[way] for _ in range(300)]
    assert 76 <= sum(found) <= 124


def test_ct_and_pet_have_chances_of_their_own() -> None:
    found = {(v.ct.gamma is None, v.pet.gamma is None) for v in (drawn(seed, gamma=0.5) for seed in range(40))}
    assert len(found) == 4


def test_the_same_generator_draws_the_same() -> None:
    first, again, other = (drawn(seed, affine=1.0, noise=1.0, misalignment=1.0) for seed in (1, 1, 2))
    assert first == again != other


def test_what_is_asked_bounds_what_is_drawn() -> None:
    found = drawn(affine=1.0, rotation_degrees=0.0, scale=(1.0, 1.0), misalignment=1.0, misalignment_mm=0.0)
    assert found.affine is not None
    assert (found.affine.rotation_zyx_degrees, found.affine.scale_zyx) == ((0, 0, 0), (1, 1, 1))
    assert not any(found.shift_mm or ())


def test_only_affine_and_elastic_look_up_ct_elsewhere() -> None:
    assert not drawn(misalignment=1.0, gamma=1.0, noise=1.0).bends
    assert drawn(affine=1.0).bends
    assert drawn(elastic=1.0).bends
    assert Variation().ct == ImageVariation()
