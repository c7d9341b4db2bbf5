"""What a center may ask of a candidate before it says a word about it: that its losses do not tell who trained.

The cheapest attack there is, loss threshold (`strategies.evaluation.membership`), on training and validation patients.
Its AUC is taken as it comes out: over few patients it is high by chance now and then, and then the center refuses a
candidate that gives nothing away. It is the center's own bound, and errs to its side.
"""

from collections.abc import Mapping, Sequence

from client.audit.case_losses import case_losses
from client.audit.pool import gather
from client.data.manifest import Manifest
from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check
from client.scores.scoring import Network
from client.tasks.contract import CenterTask
from protocol.errors import LeakError
from protocol.messages.instruction import Part
from strategies.evaluation.membership import by_patient, judge

DECIDING: tuple[Part, ...] = ("train", "validation")
"""The parts whose cases may decide; nothing is decided on test cases."""


def check_candidate(
    candidate: Network,
    task: CenterTask,
    manifest: Manifest,
    parts: Mapping[Part, Sequence[PreparedCase]],
    highest_auc: float,
    check: Check,
) -> None:
    """Refuse a candidate by whose losses members are told more often than the center allows.

    Args:
        candidate: the network.
        task: of the stage.
        manifest: of the center, which says whose a case is.
        parts: the cases of the parts that may decide.
        highest_auc: the center's bound; 0.5 is chance.
        check: is called before each case.

    Raises:
        LeakError: the AUC is above the bound, or cannot be told.
        TooFewError: too few patients trained, or too few others are there.
    """
    pool = gather(manifest, parts, task)
    found = case_losses(candidate.model, task.fitted_to(pool.cases), pool.cases, candidate.row.settings, check)
    figures = judge("loss-threshold", -by_patient(found, pool.patients)[0], pool.members, pool.names)
    if figures.auc.value is None or figures.auc.value > highest_auc:
        told = figures.reason or f"losses tell members with an AUC of {figures.auc.value:.2f}"
        raise LeakError(
            f"center '{manifest.center}': {told}, allowed are {highest_auc:g}; the candidate is not compared. "
            "--maximum-attack-auc allows more"
        )
