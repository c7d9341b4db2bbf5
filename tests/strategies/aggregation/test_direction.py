"""How updates of a round lie to each other."""

import numpy as np
import pytest

from strategies.aggregation.direction import Update, directions


def found(updates: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    def read() -> list[tuple[str, Update]]:
        return [
            (name, {key: np.array(values, float) for key, values in update.items()}) for name, update in updates.items()
        ]

    return directions(read)


def test_a_flipped_sign_stands_against_all_others() -> None:
    """Beside (1, 0) and (1, 0) lies (-5, 0); beside (1, 0) and (-5, 0), each of the others."""
    assert found({"a": {"w": [1, 0]}, "b": {"w": [1, 0]}, "liar": {"w": [-5, 0]}}) == {"a": -1, "b": -1, "liar": -1}
    assert found({"a": {"w": [1, 0]}, "b": {"w": [2, 0]}, "c": {"w": [4, 0]}, "liar": {"w": [-1, 0]}}) == {
        "a": 1,
        "b": 1,
        "c": 1,
        "liar": -1,
    }


def test_at_right_angles_is_zero_and_half_way_between_is_cosine_45() -> None:
    assert found({"a": {"w": [1, 0]}, "b": {"w": [0, 1]}}) == {"a": 0, "b": 0}
    assert found({"a": {"w": [1, 0]}, "b": {"w": [3, 3]}})["a"] == pytest.approx(0.5**0.5)


def test_what_has_nothing_beside_it_has_no_direction() -> None:
    assert found({"a": {"w": [1.0]}, "b": {"v": [1.0]}}) == {}
    assert found({"a": {"w": [0.0]}, "b": {"w": [1.0]}}) == {}
    assert found({"a": {"w": [1.0, 2.0]}, "b": {"w": [1.0]}}) == {}
