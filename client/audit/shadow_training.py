"""Trains a network as the version that is attacked was trained, on other patients of the same center."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from client.audit.target import AuditTarget
from client.data.preprocessing import PreparedCase
from client.learning.assembly import tensor_specs
from client.learning.cancellation import Check
from client.learning.private_training import train_privately
from client.learning.trainable import train_only
from client.learning.training import train_locally
from client.privacy.accountant import noise_multiplier_for
from client.privacy.patient_sampling import sample_rate
from client.privacy.private_rounds import PrivateSteps
from client.privacy.secret_randomness import SecretRandomness
from client.tasks.building import build_task
from protocol.errors import ModelError
from protocol.messages.privacy import Privacy
from protocol.messages.settings import Training
from protocol.modalities import settings_within

Patients = Mapping[str, Sequence[PreparedCase]]
Parameters = Mapping[str, nn.Parameter]


def train_like(target: AuditTarget, patients: Patients, number: int, check: Check) -> nn.Module:
    """A network that begins as the target's like do and takes all steps of its training on these patients.

    Args:
        target: what it is to be like.
        patients: the cases of each.
        number: of the network, which its draws follow from.
        check: is called before each step.

    Raises:
        CancelledError: `check` raised it.
        ModelError: the target has nothing to train, or no case serves its training.
    """
    network, model = target.network, target.begin()
    live = train_only(model, target.training.groups, network.row.pathways, target.training.roles)
    if not live:
        raise ModelError(f"{target.entry.reference} has none of the groups {list(target.training.groups)} to train")
    learn = _learn if network.settings.privacy is None else _learn_privately
    learn(target, model, live, patients, np.random.default_rng([network.settings.seed, number]), check)
    return model


def _learn(
    target: AuditTarget, model: nn.Module, live: Parameters, patients: Patients, rng: np.random.Generator, check: Check
) -> None:
    network, training = target.network, target.training
    train_locally(
        model,
        live,
        [case for cases in patients.values() for case in cases],
        task=build_task(target.task, network.settings, training.recipe),
        training=training,
        model_settings=network.row.settings,
        rng=rng,
        check=check,
    )


def _learn_privately(
    target: AuditTarget, model: nn.Module, live: Parameters, patients: Patients, rng: np.random.Generator, check: Check
) -> None:
    """With the noise that the study's guarantee costs these patients in so many steps; no ledger is asked or written.

    A shadow leaves the center as little as its losses do.
    """
    network, training = target.network, target.training
    offered = sorted({name for cases in patients.values() for case in cases for name in case.modalities})
    train_privately(
        model,
        live,
        patients,
        task=build_task(target.task, network.settings, training.recipe),
        training=training,
        steps=private_steps(network.settings.privacy, training, len(patients)),
        groups={spec.key: spec.group for spec in tensor_specs(model, network.row.pathways)},
        settings=[name for name in settings_within(offered) if name in network.row.settings],
        rng=rng,
        randomness=SecretRandomness(),
        check=check,
    )


def private_steps(privacy: Privacy | None, training: Training, patients: int) -> PrivateSteps:
    """How the steps are made private so that all of them together cost no more than is guaranteed.

    Raises:
        PrivacySpentError: no noise is enough for so few patients.
    """
    if privacy is None:
        raise ValueError("a study without privacy has no private steps; train without")
    rate = sample_rate(training.batch_size, patients)
    sigma = noise_multiplier_for(privacy.epsilon, privacy.delta, rate, training.local_steps)
    return PrivateSteps(privacy.clip_norm, sigma, rate, rate * patients, privacy.crops)
