"""Means over what is defined."""

import numpy as np

from strategies.evaluation.run_scores import mean_of


def test_what_is_undefined_is_left_out_of_a_mean() -> None:
    assert mean_of(np.array([[1.0, np.nan], [np.nan, np.nan]]), axis=1).tolist()[0] == 1.0
    assert np.isnan(mean_of(np.array([[np.nan, np.nan]]), axis=1)[0])
