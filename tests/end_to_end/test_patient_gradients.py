"""Every row of the model table gives each patient a gradient of its own, to 1e-6, with LoRA and DoRA and its pathways.

Two oracles, in float64: patients one by one through `backward`, clipped by hand; and both in one batch, whose mean loss
has the mean of their gradients only if no module of the network lets one see the other. What shares a pass over the
network must equal the first.
"""

from collections.abc import Mapping
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from client.learning.assembly import build, inject_adapter
from client.learning.patient_gradients import differentiate_together
from client.learning.trainable import train_only
from client.privacy.gradient_clipping import ClippedSum, group_parameters
from client.privacy.secret_randomness import SecretRandomness
from client.tasks.contract import Batch, CenterTask
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.contract import Assessor, Fuser, Segmenter
from fusion_models.modality import Inputs, restrict
from fusion_models.model_row import ModelRow
from fusion_models.registry import MODELS
from protocol.messages.settings import Adapter, Model, Preprocessing, StudySettings
from protocol.messages.tensors import group_of
from tests.support.clinical_table import SCHEMA
from tests.support.smallest_models import SMALLEST

TRAINED = ("pet", "fusion", "ehr", "head", "peft")
NO_NOISE = 0.0


def settings_of(name: str, method: str) -> StudySettings:
    row = MODELS[name]
    return StudySettings.model_validate(
        {
            "study": "private",
            "seed": 3,
            "model": Model(name=name, options={"drop_path": 0.0} if "drop_path" in row.options else {}),
            "tasks": tuple(dict.fromkeys((row.tasks[0], row.tasks[-1]))),
            "labels": SCHEMA,
            "adapter": Adapter.model_validate({"method": method, "rank": 2, "alpha": 4}),
            "preprocessing": Preprocessing(crop_zyx=row.crop_zyx),
        }
    )


def adapted(name: str, method: str) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """The network in float64 with every tensor moved off its start, and what trains."""
    settings, row = settings_of(name, method), MODELS[name]
    model = build(settings, row)
    inject_adapter(model, settings, row)
    model = model.double().train()
    generator = torch.Generator().manual_seed(1)
    live = train_only(model, TRAINED, row.pathways)
    with torch.no_grad():
        for value in live.values():
            value.add_(0.01 * torch.randn(value.shape, generator=generator, dtype=torch.float64))
    return model, live


def patients(row: ModelRow, number: int) -> Inputs:
    generator = torch.Generator().manual_seed(2)
    ct, pet = (torch.rand(number, 1, *row.crop_zyx, generator=generator, dtype=torch.float64) for _ in range(2))
    ehr = torch.rand(number, SCHEMA.covariate_width, generator=generator, dtype=torch.float64)
    return restrict(max(row.settings, key=len), ct, pet, ehr)


def one_of(inputs: Inputs, place: int) -> Inputs:
    return Inputs(*(None if given is None else given[place : place + 1] for given in inputs))


def loss_of(model: nn.Module, inputs: Inputs) -> Tensor:
    """A mean over patients of something that every output has a part in."""
    torch.manual_seed(0)
    outputs = list(model.scales(*inputs[:2])) if isinstance(model, Segmenter) else []
    outputs += [model.assess(*inputs)] if isinstance(model, Assessor) else []
    outputs += [model(*inputs)] if isinstance(model, Fuser) else []
    return torch.stack([output.double().square().mean() for output in outputs]).sum()


def backward(model: nn.Module, live: Mapping[str, nn.Parameter], inputs: Inputs) -> Tensor:
    """The gradient over all that trains, as one vector."""
    model.zero_grad(set_to_none=True)
    loss_of(model, inputs).backward()
    return flat(live)


def flat(live: Mapping[str, nn.Parameter]) -> Tensor:
    found = [torch.zeros_like(value) if value.grad is None else value.grad for value in live.values()]
    return torch.cat([gradient.flatten() for gradient in found])


def clipped(model: nn.Module, live: Mapping[str, nn.Parameter], name: str, inputs: Inputs, norm: float) -> Tensor:
    """The sum that a private step makes of both patients."""
    groups = {key: group_of(key, MODELS[name].pathways) for key in parameters_by_key(model)}
    total = ClippedSum(group_parameters(live, groups, norm))
    for place in range(2):
        assert total.add(loss_of(model, one_of(inputs, place)))
    total.release(NO_NOISE, 1.0, SecretRandomness())
    return flat(live)


class Squares:
    """A task without a target."""

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        loss = loss_of(model, Inputs(batch.ct, batch.pet, batch.ehr))
        return loss, loss


def in_one_pass(model: nn.Module, live: Mapping[str, nn.Parameter], inputs: Inputs) -> list[Tensor]:
    """Both patients' gradients."""
    batches = [Batch((str(place),), "any", *one_of(inputs, place)) for place in range(2)]
    task = cast("CenterTask", Squares())
    found = differentiate_together(model, task, batches, tuple(live.values())).gradients
    pairs = list(zip(live.values(), found, strict=True))
    gradients = [torch.zeros(2, *value.shape) if gradient is None else gradient for value, gradient in pairs]
    return [torch.cat([gradient[place].flatten() for gradient in gradients]) for place in range(2)]


def far_apart(found: Tensor, expected: Tensor) -> float:
    return float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected))


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize("name", SMALLEST)
def test_a_patients_gradient_is_that_of_the_patient_alone(name: str, method: str) -> None:
    model, live = adapted(name, method)
    inputs = patients(MODELS[name], 2)
    alone = [backward(model, live, one_of(inputs, place)) for place in range(2)]
    together = backward(model, live, inputs)
    assert far_apart(2 * together, alone[0] + alone[1]) < 1e-6
    for found, expected in zip(in_one_pass(model, live, inputs), alone, strict=True):
        assert far_apart(found, expected) < 1e-6
    norm = 0.5 * min(float(torch.linalg.vector_norm(gradient)) for gradient in alone)
    by_hand = sum(gradient * norm / torch.linalg.vector_norm(gradient) for gradient in alone)
    assert isinstance(by_hand, Tensor)
    assert far_apart(clipped(model, live, name, inputs, norm), by_hand) < 1e-6
