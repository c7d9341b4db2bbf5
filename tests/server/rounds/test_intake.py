"""An answer enters its round, or is left out with nothing of it in the inbox."""

from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import StorageError
from protocol.messages.payload import Payload
from server.grid.center_answer import CenterAnswer
from server.rounds import intake as intake_module
from server.rounds.inbox import Inbox
from server.rounds.intake import Intake
from server.rounds.late_updates import LateUpdates
from server.rounds.records import record_of
from server.rounds.round_under_way import RoundUnderWay
from server.study.events import tell_all
from tests.support.entered_study import Entered, enter
from tests.support.segmentation_scores import dice_score


def first_round(entered: Entered, folder: Path) -> tuple[Intake, CenterAnswer]:
    """The way into the first round, and what center a sends."""
    training = entered.prepared.study.training_in(entered.builder.stage, 0)
    inbox = Inbox(folder / "inbox")
    late = LateUpdates(inbox, tell_all(), ())
    intake = Intake(RoundUnderWay(entered.builder, training, 1), entered.state, inbox, late, None)
    center = entered.found.centers["a"]
    center.backbones.add(entered.state.backbone_hash)
    return intake, CenterAnswer(center.perform(entered.builder.training(entered.state, "a", training, 1)), 8, 16)


def test_a_sound_update_is_in_the_inbox_and_in_its_record(tmp_path: Path) -> None:
    intake, answer = first_round(enter(tmp_path), tmp_path)
    record = intake.take_in(answer, 5)
    assert (record.error, record.cases, record.bytes_up) == ("", 5, 16)
    assert intake.inbox.centers("adapt", 1) == ("a",)


def test_scores_and_diagnostics_that_a_round_did_not_ask_for_are_dropped(tmp_path: Path) -> None:
    """A center may not choose a round of its own as the one that others are held against."""
    intake, answer = first_round(enter(tmp_path), tmp_path)
    answer = replace(answer, reply=replace(answer.reply, scores={"ct": dice_score(5, 0.6, 3.0)}))
    assert intake.take_in(answer, 5).validation == answer.reply.scores
    unasked = replace(intake.under_way, training=intake.under_way.training.model_copy(update={"validate_first": False}))
    record = replace(intake, under_way=unasked).take_in(answer, 5)
    assert (record.error, record.validation, record.diagnostics) == ("", {}, {})


def test_a_late_update_is_set_aside(tmp_path: Path) -> None:
    intake, answer = first_round(enter(tmp_path), tmp_path)
    assert answer.reply.payload is not None
    late = replace(answer, reply=replace(answer.reply, payload=replace(answer.reply.payload, server_round=0)))
    assert intake.take_in(late, 5).error == "late"
    assert len(list((tmp_path / "inbox" / "late").iterdir())) == 1


def test_an_update_without_the_statistics_it_is_weighed_by_does_not_count(tmp_path: Path) -> None:
    intake, answer = first_round(enter(tmp_path), tmp_path)
    assert replace(intake, beside={}).take_in(answer, 5).error == "not-observed"
    assert intake.inbox.centers("adapt", 1) == ()


@pytest.mark.parametrize("where", ["check", "record"])
def test_an_update_that_cannot_be_handled_leaves_nothing_behind(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Raised while it is checked, or when it is in the inbox already: the center's loss, with the bytes it took."""

    def fail(*_: object) -> None:
        raise OverflowError("too large")

    intake, answer = first_round(enter(tmp_path), tmp_path)
    if where == "check":
        monkeypatch.setattr(RoundUnderWay, "check", fail)
    else:
        monkeypatch.setattr(intake_module, "record_of", lambda *of: fail() if not of[3] else record_of(*of))
    record = intake.take_in(answer, 5)
    assert (record.error, record.bytes_down, record.support, record.loss) == ("unreadable", 8, {}, None)
    assert intake.inbox.centers("adapt", 1) == ()
    assert "center 'a': its reply cannot be taken into the round: OverflowError (too large)" in caplog.text


def test_a_full_disk_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_inbox: Inbox, payload: Payload) -> None:
        raise StorageError(f"no space for {payload.center}")

    intake, answer = first_round(enter(tmp_path), tmp_path)
    monkeypatch.setattr(Inbox, "put", refuse)
    with pytest.raises(StorageError, match="no space for a"):
        intake.take_in(answer, 5)
