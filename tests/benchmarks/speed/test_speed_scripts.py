"""The arithmetic of what scripts in `benchmarks/speed` print; what they time is theirs to run."""

from pathlib import Path

import pytest

from tests.support.benchmark_scripts import load_script

compiled_step = load_script("speed/compiled_step.py")


def test_a_minute_of_warm_up_pays_after_600_steps_that_save_a_tenth_of_a_second() -> None:
    assert compiled_step.pays_after(60, 0.3, 0.2) == pytest.approx(600)
    assert compiled_step.pays_after(60, 0.2, 0.2) is None


def test_the_centers_of_the_study_on_sarcoma_that_were_there_first_take_2200_steps(repository: Path) -> None:
    """25, 20, 6 and 4 rounds of 40 steps."""
    assert compiled_step.steps_of_a_center(repository / "studies" / "sts.toml") == 2200


def test_validation_of_two_cases_in_four_views_takes_half_of_a_round_of_forty_steps() -> None:
    """8 predictions of 5 s beside 40 steps of 1 s."""
    frozen_features = load_script("speed/frozen_features.py")
    row = {"prediction_s": 5.0, "step_s": 1.0}
    assert frozen_features.share_of_round(row, cases=2, steps=40, views=4) == pytest.approx(0.5)


def test_a_private_step_is_held_against_the_plain_one_with_the_same_adapter() -> None:
    privacy = load_script("speed/privacy.py")
    found = [{"arm": arm.name, "seconds": None, "peak_mib": None} for arm in privacy.ARMS]
    figures = {"plain, lora": (2.0, 100.0), "together, lora": (3.0, 50.0)}
    for row in found:
        row["seconds"], row["peak_mib"] = figures.get(row["arm"], (None, None))
    privacy.add_ratios(found)
    ratios = {row["arm"]: (row["seconds_ratio"], row["peak_mib_ratio"]) for row in found}
    assert (ratios["together, lora"], ratios["opacus, lora"]) == ((1.5, 0.5), (None, None))
