"""Classification at a center: weights of the classes, the loss they make, and what is scored and compared."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from client.data.preprocessing import PreparedCase
from client.tasks.classification import Classification, build, inverse_frequencies
from client.tasks.contract import Batch, CaseScore
from fusion_models.contract import Assessor
from protocol.errors import LabelError, ModelError
from protocol.messages.labels import Classes, Labels
from protocol.messages.settings import StudySettings
from protocol.tasks import TASKS
from tests.support.wrapped_network import Wrapped

EDGE = 4


class MeanOfCt(Assessor):
    """Logits (0, mean of the CT): the higher the CT, the likelier the second class."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:  # noqa: ARG002
        assert ct is not None
        return ct.mean((1, 2, 3, 4))

    def answer(self, features: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(features), self.gain * features], dim=1)

    def pool_features(self, ct: Tensor) -> Tensor:
        return self.encode(ct, None)[:, None]


def settings(**classes: Any) -> StudySettings:
    found: dict[str, Any] = {"column": "subtype", "values": ("adc", "sqc"), **classes}
    return StudySettings.model_validate(
        {
            "study": "s",
            "seed": 0,
            "model": {"name": "multistage-tiny"},
            "preprocessing": {"crop_zyx": (EDGE,) * 3},
            "tasks": ("classification",),
            "labels": Labels(classes=Classes(**found)),
        }
    )


def case(name: str, own: int | None, value: float = 0.5, edge: int = EDGE) -> PreparedCase:
    targets = {} if own is None else {"classification": np.array(own)}
    return PreparedCase(name, ct=np.full((edge,) * 3, value, dtype=np.float32), targets=targets)


def row(name: str, own: int, positive: float) -> CaseScore:
    return CaseScore(name, "ct", {"class": own, "probability/0": 1 - positive, "probability/1": positive})


def rows(*of_cases: tuple[int, float]) -> dict[str, CaseScore]:
    return {f"p{place}": row(f"p{place}", own, positive) for place, (own, positive) in enumerate(of_cases)}


def of_training(*classes: int) -> Classification:
    return build(settings()).fitted_to([case(f"p{place}", own) for place, own in enumerate(classes)])


def test_the_published_cohort_weighs_its_classes_24_to_76() -> None:
    assert inverse_frequencies(np.array([543, 171])).tolist() == pytest.approx([171 / 714, 543 / 714])


def test_the_weights_are_those_of_the_centers_training_cases() -> None:
    assert of_training(0, 0, 0, 1).weights.tolist() == [0.25, 0.75]


def test_a_case_without_a_class_counts_for_no_weight() -> None:
    cases = [case("a", 0), case("b", 1), case("c", None)]
    assert build(settings()).fitted_to(cases).weights.tolist() == [0.5, 0.5]


def test_a_class_that_no_training_case_has_weighs_nothing() -> None:
    task = build(settings(values=("a", "b", "c")))
    assert task.fitted_to([case("p", 0), case("q", 2)]).weights.tolist() == [0.5, 0, 0.5]


def test_weights_of_the_study_go_before_a_centers_frequencies() -> None:
    task = build(settings(weights=(1, 3)))
    assert task.fitted_to([case("a", 0), case("b", 0)]).weights.tolist() == [0.25, 0.75]


def test_training_cases_of_one_class_are_refused_with_their_counts() -> None:
    with pytest.raises(LabelError, match=r"'subtype'.*at least two classes, found 2 of 'adc', 0 of 'sqc'"):
        of_training(0, 0)


def test_a_study_without_classes_is_refused() -> None:
    unlabelled = settings().model_copy(update={"labels": Labels()})
    with pytest.raises(LabelError, match=r"add \[labels.classes\]"):
        build(unlabelled)


@pytest.mark.parametrize(("own", "weight"), [(0, 0.25), (1, 0.75)])
def test_one_case_a_batch_does_not_cancel_its_weight(own: int, weight: float) -> None:
    """An answer of 0, 0 costs log 2; of two classes, a case of weight w counts 2 w."""
    batch = Batch(("p",), "ct", ct=torch.zeros(1, 1, 2, 2, 2), targets={"classification": torch.tensor([float(own)])})
    loss, answer = of_training(0, 0, 0, 1).loss(MeanOfCt(), batch)
    assert loss.item() == pytest.approx(2 * weight * np.log(2))
    assert answer.tolist() == [[0, 0]]


def test_a_balanced_center_has_the_plain_cross_entropy() -> None:
    ct = torch.rand(4, 1, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([0.0, 1, 1, 0])
    batch = Batch(("p",) * 4, "ct", ct=ct, targets={"classification": truth})
    loss, answer = of_training(0, 1).loss(MeanOfCt(), batch)
    assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(answer, truth.long()).item())


