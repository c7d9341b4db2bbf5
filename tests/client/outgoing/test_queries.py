"""Questions are counted before they are answered, the same question has one answer, and beyond the budget none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.data.block_file import RecordsError
from client.data.cohort import EVERYBODY, Cohort
from client.outgoing.queries import ANSWERS, QUERIES, QueryLedger, figures_of, question_of
from protocol.enrolment.plan import StudyPlan
from protocol.errors import OtherStudyError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.scores import Score
from protocol.messages.settings import Model, StudySettings
from protocol.messages.suppression import Suppressed

SETTINGS = StudySettings(study="s", seed=1, model=Model(name="none"))
STATE = {"m#lora_a": np.ones((2, 3), np.float32)}
OTHER = {"m#lora_a": np.zeros((2, 3), np.float32)}
ANSWER = Reply("north", "evaluate", scores={"ct": Score(7, {"dice": 0.1 + 0.2})})


def asked(kind: Kind = "evaluate", stage: str = "adapt", server_round: int = 3, seed: int = 1) -> Instruction:
    settings = SETTINGS.model_copy(update={"seed": seed})
    return Instruction(kind, settings, stage, server_round, "b" * 64, tensors=STATE)


def test_the_same_question_has_the_same_answer_to_the_bit_also_after_a_restart(tmp_path: Path) -> None:
    ledger = QueryLedger(tmp_path, 9)
    first = ledger.inquire(asked(), EVERYBODY)
    assert (first.known, first.spent) == (None, "")
    ledger.keep(first, ANSWER)
    again = QueryLedger(tmp_path, 9).inquire(asked(stage="later", server_round=8), EVERYBODY)
    assert again.known == ANSWER
    recomputed = replace(ANSWER, scores={"ct": Score(7, {"dice": 0.3})})
    assert figures_of(recomputed, again) == ANSWER


def test_a_question_is_counted_before_it_is_answered_and_once(tmp_path: Path) -> None:
    """Killed between count and answer: the same question may be asked again, another may not."""
    assert QueryLedger(tmp_path, 1).inquire(asked(), EVERYBODY).spent == ""
    assert QueryLedger(tmp_path, 1).inquire(asked(), EVERYBODY).spent == ""
    said = QueryLedger(tmp_path, 1).inquire(replace(asked(), tensors=OTHER), EVERYBODY).spent
    assert said.startswith("1 questions were answered on this center's data, it allows 1; --maximum-queries")


def test_a_studys_plan_bounds_what_it_may_ask_whatever_is_left(tmp_path: Path) -> None:
    """A plan without stages asks for one row: twice that, and 20 to spare."""
    ledger = QueryLedger(tmp_path, 1000, StudyPlan(further_stages=0))
    for number in range(22):
        assert ledger.inquire(asked("observe", server_round=number), EVERYBODY).spent == ""
    assert "study 's' has asked 22 questions, its plan allows 22" in ledger.inquire(asked(), EVERYBODY).spent


def test_a_stage_beyond_those_that_a_plan_leaves_room_for_is_refused_though_its_answer_is_known(tmp_path: Path) -> None:
    """Room for one further stage: two, and the row before the first; stages that were named before stay."""
    ledger = QueryLedger(tmp_path, 1000, StudyPlan(further_stages=1))
    ledger.keep(ledger.inquire(asked(stage="start"), EVERYBODY), ANSWER)
    for stage in ("second", "third", "start"):
        assert ledger.inquire(asked(stage=stage), EVERYBODY).known == ANSWER
    with pytest.raises(OtherStudyError, match="stage 'fourth' is not in the plan of study 's', and 3 such stages"):
        QueryLedger(tmp_path, 1000, StudyPlan(further_stages=1)).inquire(asked(stage="fourth"), EVERYBODY)
    assert QueryLedger(tmp_path, 1000).inquire(asked(stage="fourth"), EVERYBODY).known == ANSWER


def test_beyond_the_budget_training_goes_on_without_figures(tmp_path: Path) -> None:
    QueryLedger(tmp_path, 1).inquire(asked(), EVERYBODY)
    spent = QueryLedger(tmp_path, 1).inquire(asked("train"), EVERYBODY)
    payload = Payload("north", "b" * 64, "adapt", 3, STATE, {"peft": 7})
    reply = Reply("north", "train", payload=payload, scores=ANSWER.scores, diagnostics={"a": 1.0}, loss=0.5)
    held = Suppressed({"ct": ("dice",)}, ("diagnostics", "loss"))
    assert figures_of(reply, spent) == Reply("north", "train", payload=payload, suppressed=held)


def test_what_was_answered_before_says_nothing_of_the_tensors_that_leave_now(tmp_path: Path) -> None:
    ledger = QueryLedger(tmp_path, 1000)
    held = Suppressed(parts=("loss",), groups=("fusion",))
    payload = Payload("north", "b" * 64, "adapt", 3, STATE, {"peft": 7})
    ledger.keep(ledger.inquire(asked("train"), EVERYBODY), Reply("north", "train", payload=payload, suppressed=held))
    now = Reply("north", "train", payload=payload, loss=0.5, suppressed=Suppressed(groups=("pet",)))
    leaving = figures_of(now, ledger.inquire(asked("train"), EVERYBODY))
    assert (leaving.loss, leaving.suppressed) == (None, Suppressed(parts=("loss",), groups=("pet",)))


def test_a_round_and_its_statistics_are_of_their_round_and_scores_of_their_network() -> None:
    def same(kind: Kind) -> bool:
        return question_of(asked(kind), EVERYBODY) == question_of(asked(kind, "later", 4), EVERYBODY)

    assert [same(kind) for kind in ("train", "observe", "evaluate", "compare")] == [False, False, True, True]


def test_what_decides_an_answer_is_part_of_the_question() -> None:
    cohort = Cohort(keys={"a": "k"}, is_of_blocks=False)
    questions = {
        question_of(asked(), EVERYBODY),
        question_of(replace(asked(), tensors=OTHER), EVERYBODY),
        question_of(replace(asked(), reference=OTHER), EVERYBODY),
        question_of(replace(asked(), task="survival"), EVERYBODY),
        question_of(replace(asked(), statistics=("gram",)), EVERYBODY),
        question_of(replace(asked(), backbone_hash="c" * 64), EVERYBODY),
        question_of(asked(seed=2), EVERYBODY),
        question_of(asked("compare"), EVERYBODY),
        question_of(asked(), cohort),
    }
    assert len(questions) == 9
    assert question_of(replace(asked(), backbone=OTHER, acknowledged=2), EVERYBODY) in questions


def test_tensors_that_trained_are_not_kept_and_errors_neither(tmp_path: Path) -> None:
    ledger = QueryLedger(tmp_path, 9)
    payload = Payload("north", "b" * 64, "adapt", 3, STATE, {"peft": 7})
    inquiry = ledger.inquire(asked("train"), EVERYBODY)
    ledger.keep(inquiry, Reply("north", "train", error="model"))
    assert ledger.inquire(asked("train"), EVERYBODY).known is None
    ledger.keep(inquiry, Reply("north", "train", payload=payload, loss=0.5))
    assert ledger.inquire(asked("train"), EVERYBODY).known == Reply("north", "train", loss=0.5)
    (path,) = (tmp_path / ANSWERS).iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_answer_is_computed_again_and_a_damaged_count_stops_figures(tmp_path: Path) -> None:
    ledger = QueryLedger(tmp_path, 9)
    ledger.keep(ledger.inquire(asked(), EVERYBODY), ANSWER)
    (path,) = (tmp_path / ANSWERS).iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert ledger.inquire(asked(), EVERYBODY).known is None
    counted = tmp_path / QUERIES
    counted.write_bytes(counted.read_bytes().replace(b'"s"', b'"t"'))
    with pytest.raises(RecordsError, match="cannot be trusted"):
        ledger.inquire(asked(), EVERYBODY)
