import numpy as np
import pytest

from client.audit import candidate_check
from client.audit.candidate_check import check_candidate
from client.learning.cancellation import never_cancelled
from client.scores.scoring import Network
from protocol.errors import LeakError
from protocol.messages.settings import Model, StudySettings
from tests.support.audited_center import manifest_of, prepared
from tests.support.small_training import ROW, TASK
from tests.support.threshold_network import Threshold


def check(losses: list[float], highest_auc: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_check, "case_losses", lambda *_: np.array(losses))
    settings = StudySettings(study="s", model=Model(name="pemma-unetr-tiny"), seed=0)
    candidate = Network(settings, ROW, {}, "", {}, "cpu")
    candidate.__dict__["model"] = Threshold()
    check_candidate(candidate, TASK, manifest_of(), prepared(), highest_auc, never_cancelled)


def test_a_candidate_that_knows_who_trained_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LeakError, match=r"an AUC of 1\.00, allowed are 0\.8"):
        check([0.1, 0.2, 0.9, 0.8], 0.8, monkeypatch)


def test_a_candidate_up_to_the_bound_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four pairs are in order: 0.75."""
    check([0.1, 0.5, 0.4, 0.8], 0.75, monkeypatch)
    with pytest.raises(LeakError):
        check([0.1, 0.5, 0.4, 0.8], 0.74, monkeypatch)


def test_a_candidate_that_cannot_be_judged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LeakError, match="2 of each are needed"):
        check([0.1, np.nan, 0.4, 0.8], 1.0, monkeypatch)
