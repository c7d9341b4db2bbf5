"""What a center is told of privacy before it joins."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from client.home.center_home import CenterHome
from client.home.own_privacy import OwnPrivacy
from client.join.privacy_check import check_privacy
from client.join.situation import Situation
from client.privacy.ledger_file import LEDGER, Promise
from client.privacy.privacy_ledger import PrivacyLedger
from client.privacy.release import Release
from protocol.messages.privacy import Privacy

STUDY = Privacy(epsilon=8, delta=1e-3, clip_norm=1.0)


def situation(
    asked: Privacy | None, own: OwnPrivacy | None = None, home: Path = Path("absent"), auc: float = 0.0
) -> Situation:
    agreement = SimpleNamespace(study="lungs", settings=SimpleNamespace(privacy=asked))
    membership = SimpleNamespace(center="north", agreement=agreement)
    settings = SimpleNamespace(privacy=own, maximum_attack_auc=auc)
    return cast("Situation", SimpleNamespace(membership=membership, settings=settings, home=CenterHome(home)))


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        (STUDY, "ok", "each patient who trains is guaranteed epsilon 8 at delta 0.001"),
        (None, "ok", "none asked for: what trains leaves without noise"),
    ],
)
def test_what_the_study_asks_for_is_said(asked: Privacy | None, status: str, told: str) -> None:
    found = check_privacy(situation(asked))
    assert (found.status, found.text.startswith(told)) == (status, True)


@pytest.mark.parametrize("asked", [STUDY, None])
def test_a_study_that_asks_for_less_fails_with_what_to_ask_for(asked: Privacy | None) -> None:
    found = check_privacy(situation(asked, OwnPrivacy(epsilon=3, delta=1e-4)))
    assert found.status == "failed"
    assert found.remedy.startswith("ask the coordinator for")


def test_a_center_that_tightens_is_told_its_own_numbers() -> None:
    found = check_privacy(situation(STUDY, OwnPrivacy(epsilon=3, delta=1e-4, weaker="tighten")))
    assert "epsilon 3 at delta 0.0001" in found.text


def test_a_ledger_that_cannot_be_trusted_fails_the_check(tmp_path: Path) -> None:
    folder = tmp_path / "trainer"
    PrivacyLedger(folder).record(Release("gram", "gaussian", 4.0, 1.0, 1, "s", "a", 1), ["p"])
    assert check_privacy(situation(STUDY, home=tmp_path)).status == "ok"
    (folder / LEDGER).unlink()
    for asked in (STUDY, None):
        found = check_privacy(situation(asked, home=tmp_path))
        assert found.status == "failed"
        assert found.remedy.startswith("Put it back from a backup")


def test_a_study_without_a_guarantee_is_a_warning_where_patients_have_a_promise(tmp_path: Path) -> None:
    ledger, gram = PrivacyLedger(tmp_path / "trainer"), Release("gram", "gaussian", 4.0, 1.0, 1, "earlier", "a", 1)
    ledger.record(gram, ["p"])
    assert check_privacy(situation(None, home=tmp_path)).status == "ok"
    ledger.spend(gram, ["p"], Promise(8.0, 1e-3))
    found = check_privacy(situation(None, home=tmp_path))
    assert (found.status, "promised an epsilon by ['earlier']" in found.text) == ("warning", True)
    assert found.remedy.startswith("give --privacy FILE")


def test_an_attack_on_candidates_fails_the_check_of_a_private_study() -> None:
    found = check_privacy(situation(STUDY, auc=0.8))
    assert (found.status, found.remedy[:13]) == ("failed", "leave it out,")
    assert check_privacy(situation(None, auc=0.8)).status == "ok"


def test_without_an_agreement_nothing_is_said() -> None:
    assert check_privacy(cast("Situation", SimpleNamespace(membership=None))).status == "skipped"
