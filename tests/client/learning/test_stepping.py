"""One step: when local terms are called, and what they change."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from client.local_terms.contract import QuietTerm
from client.local_terms.proximal import Proximal
from client.tasks.contract import Batch
from protocol.errors import ModelError
from tests.support.small_training import BOTH, CROP, CT, Pathways, fresh, moved, stage, state, train


class Diary(QuietTerm):
    """A term that writes down when it is called, with a penalty that is a number of its own."""

    def __init__(self, model: Pathways) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.bias = model.get_parameter("ct_pathway.bias")

    def remember(self, batch: Batch) -> None:
        mask = batch.targets["segmentation"]
        self.calls.append(("remember", batch.ct is not None, batch.pet is not None, tuple(mask.shape)))

    def penalty(self, batch: Batch, answer: Tensor) -> Tensor | None:
        seen = (batch.ct is not None, batch.pet is not None)
        self.calls.append(("penalty", batch.setting, *seen, tuple(answer.shape)))
        return None

    def adjust_gradients(self) -> None:
        self.calls.append(("adjust", self.bias.grad is not None, self.bias.detach().clone()))
        self.bias.grad = torch.zeros_like(self.bias)

    def after_step(self) -> None:
        self.calls.append(("after", self.bias.detach().clone()))


def test_a_local_term_is_called_in_the_order_of_its_contract() -> None:
    model = fresh()
    diary = Diary(model)
    train(model, [BOTH], stage(modality_shares={"ct": 1.0}, local_steps=2, weight_decay=0), terms=[diary])
    assert [call[0] for call in diary.calls] == ["remember", "penalty", "adjust", "after"] * 2
    assert diary.calls[0][1:] == (True, False, (2, 1, *CROP))
    assert diary.calls[1][1:] == ("ct", True, False, (2, 2, *CROP))
    assert diary.calls[2][1] is True


def test_a_gradient_that_a_term_changes_is_what_the_optimiser_sees() -> None:
    model = fresh()
    before = state(model)
    train(model, [CT], stage(local_steps=2, weight_decay=0), terms=[Diary(model)])
    assert moved(before, model) == {"ct_pathway.weight"}


class Pull(QuietTerm):
    """A penalty with a gradient of -1 on each entry of the CT pathway's bias, and of `amount` in all."""

    def __init__(self, model: Pathways, amount: float = 0.0) -> None:
        self.bias, self.amount = model.get_parameter("ct_pathway.bias"), amount

    def penalty(self, *_step: Any) -> Tensor | None:
        return self.amount - 1e6 * self.bias.sum()


def test_a_penalty_joins_the_gradient_but_not_the_reported_loss() -> None:
    """A pull of 1e6 decides the sign of AdamW's first step: up, at a fifth of the rate 1e-2."""
    model, plain = fresh(), fresh()
    before = state(model)
    once = stage(local_steps=1, weight_decay=0)
    pulled, alone = train(model, [CT], once, terms=[Pull(model)]), train(plain, [CT], once)
    step = state(model)["ct_pathway.bias"] - before["ct_pathway.bias"]
    np.testing.assert_allclose(step.numpy(), 2e-3, rtol=1e-3)
    assert pulled.loss == alone.loss


def test_a_penalty_that_is_not_finite_stops_the_training() -> None:
    model = fresh()
    with pytest.raises(ModelError, match="training loss became nan"):
        train(model, [CT], stage(), terms=[Pull(model, np.nan)])


def test_a_penalty_on_a_pathway_that_a_step_does_not_use_moves_nothing_of_it() -> None:
    """FedProx reaches every trained tensor; its gradient of zero would let weight decay shrink the PET pathway."""
    model = fresh()
    before = state(model)
    term = Proximal(dict(model.named_parameters()), mu=1.0)
    train(model, [BOTH], stage(modality_shares={"ct": 1.0}, weight_decay=0.5), terms=[term])
    assert moved(before, model) == {"ct_pathway.weight", "ct_pathway.bias"}
