"""The arithmetic of what a coordinator costs by number of centers."""

import math

import pytest

from tests.support.benchmark_scripts import load_script

many_centers = load_script("speed/many_centers.py")


def test_a_cost_that_grows_as_the_centers_do_has_exponent_one_and_as_their_square_two() -> None:
    rows = [{"centers": n, "linear": n / 7, "square": n * n / 7} for n in (16, 64, 250, 1000)]
    assert many_centers.exponent(rows, "linear") == pytest.approx(1)
    assert many_centers.exponent(rows, "square") == pytest.approx(2)
    assert math.isnan(many_centers.exponent(rows[:2], "linear"))  # 16 centers are not fitted
