"""Both tables of mixers, and the names they share."""

import pytest
import torch

from fusion_models.ssm.mixers import MAP_MIXERS, SEQUENCE_MIXERS, check_mixer


def test_maps_and_sequences_have_mixers_of_the_same_names() -> None:
    assert set(MAP_MIXERS) == set(SEQUENCE_MIXERS) == {"scan", "gated-cnn"}


@pytest.mark.parametrize("name", sorted(MAP_MIXERS))
def test_every_mixer_keeps_the_shape_it_is_given(name: str) -> None:
    check_mixer(name)
    assert MAP_MIXERS[name](8, state=4)(torch.rand(1, 3, 4, 8)).shape == (1, 3, 4, 8)
    assert SEQUENCE_MIXERS[name](8, state=4, rank=2)(torch.rand(1, 5, 8)).shape == (1, 5, 8)


def test_an_unknown_mixer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown mixer 'lstm'; known: \['gated-cnn', 'scan'\]"):
        check_mixer("lstm")
