"""What a guarantee costs in noise, against figures that were worked out once for known numbers of patients."""

import pytest

from client.privacy.release import Release
from client.privacy.viability import advice, noise_costs


@pytest.mark.parametrize(("patients", "batch", "steps", "sigma"), [(18, 4, 150, 1.33), (500, 32, 469, 1.00)])
def test_noise_is_that_of_thirty_passes_over_the_patients(patients: int, batch: int, steps: int, sigma: float) -> None:
    (found,) = noise_costs((8,), 0.1 / patients, patients, batch, steps)
    assert found.noise_multiplier == pytest.approx(sigma, rel=0.02)
    assert found.a_coordinate == pytest.approx(sigma / batch, rel=0.02)


def test_a_batch_of_more_than_there_are_is_all_of_them() -> None:
    (few,) = noise_costs((8,), 0.01, 4, 16, 10)
    (all_of_them,) = noise_costs((8,), 0.01, 4, 4, 10)
    assert few == all_of_them


def test_what_is_spent_leaves_nothing_to_spend() -> None:
    spent = [Release("gram", "none", 0, 1, 1, "s", "a", 1)]
    (found,) = noise_costs((8,), 0.01, 40, 4, 10, spent)
    assert (found.noise_multiplier, found.a_coordinate) == (None, None)


def test_below_fifty_patients_something_else_is_proposed() -> None:
    assert advice(50) == ""
    assert "local-only" in advice(49)
    assert "[secure_aggregation]" in advice(49)
