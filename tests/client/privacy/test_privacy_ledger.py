"""What was spent follows patients over studies and folders, and is reproduced by another accountant from the file."""

import errno
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant

from client.privacy import privacy_ledger
from client.privacy.accountant import epsilon_of
from client.privacy.case_hashes import KEY
from client.privacy.ledger_file import LEDGER, Entry, Promise, read_entries
from client.privacy.privacy_ledger import Bare, Bound, PrivacyLedger
from client.privacy.release import Release, ReleaseKind, release_without_guarantee
from protocol.errors import PrivacySpentError, StorageError
from protocol.storage.chain import append_lines
from protocol.storage.chain_check import check_chain

DELTA = 1e-3


def training(server_round: int, study: str = "s", noise: float = 1.5) -> Release:
    return Release("training", "subsampled-gaussian", noise, 0.25, 8, study, "adapt", server_round)


def test_epsilon_is_reproduced_from_the_file_alone_by_a_second_accountant(tmp_path: Path) -> None:
    """Training, a stage in which more patients train, and a Gram sketch: within 1 % of the other's composition.

    Between them stands what left without a mechanism, which no composition has.
    """
    ledger = PrivacyLedger(tmp_path)
    ledger.record(training(1), ["a", "b"])
    ledger.record(Release("training", "subsampled-gaussian", 1.5, 0.2, 12, "s", "more", 2), ["a", "b", "c"])
    ledger.record(Release("gram", "gaussian", 4.0, 1.0, 1, "s", "more", 2), ["a", "b", "c"])
    kinds: tuple[ReleaseKind, ...] = ("training", "score", "comparison")
    ledger.record_bare([Bare(release_without_guarantee(kind, "o", "a", 1), kind, frozenset("abc")) for kind in kinds])
    ledger.record(training(3), ["a", "b"])
    assert check_chain(tmp_path / LEDGER).broken is None
    other = PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE)
    for line in (tmp_path / LEDGER).read_text().splitlines():
        found = json.loads(line)
        if found["mechanism"] == "none":
            continue
        step = PoissonSampledDpEvent(found["sample_rate"], GaussianDpEvent(found["noise_multiplier"]))
        other.compose(SelfComposedDpEvent(step, found["steps"]))
    (bound,) = ledger.bounds(["a", "b", "c"], Promise(8.0, DELTA))
    assert bound.cost([]) == pytest.approx(other.get_epsilon(DELTA), rel=0.01)


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


def test_what_left_without_a_mechanism_stands_by_name_and_costs_nothing_of_a_later_promise(tmp_path: Path) -> None:
    """The promise is about what private releases add: as if the old study had not been, neither less nor more."""
    ledger, old = PrivacyLedger(tmp_path), release_without_guarantee("training", "old", "adapt", 1)
    promise = Promise(epsilon_of([training(1)], DELTA), DELTA)
    ledger.record_bare([Bare(old, "hash", frozenset("ab"))])
    assert ledger.releases(["a"]) == (old,)
    assert ledger.would_be(training(1), ["a", "b"], DELTA) == promise.epsilon
    assert ledger.bounds(["a"], promise) == (Bound(promise, ()),)
    assert ledger.spend(training(1), ["a"], promise) == promise.epsilon
    ledger.record_bare([Bare(old, "another", frozenset("ab"))])
    assert ledger.bounds(["a"], promise) == (Bound(promise, (training(1),)),)


def test_the_same_bits_stand_once_however_often_and_by_whom_they_are_sent(tmp_path: Path) -> None:
    """Two trainers share the home; other bits of the same round are another release."""
    score, ledgers = release_without_guarantee("score", "s", "adapt", 1), [PrivacyLedger(tmp_path) for _ in range(2)]
    for content in ("one", "one", "two"):
        for ledger in ledgers:
            ledger.record_bare([Bare(score, content, frozenset("a"))])
    assert [entry.content for entry in ledgers[0].entries()] == ["one", "two"]
    assert all(ledger.stands(score, "two") and not ledger.stands(score, "three") for ledger in ledgers)


def test_several_releases_of_a_reply_are_one_append_and_name_each_cohort_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = list[int]()

    def appending(log: Path, lines: Sequence[Mapping[str, Any]]) -> None:
        calls.append(len(lines))
        append_lines(log, lines)

    monkeypatch.setattr(privacy_ledger, "append_lines", appending)
    bare = [
        Bare(release_without_guarantee(kind, "s", "adapt", 1), kind, frozenset("ab")) for kind in ("training", "score")
    ]
    PrivacyLedger(tmp_path).record_bare(bare)
    assert calls == [2]
    assert [len(json.loads(line).get("subjects", ())) for line in (tmp_path / LEDGER).read_text().splitlines()] == [
        2,
        0,
    ]


def test_an_entry_more_does_not_read_all_others_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, read = PrivacyLedger(tmp_path), list[Path]()

    def reading(path: Path, key: bytes | None, time: datetime) -> tuple[Entry, ...]:
        read.append(path)
        return read_entries(path, key, time)

    def score(number: int) -> list[Bare]:
        return [Bare(release_without_guarantee("score", "s", "a", number), "h", frozenset("a"))]

    ledger.record_bare(score(1))
    monkeypatch.setattr(privacy_ledger, "read_entries", reading)
    for number in (2, 3, 4):
        ledger.record_bare(score(number))
    assert read == []
    assert len(ledger.entries()) == 4


def test_a_key_without_a_ledger_is_never_left_behind_by_a_disk_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first entry does not get its room; the next start finds an empty ledger, not a lost one."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(privacy_ledger, "append_lines", refuse)
        with pytest.raises(StorageError, match="No space left on device"):
            PrivacyLedger(tmp_path).record(training(1), ["a"])
    assert (tmp_path / KEY).exists()
    assert PrivacyLedger(tmp_path).entries() == ()


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
