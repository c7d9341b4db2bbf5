"""Survival at a center: batches of different cases, losses by the study's head, predictions, scores and comparisons."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from client.data.preprocessing import PreparedCase
from client.tasks.contract import Batch
from client.tasks.survival import Survival, build, horizon_days, window_days
from fusion_models.contract import Assessor, Segmenter
from fusion_models.losses import dice_cross_entropy
from fusion_models.survival.cox import cox_loss
from fusion_models.survival.mtlr import mtlr_loss
from protocol.errors import LabelError, ModelError
from protocol.messages.settings import Model, StudySettings
from protocol.tasks import TASKS, metric_names
from tests.support.wrapped_network import Wrapped

EDGES = (100.0, 200.0)
CPU = torch.device("cpu")
NAN = float("nan")


class FirstOfEhr(Assessor):
    """Outputs that all are the first covariate."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(outputs))

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Any:  # noqa: ARG002
        assert ehr is not None
        return ehr[:, :1]

    def answer(self, features: Any) -> Tensor:
        return features * self.gain

    def pool_features(self, ct: Tensor) -> Tensor:
        return ct


class MaskToo(Segmenter, FirstOfEhr):
    """Answers for the case by its EHR, and for voxels by its CT."""

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Any:
        return FirstOfEhr.encode(self, ct, pet, ehr), ct

    def answer(self, features: Any) -> Tensor:
        return FirstOfEhr.answer(self, features[0])

    def decode(self, features: Any) -> Tensor:
        return torch.cat([1 - features[1], features[1]], dim=1)


def settings(head: str = "mtlr", **survival: Any) -> StudySettings:
    endpoints = {
        name: {"event": f"{name}_event", "time": f"{name}_days", "unit": "days"} for name in ("death", "distant")
    }
    return StudySettings.model_validate(
        {
            "study": "s",
            "seed": 0,
            "model": {"name": "ehr-survival-linear-tiny"},
            "tasks": ("survival",),
            "labels": {"endpoints": endpoints, "survival": {"head": head, "edges_days": EDGES, **survival}},
        }
    )


def task(head: str = "mtlr", **survival: Any) -> Survival:
    return build(settings(head, **survival))


def case(
    name: str, death: tuple[float, float], distant: tuple[float, float] = (NAN, NAN), ehr: float = 0
) -> PreparedCase:
    times = np.array([death, distant], dtype=np.float32)
    return PreparedCase(name, targets={"survival": times}, ehr=np.array([ehr, 1], dtype=np.float32))


CASES = [case(f"p{n}", (50.0 * n, n % 2), (60.0 * n, 1), ehr=-n) for n in range(1, 7)]


def batch_of(cases: list[PreparedCase], **others: Any) -> Batch:
    found = task().draw_batch(cases, "ehr", len(cases), CPU, np.random.default_rng(0))
    return replace(found, **others)


def rows_of(model: Assessor, of: Survival) -> dict[str, Any]:
    return {each.name: of.score(each, "ehr", of.predict(model, each, "ehr")) for each in CASES}


def test_a_case_has_the_target_when_one_endpoint_is_known() -> None:
    of = task()
    assert of.has_target(case("a", (1, 0)))
    assert not of.has_target(case("b", (NAN, 1), (5, NAN)))
    assert not of.has_target(PreparedCase("c"))


def test_a_batch_holds_different_cases() -> None:
    """Five of six, then all where the study asks for more than there are."""
    draw = [task().draw_batch(CASES, "ehr", size, CPU, np.random.default_rng(1)).cases for size in (5, 64)]
    assert [len(set(names)) for names in draw] == [5, 6]
    assert [len(names) for names in draw] == [5, 6]


