"""What the table of Dice against epsilon says of runs."""

from tests.support.benchmark_scripts import load_script

epsilon = load_script("privacy/epsilon.py")


def test_runs_of_an_arm_are_one_row_with_their_range_and_the_most_that_was_spent() -> None:
    runs = [
        epsilon.Row("small", "8", seed, 0.25, dice, spent, 1.5)
        for seed, dice, spent in ((1, 0.5, 7.5), (2, 0.25, 7.75))
    ]
    (row,) = epsilon.summary(runs)
    assert (row["dice"], row["lowest"], row["highest"], row["spent"], row["seeds"]) == (0.375, 0.25, 0.5, 7.75, 2)


def test_nothing_is_spent_of_what_nobody_promised() -> None:
    (row,) = epsilon.summary([epsilon.Row("large", "inf", 1, 0.25, 0.5, float("inf"), 0.0)])
    assert row["spent"] is None
