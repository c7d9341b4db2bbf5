"""What a guarantee costs in noise, against figures that were worked out once for known numbers of patients."""

from collections.abc import Sequence
from functools import partial

import pytest

from client.privacy import private_rounds
from client.privacy.ledger_file import Promise
from client.privacy.privacy_ledger import Bound
from client.privacy.release import Release
from client.privacy.viability import advice, noise_costs
from protocol.errors import PrivacySpentError


@pytest.mark.parametrize(("patients", "batch", "steps", "sigma"), [(18, 4, 150, 1.33), (500, 32, 469, 1.00)])
def test_noise_is_that_of_thirty_passes_over_the_patients(patients: int, batch: int, steps: int, sigma: float) -> None:
    (found,) = noise_costs((8,), 0.1 / patients, patients, batch, steps)
    assert found.noise_multiplier == pytest.approx(sigma, rel=0.02)
    assert found.a_coordinate == pytest.approx(sigma / batch, rel=0.02)


def test_a_batch_of_more_than_there_are_is_all_of_them() -> None:
    (few,) = noise_costs((8,), 0.01, 4, 16, 10)
    (all_of_them,) = noise_costs((8,), 0.01, 4, 4, 10)
    assert few == all_of_them


def bounds_after(spent: tuple[Release, ...], promise: Promise) -> list[Bound]:
    return [Bound(promise, spent)]


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise of 8 / epsilon, and one more for each release before; none suffices after three."""

    def answer(epsilon: float, _delta: float, _rate: float, _steps: int, spent: Sequence[Release]) -> float:
        if len(spent) > 2:
            raise PrivacySpentError("nothing is left")
        return 8 / epsilon + len(spent)

    monkeypatch.setattr(private_rounds, "noise_multiplier_for", answer)


@pytest.mark.usefixtures("solved")
@pytest.mark.parametrize(("before", "sigma"), [(0, 1.0), (1, 2.0), (3, None)])
def test_what_is_spent_costs_noise_and_may_leave_nothing_to_spend(before: int, sigma: float | None) -> None:
    spent = before * (Release("gram", "gaussian", 2.0, 1, 1, "s", "a", 1),)
    (found,) = noise_costs((8,), 0.01, 40, 4, 10, partial(bounds_after, spent))
    assert (found.noise_multiplier, found.a_coordinate) == (sigma, None if sigma is None else sigma / 4)


@pytest.mark.usefixtures("solved")
def test_an_earlier_promise_costs_its_noise_whatever_epsilon_is_asked_for() -> None:
    """Of epsilon 2 to anybody: four times the noise of 8, and under epsilon 1 less than that asks for."""
    kept = noise_costs((8, 1), 0.01, 40, 4, 10, lambda promise: [Bound(promise, ()), Bound(Promise(2, 0.01), ())])
    assert [found.noise_multiplier for found in kept] == [4, 8]


def test_below_fifty_patients_something_else_is_proposed() -> None:
    assert advice(50) == ""
    assert "local-only" in advice(49)
    assert "[secure_aggregation]" in advice(49)
