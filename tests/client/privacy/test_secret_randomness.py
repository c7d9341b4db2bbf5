"""Draws that nobody can repeat: their distribution, and that no two streams are alike."""

import numpy as np
import pytest
from scipy.stats import kstest

from client.privacy.secret_randomness import SecretRandomness

DRAWS = 20_000


def test_normal_draws_are_standard_normal() -> None:
    """A p-value under 1e-6 comes once in a million runs of what is right."""
    drawn = SecretRandomness().standard_normal(DRAWS)
    assert kstest(drawn, "norm").pvalue > 1e-6
    assert np.abs(drawn).max() < 8.3


def test_uniform_draws_are_uniform_and_never_the_ends() -> None:
    drawn = SecretRandomness().random(DRAWS)
    assert kstest(drawn, "uniform").pvalue > 1e-6
    assert (drawn.min() > 0, drawn.max() < 1) == (True, True)


def test_one_stream_goes_on_and_another_is_another() -> None:
    one, another = SecretRandomness(), SecretRandomness()
    draws = [one.random(4), one.random(4), another.random(4)]
    assert len({tuple(drawn) for drawn in draws}) == 3


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0,)])
def test_draws_have_the_shape_that_is_asked_for(shape: tuple[int, ...]) -> None:
    assert SecretRandomness().standard_normal(shape).shape == shape


def test_no_seed_of_the_process_makes_it_repeat() -> None:
    np.random.seed(0)  # noqa: NPY002  (that this changes nothing is what is tested)
    first = SecretRandomness().random(2)
    np.random.seed(0)  # noqa: NPY002
    assert not np.array_equal(first, SecretRandomness().random(2))
