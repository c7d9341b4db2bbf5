"""The table of survival heads."""

import pytest
import torch

from fusion_models.survival.heads import HEADS
from protocol.messages.labels import Survival

EDGES = torch.tensor([100.0, 200.0])
OUTPUTS_OF_ONE = {"mtlr": 2, "cox": 1}


def outputs_of(head: str, cases: int = 3, endpoints: int = 2) -> torch.Tensor:
    return torch.randn(cases, endpoints * OUTPUTS_OF_ONE[head], generator=torch.Generator().manual_seed(0))


def test_every_head_that_a_study_may_name_is_in_the_table() -> None:
    assert set(HEADS) == set(Survival.model_json_schema()["properties"]["head"]["enum"])


@pytest.mark.parametrize("head", HEADS)
def test_a_case_has_one_risk_an_endpoint(head: str) -> None:
    assert HEADS[head].risk(outputs_of(head), 2).shape == (3, 2)


@pytest.mark.parametrize("head", HEADS)
def test_the_loss_is_a_number_with_a_gradient(head: str) -> None:
    outputs = outputs_of(head).requires_grad_()
    HEADS[head].loss(
        outputs, torch.tensor([[[50.0, 1.0]] * 2, [[150.0, 0.0]] * 2, [[250.0, 1.0]] * 2]), EDGES
    ).backward()
    assert outputs.grad is not None
    assert outputs.grad.abs().sum() > 0


def test_time_bins_give_a_curve_at_every_edge_and_an_order_gives_none() -> None:
    shapes = {name: tuple(head.curve(outputs_of(name), 2).shape) for name, head in HEADS.items()}
    assert shapes == {"mtlr": (3, 2, 2), "cox": (3, 2, 0)}


def test_a_teacher_of_time_bins_teaches_a_distribution_a_case_one_of_order_a_distribution_over_cases() -> None:
    shapes = {name: tuple(head.logits(outputs_of(name), 2).shape) for name, head in HEADS.items()}
    assert shapes == {"mtlr": (3, 2, 3), "cox": (2, 3)}
