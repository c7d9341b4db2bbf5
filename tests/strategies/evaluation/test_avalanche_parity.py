"""Our figures beside what Avalanche's own metric classes say about the same dense matrices.

The numbers were printed by record_avalanche.py beside this file with avalanche-lib 0.6.0: each metric after each
evaluation pass, the first of which comes before any training. docs/continual.md lists where the definitions part.
"""

import numpy as np
import pytest

from strategies.evaluation.matrix import EvaluationMatrix
from tests.strategies.evaluation.record_avalanche import MATRICES

STREAM_ACCURACY = {
    "published": (0.133333333333, 0.433333333333, 0.666666666667, 0.75),
    "falling": (0.1, 0.575, 0.575),
    "rising": (0.0, 0.166666666667, 0.43, 0.66),
    "best in between": (0.1075, 0.3325, 0.55, 0.625, 0.6675),
}
STREAM_FORGETTING = {
    "published": (0.0, 0.0, 0.1, 0.15),
    "falling": (0.0, 0.0, 0.5),
    "rising": (0.0, 0.0, -0.13, -0.18),
    "best in between": (0.0, 0.0, -0.25, -0.13, 0.006666666667),
}
STREAM_BWT = {
    "published": (0.0, 0.0, -0.1, -0.15),
    "falling": (0.0, 0.0, -0.5),
    "rising": (0.0, 0.0, 0.13, 0.18),
    "best in between": (0.0, 0.0, 0.25, 0.13, -0.006666666667),
}
STREAM_FORWARD_TRANSFER = {
    "published": (0.0, 0.1, 0.2, 0.2),
    "falling": (0.0, 0.1, 0.1),
    "rising": (0.0, 0.12, 0.225, 0.225),
    "best in between": (0.0, 0.23, 0.28, 0.273333333333, 0.273333333333),
}


@pytest.fixture(params=MATRICES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def matrix(name: str) -> EvaluationMatrix:
    """One center a row, as Avalanche has one experience a training."""
    values = np.array(MATRICES[name])
    rows, centers = values.shape
    return EvaluationMatrix(
        stages=tuple(f"row-{i}" for i in range(rows)),
        centers=tuple("abcd"[:centers]),
        values=values,
        learned=tuple(range(1, rows)),
    )


def test_average_after_every_row(name: str, matrix: EvaluationMatrix) -> None:
    ours = [matrix.until(row).average for row in range(matrix.last + 1)]
    assert ours == pytest.approx(STREAM_ACCURACY[name], abs=1e-9)


def test_backward_transfer_after_every_row_that_has_one(name: str, matrix: EvaluationMatrix) -> None:
    ours = [matrix.until(row).backward_transfer for row in range(2, matrix.last + 1)]
    assert ours == pytest.approx(STREAM_BWT[name][2:], abs=1e-9)


def test_before_anything_can_be_forgotten_avalanche_says_zero_and_we_say_nothing(
    name: str, matrix: EvaluationMatrix
) -> None:
    assert STREAM_BWT[name][:2] == (0.0, 0.0)
    assert [matrix.until(row).backward_transfer for row in (0, 1)] == [None, None]


def test_forward_transfer_after_the_last_row(name: str, matrix: EvaluationMatrix) -> None:
    assert matrix.forward_transfer == pytest.approx(STREAM_FORWARD_TRANSFER[name][-1], abs=1e-9)


def test_avalanche_counts_forward_transfer_one_row_earlier(name: str, matrix: EvaluationMatrix) -> None:
    """It counts a center after the row before its own; we count it once it was learned."""
    ours = [matrix.until(row + 1).forward_transfer for row in range(1, matrix.last)]
    assert ours == pytest.approx(STREAM_FORWARD_TRANSFER[name][1:-1], abs=1e-9)


@pytest.mark.parametrize("falls_at_once", ["published", "falling"])
def test_forgetting_agrees_where_each_center_was_best_when_learned(falls_at_once: str) -> None:
    values = np.array(MATRICES[falls_at_once])
    dense = EvaluationMatrix(
        tuple("0123"[: len(values)]), tuple("abc"[: len(values) - 1]), values, (1, 2, 3)[: len(values) - 1]
    )
    assert dense.forgetting == pytest.approx(STREAM_FORGETTING[falls_at_once][-1], abs=1e-9)


def test_forgetting_from_the_best_is_more_than_avalanche_says() -> None:
    """Bests 0.77, 0.83, 0.59 against first scores 0.52, 0.66, 0.59; last 0.49, 0.71, 0.55."""
    values = np.array(MATRICES["best in between"])
    dense = EvaluationMatrix(tuple("01234"), tuple("abcd"), values, (1, 2, 3, 4))
    assert dense.forgetting == pytest.approx((0.28 + 0.12 + 0.04) / 3)
    assert STREAM_FORGETTING["best in between"][-1] == pytest.approx((0.03 - 0.05 + 0.04) / 3, abs=1e-9)
