"""The sum over the centers whose numbers came, whoever left before or after, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as drawn

from protocol.errors import SecureSumError
from strategies.secure_sum.fixed_point import from_words
from tests.support.summed_centers import SummedCenters

FEW = settings(max_examples=12, deadline=None)


def rows(centers: int, size: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return {f"c{index}": {"peft": rng.uniform(-9, 9, size), "pet": rng.uniform(-9, 9, 3)} for index in range(centers)}


@FEW
@given(centers=drawn.integers(3, 7), size=drawn.integers(1, 40), seed=drawn.integers(0, 999))
def test_the_sum_is_that_of_the_numbers(centers: int, size: int, seed: int) -> None:
    values = rows(centers, size, seed)
    found = SummedCenters(values).run()
    for group in ("peft", "pet"):
        assert np.abs(found[group] - sum(own[group] for own in values.values())).max() <= centers * 2.0**-31


@FEW
@given(phase=drawn.sampled_from(["share", "mask", "reveal"]), seed=drawn.integers(0, 999))
def test_a_center_that_leaves_at_any_phase_takes_its_own_numbers_along_and_no_more(phase: str, seed: int) -> None:
    """Of five; who leaves after its numbers came is still in the sum."""
    values = rows(5, 7, seed)
    found = SummedCenters(values, gone={phase: ["c2"]}).run()
    there = [own for center, own in values.items() if center != "c2" or phase == "reveal"]
    assert np.abs(found["peft"] - sum(own["peft"] for own in there)).max() <= 5 * 2.0**-31


def test_below_the_threshold_nothing_is_seen() -> None:
    """Of five, four parts give a secret back."""
    with pytest.raises(SecureSumError, match="expected 4 of them"):
        SummedCenters(rows(5, 7, 0), gone={"reveal": ["c0", "c1"]}).run()


def test_a_group_that_two_centers_stand_behind_is_not_opened() -> None:
    """The third and fourth sent zeros for it; what all four stand behind is opened all the same."""
    values = rows(4, 7, 0)
    for center in ("c2", "c3"):
        values[center]["pet"] = np.zeros(3)
    assert set(SummedCenters(values).run()) == {"peft"}


def test_a_third_center_opens_it() -> None:
    values = rows(4, 7, 0)
    values["c3"]["pet"] = np.zeros(3)
    expected = sum(values[center]["pet"] for center in ("c0", "c1", "c2"))
    assert np.allclose(SummedCenters(values).run()["pet"], expected, atol=1e-8)


def test_what_one_center_sends_says_nothing_of_its_numbers() -> None:
    """A thousand equal numbers come out spread over the whole range, as random ones do."""
    found = SummedCenters({f"c{index}": {"peft": np.ones(1000)} for index in range(3)})
    found.run()
    seen = from_words(found.masked["c0"]["peft"])
    assert len(set(seen)) == 1000
    assert abs(seen).mean() == pytest.approx(2.0**16, rel=0.1)


def test_not_a_number_never_enters() -> None:
    values = rows(3, 4, 0)
    values["c1"]["peft"][2] = np.nan
    with pytest.raises(SecureSumError, match=r"1 of 4 number\(s\)"):
        SummedCenters(values).run()
