"""Metrics of a cohort in resamples of it, on cases one can count by hand."""

import numpy as np
import pytest

from protocol.tasks import TASKS, TaskName
from strategies.evaluation.cohort_metrics import COHORT_METRICS, Cohort, Row, auc_of, concordance_of
from tests.support.patient_scores import classified

CLASSES = [classified(0, 0.2), classified(0, 0.6), classified(1, 0.4), classified(1, 0.8)]
TIMES: list[Row] = [
    {"risk/death": 3.0, "days/death": 10.0, "event/death": 1.0, "risk/relapse": None},
    {"risk/death": 1.0, "days/death": 20.0, "event/death": 1.0, "risk/relapse": None},
    {"risk/death": 2.0, "days/death": 30.0, "event/death": 0.0, "risk/relapse": None},
]


@pytest.mark.parametrize("name", TASKS)
def test_every_primary_metric_of_a_cohort_can_be_resampled(name: TaskName) -> None:
    task = TASKS[name]
    assert (task.primary in COHORT_METRICS) == (task.metric(task.primary).of == "cohort")


def test_the_area_is_the_share_of_pairs_in_order_in_every_draw() -> None:
    """All four: 3 of 4 pairs. Without the negative 0.6: both pairs. Positives alone: undefined."""
    weights = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1], [0, 0, 2, 2]])
    assert auc_of(CLASSES, weights)[:2].tolist() == [0.75, 1.0]
    assert np.isnan(auc_of(CLASSES, weights)[2])


def test_concordance_counts_the_pairs_of_the_endpoints_that_cases_have() -> None:
    """Death: pairs (1, 2), (1, 3), (2, 3), of which the last is out of order. Nobody has a risk of relapse."""
    found = concordance_of(TIMES, np.array([[1.0, 1, 1], [1, 1, 0], [0, 0, 3]]))
    assert found[:2].tolist() == [pytest.approx(2 / 3), 1.0]
    assert np.isnan(found[2])


def test_endpoints_count_by_their_pairs() -> None:
    """Death 2 of 3 pairs, relapse 0 of 1: 2 / 4."""
    relapse: list[Row] = [
        {"risk/relapse": 1.0, "days/relapse": 5.0, "event/relapse": 1.0},
        {"risk/relapse": 2.0, "days/relapse": 6.0, "event/relapse": 0.0},
        {"risk/relapse": 2.0, "days/relapse": None, "event/relapse": 0.0},
    ]
    rows = [{**first, **second} for first, second in zip(TIMES, relapse, strict=True)]
    assert concordance_of(rows, np.ones((1, 3))).tolist() == [0.5]


def test_a_row_has_the_cases_that_were_scored_after_it() -> None:
    cohort = Cohort(auc_of, ((None,) * 4, (CLASSES[0], None, CLASSES[2], CLASSES[3])))
    assert np.isnan(cohort.in_draws(0, np.ones((2, 4)))).all()
    assert cohort.in_draws(-1, np.ones((2, 4))).tolist() == [1.0, 1.0]
