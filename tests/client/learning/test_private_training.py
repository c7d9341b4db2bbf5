"""Private rounds: what each step sums, what its noise touches, and what of a round tells of nobody."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.learning import private_training
from client.learning.private_training import (
    PatientTerms,
    PrivateStep,
    PublicDraws,
    draw_steps,
    reached_by,
    train_privately,
)
from client.learning.training import Trained
from client.local_terms.contract import LocalTerm, QuietTerm
from client.local_terms.proximal import Proximal
from client.local_terms.scaffold import Scaffold
from client.privacy.private_rounds import PrivateSteps
from client.tasks.contract import Batch
from client.tasks.segmentation import Segmentation
from protocol.errors import ModelError
from protocol.messages.settings import Preprocessing, Training
from tests.support.small_training import BOTH, CROP, CT, PET, Pathways, fresh, moved, stage, state

EVERYBODY = PrivateSteps(norms=1.0, noise_multiplier=1.0, sample_rate=1.0, expected=3)
NOBODY = PrivateSteps(norms=1.0, noise_multiplier=1.0, sample_rate=0.0, expected=3)
COHORT = {"a": [BOTH], "b": [CT], "c": [PET]}
GROUPS = {"ct_pathway": "peft", "pet_pathway": "pet", "unused": "peft"}
OFFERED = ("ct", "pet", "ct+pet")


class Silence:
    """Noise of nothing; the generator says who is sampled."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def random(self, size: Any, /) -> np.ndarray:
        return self._rng.random(size)

    def standard_normal(self, size: Any, /) -> np.ndarray:
        return np.zeros(size)


def train(
    model: Pathways,
    steps: PrivateSteps = EVERYBODY,
    training: Training | None = None,
    *,
    patients: Mapping[str, Sequence[PreparedCase]] = COHORT,
    settings: Sequence[str] = OFFERED,
    of_batch: Sequence[LocalTerm] = (),
    public: Sequence[LocalTerm] = (),
    randomness: Any = None,
) -> Trained:
    training = training or stage(local_steps=2)
    parameters = dict(model.named_parameters())
    return train_privately(
        model,
        parameters,
        patients,
        task=Segmentation(Preprocessing(crop_zyx=CROP), recipe=training.recipe),
        training=training,
        steps=steps,
        groups={name: GROUPS[name.partition(".")[0]] for name in parameters},
        settings=[str(name) for name in settings],  # type: ignore[misc]
        rng=np.random.default_rng(0),
        randomness=randomness or Silence(),
        terms=PatientTerms(of_batch, public),
    )


def test_no_loss_leaves_and_everybody_who_could_train_stands_behind_it() -> None:
    """Whoever was sampled: nobody, or all."""
    found = [train(fresh(), steps) for steps in (NOBODY, EVERYBODY)]
    for trained in found:
        assert trained.loss is None
        assert trained.used == {"ct": {"both", "only-ct"}, "pet": {"both", "only-pet"}, "ct+pet": {"both"}}


