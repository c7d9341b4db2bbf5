"""Rows in which every center's numbers stand at the same place, and the mean that comes back out of their sum."""

import numpy as np
import pytest

from protocol.errors import SecureSumError
from protocol.messages.settings import Training
from protocol.messages.tensors import TensorSpec
from strategies.secure_sum.layout import (
    GroupMean,
    empty_row,
    layout_of,
    loss_row,
    masked_specs,
    mean_of,
    row_of,
    total_finding,
)

SPECS = (
    TensorSpec("qkv#lora_b", "peft", (2, 1)),
    TensorSpec("qkv#lora_a", "peft", (1, 3)),
    TensorSpec("pet.w", "pet", (2,)),
    TensorSpec("w", "backbone", (4,)),
)
TRAINING = Training(
    groups=("peft", "pet"), roles=("lora_b",), local_steps=1, learning_rate=0.1, modality_shares={"ct": 1.0}
)
LAYOUT = layout_of(SPECS, TRAINING)


def test_what_trains_is_in_it_group_by_group() -> None:
    assert {group: [spec.key for spec in specs] for group, specs in LAYOUT.items()} == {
        "peft": ["qkv#lora_b"],
        "pet": ["pet.w"],
    }


def test_the_rows_that_travel() -> None:
    """Two halves of two numbers and two beside; of the loss and two beside."""
    assert {spec.key: spec.shape for spec in masked_specs(LAYOUT)} == {
        "masked.peft": (2, 4),
        "masked.pet": (2, 4),
        "masked.loss": (2, 3),
    }


def test_a_center_without_pet_dilutes_nothing() -> None:
    """(1 * 2 + 3 * 6) / 4 = 5 over two centers, with 1 and 9 cases; the third has none."""
    rows = [
        row_of(LAYOUT["pet"], {"pet.w": np.full(2, 2.0)}, 1.0, 1),
        row_of(LAYOUT["pet"], {"pet.w": np.full(2, 6.0)}, 3.0, 9),
        empty_row(LAYOUT["pet"]),
    ]
    found = mean_of(np.sum(rows, axis=0), LAYOUT["pet"])
    assert (found.coordinates["pet.w"].tolist(), found.weight, found.cases) == ([5.0, 5.0], 4.0, 10)


def test_nobody_behind_a_group_is_refused() -> None:
    with pytest.raises(SecureSumError, match="expected more than 0"):
        mean_of(empty_row(LAYOUT["pet"]), LAYOUT["pet"])


def test_a_tensor_of_another_shape_is_named() -> None:
    with pytest.raises(SecureSumError, match=r"pet\.w"):
        row_of(LAYOUT["pet"], {"pet.w": np.zeros(3)}, 1.0, 1)


@pytest.mark.parametrize(("loss", "row"), [(0.5, [0.5, 1, 0]), (None, [0, 0, 0]), (1e6, [0, 0, 0])])
def test_a_loss_that_may_not_leave_or_cannot_be_summed_counts_nothing(loss: float | None, row: list[float]) -> None:
    assert loss_row(loss).tolist() == row


@pytest.mark.parametrize(
    ("weight", "cases", "why"),
    [
        (1.75, 9, ""),
        (0.875, 2, ""),
        (1.8, 9, "weights that add up to 1.8, expected 0.875 to 1.75"),
        (0.8, 9, "weights that add up to 0.8"),
        (1.0, 10, "10 cases, expected 2 to 9"),
        (1.0, 1, "1 cases"),
    ],
)
def test_totals_are_within_what_was_agreed(weight: float, cases: int, why: str) -> None:
    """4 + 3 of 4 by two centers with 5 and 4 cases; a third is not in it."""
    found = total_finding(GroupMean({}, weight, cases), {"a": 4.0, "b": 3.0, "c": 4.0}, {"a": 5, "b": 4})
    assert found.startswith(why)
    assert bool(found) == bool(why)