def test_the_seed_decides_who_is_drawn() -> None:
    drawn = [task().draw_batch(CASES, "ehr", 3, CPU, np.random.default_rng(seed)).cases for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_an_observer_sees_each_case_once_where_there_is_no_image() -> None:
    found = task().passes(CASES[0], ["ehr"], CPU, np.random.default_rng(0))
    assert [batch.cases for batch in found] == [("p1",)]


@pytest.mark.parametrize(("head", "outputs"), [("mtlr", 4), ("cox", 2)])
def test_the_study_names_the_loss(head: str, outputs: int) -> None:
    batch, model = batch_of(CASES), FirstOfEhr(outputs)
    loss, answer = task(head).loss(model, batch)
    expected = {
        "mtlr": mtlr_loss(answer, batch.targets["survival"], torch.tensor(EDGES)) if head == "mtlr" else None,
        "cox": cox_loss(answer, batch.targets["survival"]) if head == "cox" else None,
    }[head]
    assert expected is not None
    assert loss.item() == pytest.approx(expected.item())
    assert answer.shape == (6, outputs)


def test_a_case_without_a_time_is_refused() -> None:
    with pytest.raises(ModelError, match="not each of the cases"):
        task().loss(FirstOfEhr(4), batch_of(CASES, targets={}))


@pytest.mark.parametrize("share", [0, 0.25])
def test_a_wrapped_network_is_trained_as_the_one_inside(share: float) -> None:
    alone, _ = joint(share).loss(MaskToo(4), with_mask())
    wrapped, _ = joint(share).loss(Wrapped(MaskToo(4)), with_mask())
    assert wrapped.item() == alone.item()


def joint(share: float) -> Survival:
    """The task of a model that draws masks too."""
    found = settings(joint_share=share)
    return build(found.model_copy(update={"model": Model(name="pemma-prognosis-tiny")}))


def with_mask() -> Batch:
    ct = torch.rand(6, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    batch = batch_of(CASES)
    return replace(batch, ct=ct, targets={**batch.targets, "segmentation": (ct > 0.5).float()})


def test_joint_share_mixes_segmentation_in() -> None:
    batch = with_mask()
    alone, _ = task().loss(MaskToo(4), batch)
    mixed, _ = joint(0.25).loss(MaskToo(4), batch)
    assert batch.ct is not None
    mask_loss = dice_cross_entropy(torch.cat([1 - batch.ct, batch.ct], dim=1), batch.targets["segmentation"])
    assert mixed.item() == pytest.approx(0.75 * alone.item() + 0.25 * mask_loss.item())


def test_without_images_or_a_mask_survival_stands_alone() -> None:
    alone, _ = task().loss(MaskToo(4), with_mask())
    blind, _ = joint(0.25).loss(MaskToo(4), replace(with_mask(), ct=None))
    unmarked, _ = joint(0.25).loss(MaskToo(4), replace(with_mask(), targets=batch_of(CASES).targets))
    assert blind.item() == unmarked.item() == alone.item()


def test_a_model_that_draws_no_mask_has_no_share_of_segmentation() -> None:
    alone, _ = task().loss(FirstOfEhr(4), with_mask())
    asked, _ = task(joint_share=0.25).loss(FirstOfEhr(4), with_mask())
    assert asked.item() == alone.item()


def test_a_prediction_is_risk_and_curve_of_each_endpoint() -> None:
    """Outputs of p1 are -1: z = (-2, -1, 0), S = (p_2 + p_3, p_3)."""
    p = np.exp([-2, -1, 0]) / np.exp([-2, -1, 0]).sum()
    found = task().predict(FirstOfEhr(4), CASES[0], "ehr")
    assert found.shape == (2, 3)
    assert found[0, 1:] == pytest.approx([p[1] + p[2], p[2]])
    assert found[0, 0] == pytest.approx(2 * p[0] / (p[1] + p[2]) + p[1] / p[2])


def test_cox_predicts_an_order_and_no_curve() -> None:
    assert task("cox").predict(FirstOfEhr(2), CASES[2], "ehr").tolist() == [[-3.0], [-3.0]]


def test_a_score_holds_what_figures_are_computed_from() -> None:
    of = task("cox")
    found = of.score(CASES[0], "ehr", of.predict(FirstOfEhr(2), CASES[0], "ehr"))
    assert found.values == {
        "days/death": 50.0,
        "event/death": 1.0,
        "risk/death": -1.0,
        "days/distant": 60.0,
        "event/distant": 1.0,
        "risk/distant": -1.0,
    }


@pytest.mark.parametrize(("head", "outputs"), [("mtlr", 4), ("cox", 2)])
def test_a_summary_names_every_metric_of_the_table(head: str, outputs: int) -> None:
    of = task(head)
    found = of.summarise(list(rows_of(FirstOfEhr(outputs), of).values()))
    assert set(found.values) == set(metric_names(["survival"], ["death", "distant"]))
    assert found.values["concordance"] == 1.0
    assert (found.values["brier"] is None) == (head == "cox")


def test_networks_are_compared_by_concordance() -> None:
    """One ranks all pairs right, the other all wrong."""
    of, right, wrong = task("cox"), FirstOfEhr(2), FirstOfEhr(2)
    torch.nn.init.constant_(wrong.gain, -1)
    found = of.compare(rows_of(right, of), rows_of(wrong, of), np.random.default_rng(0))
    assert (found.cases, found.difference, found.standard_error) == (6, 1.0, 0.0)


def test_a_teacher_that_agrees_teaches_nothing_and_one_that_differs_something() -> None:
    answer = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    same, other = task().divergence(answer, answer), task().divergence(answer + torch.tensor([1.0, 0, 0, 0]), answer)
    assert same is not None
    assert other is not None
    assert same.item() == pytest.approx(0, abs=1e-6)
    assert other.item() > 0.01


def test_a_record_holds_what_pictures_need() -> None:
    of = task()
    found = of.record(CASES[0], "ehr", of.predict(FirstOfEhr(4), CASES[0], "ehr"))
    assert found["endpoints"].tolist() == ["death", "distant"]
    assert found["times"].tolist() == [[50.0, 1.0], [60.0, 1.0]]
    assert (found["risk"].shape, found["survival"].shape, float(found["horizon_days"])) == ((2,), (2, 2), 200.0)


def test_what_is_unknown_of_a_recorded_case_is_missing() -> None:
    of = task("cox")
    unknown = replace(CASES[0], targets={})
    assert np.isnan(of.record(unknown, "ehr", np.zeros((2, 1), np.float32))["times"]).all()


def test_training_cases_that_are_all_censored_are_refused() -> None:
    with pytest.raises(LabelError, match="2 training cases, all censored at every endpoint"):
        task().fitted_to([case("a", (10, 0)), case("b", (20, 0), (5, 0))])


def test_one_event_anywhere_is_something_to_learn() -> None:
    of = task()
    assert of.fitted_to([case("a", (10, 0)), case("b", (20, 0), (5, 1))]) is of


def test_a_study_without_endpoints_is_refused() -> None:
    with pytest.raises(LabelError, match="describes no endpoint"):
        build(settings().model_copy(update={"labels": settings().labels.model_copy(update={"endpoints": {}})}))


def test_time_bins_need_edges() -> None:
    with pytest.raises(LabelError, match="needs time bins"):
        build(_with_survival(edges_days=()))


@pytest.mark.parametrize(("found", "expected"), [({}, 200.0), ({"horizon_days": 730.0}, 730.0)])
def test_the_horizon_is_the_studys_or_the_middle_edge(found: dict[str, Any], expected: float) -> None:
    assert horizon_days(settings(**found)) == expected


def test_without_edges_or_a_horizon_there_is_none() -> None:
    assert np.isnan(horizon_days(_with_survival(edges_days=())))


@pytest.mark.parametrize(
    ("found", "expected"), [({}, 200.0), ({"horizon_days": 150.0}, 150.0), ({"horizon_days": 730.0}, 200.0)]
)
def test_brier_scores_end_at_the_horizon_but_not_behind_the_curves(found: dict[str, Any], expected: float) -> None:
    assert window_days(settings(**found)) == expected


def test_the_primary_metric_is_what_networks_are_compared_by() -> None:
    assert TASKS["survival"].primary == "concordance"


def _with_survival(**found: Any) -> StudySettings:
    given = settings()
    survival = given.labels.survival.model_copy(update=found)
    return given.model_copy(update={"labels": given.labels.model_copy(update={"survival": survival})})
