"""A round of training that guarantees each patient privacy, from the cases of a center to what the round came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import nn

from client.data.manifest import Manifest
from client.data.preprocessing import PreparedCase
from client.learning.assembly import tensor_specs
from client.learning.cancellation import Check
from client.learning.private_training import PatientTerms, train_privately
from client.learning.training import Trained
from client.local_terms.building import build_terms
from client.local_terms.contract import LocalTerm
from client.optimisation.moments import Moments
from client.privacy.private_rounds import PrivateRounds
from client.privacy.secret_randomness import SecretRandomness
from client.scores.scoring import Network
from client.tasks.contract import CenterTask, with_target
from protocol.messages.instruction import Instruction, Part
from protocol.messages.settings import Training
from protocol.modalities import Modality, settings_within
from strategies.continual.terms import TERMS


@dataclass(frozen=True)
class Learners:
    """Who trains: the prepared training cases, and the patient of each case."""

    cases: Sequence[PreparedCase]
    patients: Mapping[str, str]


def train_private_round(
    rounds: PrivateRounds,
    network: Network,
    instruction: Instruction,
    training: Training,
    parameters: Mapping[str, nn.Parameter],
    learners: Learners,
    task: CenterTask,
    offered: Sequence[Modality],
    rng: np.random.Generator,
    check: Check,
    moments: Moments,
) -> tuple[Trained, list[LocalTerm]]:
    """Train, and write down what it cost; what it came to, and the local terms.

    Args:
        rounds: the center's private rounds.
        network: whose `model` trains.
        instruction: of the round.
        training: what it trains.
        parameters: those that move, by key.
        learners: who trains.
        task: what the round trains for.
        offered: modalities of the center, as it registered with.
        rng: of what need not be secret.
        check: called before each step.
        moments: that the optimiser goes on with.

    Raises:
        PrivacyError: the round cannot keep what is guaranteed.
        PrivacyNoiseError: it can, and nothing of what the patients teach would be left.
        PrivacySpentError: its patients would have spent more than is guaranteed.
        StorageError: what it cost could not be written; nothing may leave then.
    """
    patients = group_by_patient(with_target(task, learners.cases), learners.patients)
    names = [*patients, *(case.name for cases in patients.values() for case in cases)]
    steps = rounds.begin(instruction, training, len(patients), names)
    terms = _terms(network, instruction, training, task)
    trained = train_privately(
        network.model,
        parameters,
        patients,
        task=task,
        training=training,
        steps=steps,
        groups={spec.key: spec.group for spec in tensor_specs(network.model, network.row.pathways)},
        settings=[name for name in settings_within(offered) if name in network.row.settings],
        rng=rng,
        randomness=SecretRandomness(),
        terms=terms,
        check=check,
        moments=moments,
    )
    rounds.end(instruction, training, steps, len(patients), names)
    return trained, [*terms.of_batch, *terms.public]


def refuse_unaffordable(
    rounds: PrivateRounds, instruction: Instruction, manifest: Manifest, split: Mapping[str, Part]
) -> None:
    """Refuse a private round that these patients cannot pay for, before a network is built or a case prepared.

    Raises:
        PrivacyError, PrivacyNoiseError, PrivacySpentError: as `PrivateRounds.begin`.
        RecordsError: likewise.
    """
    training, of = instruction.training, manifest.patients
    cases = [case for case in manifest.usable if split.get(case.name) == "train" and case.has_target(instruction.task)]
    if training is not None:
        patients = {of[case.name] for case in cases}
        rounds.begin(instruction, training, len(patients), patients.union(case.name for case in cases))


def group_by_patient(cases: Sequence[PreparedCase], patients: Mapping[str, str]) -> dict[str, list[PreparedCase]]:
    """Patient -> cases; a patient of one name in several folders is one patient."""
    found: dict[str, list[PreparedCase]] = {}
    for case in cases:
        found.setdefault(patients[case.name], []).append(case)
    return found


def _terms(network: Network, instruction: Instruction, training: Training, task: CenterTask) -> PatientTerms:
    """The round's local terms, by what they read."""
    build = partial(_build, network, instruction, training, task)
    return PatientTerms(of_batch=build("batch"), public=build("nothing"))


def _build(
    network: Network, instruction: Instruction, training: Training, task: CenterTask, reads: str
) -> list[LocalTerm]:
    weights = {
        name: weight for name, weight in training.terms.items() if name not in TERMS or TERMS[name].reads == reads
    }
    return build_terms(
        network.model,
        training.model_copy(update={"terms": weights}),
        instruction.tensors,
        instruction.reference,
        instruction.settings,
        task,
        network.row.pathways,
        network.variant,
        training.local_steps,
    )
