"""A release says what it is, and what cannot be is refused with every value that is wrong."""

import pytest

from client.privacy.release import Release


def test_every_value_that_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match="round 3") as caught:
        Release("training", "gaussian", 0.0, 0.5, 0, "s", "adapt", 3)
    assert str(caught.value) == (
        "release of stage 'adapt', round 3: noise_multiplier is 0.0, expected a finite number above 0; sample_rate is "
        "0.5, expected 1 where all patients are in; steps is 0, expected 1 or more"
    )


@pytest.mark.parametrize("noise", [0.0, -1.0, float("inf"), float("nan")])
def test_a_mechanism_has_noise_that_is_finite_and_above_zero(noise: float) -> None:
    with pytest.raises(ValueError, match="noise_multiplier is"):
        Release("training", "subsampled-gaussian", noise, 0.1, 1, "s", "adapt", 1)


def test_what_trains_without_a_mechanism_is_unprotected_and_a_score_is_outside_the_guarantee() -> None:
    assert Release("training", "none", 0.0, 1.0, 1, "s", "adapt", 1).is_unprotected
    assert Release("gram", "none", 0.0, 1.0, 1, "s", "adapt", 1).is_unprotected
    assert not Release("score", "none", 0.0, 1.0, 1, "s", "adapt", 1).is_unprotected
    assert not Release("training", "gaussian", 1.0, 1.0, 1, "s", "adapt", 1).is_unprotected
