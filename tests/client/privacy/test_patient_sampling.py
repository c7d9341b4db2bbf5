"""Who is sampled: everybody with the same probability, each apart from the others."""

import numpy as np
import pytest

from client.privacy.patient_sampling import sample_patients, sample_rate

PATIENTS = {name: name for name in "abcdefgh"}


@pytest.mark.parametrize(("expected", "patients", "rate"), [(2, 8, 0.25), (8, 8, 1.0), (16, 8, 1.0)])
def test_the_rate_gives_as_many_as_are_expected_and_never_more_than_there_are(
    expected: int, patients: int, rate: float
) -> None:
    assert sample_rate(expected, patients) == rate


def test_everybody_is_in_every_step_at_a_rate_of_one() -> None:
    assert sample_patients(PATIENTS, 1.0, np.random.default_rng(0)) == sorted(PATIENTS)


def test_samples_are_of_every_size_and_of_nobody_too() -> None:
    """At 2 of 8 a step is empty with probability 0.75^8 = 0.1; no fixed batch ever is."""
    rng = np.random.default_rng(0)
    sizes = [len(sample_patients(PATIENTS, 0.25, rng)) for _ in range(2000)]
    assert np.mean(sizes) == pytest.approx(2, abs=0.1)
    assert np.var(sizes) == pytest.approx(1.5, abs=0.15)
    assert sizes.count(0) / 2000 == pytest.approx(0.75**8, abs=0.02)


def test_one_patient_more_or_less_leaves_the_others_where_they_are_on_average() -> None:
    """Two patients are in together as often as chance has it: 1/16 at a rate of 1/4."""
    rng = np.random.default_rng(1)
    both = [{"a", "b"} <= set(sample_patients(PATIENTS, 0.25, rng)) for _ in range(4000)]
    assert np.mean(both) == pytest.approx(1 / 16, abs=0.012)


def test_the_order_of_names_decides_and_not_that_of_the_listing() -> None:
    backwards = dict(reversed(PATIENTS.items()))
    found = [sample_patients(given, 0.5, np.random.default_rng(3)) for given in (PATIENTS, backwards)]
    assert found[0] == found[1]
