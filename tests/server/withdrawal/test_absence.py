"""A study and its state as if a center had never been in them."""

import pytest

from protocol.errors import WithdrawalError
from protocol.messages.suppression import Suppressed
from protocol.messages.tensors import Tensors
from server.study.checkpoint import Checkpoint
from server.study.file import Study
from server.study.history import History, RoundRecord, StageRow
from server.withdrawal.absence import state_without_center, without_center
from tests.support.withdrawn_study import LATE_COMER, NEVER_THERE, study_of


def test_a_study_without_a_center_is_the_one_that_never_named_it() -> None:
    assert Study.model_validate(without_center(study_of(LATE_COMER), "c")) == study_of(NEVER_THERE)


def test_a_stage_of_that_center_alone_is_left_out_and_a_study_of_it_alone_is_none() -> None:
    late = LATE_COMER.replace('["a", "b", "c"]', '["c"]')
    assert [stage["name"] for stage in without_center(study_of(late), "c")["stages"]] == ["stage-1", "stage-3"]
    alone = late.replace('["a", "b"]', '["c"]')
    with pytest.raises(WithdrawalError, match=r"without center 'c' the study cannot run: .*stages"):
        without_center(study_of(alone), "c")


def test_nothing_in_a_checkpoint_is_of_the_center_any_more() -> None:
    records = (RoundRecord("stage-1", 1, "a"), RoundRecord("stage-1", 1, "c"))
    held = {"a": Suppressed(), "c": Suppressed({"ct": ("dice",)})}
    rows = (StageRow("stage-1", test={"a": {}, "c": {}}, seconds={"c": 2.0}, suppressed=held),)
    both: dict[str, Tensors] = {"a": {}, "c": {}}
    state = Checkpoint(
        *(1, 2, "", {}),
        own=both,
        accepted_own=both,
        branches=both,
        scored_own=both,
        history=History(records, rows),
        tracking={"study": "run"},
        agreed_cases={"a": 5, "c": 5},
    )
    found = state_without_center(state, "c")
    assert {*found.own, *found.accepted_own, *found.branches, *found.scored_own, *found.agreed_cases} == {"a"}
    assert [record.center for record in found.history.rounds] == ["a"]
    assert (dict(found.history.rows[0].test), dict(found.history.rows[0].seconds)) == ({"a": {}}, {})
    assert set(found.history.rows[0].suppressed) == {"a"}
    assert (found.tracking, found.server_round) == ({}, 2)
