"""What was spent follows patients over studies and folders, and is reproduced by another accountant from the file."""

import json
import math
from pathlib import Path

import pytest
from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant

from client.privacy.accountant import epsilon_of
from client.privacy.ledger_file import LEDGER, Promise
from client.privacy.privacy_ledger import Bound, PrivacyLedger
from client.privacy.release import Release
from protocol.errors import PrivacySpentError, StorageError

DELTA = 1e-3


def training(server_round: int, study: str = "s", noise: float = 1.5) -> Release:
    return Release("training", "subsampled-gaussian", noise, 0.25, 8, study, "adapt", server_round)


def test_epsilon_is_reproduced_from_the_file_alone_by_a_second_accountant(tmp_path: Path) -> None:
    """Training, a stage in which more patients train, and a Gram sketch: within 1 % of the other's composition."""
    ledger = PrivacyLedger(tmp_path)
    ledger.record(training(1), ["a", "b"])
    ledger.record(Release("training", "subsampled-gaussian", 1.5, 0.2, 12, "s", "more", 2), ["a", "b", "c"])
    ledger.record(Release("gram", "gaussian", 4.0, 1.0, 1, "s", "more", 2), ["a", "b", "c"])
    other = PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE)
    for line in (tmp_path / LEDGER).read_text().splitlines():
        found = json.loads(line)
        step = PoissonSampledDpEvent(found["sample_rate"], GaussianDpEvent(found["noise_multiplier"]))
        other.compose(SelfComposedDpEvent(step, found["steps"]))
    assert epsilon_of(ledger.releases(), DELTA) == pytest.approx(other.get_epsilon(DELTA), rel=0.01)


def test_the_same_patients_are_found_in_another_study_and_others_are_not(tmp_path: Path) -> None:
    """One of two suffices: what was released on the pair was released on each."""
    ledger = PrivacyLedger(tmp_path)
    ledger.record(training(1, "first"), ["Case 1", "Case 2"])
    again = PrivacyLedger(tmp_path)
    assert again.releases(["case 2", "case 3"]) == (training(1, "first"),)
    assert again.releases(["case 3"]) == ()
    fresh = epsilon_of([training(1)], DELTA)
    assert again.would_be(training(1), ["case 3"], DELTA) == fresh
    assert again.would_be(training(1), ["case 2"], DELTA) > fresh


def test_a_patient_who_trained_without_a_mechanism_can_be_promised_nothing(tmp_path: Path) -> None:
    ledger = PrivacyLedger(tmp_path)
    ledger.record(Release("training", "none", 0.0, 1.0, 8, "old", "adapt", 1), ["a"])
    assert ledger.would_be(training(1), ["a", "b"], DELTA) == math.inf
    assert ledger.would_be(training(1), ["b"], DELTA) < math.inf


def test_a_plan_is_told_the_round_with_which_it_would_exceed(tmp_path: Path) -> None:
    """Three rounds fit, and the fourth is the first that does not."""
    ledger, planned = PrivacyLedger(tmp_path), [training(number) for number in range(1, 7)]
    promise = Promise(epsilon_of(planned[:3], DELTA), DELTA)
    assert ledger.first_excess(planned, ["a"], promise) == (planned[3], Bound(promise, ()))
    assert ledger.first_excess(planned[:3], ["a"], promise) is None
    ledger.record(training(9), ["a"])
    assert ledger.first_excess(planned, ["a"], promise) == (planned[2], Bound(promise, (training(9),)))
    assert ledger.first_excess([], ["a"], promise) is None


def test_a_round_that_would_exceed_sits_out_and_is_not_counted(tmp_path: Path) -> None:
    ledger = PrivacyLedger(tmp_path)
    promise = Promise(epsilon_of([training(1)], DELTA), DELTA)
    assert ledger.spend(training(1), ["a"], promise) == promise.epsilon
    with pytest.raises(PrivacySpentError, match=r"round 2 of stage 'adapt' would exceed: its training release"):
        ledger.spend(training(2), ["a"], promise)
    assert ledger.releases() == (training(1),)
    assert [entry.promise for entry in ledger.entries()] == [promise]


def test_a_later_study_that_promises_less_breaks_no_earlier_promise(tmp_path: Path) -> None:
    """Patient a was promised what one round costs; the later study's ten times that is for others alone."""
    ledger = PrivacyLedger(tmp_path)
    strict = Promise(epsilon_of([training(1)], DELTA), DELTA)
    lax = Promise(10 * strict.epsilon, DELTA)
    ledger.spend(training(1, "first"), ["a", "b"], strict)
    with pytest.raises(PrivacySpentError, match=f"{strict.epsilon:.3g} was promised to them"):
        ledger.spend(training(1, "second"), ["a", "c"], lax)
    assert ledger.spend(training(1, "second"), ["c"], lax) < lax.epsilon


def test_an_earlier_promise_counts_what_touched_those_who_have_it(tmp_path: Path) -> None:
    """Of a, who has it, one release; of the whole cohort two."""
    ledger = PrivacyLedger(tmp_path)
    first, now = Promise(3.0, DELTA), Promise(8.0, 1e-4)
    ledger.spend(training(1, "first"), ["a"], first)
    ledger.record(training(1, "other"), ["b"])
    found = ledger.bounds(["a", "b"], now)
    assert found == (Bound(now, (training(1, "first"), training(1, "other"))), Bound(first, (training(1, "first"),)))


def test_a_disk_that_refuses_stops_what_would_leave(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((StorageError, OSError)):
        PrivacyLedger(tmp_path / "file").record(training(1), ["a"])


def test_a_new_home_has_spent_nothing_and_looking_writes_nothing(tmp_path: Path) -> None:
    assert PrivacyLedger(tmp_path).releases(["a"]) == ()
    assert list(tmp_path.iterdir()) == []
