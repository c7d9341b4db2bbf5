"""Which cases and settings a task is asked about."""

import numpy as np

from client.data.preprocessing import PreparedCase
from client.tasks.contract import runnable_settings, with_target
from tests.support.masked_case import masked
from tests.support.segmentation_task import segmentation

IMAGE, VECTOR = np.zeros((2, 2, 2), np.float32), np.zeros(3, np.float32)


def test_cases_without_the_target_are_left_out() -> None:
    cases = [masked("a", IMAGE, None, IMAGE.astype(np.uint8)), PreparedCase("b", IMAGE)]
    assert [case.name for case in with_target(segmentation(), cases)] == ["a"]


def test_a_setting_runs_where_case_model_and_task_allow_it() -> None:
    """The case has no PET, the model cannot take CT alone beside nothing else, and a mask needs no covariates."""
    case = PreparedCase("a", IMAGE, None, ehr=VECTOR)
    able = ("ct", "pet", "ehr", "ct+pet", "ct+ehr")
    assert runnable_settings(segmentation(), case, able) == ("ct",)
    assert runnable_settings(segmentation(), case, ("ct+ehr",)) == ()


def test_the_fullest_setting_comes_last() -> None:
    case = PreparedCase("a", IMAGE, IMAGE)
    assert runnable_settings(segmentation(), case, ("ct+pet", "pet", "ct")) == ("ct", "pet", "ct+pet")