def test_patients_in_one_pass_come_to_what_they_come_to_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole round; so small a network would send its patients one by one."""
    one_by_one, together = fresh(), fresh()
    train(one_by_one)
    monkeypatch.setattr(private_training, "patients_at_once", lambda *_: 3)
    train(together)
    for name, expected in state(one_by_one).items():
        torch.testing.assert_close(state(together)[name], expected, rtol=1e-4, atol=1e-5)
    assert moved(state(fresh()), together)


def test_a_step_without_patients_moves_what_noise_moves() -> None:
    model = fresh()
    before = state(model)
    train(model, NOBODY, stage(local_steps=1, modality_shares={"ct+pet": 1.0}), randomness=np.random.default_rng(0))
    assert moved(before, model) == set(before)


def test_a_setting_without_pet_leaves_the_pathway_alone_noise_and_decay_too() -> None:
    model = fresh()
    before = state(model)
    asked = stage(local_steps=2, modality_shares={"ct": 1.0}, weight_decay=0.5)
    train(model, training=asked, randomness=np.random.default_rng(0))
    assert moved(before, model) == {"ct_pathway.weight", "ct_pathway.bias", "unused"}
    assert set(reached_by("pet", {"x": nn.Parameter(), "y": nn.Parameter()}, {"x": "pet", "y": "fusion"})) == {"x"}


def test_who_lacks_the_images_is_counted_and_shown_nothing() -> None:
    """Of three patients the one with CT and PET alone is shown, two steps long."""
    model = fresh()
    train(model, training=stage(local_steps=2, modality_shares={"ct+pet": 1.0}))
    assert model.inputs == [(True, True)] * 2


def test_a_setting_that_the_center_offers_counts_though_no_case_has_it() -> None:
    model = fresh()
    trained = train(model, patients={"b": [CT]}, training=stage(local_steps=20))
    assert trained.used == {"ct": {"only-ct"}}
    assert len(model.inputs) < 20


def test_a_center_that_offers_nothing_of_a_stage_is_told_so() -> None:
    with pytest.raises(ModelError, match=r"offers \['ct'\], none of the stage's modality settings \['pet'\]"):
        train(fresh(), training=stage(modality_shares={"pet": 1.0}), settings=["ct"])


def test_the_cases_of_a_patient_are_one_gradient() -> None:
    """Two scans of one patient give one batch of as many crops as the study says, not two batches."""
    model = fresh()
    steps = PrivateSteps(1.0, 1.0, 1.0, 1, crops=3)
    train(model, steps, stage(local_steps=2, modality_shares={"ct": 1.0}), patients={"a": [BOTH, CT]})
    assert model.inputs == [(True, False)] * 2


class Recording(QuietTerm):
    """What a local term is shown."""

    def __init__(self) -> None:
        self.cases: list[tuple[str, ...]] = []
        self.crops: list[int] = []

    def penalty(self, batch: Batch, answer: Tensor) -> Tensor | None:
        self.cases.append(batch.cases)
        self.crops.append(len(answer))
        return answer.new_zeros(()) if batch.cases else None


def test_terms_that_read_the_batch_see_one_patient_at_a_time_and_public_ones_nobody() -> None:
    shown, told = Recording(), Recording()
    train(fresh(), training=stage(local_steps=1, modality_shares={"ct": 1.0}), of_batch=[shown], public=[told])
    assert (shown.cases, told.cases) == ([("both",), ("only-ct",)], [()])


def test_a_sampled_patient_shows_as_many_crops_as_the_study_says() -> None:
    shown = Recording()
    steps = PrivateSteps(1.0, 1.0, 1.0, 1, crops=3)
    asked = stage(local_steps=1, modality_shares={"ct": 1.0})
    train(fresh(), steps, asked, patients={"b": [CT]}, of_batch=[shown])
    assert shown.crops == [3]


def test_a_public_term_moves_nothing_that_the_step_does_not_reach() -> None:
    """It pulls at the PET pathway in a step of CT."""
    model = fresh()
    pull = Proximal({"pet_pathway.weight": dict(model.named_parameters())["pet_pathway.weight"]}, 1000.0)
    with torch.no_grad():
        model.pet_pathway.weight.add_(1.0)
    before = state(model)
    train(model, training=stage(local_steps=1, modality_shares={"ct": 1.0}), public=[pull])
    assert "pet_pathway.weight" not in moved(before, model)


class Steps(QuietTerm):
    """The gradients that the optimiser follows."""

    def __init__(self, model: nn.Module) -> None:
        self._model, self.seen = model, list[dict[str, Tensor]]()

    def adjust_gradients(self) -> None:
        found = {name: parameter.grad for name, parameter in self._model.named_parameters()}
        self.seen.append({name: gradient.clone() for name, gradient in found.items() if gradient is not None})


def length(gradients: Mapping[str, Tensor]) -> float:
    return float(torch.linalg.vector_norm(torch.cat([each.flatten() for each in gradients.values()])))


def step_gradients(patients: Mapping[str, Sequence[PreparedCase]], **changes: Any) -> dict[str, Tensor]:
    model = fresh()
    seen = Steps(model)
    steps = PrivateSteps(**{"norms": 1e-3, "noise_multiplier": 1.0, "sample_rate": 1.0, "expected": 1.0} | changes)
    asked = stage(local_steps=1, modality_shares={"ct": 1.0}, recipe={"ema": 0.0})
    train(model, steps, asked, patients=patients, public=[seen])
    return seen.seen[0]


def test_a_patient_moves_the_mean_by_the_clipping_norm_and_no_more() -> None:
    """Without noise the gradient of one clipped patient is as long as the norm, that of nobody 0."""
    assert length(step_gradients({"b": [CT]})) == pytest.approx(1e-3, rel=1e-5)
    assert length(step_gradients({"b": [CT]}, expected=2.0)) == pytest.approx(5e-4, rel=1e-5)
    assert length(step_gradients({"c": [PET]})) == 0


def test_what_a_public_term_adds_is_not_clipped() -> None:
    """A pull of 1000 (theta - theta_0), of 1 an entry, on tensors clipped to 1e-3."""
    model = fresh()
    pull = Proximal({"unused": model.unused}, 1000.0)
    with torch.no_grad():
        model.unused.add_(1e-3)
    seen = Steps(model)
    steps = PrivateSteps(1e-3, 1.0, 1.0, 1.0)
    train(model, steps, stage(local_steps=1, modality_shares={"ct": 1.0}), public=[pull, seen])
    assert seen.seen[0]["unused"].tolist() == pytest.approx([1.0] * 3, rel=1e-3)


def test_a_control_variate_is_the_mean_of_noisy_gradients() -> None:
    model = fresh()
    seen, control = Steps(model), Scaffold({"unused": model.unused}, {})
    asked = stage(local_steps=3, modality_shares={"ct": 1.0})
    train(model, EVERYBODY, asked, public=[seen, control], randomness=np.random.default_rng(0))
    expected = np.mean([each["unused"].numpy() for each in seen.seen], axis=0)
    assert control.outcome()["unused@control"] == pytest.approx(expected)


def test_noise_has_the_size_that_the_multiplier_says() -> None:
    """Sigma 2 times C 3 over 4 expected: 1.5 for each entry, of an empty step."""
    model = fresh()
    seen = Steps(model)
    steps = PrivateSteps(3.0, 2.0, 0.0, 4.0)
    asked = stage(local_steps=300, modality_shares={"ct": 1.0}, learning_rate=1e-9)
    train(model, steps, asked, public=[seen], randomness=np.random.default_rng(0))
    entries = torch.cat([each["unused"] for each in seen.seen])
    assert float(entries.std()) == pytest.approx(1.5, rel=0.08)
    assert abs(float(entries.mean())) < 0.2


def test_a_patient_whose_loss_is_not_finite_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is not finite would be told by the round that fails."""
    broken = [PreparedCase("b", np.full_like(CT.ct, np.nan), None, CT.targets)]
    assert length(step_gradients({"b": broken})) == 0


