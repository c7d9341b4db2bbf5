"""Learning without forgetting: the divergence, the voxels it counts, and who the teacher is."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.local_terms.contract import Round
from client.local_terms.distillation import Distillation, build, teacher_tensors
from client.tasks.building import build_task
from client.tasks.contract import CenterTask
from client.tasks.divergence import divergence
from fusion_models.registry import model_row
from protocol.messages.labels import Classes, Labels
from protocol.messages.settings import Model, StudySettings, Training
from tests.support.image_network import ImageNetwork
from tests.support.segmentation_task import batch, segmentation
from tests.support.smallest_models import built as smallest

Arrays = Mapping[str, NDArray[np.float32]]
TASK = segmentation()
SURE, UNSURE = (math.log(19), 0.0), (math.log(1.5), 0.0)  # p = 0.95 and 0.6 of background


def logits(*voxels: tuple[float, float]) -> Tensor:
    """(1, 2, 1, 1, n) from pairs (background, lesion)."""
    return torch.tensor(voxels).T.reshape(1, 2, 1, 1, -1)


class Fixed(ImageNetwork):
    """Answers the same to everything and notes what it was asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = nn.Parameter(answer)
        self.asked: list[tuple[Tensor | None, Tensor | None]] = []

    def look(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        self.asked.append((ct, pet))
        return self.answer


def test_the_penalty_is_beta_times_four_times_the_mean_over_counted_voxels() -> None:
    """The second voxel is unsure and no lesion is near: the mean is over the first alone."""
    taught, student = logits(SURE, UNSURE), logits((0.0, 0.0), (9.0, 0.0))
    found = Distillation(Fixed(taught), TASK, 0.5).penalty(batch(), student)
    assert found is not None
    assert found.item() == pytest.approx(0.5 * 4 * divergence(taught, student)[0, 0, 0, 0].item(), rel=1e-6)


def test_no_counted_voxel_gives_no_penalty() -> None:
    assert Distillation(Fixed(logits(UNSURE)), TASK, 1.0).penalty(batch(), logits(UNSURE)) is None


def test_the_teacher_sees_what_the_setting_admits_and_learns_nothing() -> None:
    teacher = Fixed(logits(SURE))
    ct, student = torch.zeros(1), logits((0.0, 0.0)).requires_grad_()
    found = Distillation(teacher, TASK, 1.0).penalty(batch("ct", ct), student)
    assert found is not None
    found.backward()
    assert teacher.asked == [(ct, None)]
    assert teacher.answer.grad is None
    assert not teacher.training
    assert student.grad is not None


def test_the_gradient_vanishes_where_the_student_agrees() -> None:
    student = logits(SURE, SURE).requires_grad_()
    found = Distillation(Fixed(logits(SURE, SURE)), TASK, 1.0).penalty(batch(), student)
    assert found is not None
    found.backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-7


def test_the_teacher_has_the_accepted_adapter_whole_and_the_center_s_own_parts() -> None:
    """The received residual and magnitude are of today and stay out, for the accepted state has none."""
    one, two = np.ones(1, np.float32), np.full(1, 2, np.float32)
    received = {
        "m#lora_a": one, "m#magnitude": one, "m#residual_a": one, "m#center_a": one, "n#norm_bias": one,
        "pet_skip.w": one, "head.w": one, "m@gram": one,
    }  # fmt: skip
    reference = {"m#lora_a": two, "pet_skip.w": two, "m@gram": two}
    found = {key: float(array[0]) for key, array in teacher_tensors(received, reference).items()}
    assert found == {"m#lora_a": 2.0, "m#center_a": 1.0, "n#norm_bias": 1.0, "pet_skip.w": 2.0, "head.w": 1.0}


def built(
    reference: Arrays, made: list[Arrays], model: str = "pemma-unetr-tiny", task: CenterTask = TASK
) -> Distillation | None:
    def make_model(tensors: Arrays) -> nn.Module:
        made.append(dict(tensors))
        return Fixed(logits(SURE)) if task is TASK else Undecided()

    training = Training(
        groups=("peft",),
        local_steps=1,
        learning_rate=0.1,
        modality_shares={"ct": 1},
    )
    settings = StudySettings(study="s", seed=0, model=Model(name=model))
    pathways = model_row(model).pathways
    around = Round(smallest(model), training, {}, reference, settings, task, pathways, make_model, 1)
    return build(around, 0.25)


ADAPTER = {"m#lora_a": np.ones(1, np.float32)}
PATHWAY = {"pet_skip.w": np.ones(1, np.float32), "skip_gain.gain": np.ones(1, np.float32)}


def test_the_builder_makes_the_teacher_from_the_reference() -> None:
    made: list[Arrays] = []
    term = built(ADAPTER, made)
    assert term is not None
    assert made == [ADAPTER]
    assert (term._task, term._weight) == (TASK, 0.25)


@pytest.mark.parametrize(
    ("reference", "model", "taught"),
    [
        (ADAPTER, "pemma-unetr-tiny", ["ct"]),
        (ADAPTER | PATHWAY, "pemma-unetr-tiny", ["ct", "pet", "ct+pet"]),
        (PATHWAY, "pemma-unetr-tiny", ["ct", "pet", "ct+pet"]),
        (ADAPTER, "early-fusion-unetr-tiny", ["ct", "pet", "ct+pet"]),
    ],
    ids=["no-pathway-learnt", "both-learnt", "pathway-alone", "a-model-without-pathway"],
)
def test_a_teacher_that_has_not_learnt_pet_is_not_heard_on_pet(
    reference: Arrays, model: str, taught: list[str]
) -> None:
    term = built(reference, [], model)
    assert term is not None
    image, student = torch.zeros(1), logits((0.0, 0.0))
    heard = [name for name in ("ct", "pet", "ct+pet") if term.penalty(batch(name, image, image), student) is not None]
    assert heard == taught


class Undecided(nn.Module):
    """Answers for a case, of two classes."""

    def assess(self, *_given: Tensor | None) -> Tensor:
        return torch.zeros(1, 2)


@pytest.mark.parametrize(("learnt", "heard"), [({}, False), ({"head.bias": ADAPTER["m#lora_a"]}, True)])
def test_a_teacher_that_has_not_learnt_the_head_is_not_heard_on_cases(learnt: Arrays, heard: bool) -> None:
    """No input needs the head: it is a group of the task."""
    settings = StudySettings(study="s", seed=0, model=Model(name="any"), labels=Labels(classes=Classes(column="c")))
    term = built({**ADAPTER, **learnt}, [], "pemma-prognosis-tiny", build_task("classification", settings))
    assert term is not None
    assert (term.penalty(batch("ct", torch.zeros(1)), torch.ones(1, 2)) is not None) is heard


@pytest.mark.parametrize("reference", [{}, {"m@gram": ADAPTER["m#lora_a"]}, {"head.bias": ADAPTER["m#lora_a"]}])
def test_without_an_adapter_or_a_pathway_there_is_no_teacher(reference: Arrays) -> None:
    made: list[Arrays] = []
    assert built(reference, made) is None
    assert made == []
