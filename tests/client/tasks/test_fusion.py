"""Fusion: what trains without a label, what a case is worth, and what is kept of a fused image."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from client.data.preprocessing import PreparedCase
from client.tasks.contract import Batch
from client.tasks.fusion import Fusion, build
from client.tasks.fusion_figures import judge_fusion
from fusion_models.clinicalfmamba.losses import fusion_loss
from protocol.errors import ModelError
from protocol.messages.recipe import Prediction
from protocol.messages.settings import Model, Preprocessing, StudySettings
from protocol.tasks import TASKS
from tests.support.mixing_network import Mixture

CROP = (4, 4, 4)
GRID = Preprocessing(crop_zyx=CROP, spacing_zyx_mm=(3.0, 2.0, 2.0))
TASK = Fusion(GRID)
CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
CT, PET = RNG.random((2, 12, 12, 12), dtype=np.float32)
CASE = PreparedCase("p", CT, PET)


def drawn(setting: str = "ct+pet", case: PreparedCase = CASE) -> Batch:
    return TASK.draw_batch([case], setting, 2, CPU, np.random.default_rng(0))


def test_a_case_without_a_contour_trains_and_one_without_ct_does_not() -> None:
    assert TASK.has_target(CASE)
    assert TASK.has_target(PreparedCase("q", CT))
    assert not TASK.has_target(PreparedCase("r", None, PET))
    settings = ("ct", "pet", "ct+pet", "ct+ehr", "ct+pet+ehr", "ehr")
    assert [setting for setting in settings if TASK.runs(setting)] == ["ct", "ct+pet"]


def test_the_loss_is_of_the_fused_crops_and_both_sources() -> None:
    model, seen = Mixture(), drawn()
    assert seen.targets == {}
    assert seen.ct is not None
    assert seen.pet is not None
    loss, answer = TASK.loss(model, seen)
    assert torch.equal(answer, (seen.ct + seen.pet) / 2)
    assert loss.item() == pytest.approx(fusion_loss(answer, seen.ct, seen.pet).item())
    loss.backward()
    assert model.share.grad is not None


def test_the_loss_of_a_network_of_slices_is_that_of_its_slices() -> None:
    """Two crops of four slices are eight images; in 3D each would be compared with its neighbours, too."""
    settings = StudySettings(study="s", seed=0, model=Model(name="clinicalfmamba-2d-tiny"), preprocessing=GRID)
    seen = drawn()
    assert seen.ct is not None
    assert seen.pet is not None
    loss, fused = build(settings).loss(Mixture(), seen)
    f, a, b = (image.reshape(8, 1, 4, 4) for image in (fused, seen.ct.contiguous(), seen.pet.contiguous()))
    assert loss.item() == pytest.approx(fusion_loss(f, a, b).item())
    assert loss.item() != pytest.approx(TASK.loss(Mixture(), seen)[0].item(), rel=0.01)


def test_ct_alone_is_its_own_and_only_source() -> None:
    seen = drawn("ct")
    assert TASK.loss(Mixture(), seen)[0].item() == pytest.approx(0, abs=1e-6)
    assert torch.equal(TASK.forward(Mixture(), seen), TASK.answer(Mixture(), seen))


def test_a_batch_without_ct_is_refused() -> None:
    with pytest.raises(ModelError, match=r"not each of the cases \['p', 'p'\] has a CT"):
        TASK.loss(Mixture(), drawn("pet"))


def test_the_loss_is_of_float32_whatever_the_network_answers_in() -> None:
    class Half(Mixture):
        def fuse(self, features: Tensor) -> Tensor:
            return features.bfloat16()

    assert TASK.loss(Half(), drawn())[0].dtype == torch.float32


def test_a_teacher_is_heard_by_the_divergence_of_two_probabilities() -> None:
    """Of voxels 0.8 and 0.5 at T = 2: p = 2/3 and 1/2, KL = 2/3 ln(4/3) + 1/3 ln(2/3), times 4."""
    taught, answer = torch.full((1, 1, 2, 2, 2), 0.8), torch.full((1, 1, 2, 2, 2), 0.5)
    found = TASK.divergence(taught, answer)
    assert found is not None
    assert found.item() == pytest.approx(4 * (2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)), rel=1e-4)
    same = TASK.divergence(torch.tensor([[[[[0.0, 1.0]]]]]), torch.tensor([[[[[0.0, 1.0]]]]]))
    assert same is not None
    assert same.item() == pytest.approx(0, abs=1e-6)


def test_a_whole_volume_is_fused_and_judged() -> None:
    fused = TASK.predict(Mixture(), CASE, "ct+pet")
    np.testing.assert_allclose(fused, (CT + PET) / 2, atol=1e-6)
    assert TASK.examine(Mixture(), CASE, "ct+pet")[1] is None
    row = TASK.score(CASE, "ct+pet", fused)
    assert row.values == judge_fusion(fused, CT, PET)
    assert row.values["ssim"] == pytest.approx(row.values["ssim_average"], abs=1e-5)
    np.testing.assert_allclose(TASK.predict(Mixture(), CASE, "ct"), CT, atol=1e-6)
    assert TASK.score(CASE, "ct", CT).values["ssim"] == 1
    assert (TASK.outcomes(row), TASK.conceal(row, ())) == (frozenset(), row)


def test_what_a_network_says_beyond_0_and_1_is_cut() -> None:
    fused = TASK.predict(Mixture(3.0), CASE, "ct+pet")
    assert (fused.min(), fused.max()) == (0, 1)


def test_volumes_are_fused_as_the_study_asks() -> None:
    passes = []

    class Counting(Mixture):
        def fuse(self, features: Tensor) -> Tensor:
            passes.append(1)
            return features

    small = PreparedCase("p", CT[:4, :4, :4], PET[:4, :4, :4])
    settings = StudySettings(
        study="s",
        seed=0,
        model=Model(name="clinicalfmamba-3d-tiny"),
        preprocessing=GRID,
        prediction=Prediction(flips=True),
    )
    fused = build(settings).predict(Counting(), small, "ct+pet")
    assert len(passes) == 4
    np.testing.assert_allclose(fused, (CT + PET)[:4, :4, :4] / 2, atol=1e-6)


def test_figures_are_means_over_cases_and_two_networks_are_compared_by_their_ssim() -> None:
    rows = {name: TASK.score(CASE, "ct+pet", image) for name, image in (("new", CT), ("old", PET * 0))}
    score = TASK.summarise(list(rows.values()))
    assert list(score.values) == [metric.name for metric in TASKS["fusion"].metrics]
    ssims = [row.values["ssim"] for row in rows.values()]
    assert score.values["ssim"] == pytest.approx(np.mean(ssims))  # type: ignore[arg-type]  # both are defined
    assert score.undefined["psnr"] == 1
    compared = TASK.compare({"p": rows["new"]}, {"p": rows["old"]}, np.random.default_rng(0))
    assert compared.difference == pytest.approx(ssims[0] - ssims[1])  # type: ignore[operator]  # both are defined


def test_what_is_kept_of_a_fused_image() -> None:
    kept = TASK.record(CASE, "ct+pet", CT)
    assert {name: array.shape for name, array in kept.items()} == {
        "fused": CT.shape,
        "ct": CT.shape,
        "pet": CT.shape,
        "spacing_zyx_mm": (3,),
        "modalities": (),
    }
    assert "pet" not in TASK.record(CASE, "ct", CT)


def test_an_observer_sees_crops_of_each_setting() -> None:
    shown = TASK.passes(CASE, ("ct", "ct+pet"), CPU, np.random.default_rng(0))
    assert [batch.setting for batch in shown] == ["ct", "ct+pet"] * 4
    assert TASK.fitted_to([CASE]) is TASK
