"""A round as local terms see it, on networks of a few numbers."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.local_terms.contract import LocalTerm, Round
from fusion_models.adapters.injection import inject, lora_config
from fusion_models.adapters.keys import parameters_by_key
from protocol.messages.settings import Model, StudySettings, Training, Weight
from tests.support.segmentation_task import batch, segmentation

Arrays = Mapping[str, NDArray[np.float32]]
NOTHING = torch.zeros(1)


class Pair(nn.Module):
    """Two trained tensors and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.v = nn.Parameter(torch.tensor([3.0]))
        self.frozen = nn.Parameter(torch.tensor([5.0]), requires_grad=False)


def around(
    model: nn.Module,
    received: Arrays | None = None,
    reference: Arrays | None = None,
    terms: Mapping[str, Weight] | None = None,
) -> Round:
    """A round that trains what of `model` requires a gradient."""
    training = Training(
        groups=("peft",), terms=dict(terms or {}), local_steps=4, learning_rate=0.1, modality_shares={"ct": 1.0}
    )
    settings = StudySettings(study="s", seed=0, model=Model(name="pemma-unetr-tiny"))
    return Round(model, training, received or {}, reference or {}, settings, segmentation(), {}, lambda _: model, 4)


def array(*values: float) -> NDArray[np.float32]:
    """A vector as it travels."""
    return np.array(values, np.float32)


def penalty(term: LocalTerm | None) -> Tensor:
    """What a term adds to the loss of a step; there must be something."""
    assert term is not None
    found = term.penalty(batch(), NOTHING)
    assert found is not None
    return found


def adapted(seed: int = 0) -> nn.Module:
    """A Linear 3 -> 2 with a LoRA of rank 2, A = [[1, 0, 0], [0, 1, 0]]."""
    model = inject(
        nn.Sequential(nn.Linear(3, 2)), lora_config(method="lora", rank=2, alpha=2, targets=["0"]), seed=seed
    )
    with torch.no_grad():
        parameters_by_key(model)["0#lora_a"].copy_(torch.eye(2, 3))
    return model
