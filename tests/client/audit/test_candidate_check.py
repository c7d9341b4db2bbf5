from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from client.audit import candidate_check
from client.audit.audit_log import AUDITS, read_audits
from client.audit.candidate_check import check_candidate
from client.data.cohort import Cohort
from client.learning.cancellation import never_cancelled
from client.scores.scoring import Network
from protocol.errors import LeakError, TooFewError
from protocol.messages.instruction import Instruction
from protocol.messages.settings import Model, StudySettings
from tests.support.audited_center import manifest_of, prepared
from tests.support.small_training import ROW, TASK
from tests.support.threshold_network import Threshold

Checked = Callable[..., None]
EVERYBODY = Cohort(is_of_blocks=False)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Checked:
    """Check a candidate with some losses of four patients, two of whom trained, at a home of `tmp_path`."""

    def check_losses(losses: list[float], most: float, cohort: Cohort = EVERYBODY, minimum_cases: int = 1) -> None:
        _check(losses, most, monkeypatch, tmp_path, cohort, minimum_cases)

    return check_losses


def _check(
    losses: list[float],
    highest_auc: float,
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    cohort: Cohort,
    minimum_cases: int,
) -> None:
    monkeypatch.setattr(candidate_check, "case_losses", lambda *_: np.array(losses))
    settings = StudySettings(study="s", model=Model(name="pemma-unetr-tiny"), seed=0)
    candidate = Network(settings, ROW, {}, "0" * 64, {}, "cpu")
    candidate.__dict__["model"] = Threshold()
    asked = Instruction("compare", settings, "adapt", 3)
    given = (highest_auc, never_cancelled, home, asked, cohort, minimum_cases)
    check_candidate(candidate, TASK, manifest_of(), prepared(), *given)


def test_a_candidate_that_knows_who_trained_is_refused(check: Checked) -> None:
    with pytest.raises(LeakError, match=r"an AUC of 1\.00, allowed are 0\.8"):
        check([0.1, 0.2, 0.9, 0.8], 0.8)


def test_a_candidate_up_to_the_bound_is_compared(check: Checked) -> None:
    """Three of four pairs are in order: 0.75."""
    check([0.1, 0.5, 0.4, 0.8], 0.75)
    with pytest.raises(LeakError):
        check([0.1, 0.5, 0.4, 0.8], 0.74)


def test_a_candidate_that_cannot_be_judged_is_refused(check: Checked) -> None:
    with pytest.raises(LeakError, match="2 of each are needed"):
        check([0.1, np.nan, 0.4, 0.8], 1.0)


def test_what_was_found_and_answered_stays_at_the_center(check: Checked, tmp_path: Path) -> None:
    check([0.1, 0.5, 0.4, 0.8], 0.75)
    (kept,) = read_audits(tmp_path / AUDITS)
    assert (kept.reference, kept.answered, kept.attacks[0].auc) == ("candidate of adapt, round 3", "compared", 0.75)
    with pytest.raises(LeakError):
        check([0.1, 0.2, 0.9, 0.8], 0.75)
    (kept,) = read_audits(tmp_path / AUDITS)
    assert (kept.answered, kept.attacks[0].auc) == ("leak", 1.0)


def test_an_answer_stands_on_no_fewer_patients_than_a_figure(check: Checked) -> None:
    """Two trained and two others are there, and the center sends nothing of fewer than three."""
    with pytest.raises(TooFewError, match=r"2 did not, 3 of each are needed"):
        check([0.1, 0.2, 0.9, 0.8], 1.0, minimum_cases=3)


def test_cases_that_enter_no_figure_are_not_asked(check: Checked) -> None:
    """Blocks hold none of the cases."""
    with pytest.raises(TooFewError, match=r"0 with the target of segmentation trained, 0 did not"):
        check([0.1, 0.2, 0.9, 0.8], 1.0, Cohort())
