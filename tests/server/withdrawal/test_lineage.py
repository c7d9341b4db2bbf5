"""What a center's updates entered: from its first stage on, everything."""

from dataclasses import replace

from server.study.audit_log import AuditEvent
from server.study.checkpoint import Checkpoint
from server.study.file import Study
from server.study.history import History, QueryRecord, RoundRecord
from server.withdrawal.lineage import lineage_of, part_entries
from strategies.bank.entry import Entry
from tests.support.withdrawn_study import LATE_COMER, study_of

STUDY: Study = study_of(LATE_COMER)
ROUNDS = (
    RoundRecord("stage-1", 1, "a"),
    RoundRecord("stage-2", 3, "c", error="no-answer"),
    RoundRecord("stage-2", 4, "c"),
    RoundRecord("stage-2", 4, "a"),
)
STATE = Checkpoint(2, 4, "", {}, history=History(ROUNDS))
ENTRY = Entry("shared", 1, "", "stage-1", 2, None, "b", "s", {}, 1, 4)
ENTRIES = (
    replace(ENTRY, name="a", center="a"),
    replace(ENTRY, name="a", center="a", version=2, stage="stage-2"),
    replace(ENTRY, name="c", center="c", stage="stage-2"),
    ENTRY,
    replace(ENTRY, version=2, stage="stage-2"),
    replace(ENTRY, version=3, stage="stage-3"),
)


def test_a_round_without_an_answer_of_the_center_is_none_of_its_rounds() -> None:
    found = lineage_of("c", STUDY, STATE, ())
    assert (found.first_stage, found.rounds) == (1, (4,))


def test_a_round_that_the_checkpoint_does_not_know_any_more_counts_by_the_audit_log() -> None:
    facts = {"stage": "stage-3", "server_round": 5, "used": ["a", "b"], "refused": {}}
    found = lineage_of("b", STUDY, STATE, [AuditEvent(1, "", "", "", "round", facts)])
    assert (found.first_stage, found.rounds) == (2, (5,))


def test_a_center_whose_updates_were_all_refused_entered_where_its_observation_was_taken() -> None:
    rounds = tuple(RoundRecord("stage-1", number, "b", error="norm") for number in (1, 2))
    queries = (
        QueryRecord("stage-1", "compare", "b"),
        QueryRecord("stage-1", "observe", "b", error="fingerprint"),
        QueryRecord("stage-2", "observe", "b"),
        QueryRecord("stage-3", "observe", "b"),
    )
    found = lineage_of("b", STUDY, replace(STATE, history=History(rounds, queries=queries)), ())
    assert (found.first_stage, found.rounds) == (1, ())


def test_an_observation_that_the_checkpoint_does_not_know_any_more_counts_by_the_audit_log() -> None:
    event = AuditEvent(1, "", "", "", "observed", {"stage": "stage-1", "center": "b"})
    assert lineage_of("b", STUDY, STATE, [event]).first_stage == 0
    assert lineage_of("c", STUDY, STATE, [event]).first_stage == 1


def test_versions_are_parted_at_its_first_stage() -> None:
    parted = part_entries(lineage_of("c", STUDY, STATE, ()), STUDY, ENTRIES)
    assert [entry.reference for entry in parted.own] == ["c/0001"]
    assert [entry.reference for entry in parted.kept] == ["shared/0001"]
    assert [entry.reference for entry in parted.shared] == ["shared/0002", "shared/0003"]
    assert [entry.reference for entry in parted.influenced] == ["a/0002"]


def test_of_a_center_that_never_answered_everything_is_kept() -> None:
    lineage = lineage_of("b", STUDY, STATE, ())
    parted = part_entries(lineage, STUDY, ENTRIES)
    assert (lineage.first_stage, parted.own, parted.shared, parted.influenced) == (None, (), (), ())
    assert len(parted.kept) == 3
