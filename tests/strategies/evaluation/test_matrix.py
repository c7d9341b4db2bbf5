"""Transfer, forgetting and fairness on matrices small enough to check by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from strategies.evaluation.matrix import EvaluationMatrix

NAN = float("nan")


def matrix(values: Any, learned: tuple[int | None, ...]) -> EvaluationMatrix:
    rows, columns = np.shape(values)
    return EvaluationMatrix(
        stages=tuple(f"stage-{i}" for i in range(rows)),
        centers=tuple("abcdefgh"[:columns]),
        values=np.array(values, dtype=np.float64),
        learned=learned,
    )


@pytest.fixture
def square() -> EvaluationMatrix:
    """The published test vector: centers a, b, c learned one a row."""
    return matrix([[0.1, 0.2, 0.1], [0.8, 0.3, 0.2], [0.7, 0.9, 0.4], [0.6, 0.8, 0.85]], (1, 2, 3))


@pytest.fixture
def growing() -> EvaluationMatrix:
    """Centers a and b learned together in row 1, c arrives in row 2, d is scored and never trained.

    b was not evaluated after row 0, a not after row 2.
    """
    return matrix(
        [[0.1, NAN, 0.2, 0.0], [0.6, 0.5, 0.4, 0.3], [NAN, 0.7, 0.8, 0.5], [0.4, 0.6, 0.7, 0.5]], (1, 1, 2, None)
    )


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("average", 0.75),
        ("backward_transfer", -0.15),
        ("forward_transfer", 0.20),
        ("forgetting", 0.15),
        ("relative_forgetting", (0.2 / 0.8 + 0.1 / 0.9) / 2),
        ("learning_accuracy", 0.85),
        ("incremental", (0.8 + 0.8 + 0.75) / 3),
        ("spread", 0.25),
        ("standard_deviation", (0.035 / 3) ** 0.5),
    ],
)
def test_square_matrix(square: EvaluationMatrix, metric: str, value: float) -> None:
    assert getattr(square, metric) == pytest.approx(value, abs=1e-12)


def test_worst_center_has_name_and_score(square: EvaluationMatrix) -> None:
    assert square.worst_center == ("a", 0.6)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("average", (0.4 + 0.6 + 0.7 + 0.5) / 4),
        ("learning_accuracy", (0.6 + 0.5 + 0.8) / 3),
        ("incremental", (0.55 + 0.75 + 1.7 / 3) / 3),
        ("backward_transfer", (-0.2 + 0.1 - 0.1) / 3),
        ("forward_transfer", 0.4 - 0.2),
        ("forgetting", (0.2 + 0.1 + 0.1) / 3),
        ("relative_forgetting", (0.2 / 0.6 + 0.1 / 0.7 + 0.1 / 0.8) / 3),
    ],
)
def test_two_centers_learned_in_one_row_then_one_arrives(growing: EvaluationMatrix, metric: str, value: float) -> None:
    assert getattr(growing, metric) == pytest.approx(value, abs=1e-12)


def test_cells_without_a_value_are_counted(growing: EvaluationMatrix) -> None:
    assert growing.undefined == 2


def test_forgetting_after_each_arrival(growing: EvaluationMatrix) -> None:
    """Row 2: a has no score, b rose by 0.2. Row 1: nobody was learned before."""
    assert growing.until(2).forgetting == pytest.approx(-0.2)
    assert growing.until(1).forgetting is None


def test_until_unlearns_what_came_later(growing: EvaluationMatrix) -> None:
    assert growing.until(1).learned == (1, 1, None, None)
    assert growing.until(0).stages == ("stage-0",)


def test_until_the_last_row_changes_nothing(square: EvaluationMatrix) -> None:
    assert square.until(3).forgetting == square.forgetting


def test_before_the_sequence_only_the_average_is_defined(square: EvaluationMatrix) -> None:
    start = square.until(0)
    assert start.average == pytest.approx(0.4 / 3)
    learned = (start.learning_accuracy, start.incremental, start.backward_transfer, start.forward_transfer)
    assert (*learned, start.forgetting) == (None,) * 5


def test_without_a_score_in_the_last_row_nothing_is_invented() -> None:
    empty = matrix([[0.1, 0.2], [0.3, 0.4], [NAN, NAN]], (1, 2))
    scores = (empty.average, empty.worst_center, empty.spread, empty.standard_deviation)
    assert (*scores, empty.backward_transfer, empty.forgetting) == (None,) * 6


def test_forgetting_takes_the_best_of_the_evaluated_rows() -> None:
    values = [[0.1], [0.5], [NAN], [0.7], [0.6]]
    assert matrix(values, (1,)).forgetting == pytest.approx(0.1)


def test_forgetting_leaves_out_a_center_never_evaluated_before_the_last_row() -> None:
    assert matrix([[0.1], [NAN], [0.6]], (1,)).forgetting is None


@pytest.mark.parametrize(
    ("values", "learned", "message"),
    [
        ([[0.1, 0.2]], (None,), r"values \(1, 2\) and 1 learned rows"),
        ([[0.1], [0.2]], (0,), "center 'a' learned in row 0, expected 1 to 1"),
        ([[0.1], [0.2]], (2,), "center 'a' learned in row 2, expected 1 to 1"),
    ],
)
def test_a_matrix_that_contradicts_itself_is_refused(
    values: Any, learned: tuple[int | None, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        matrix(values, learned)


@pytest.mark.parametrize("row", [-1, 4])
def test_a_row_that_does_not_exist_cannot_be_cut_at(square: EvaluationMatrix, row: int) -> None:
    with pytest.raises(ValueError, match=f"rows 0 to 3, found {row}"):
        square.until(row)


def fall_of(found: EvaluationMatrix) -> tuple[str, float]:
    """The worst fall, rounded."""
    name, fall = found.worst_forgetting or ("", NAN)
    return name, round(fall, 12)


def test_the_worst_fall_has_name_and_size(square: EvaluationMatrix) -> None:
    assert fall_of(square) == ("a", 0.2)
    assert square.forgetting_by_center == {"a": pytest.approx(0.2), "b": pytest.approx(0.1)}


def test_the_worst_fall_is_negative_where_every_center_rose() -> None:
    rose = matrix([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [0.4, 0.3, 0.0], [0.6, 0.4, 0.5]], (1, 2, 3))
    assert fall_of(rose) == ("b", -0.1)


def test_a_center_that_cannot_be_compared_has_no_fall() -> None:
    gap = matrix([[0.1, 0.1], [NAN, 0.5], [0.4, 0.3]], (1, 1))
    assert gap.forgetting_by_center == {"a": None, "b": pytest.approx(0.2)}
    assert fall_of(gap) == ("b", 0.2)


def test_before_anything_can_be_forgotten_there_is_no_worst_fall(square: EvaluationMatrix) -> None:
    assert (square.until(1).worst_forgetting, square.until(1).relative_forgetting) == (None, None)


def test_a_best_of_zero_has_no_relative_fall() -> None:
    """a never got above 0; b fell from 0.5 to 0.4."""
    zero = matrix([[0.0, 0.0], [0.0, 0.5], [0.0, 0.4]], (1, 1))
    assert zero.relative_forgetting == pytest.approx(0.2)


def test_the_last_row_by_name(growing: EvaluationMatrix) -> None:
    assert growing.final == {"a": 0.4, "b": 0.6, "c": 0.7, "d": 0.5}
    assert growing.until(2).final["a"] is None


def test_intransigence_is_what_joint_training_reaches_and_this_order_did_not(square: EvaluationMatrix) -> None:
    """(0.82 - 0.8, 0.85 - 0.9); c has no joint model."""
    joint = {"a": 0.82, "b": 0.85, "c": None}
    assert square.intransigence_by_center(joint) == {"a": pytest.approx(0.02), "b": pytest.approx(-0.05), "c": None}
    assert square.intransigence(joint) == pytest.approx(-0.015)
    assert square.intransigence({}) is None


def test_a_center_that_never_trained_is_not_intransigent(growing: EvaluationMatrix) -> None:
    assert growing.intransigence_by_center(dict.fromkeys("abcd", 1.0)) == {
        "a": pytest.approx(0.4),
        "b": pytest.approx(0.5),
        "c": pytest.approx(0.2),
    }


@given(arrays(np.float64, (5, 4), elements=st.floats(0, 1)))
def test_learning_accuracy_is_the_mean_joint_score_minus_intransigence(values: Any) -> None:
    dense = matrix(values, (1, 2, 3, 4))
    intransigence, learning = dense.intransigence(dict.fromkeys("abcd", 1.0)), dense.learning_accuracy
    assert intransigence is not None
    assert learning == pytest.approx(1.0 - intransigence, abs=1e-12)


@given(arrays(np.float64, (5, 4), elements=st.floats(0.01, 1)))
def test_no_center_falls_more_than_the_worst_and_none_by_more_than_its_best(values: Any) -> None:
    dense = matrix(values, (1, 2, 3, 4))
    assert dense.worst_forgetting is not None
    assert dense.forgetting is not None
    assert dense.relative_forgetting is not None
    assert dense.worst_forgetting[1] >= dense.forgetting - 1e-12
    assert dense.relative_forgetting <= 1


@given(arrays(np.float64, (5, 4), elements=st.floats(0, 1)), st.permutations(range(4)))
def test_the_order_of_columns_changes_no_figure(values: Any, order: "list[int]") -> None:
    dense, permuted = matrix(values, (1, 2, 3, 4)), matrix(values[:, order], tuple(i + 1 for i in order))
    for metric in (
        "average",
        "backward_transfer",
        "forward_transfer",
        "forgetting",
        "incremental",
        "learning_accuracy",
    ):
        assert getattr(dense, metric) == pytest.approx(getattr(permuted, metric), abs=1e-12)


@given(arrays(np.float64, (5, 4), elements=st.floats(0, 1)))
def test_forgetting_is_at_least_minus_backward_transfer(values: Any) -> None:
    dense = matrix(values, (1, 2, 3, 4))
    assert dense.forgetting is not None
    assert dense.backward_transfer is not None
    assert dense.forgetting >= -dense.backward_transfer - 1e-12


@given(arrays(np.float64, (5, 4), elements=st.floats(0, 1)))
def test_forgetting_on_a_square_matrix_is_the_textbook_sum(values: Any) -> None:
    dense = matrix(values, (1, 2, 3, 4))
    textbook = sum(values[j:4, j - 1].max() - values[4, j - 1] for j in range(1, 4)) / 3
    assert dense.forgetting == pytest.approx(textbook, abs=1e-12)