class Chosen:
    """Samples the patients with these places in the order of their names, in every step."""

    def __init__(self, *places: int) -> None:
        self._places = places

    def random(self, size: Any, /) -> np.ndarray:
        return np.array([0.0 if place in self._places else 0.9 for place in range(size)])

    def standard_normal(self, size: Any, /) -> np.ndarray:
        return np.zeros(size)


def drawn(places: tuple[int, ...], patients: Mapping[str, Sequence[PreparedCase]]) -> list[PrivateStep]:
    asked, half = stage(local_steps=8), PrivateSteps(norms=1.0, noise_multiplier=1.0, sample_rate=0.5, expected=1)
    able = dict.fromkeys(OFFERED, patients)
    task, draws = Segmentation(Preprocessing(crop_zyx=CROP), recipe=asked.recipe), PublicDraws(np.random.default_rng(0))
    return list(draw_steps(able, task, asked, half, torch.device("cpu"), draws, Chosen(*places)))  # type: ignore[arg-type]


def of_last(step: PrivateStep) -> tuple[str, list[float], int]:
    """The setting, and the crops and the seed of the patient who is last by name."""
    patient = step.sampled[-1]
    found = [image for image in (patient.batch.ct, patient.batch.pet) if image is not None]
    return step.setting, torch.cat([image.flatten() for image in found]).tolist(), patient.seed


@pytest.mark.parametrize("rest", [{"a": [BOTH], "b": [BOTH]}, {"a": [], "b": [BOTH, BOTH]}, {"b": [BOTH]}])
def test_what_is_drawn_for_a_patient_does_not_follow_from_who_else_is_sampled(
    rest: Mapping[str, Sequence[PreparedCase]],
) -> None:
    """The seed is known: with one more patient sampled, with none of his cases, and without him, the others' stay."""
    alone = drawn((2,), {"a": [BOTH], "b": [BOTH], "c": [BOTH]})
    places = tuple(range(len(rest) + 1))
    for one, other in zip(alone, drawn(places, {**rest, "c": [BOTH]}), strict=True):
        assert of_last(one) == of_last(other)
    assert len({step.sampled[-1].seed for step in alone}) == 8
    assert len({step.setting for step in alone}) > 1


def test_what_torch_draws_for_a_patient_does_not_follow_from_who_else_is_sampled() -> None:
    """A network that drops half of what it sees: the gradient of two is the sum of each one's own."""

    class Dropping(Pathways):
        def look(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
            return nn.functional.dropout(super().look(ct, pet), 0.5)

    def gradients(*places: int) -> dict[str, Tensor]:
        torch.manual_seed(0)
        model = Dropping()
        seen = Steps(model)
        asked = stage(local_steps=1, modality_shares={"ct": 1.0})
        steps = PrivateSteps(norms=1e6, noise_multiplier=1.0, sample_rate=0.5, expected=1.0)
        train(model, steps, asked, patients={"a": [BOTH], "b": [CT]}, public=[seen], randomness=Chosen(*places))
        return seen.seen[0]

    both, first, second = gradients(0, 1), gradients(0), gradients(1)
    for key, gradient in both.items():
        torch.testing.assert_close(gradient, first[key] + second[key])
