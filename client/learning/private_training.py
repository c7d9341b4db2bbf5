"""Local training of one round that guarantees each patient privacy: DP-SGD with the patient as its unit.

A step draws one modality setting for all, samples patients, clips the gradient of each one's own loss, and moves down
their noisy mean (`client.privacy.gradient_clipping`). A patient's loss is the task's over crops of that patient's cases
alone, so that normalisation, Dice and cross-entropy see nobody else; local terms that read the batch join it there.
Several patients share a pass over the network where nothing in it draws and no such term is asked for
(`client.learning.patient_gradients`), else they go one by one; the gradients are the same. A
patient without the setting's images is sampled and contributes 0.

What is drawn for a patient follows from the step and that patient alone: settings are drawn before anybody is sampled,
crops and what torch draws come from a generator of the step and the patient's name. So whoever knows all these draws
sees steps in which two sets of patients differ by one term of the sum, no longer than the clipping norm: that is what
the guarantee stands on, and neither the key nor the seed of these draws has to be secret for it.

Nothing that a round sends beside its tensors depends on who was sampled: support counts every patient that could have
been, no loss leaves, and which tensors a step moves follows from its setting. Terms that read no patient are added
after the noise; clipping by the recipe, AdamW, its kept moments and the moving average only see noisy gradients, so
that the guarantee stays (post-processing).
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check, never_cancelled
from client.learning.patient_gradients import differentiate_together, group_alike, patients_at_once
from client.learning.training import Trained, run_steps
from client.local_terms.contract import LocalTerm
from client.optimisation.moments import FRESH, Moments
from client.optimisation.optimiser import Optimiser
from client.privacy.gradient_clipping import ClippedSum, group_parameters
from client.privacy.patient_sampling import sample_patients
from client.privacy.private_rounds import PrivateSteps
from client.privacy.secret_randomness import Randomness
from client.tasks.contract import Batch, CenterTask
from client.tasks.precision import choose_precision, compute_in
from fusion_models.full_precision import widen
from fusion_models.modality import draw_setting, renormalise
from protocol.errors import ModelError
from protocol.messages.settings import Training
from protocol.messages.tensors import NEEDS
from protocol.modalities import ModalitySetting, parts_of, settings_within

logger = logging.getLogger(__name__)

Patients = Mapping[str, Sequence[PreparedCase]]


@dataclass(frozen=True)
class PatientTerms:
    """Local terms by what they read: `of_batch` a patient's batch, `public` nothing of any patient."""

    of_batch: Sequence[LocalTerm] = ()
    public: Sequence[LocalTerm] = ()


@dataclass(frozen=True)
class SampledPatient:
    """A patient's batch of a step, and what torch is seeded with for it (DropPath)."""

    batch: Batch
    seed: int


@dataclass(frozen=True)
class PrivateStep:
    """One modality setting, and each sampled patient that has it."""

    setting: ModalitySetting
    sampled: tuple[SampledPatient, ...]


