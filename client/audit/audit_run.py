"""An audit: every attack on one version, by a center on its own patients."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.audit.attack_figures import as_attack
from client.audit.case_losses import case_losses
from client.audit.pool import AuditPool, Scored
from client.audit.shadows import Told, train_shadows
from client.audit.sketch_attack import statistic_scores
from client.audit.target import AuditTarget
from client.learning.cancellation import Check
from client.tasks.building import build_task
from client.tasks.contract import CenterTask
from protocol.messages.audit import AttackName, Audit
from strategies.evaluation.matrix import Floats
from strategies.evaluation.membership import by_patient, group_means, judge, likelihood_ratios

STATISTICS: Mapping[str, AttackName] = {
    "gram-sketch": "gram-sketch",
    "prototype-ct": "prototype-ct",
    "prototype-pet": "prototype-pet",
}


@dataclass(frozen=True)
class Audited:
    """What an audit found, and of each attack whom it has a score of; these names never leave.

    names: of all cases that were looked at, and of their patients. stage, server_round: of the version.
    """

    found: Audit
    scored: Mapping[AttackName, Scored]
    names: frozenset[str]
    stage: str
    server_round: int


def audit(
    center: str, target: AuditTarget, pool: AuditPool, shadows: int, folder: Path, check: Check, tell: Told
) -> Audited:
    """Attack a version by likelihood ratio, by loss, and by what its center would send to remember its patients.

    Of a private study no statistic of training patients leaves, and none is attacked.

    Args:
        center: whose patients they are.
        target: the version.
        pool: the patients.
        shadows: how many are trained; even, from 4 on.
        folder: where what shadows say is kept.
        check: is called before each step and case.
        tell: is told how many shadows are done.

    Raises:
        CancelledError: `check` raised it; shadows that were finished stay.
        ModelError: the version cannot be trained as its stage says.
    """
    network = target.network
    task = build_task(target.task, network.settings, target.training.recipe).fitted_to(pool.cases)
    losses = by_patient(case_losses(network.model, task, pool.cases, network.row.settings, check), pool.patients)[0]
    found = train_shadows(target, pool, shadows, folder, check, tell)
    ratios = likelihood_ratios(losses, by_patient(found.losses, pool.patients)[0], found.held)
    scores: dict[AttackName, Floats] = {"likelihood-ratio": ratios, "loss-threshold": -losses}
    statistics = {} if network.settings.privacy else _statistics(target, pool, task, check)
    errors = {name: group_means(-values, pool.members, pool.names) for name, values in statistics.items()}
    scores |= statistics
    told = Audit(
        center=center,
        study=network.settings.study,
        reference=target.entry.reference,
        adapter_sha256=target.entry.sha256,
        backbone_sha256=target.entry.backbone,
        task=target.task,
        shadows=shadows,
        steps=target.training.local_steps,
        private=network.settings.privacy is not None,
        attacks=tuple(
            as_attack(name, judge(name, values, pool.members, pool.names), errors.get(name))
            for name, values in scores.items()
        ),
    )
    scored = {name: pool.scored(values) for name, values in scores.items()}
    names = frozenset({*pool.patients, *(case.name for case in pool.cases)})
    return Audited(told, scored, names, target.entry.stage, target.entry.server_round)


def _statistics(target: AuditTarget, pool: AuditPool, task: CenterTask, check: Check) -> dict[AttackName, Floats]:
    """Scores by the statistics that any patient has one of."""
    network = target.network
    found = statistic_scores(network.model, pool.training, pool.cases, task, network.settings, network.row, check)
    patients = {STATISTICS[name]: by_patient(scores, pool.patients)[0] for name, scores in found.items()}
    return {name: scores for name, scores in patients.items() if np.isfinite(scores).any()}
