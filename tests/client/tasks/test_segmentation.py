"""Segmentation: what trains, what a case is worth, and what is kept of a prediction."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from client.data.preprocessing import PreparedCase
from client.tasks.contract import Batch
from client.tasks.divergence import divergence
from client.tasks.segmentation import Segmentation, build
from fusion_models.losses import deeply_supervised
from protocol.errors import ModelError
from protocol.messages.recipe import Prediction
from protocol.messages.scores import Score
from protocol.messages.settings import Model, Preprocessing, StudySettings
from tests.support.image_network import ImageNetwork
from tests.support.masked_case import masked
from tests.support.segmentation_task import batch, row, segmentation
from tests.support.threshold_network import Threshold

CROP = (4, 4, 4)
TASK = segmentation(CROP, (1, 1, 1))
CPU = torch.device("cpu")


def case() -> PreparedCase:
    """CT 1 in one corner, PET 1 in the opposite one, and a contour around the CT's."""
    ct, pet = np.zeros((6, 6, 6), np.float32), np.zeros((6, 6, 6), np.float32)
    ct[0, 0, :2], pet[-1, -1, -1] = 1, 1
    return masked("p", ct, pet, (ct > 0).astype(np.uint8))


def test_a_case_with_a_contour_is_examined_near_it() -> None:
    """All 216 voxels of 1 mm lie within 10 mm of the contour's two; the network finds both, its mask is `predict`'s."""
    predicted, margins = TASK.examine(Threshold(), case(), "ct")
    np.testing.assert_array_equal(predicted, TASK.predict(Threshold(), case(), "ct"))
    assert [int(counts.sum()) for counts in (margins.inside, margins.outside, margins.near)] == [2, 214, 216]


def test_volumes_are_predicted_as_the_study_asks() -> None:
    settings = StudySettings(study="s", seed=0, model=Model(name="m"), prediction=Prediction(flips=True))
    passes = []

    class Counting(Threshold):
        def look(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
            passes.append(1)
            return super().look(ct, pet)

    build(settings).predict(Counting(), case(), "ct")
    assert len(passes) == 4


class TwoScales(Threshold):
    """A second output of half the size, and a forward pass that is none of them."""

    def scales(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> list[Tensor]:
        assert ehr is None
        full = 3 * self.look(ct, pet)
        return [full, full[..., ::2, ::2, ::2]]


def drawn() -> Batch:
    return TASK.draw_batch([case()], "ct", 2, CPU, np.random.default_rng(0))


def test_the_loss_is_of_every_scale_and_the_answer_the_finest() -> None:
    model, seen = TwoScales(), drawn()
    loss, answer = TASK.loss(model, seen)
    scales = model.scales(seen.ct, None)
    assert loss.item() == deeply_supervised(scales, seen.targets["segmentation"]).item()
    assert torch.equal(answer, scales[0])
    assert torch.equal(TASK.answer(model, seen), scales[0])
    assert torch.equal(TASK.forward(model, seen), scales[0] / 3)


def test_a_batch_without_a_contour_is_refused() -> None:
    with pytest.raises(ModelError, match=r"not each of the cases \['p'\] has a contour"):
        TASK.loss(Threshold(), batch("ct", torch.zeros(1, 1, *CROP)))


def test_it_runs_on_images_alone_and_takes_nothing_from_the_cases() -> None:
    assert [name for name in ("ct", "pet", "ct+pet", "ehr", "ct+ehr") if TASK.runs(name)] == ["ct", "pet", "ct+pet"]
    assert TASK.fitted_to([case()]) is TASK


def test_a_case_is_scored_against_its_contour() -> None:
    """CT and PET find both voxels of the contour and one more: Dice 2 * 2 / (3 + 2)."""
    predicted = TASK.predict(Threshold(), case(), "ct+pet")
    score = TASK.score(case(), "ct+pet", predicted)
    assert (score.case, score.modalities, score.values["dice"]) == ("p", "ct+pet", 0.8)
    assert predicted.sum() == 3


def test_the_summary_and_the_comparison_are_of_dice() -> None:
    """0.5 and 0.75 are 0.625 on average, 0.25 apart."""
    low, high = row("p", dice=0.5), row("p", dice=0.75)
    assert TASK.summarise([low, high]) == Score(2, {"dice": 0.625, "hd95_mm": None}, {"dice": 0, "hd95_mm": 2})
    assert TASK.compare({"p": high}, {"p": low}, np.random.default_rng(0)).difference == 0.25


def logits(*voxels: tuple[float, float]) -> Tensor:
    """(1, 2, 1, 1, n) from pairs (background, lesion)."""
    return torch.tensor(voxels).T.reshape(1, 2, 1, 1, -1)


def test_a_teacher_is_heard_within_ten_millimetres_of_the_lesion_it_predicts() -> None:
    """Spacing 4 mm along x: round(2.5) = 2 voxels either side; the seventh of eight is the first that is not near."""
    unsure = (math.log(1.5), 0.0)
    taught, student = logits(*[unsure] * 3, (0.0, 0.1), *[unsure] * 4), logits(*[(0.0, 0.0)] * 8)
    found = segmentation(CROP, (4, 5, 4)).divergence(taught, student)
    assert found is not None
    assert found.item() == pytest.approx(4 * divergence(taught, student).flatten()[1:6].mean().item(), rel=1e-6)


def test_a_teacher_that_is_nowhere_sure_teaches_nothing() -> None:
    assert TASK.divergence(logits((math.log(1.5), 0.0)), logits((0.0, 0.0))) is None


def test_a_prediction_is_kept_in_hu_and_suv() -> None:
    """The middle of the CT window from -200 to 200 HU is 0 HU, a quarter of 0 to 20 SUV is 5; no contour, no gtv."""
    ct, pet = np.full((2, 2, 2), 0.5, np.float32), np.full((2, 2, 2), 0.25, np.float32)
    grid = Preprocessing(ct_window_hu=(-200, 200), pet_window_suv=(0, 20), spacing_zyx_mm=(3, 2, 1))
    kept = Segmentation(grid).record(PreparedCase("p", ct, pet), "ct+pet", np.ones((2, 2, 2), np.uint8))
    assert set(kept) == {"ct", "pet", "predicted", "spacing_zyx_mm", "modalities"}
    assert (kept["ct"].max(), kept["pet"].max()) == (0, 5)
    assert kept["spacing_zyx_mm"].tolist() == [3, 2, 1]
    assert str(kept["modalities"]) == "ct+pet"
    assert "gtv" in TASK.record(case(), "ct", np.ones((6, 6, 6), np.uint8))


def test_the_grid_is_the_study_s() -> None:
    settings = StudySettings(study="s", seed=0, model=Model(name="m"), preprocessing=Preprocessing(crop_zyx=(2, 2, 2)))
    seen = build(settings).passes(case(), ["ct"], CPU, np.random.default_rng(0))[0]
    assert seen.ct is not None
    assert seen.ct.shape == (1, 1, 2, 2, 2)


def test_a_network_that_answers_alike_has_no_gradient_from_its_teacher() -> None:
    student = logits((math.log(19), 0.0)).requires_grad_()
    found = TASK.divergence(student.detach(), student)
    assert found is not None
    found.backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-7


def test_the_smallest_network_is_a_segmenter() -> None:
    """Guards the tests above: the contract's default scales are the forward pass."""
    seen = drawn()
    assert isinstance(Threshold(), ImageNetwork)
    assert torch.equal(TASK.answer(Threshold(), seen), TASK.forward(Threshold(), seen))
