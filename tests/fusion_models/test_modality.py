"""Which modality settings a case serves, and modality dropout over them."""

import numpy as np
import pytest
import torch

from fusion_models import modality
from fusion_models.modality import draw_setting, renormalise, restrict, settings_of
from protocol import modalities as agreed


def test_networks_know_the_modalities_that_the_sides_agreed_on() -> None:
    assert modality.MODALITIES == agreed.MODALITIES
    assert modality.SETTINGS == agreed.SETTINGS


PEMMA = {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}


@pytest.mark.parametrize(
    ("modalities", "settings"),
    [
        (("pet", "ct"), ("ct", "pet", "ct+pet")),
        (("ct",), ("ct",)),
        (("pet",), ("pet",)),
        (("ehr", "pet"), ("pet", "ehr", "pet+ehr")),
        ((), ()),
    ],
)
def test_a_case_serves_the_settings_it_has_inputs_for(modalities: tuple[str, ...], settings: tuple[str, ...]) -> None:
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


def test_a_setting_turns_every_other_input_into_none() -> None:
    ct, pet, ehr = torch.ones(1), torch.zeros(1), torch.full((1,), 2.0)
    assert restrict("ct+pet", ct, pet, ehr) == (ct, pet, None)
    assert restrict("ct", ct, pet, ehr) == (ct, None, None)
    assert restrict("pet+ehr", ct, pet, ehr) == (None, pet, ehr)
    assert restrict("ehr", ct, pet, ehr) == (None, None, ehr)
    assert restrict("pet", ct, None) == (None, None, None)
