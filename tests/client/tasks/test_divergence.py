"""The divergence of two answers, and the voxels of a teacher's that count."""

import math

import pytest
import torch
from torch import Tensor

from client.tasks.divergence import divergence, worth_hearing

SURE, UNSURE = (math.log(19), 0.0), (math.log(1.5), 0.0)  # p = 0.95 and 0.6 of background


def logits(*voxels: tuple[float, float]) -> Tensor:
    """(1, 2, 1, 1, n) from pairs (background, lesion)."""
    return torch.tensor(voxels).T.reshape(1, 2, 1, 1, -1)


def test_the_divergence_is_at_temperature_two() -> None:
    """Teacher (2 log 3, 0) becomes p = (3/4, 1/4), the student's even logits (1/2, 1/2)."""
    found = divergence(logits((2 * math.log(3), 0.0)), logits((0.0, 0.0)))
    assert found.shape == (1, 1, 1, 1)
    assert found.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-5)


def test_an_answer_for_a_case_has_one_divergence() -> None:
    found = divergence(torch.tensor([[2 * math.log(3), 0.0], [0.0, 0.0]]), torch.zeros(2, 2))
    assert found.shape == (2,)
    assert found[1] == 0


def test_confidence_is_read_before_tempering_and_above_nine_tenths() -> None:
    """0.95 counts although its tempered probability is 0.81; 0.6 does not."""
    assert worth_hearing(logits(SURE, UNSURE), (0, 0, 0)).flatten().tolist() == [True, False]


def test_voxels_beside_the_predicted_lesion_count() -> None:
    """Two voxels either side of an unsure lesion."""
    taught = logits(*[UNSURE] * 3, (0.0, 0.1), *[UNSURE] * 3)
    assert worth_hearing(taught, (0, 0, 2)).flatten().tolist() == [False, True, True, True, True, True, False]
