"""Labels as arrays: what is missing is not there, or NaN beside what is."""

import numpy as np

from client.data.labels import CaseLabels
from client.data.targets import add_labels
from tests.support.masked_case import masked

MASK = np.zeros((2, 2, 2), np.uint8)
BARE = masked("p", None, None, MASK)


def test_a_class_is_its_index_and_joins_the_contour() -> None:
    found = add_labels(BARE, CaseLabels(class_index=1))
    assert set(found.targets) == {"segmentation", "classification"}
    assert found.targets["classification"].shape == ()
    assert int(found.targets["classification"]) == 1


def test_times_stand_in_the_order_of_the_endpoints_and_a_missing_one_is_nan() -> None:
    found = add_labels(BARE, CaseLabels(endpoints=((365.25, 0), None)))
    np.testing.assert_array_equal(found.targets["survival"], [[365.25, 0], [np.nan, np.nan]])


def test_without_a_single_time_there_is_no_survival() -> None:
    assert set(add_labels(BARE, CaseLabels(endpoints=(None, None))).targets) == {"segmentation"}


def test_covariates_are_a_vector_or_absent() -> None:
    assert add_labels(BARE, CaseLabels()).ehr is None
    found = add_labels(BARE, CaseLabels(ehr=(0.5, 0.0, 1.0)))
    assert found.ehr is not None
    assert found.ehr.dtype == np.float32
    assert found.ehr.tolist() == [0.5, 0, 1]
    assert found.modalities == ("ehr",)