class PublicDraws:
    """What a round draws that need not be secret, of which nothing depends on who is sampled.

    Args:
        rng: of the round.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._settings, seeds = rng.spawn(2)
        self._seed = int(seeds.integers(2**63))

    def settings(self, shares: Mapping[ModalitySetting, float], steps: int) -> list[ModalitySetting]:
        """One modality setting for each step."""
        return [draw_setting(shares, self._settings) for _ in range(steps)]

    def of_patient(self, step: int, patient: str) -> np.random.Generator:
        """The generator of a patient in a step, whoever else is in it."""
        name = int.from_bytes(hashlib.sha256(patient.encode()).digest()[:16], "big")
        return np.random.default_rng([self._seed, step, name])


def train_privately(
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    patients: Patients,
    *,
    task: CenterTask,
    training: Training,
    steps: PrivateSteps,
    groups: Mapping[str, str],
    settings: Sequence[ModalitySetting],
    rng: np.random.Generator,
    randomness: Randomness,
    terms: PatientTerms = PatientTerms(),
    check: Check = never_cancelled,
    moments: Moments = FRESH,
) -> Trained:
    """Run `training.local_steps` private steps on `parameters`; everything else of the model stays.

    Args:
        model: the network; no module of it may mix the rows of a batch over steps (`client.learning.private_study`).
        parameters: what trains, by key.
        patients: patient -> cases with the task's target. Who they are may not follow from what they have.
        task: what the round trains for, not fitted to any case.
        training: of the round; its `batch_size` is not asked, `steps` says how many patients are expected.
        steps: how they are made private.
        groups: key -> tensor group.
        settings: those that the center offers and the model runs, whichever of them its cases serve.
        rng: of what need not be secret: settings, crops, DropPath (`PublicDraws`).
        randomness: of who is sampled, and of the noise.
        terms: local terms.
        check: called before each step.
        moments: that the optimiser goes on with.

    Raises:
        ModelError: the center offers none of the modality settings that the stage trains on.
        CancelledError: `check` raised it.
    """
    device = next(model.parameters()).device
    precision = compute_in(choose_precision(training.recipe.precision, str(device), "training"), str(device))
    together = 1 if terms.of_batch else patients_at_once(model, parameters.values(), training.batch_size // steps.crops)
    able = {name: _able(patients, name) for name in _wanted(settings, training, task)}

    def take(optimiser: Optimiser, step: PrivateStep) -> float | None:
        total = ClippedSum(group_parameters(reached_by(step.setting, parameters, groups), groups, steps.norms))
        if together > 1:
            losses = _add_together(total, model, task, step.sampled, together, precision)
        else:
            losses = [_add_one(total, model, task, patient, terms.of_batch, precision) for patient in step.sampled]
        total.release(steps.noise_multiplier, steps.expected, randomness)
        _add_public(terms.public, step.setting, optimiser)
        optimiser.move()
        return float(np.mean(losses)) if losses else None

    used = {name: frozenset(case.name for cases in found.values() for case in cases) for name, found in able.items()}
    drawn = draw_steps(able, task, training, steps, device, PublicDraws(rng), randomness)
    every = [*terms.of_batch, *terms.public]
    losses, kept = run_steps(model, parameters, training, drawn, take, rng, every, check, moments)
    if losses:
        logger.info("mean loss of the patients that were sampled: %.4g; it stays here", float(np.mean(losses)))
    return Trained(
        None, {name: names for name, names in used.items() if names}, steps=training.local_steps, moments=kept
    )


def draw_steps(
    able: Mapping[ModalitySetting, Mapping[str, Sequence[PreparedCase]]],
    task: CenterTask,
    training: Training,
    steps: PrivateSteps,
    device: torch.device,
    draws: PublicDraws,
    randomness: Randomness,
) -> Iterator[PrivateStep]:
    """What each step of a round sees.

    Args:
        able: setting -> patient -> the cases that serve it; every patient is there, with none where none does.
        task: what the round trains for.
        training: of the round.
        steps: how they are made private.
        device: where batches lie.
        draws: of what need not be secret.
        randomness: of who is sampled.
    """
    shares = renormalise(training.modality_shares, able)
    for number, setting in enumerate(draws.settings(shares, training.local_steps)):
        names = sample_patients({name: name for name in able[setting]}, steps.sample_rate, randomness)
        found = []
        for name in names:
            rng = draws.of_patient(number, name)
            if cases := able[setting][name]:
                batch = task.draw_batch(cases, setting, steps.crops, device, rng)
                found.append(SampledPatient(batch, int(rng.integers(2**63))))
        yield PrivateStep(setting, tuple(found))


def reached_by(
    setting: str, parameters: Mapping[str, nn.Parameter], groups: Mapping[str, str]
) -> dict[str, nn.Parameter]:
    """The tensors that a setting can move, whoever is sampled."""
    present = parts_of(setting)
    return {key: value for key, value in parameters.items() if NEEDS.get(groups[key], frozenset()) <= present}


def _add_together(
    total: ClippedSum,
    model: nn.Module,
    task: CenterTask,
    sampled: Sequence[SampledPatient],
    together: int,
    precision: AbstractContextManager[object],
) -> list[float]:
    """Take in the gradients of several patients a pass; their losses."""
    losses: list[float] = []
    for batches in group_alike([patient.batch for patient in sampled], together):
        with precision:
            found = differentiate_together(model, task, batches, total.parameters)
        for batch, finite in zip(batches, total.add_each(found.losses, found.gradients), strict=True):
            if not finite:
                _count_as_nothing(batch)
        losses += found.losses.tolist()
    return losses


def _add_one(
    total: ClippedSum,
    model: nn.Module,
    task: CenterTask,
    patient: SampledPatient,
    terms: Sequence[LocalTerm],
    precision: AbstractContextManager[object],
) -> float:
    """Take in the gradient of one patient's loss and of what the terms add; the loss."""
    torch.manual_seed(patient.seed)
    for term in terms:
        term.remember(patient.batch)
    with precision:
        loss, answer = task.loss(model, patient.batch)
    penalties = [penalty for term in terms if (penalty := term.penalty(patient.batch, widen(answer))) is not None]
    if not total.add(torch.stack([loss, *penalties]).sum()):
        _count_as_nothing(patient.batch)
    return float(loss.item())


def _count_as_nothing(batch: Batch) -> None:
    logger.warning("the gradient of case(s) %s is not finite and counts as 0", list(batch.cases))


def _add_public(terms: Sequence[LocalTerm], setting: str, optimiser: Optimiser) -> None:
    """The gradients of terms that read no patient, for the tensors that the step moves."""
    idle = optimiser.idle()
    nobody, nothing = Batch((), setting), torch.empty(0)
    penalties = [penalty for term in terms if (penalty := term.penalty(nobody, nothing)) is not None]
    if penalties:
        torch.stack(penalties).sum().backward()
    for parameter in idle:
        parameter.grad = None
    for term in terms:
        term.adjust_gradients()


def _wanted(settings: Sequence[ModalitySetting], training: Training, task: CenterTask) -> list[ModalitySetting]:
    """Those of a center's settings that the stage trains on.

    Raises:
        ModelError: there are none.
    """
    wanted = [name for name in settings if training.modality_shares.get(name, 0) > 0 and task.runs(name)]
    if not wanted:
        asked = sorted(name for name, share in training.modality_shares.items() if share > 0)
        raise ModelError(f"this center offers {list(settings)}, none of the stage's modality settings {asked}")
    return wanted


def _able(patients: Patients, setting: ModalitySetting) -> dict[str, list[PreparedCase]]:
    """Every patient with the cases that serve a setting, none where none does."""
    return {
        name: [case for case in cases if setting in settings_within(case.modalities)]
        for name, cases in patients.items()
    }