def test_a_batch_without_classes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"not each of the cases \['p'\] has a class"):
        of_training(0, 1).loss(MeanOfCt(), Batch(("p",), "ct", ct=torch.zeros(1, 1, 2, 2, 2)))


def test_a_wrapped_network_answers_as_the_one_inside() -> None:
    batch = Batch(("p",), "ct", ct=torch.ones(1, 1, 2, 2, 2))
    assert of_training(0, 1).answer(Wrapped(MeanOfCt()), batch).tolist() == [[0.0, 1.0]]


def test_a_drawn_batch_has_the_classes_of_its_cases() -> None:
    cases = [case("a", 0, edge=6), case("b", 1, edge=6)]
    batch = of_training(0, 1).draw_batch(cases, "ct", 8, torch.device("cpu"), np.random.default_rng(0))
    assert batch.ct is not None
    assert batch.ct.shape == (8, 1, EDGE, EDGE, EDGE)
    assert batch.targets["classification"].tolist() == [float(name == "b") for name in batch.cases]
    assert set(batch.cases) == {"a", "b"}


def test_an_observer_sees_unvaried_crops() -> None:
    seen = of_training(0, 1).passes(case("a", 0, 0.5), ["ct"], torch.device("cpu"), np.random.default_rng(0))
    assert all(batch.ct is not None and (batch.ct == 0.5).all() for batch in seen)


def test_a_prediction_is_the_softmax_of_the_mean_answer_over_windows() -> None:
    """A CT of 0 in its first half and 2 in its second: answers 0 and 2 of the second class, 1 in the mean."""
    ct = np.concatenate([np.zeros((EDGE, EDGE, EDGE)), np.full((EDGE, EDGE, EDGE), 2)]).astype(np.float32)
    prediction = of_training(0, 1).predict(MeanOfCt(), PreparedCase("p", ct=ct), "ct")
    assert prediction.tolist() == pytest.approx([1 / (1 + np.e), np.e / (1 + np.e)])


def test_a_row_holds_the_class_and_every_probability() -> None:
    found = of_training(0, 1).score(case("p", 1), "ct", np.array([0.25, 0.75], dtype=np.float32))
    assert found == CaseScore("p", "ct", {"class": 1, "probability/0": 0.25, "probability/1": 0.75})


def test_a_cohorts_summary_has_every_metric_of_the_task() -> None:
    """Three of the first class, of which one is called wrong, and a hit: accuracy 3/4, AUC 2.5/3."""
    score = of_training(0, 1).summarise([*rows((0, 0.1), (0, 0.2), (0, 0.8), (1, 0.8)).values()])
    assert score.cases == 4
    assert list(score.values) == [metric.name for metric in TASKS["classification"].metrics]
    assert score.value("accuracy") == 0.75
    assert score.value("majority") == 0.75
    assert score.value("auc") == pytest.approx(2.5 / 3)
    assert not score.undefined
    assert set(score.rarest.values()) == {1}


def test_what_one_class_alone_leaves_undefined_stands_on_no_case() -> None:
    score = of_training(0, 1).summarise([*rows((0, 0.1), (0, 0.2)).values()])
    assert score.value("auc") is None
    assert score.undefined["auc"] == 2
    assert score.value("accuracy") == 1


def test_networks_are_compared_by_their_auc_on_the_same_cases() -> None:
    new = rows((0, 0.1), (0, 0.3), (1, 0.2), (1, 0.9))
    old = {**rows((0, 0.9), (0, 0.8), (1, 0.2), (1, 0.1)), "other": row("other", 1, 0.5)}
    found = of_training(0, 1).compare(new, old, np.random.default_rng(0))
    assert found.cases == 4
    assert found.difference == pytest.approx(0.75)


def test_resamples_of_one_class_are_left_out_of_a_comparison() -> None:
    """Of two cases, one a class, half of all resamples have both; in those the difference is 1 - 0."""
    found = of_training(0, 1).compare(rows((0, 0.1), (1, 0.2)), rows((0, 0.2), (1, 0.1)), np.random.default_rng(0))
    assert (found.difference, found.standard_error) == (1.0, 0.0)


def test_a_teacher_of_the_same_opinion_asks_for_nothing() -> None:
    task, answer = of_training(0, 1), torch.tensor([[1.0, 3.0]])
    agreed, opposed = task.divergence(answer, answer + 1), task.divergence(answer, -answer)
    assert agreed is not None
    assert opposed is not None
    assert agreed.item() == pytest.approx(0, abs=1e-6)
    assert opposed.item() > 1


def test_the_record_has_images_probabilities_and_the_class() -> None:
    found = of_training(0, 1).record(case("p", 1), "ct", np.array([0.25, 0.75]))
    assert found["probability"].tolist() == [0.25, 0.75]
    assert found["class"] == 1
    assert found["values"].tolist() == ["adc", "sqc"]
    assert found["ct"].shape == (EDGE, EDGE, EDGE)
    assert "pet" not in found
