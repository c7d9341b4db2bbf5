"""What a center may ask of a candidate before it says a word about it: that its losses do not tell who trained.

The cheapest attack there is, loss threshold (`strategies.evaluation.membership`), on training and validation patients.
Its AUC is taken as it comes out: over few patients it is high by chance now and then, and then the center refuses a
candidate that gives nothing away. It is the center's own bound, and errs to its side.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from client.audit.attack_figures import as_attack
from client.audit.audit_log import record_audit
from client.audit.case_losses import case_losses
from client.audit.pool import gather
from client.data.cohort import Cohort
from client.data.manifest import Manifest
from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check
from client.scores.scoring import Network
from client.tasks.contract import CenterTask, with_target
from protocol.errors import LeakError
from protocol.messages.audit import Answer, Audit
from protocol.messages.instruction import Instruction, Part
from protocol.messages.tensors import content_hash
from strategies.evaluation.membership import AttackFigures, by_patient, judge

DECIDING: tuple[Part, ...] = ("train", "validation")
"""The parts whose cases may decide; nothing is decided on test cases."""


def check_candidate(
    candidate: Network,
    task: CenterTask,
    manifest: Manifest,
    parts: Mapping[Part, Sequence[PreparedCase]],
    highest_auc: float,
    check: Check,
    home: Path,
    asked: Instruction,
    cohort: Cohort,
    minimum_cases: int = 1,
) -> None:
    """Refuse a candidate by whose losses members are told more often than the center allows; keep what was found.

    Args:
        candidate: the network.
        task: of the stage.
        manifest: of the center, which says whose a case is.
        parts: the cases of the parts that may decide.
        highest_auc: the center's bound; 0.5 is chance.
        check: is called before each case.
        home: of the center, whose page shows what was found and answered.
        asked: what the coordinator wants to know of the candidate.
        cohort: of the center's cases that may enter a figure; whether it compares is one.
        minimum_cases: fewest patients of either kind.

    Raises:
        LeakError: the AUC is above the bound, or cannot be told.
        TooFewError: too few patients trained, or too few others are there.
    """
    entering = {part: enter_figures(cases, task, cohort) for part, cases in parts.items()}
    pool = gather(manifest, entering, task, minimum_cases)
    found = case_losses(candidate.model, task.fitted_to(pool.cases), pool.cases, candidate.row.settings, check)
    figures = judge("loss-threshold", -by_patient(found, pool.patients)[0], pool.members, pool.names)
    leaks = figures.auc.value is None or figures.auc.value > highest_auc
    record_audit(home, _as_audit(asked, candidate, manifest.center, figures, "leak" if leaks else "compared"))
    if leaks:
        told = figures.reason or f"losses tell members with an AUC of {figures.auc.value:.2f}"
        raise LeakError(
            f"center '{manifest.center}': {told}, allowed are {highest_auc:g}; the candidate is not compared. "
            "--maximum-attack-auc allows more"
        )


def _as_audit(asked: Instruction, candidate: Network, center: str, figures: AttackFigures, answer: Answer) -> Audit:
    return Audit(
        center=center,
        study=candidate.settings.study,
        reference=f"candidate of {asked.stage}, round {asked.server_round}",
        adapter_sha256=content_hash(candidate.tensors),
        backbone_sha256=candidate.backbone_hash,
        task=asked.task,
        shadows=0,
        steps=0,
        private=candidate.settings.privacy is not None,
        attacks=(as_attack("loss-threshold", figures),),
        answered=answer,
    )


def enter_figures(cases: Sequence[PreparedCase], task: CenterTask, cohort: Cohort) -> list[PreparedCase]:
    """Those of some cases, with the task's target, whose whole block may enter a figure."""
    found = with_target(task, cases)
    kept = cohort.keep([case.name for case in found])
    return [case for case in found if case.name in kept]
