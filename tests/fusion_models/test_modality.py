"""Which modality settings a case serves, and modality dropout over them."""

import numpy as np
import pytest
import torch

from fusion_models.modality import draw_setting, renormalise, restrict, settings_of

PEMMA = {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}


@pytest.mark.parametrize(
    ("modalities", "settings"),
    [(("pet", "ct"), ("ct", "pet", "ct+pet")), (("ct",), ("ct",)), (("pet",), ("pet",)), ((), ())],
)
def test_a_case_serves_the_settings_it_has_images_for(modalities: tuple[str, ...], settings: tuple[str, ...]) -> None:
    assert settings_of(modalities) == settings


def test_shares_are_scaled_to_what_is_there() -> None:
    """Without PET-only cases 0.6 and 0.2 become 3/4 and 1/4."""
    assert renormalise(PEMMA, ["ct", "ct+pet"]) == pytest.approx({"ct": 0.25, "ct+pet": 0.75})
    assert renormalise(PEMMA, ["ct"]) == {"ct": 1.0}


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match=r"leave nothing to train on; available: \['ct'\]"):
        renormalise({"pet": 1.0, "ct": 0.0}, ["ct"])


def test_settings_are_drawn_by_their_shares() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_setting(PEMMA, rng) for _ in range(2000)]
    assert {name: drawn.count(name) / 2000 for name in PEMMA} == pytest.approx(PEMMA, abs=0.03)


def test_a_setting_turns_the_other_image_into_none() -> None:
    ct, pet = torch.ones(1), torch.zeros(1)
    assert restrict("ct+pet", ct, pet) == (ct, pet)
    assert restrict("ct", ct, pet) == (ct, None)
    assert restrict("pet", ct, pet) == (None, pet)
    assert restrict("pet", ct, None) == (None, None)
