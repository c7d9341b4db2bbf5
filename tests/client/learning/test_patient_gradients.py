"""Several patients in one pass: each gets the gradient of its own loss, whatever the task; none hears of another."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from client.learning.assembly import build, inject_adapter
from client.learning.patient_gradients import differentiate_together, group_alike, patients_at_once
from client.learning.trainable import train_only
from client.tasks.building import build_task
from client.tasks.contract import Batch, CenterTask
from fusion_models.modality import restrict
from fusion_models.registry import MODELS
from protocol.messages.recipe import PLAIN
from tests.support.clinical_table import SCHEMA
from tests.support.row_settings import settings_for
from tests.support.small_training import CROP, fresh


def images(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def batch(name: str, seed: int = 0, **targets: Tensor) -> Batch:
    return Batch((name,), "ct", ct=images(seed, 1, 1, *CROP), targets=targets)


class SquaredAnswer:
    """A task whose loss is what the network makes of CT, squared; with a mask, three times that."""

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        loss = model.look(batch.ct, batch.pet).square().mean()
        return (3 * loss if "segmentation" in batch.targets else loss), loss


TASK = cast("CenterTask", SquaredAnswer())
MASK = torch.ones(1, 1, *CROP)


def alone(model: Any, task: CenterTask, one: Batch, parameters: Sequence[nn.Parameter]) -> Sequence[Tensor | None]:
    return torch.autograd.grad(task.loss(model, one)[0], list(parameters), allow_unused=True)


def test_each_patient_has_its_own_gradient_and_loss_and_what_nobody_reaches_has_none() -> None:
    model = fresh()
    parameters = tuple(model.parameters())
    batches = [batch("a", 1), batch("b", 2), batch("c", 3)]
    found = differentiate_together(model, TASK, batches, parameters)
    for place, one in enumerate(batches):
        assert found.losses[place].item() == pytest.approx(TASK.loss(model, one)[0].item())
        for gradients, expected in zip(found.gradients, alone(model, TASK, one, parameters), strict=True):
            assert (gradients is None) == (expected is None)
            if gradients is not None:
                torch.testing.assert_close(gradients[place], expected)
    assert not model.unused.grad


def test_what_reaches_nothing_that_trains_has_losses_and_no_gradient() -> None:
    model = fresh()
    found = differentiate_together(model, TASK, [batch("a", 1), batch("b", 2)], [model.unused])
    assert found.losses.shape == (2,)
    assert found.gradients == (None,)


def test_a_patient_whose_images_are_not_finite_spoils_no_other() -> None:
    model = fresh()
    parameters, broken = tuple(model.ct_pathway.parameters()), torch.full((1, 1, *CROP), float("nan"))
    batches = [batch("a", 1), Batch(("b",), "ct", ct=broken)]
    found = differentiate_together(model, TASK, batches, parameters)
    for gradients, expected in zip(found.gradients, alone(model, TASK, batches[0], parameters), strict=True):
        assert gradients is not None
        torch.testing.assert_close(gradients[0], expected)
        assert gradients[1].isnan().any()


def test_patients_with_and_without_a_target_share_no_pass() -> None:
    """Together, what one lacks would be taken from all: the gradient of one would tell of the other."""
    batches = [batch("a", segmentation=MASK), batch("b"), batch("c", segmentation=MASK)]
    assert [[one.cases[0] for one in group] for group in group_alike(batches, 8)] == [["a", "c"], ["b"]]


@pytest.mark.parametrize(("number", "sizes"), [(0, []), (1, [1]), (2, [2]), (3, [3]), (4, [2, 2]), (7, [3, 2, 2])])
def test_groups_are_even_and_leave_nobody_alone(number: int, sizes: list[int]) -> None:
    groups = group_alike([batch(str(place)) for place in range(number)], 2)
    assert [len(group) for group in groups] == sizes
    assert sorted(one.cases[0] for group in groups for one in group) == [str(place) for place in range(number)]


def test_a_module_that_draws_a_whole_network_and_a_single_crop_send_patients_one_by_one() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.0), nn.Linear(4, 1, bias=False))
    few, every = list(model[2].parameters()), list(model.parameters())
    assert patients_at_once(model, few, 4) == 4
    assert patients_at_once(model, few, 100) == 24 // 4
    assert patients_at_once(model, every, 4) == 1
    assert patients_at_once(model, few, 0) == 1
    cast("nn.Dropout", model[1]).p = 0.1
    assert patients_at_once(model, few, 4) == 1


def flat(live: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> Tensor:
    pairs = zip(live, gradients, strict=True)
    return torch.cat([(torch.zeros_like(one) if gradient is None else gradient).flatten() for one, gradient in pairs])


def targets_of(seed: int, crop_zyx: tuple[int, ...]) -> dict[str, Tensor]:
    """A mask, a class, and days and events of two endpoints, of which one patient's is missing."""
    times = torch.tensor([[[100.0 + 300 * seed, 1.0], [500.0, 0.0] if seed else [float("nan")] * 2]])
    mask = (images(9 + seed, 1, 1, *crop_zyx) > 0.8).float()
    return {"segmentation": mask, "classification": torch.tensor([seed % 2]), "survival": times}


@pytest.mark.parametrize("loss", ["dice-ce", "batch-dice-ce"])
@pytest.mark.parametrize("name", ["pemma-unetr-tiny", "multistage-tiny", "pemma-prognosis-tiny"])
def test_every_task_can_be_differentiated_for_several_patients_at_once(name: str, loss: Any) -> None:
    settings, row = settings_for(name, "lora"), MODELS[name]
    model, crop = build(settings, row), row.crop_zyx
    inject_adapter(model, settings, row)
    live = tuple(train_only(model, ("peft", "head"), row.pathways).values())
    recipe = PLAIN.model_copy(update={"loss": loss})
    setting = max(row.settings, key=len)
    drawn = [
        (images(seed, 1, 1, *crop), images(5 + seed, 1, 1, *crop), images(seed, 1, SCHEMA.covariate_width))
        for seed in range(2)
    ]
    batches = [
        Batch((str(seed),), setting, *restrict(setting, *inputs), targets=targets_of(seed, crop))
        for seed, inputs in enumerate(drawn)
    ]
    for wanted in settings.tasks:
        task = build_task(wanted, settings, recipe)
        found = differentiate_together(model, task, batches, live)
        for place, one in enumerate(batches):
            expected = flat(live, alone(model, task, one, live))
            mine = flat(live, [None if each is None else each[place] for each in found.gradients])
            assert torch.linalg.vector_norm(mine - expected) <= 1e-4 * torch.linalg.vector_norm(expected)
            assert expected.any()
