"""One center's warm trainer on synthetic cases: what it says, what it sends, and what it writes first."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.learning.training import Trained, train_locally
from client.outgoing.sealed_reply import SealedReply
from client.service.trainer import Trainer
from protocol.errors import StorageError
from protocol.messages.instruction import Instruction
from protocol.messages.recipe import Recipe
from protocol.messages.secure_aggregation import SecureAggregation
from protocol.messages.secure_sum import SumRequest
from protocol.messages.tensors import content_hash
from protocol.socket_codec import unpack_reply
from server.study.file import Study
from tests.support.one_center import asked
from tests.support.start_state import Start
from tests.support.summing import Summing


def lines(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "outgoing.jsonl").read_text().splitlines()]


def test_the_outgoing_log_says_what_left(ct_only: Trainer, start: Start) -> None:
    reply = ct_only.perform(start.instruction())
    assert reply.payload is not None
    (line,) = lines(ct_only.home)
    assert (line["kind"], line["stage"], line["server_round"]) == ("train", "adapt", 3)
    assert line["content_sha256"] == content_hash(reply.payload.tensors)
    assert line["bytes"] == sum(array.nbytes for array in reply.payload.tensors.values())


def test_a_home_is_for_its_owner_alone(cohort: Path, tmp_path: Path) -> None:
    home = tmp_path / "centers" / "center-d"
    Trainer("center-d", [cohort / "center-d"], ("ct",), home)
    assert home.stat().st_mode & 0o777 == 0o700


def test_nothing_leaves_when_the_log_cannot_be_written(both: Trainer, study: Study) -> None:
    (both.home / "outgoing.jsonl").mkdir(parents=True)
    with pytest.raises(StorageError, match="nothing leaves until it can"):
        both.perform(Instruction(kind="register", settings=study.settings))


def test_a_full_disk_is_found_out_before_anything_is_trained(
    both: Trainer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is trained then could not be written down, and would be trained again at each try."""
    begun: list[object] = []
    monkeypatch.setattr("client.service.trainer.require_room", refuse)
    monkeypatch.setattr("client.service.work.train_locally", begun.append)
    assert (both.perform(start.instruction()).error, begun) == ("storage", [])


def refuse(*_: object) -> None:
    raise StorageError("the disk is full")


def test_too_few_cases_stay_at_home(cohort: Path, tmp_path: Path, start: Start) -> None:
    trainer = Trainer("center-d", [cohort / "center-d"], ("ct",), tmp_path, minimum_cases=2)
    reply = trainer.perform(start.instruction())
    assert (reply.error, reply.payload) == ("egress-refused", None)
    assert lines(tmp_path)[0]["held_back"] == [
        "tensors of group 'peft' stand on 1 case(s), this center sends from 2 on"
    ]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each training."""
    calls = []

    def counting(*args: Any, **kwargs: Any) -> Trained:
        calls.append(1)
        return train_locally(*args, **kwargs)

    monkeypatch.setattr("client.service.work.train_locally", counting)
    return calls


def center(cohort: Path, home: Path, **limits: Any) -> Trainer:
    return Trainer("center-d", [cohort / "center-d"], ("ct",), home, **limits)


def test_a_trainer_that_was_killed_after_its_work_sends_it_again_without_training(
    cohort: Path, tmp_path: Path, study: Study, trained: list[int]
) -> None:
    first = center(cohort, tmp_path).answer(asked(study))
    again = center(cohort, tmp_path).answer(asked(study, acknowledged=2))
    assert first.reply.payload is not None
    assert again.frame == first.frame
    assert len(trained) == 1
    assert [(line["again"], line["content_sha256"]) for line in lines(tmp_path)] == [
        (False, lines(tmp_path)[0]["content_sha256"]),
        (True, lines(tmp_path)[0]["content_sha256"]),
    ]


def kept(study: Study, server_round: int, continues: int) -> Instruction:
    """A round of two steps whose recipe keeps the optimiser's moments."""
    instruction = asked(study, server_round=server_round)
    assert instruction.training is not None
    recipe = {"recipe": Recipe(optimiser="kept"), "validate_first": False, "local_steps": 2}
    return replace(instruction, training=instruction.training.model_copy(update=recipe), continues=continues)


class KilledError(BaseException):
    """The process ends here."""


def kill(*_args: Any) -> None:
    raise KilledError


def test_moments_are_the_same_wherever_a_trainer_is_killed_between_its_writes(
    cohort: Path, tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round 3 dies after its moments and before its reply is kept, round 4 before either; both are asked again."""
    whole = center(cohort, tmp_path / "whole")
    frames = [whole.answer(kept(study, *numbers)).frame for numbers in ((3, 0), (4, 3))]
    for place, numbers in (("outbox.Outbox", (3, 0)), ("", (3, 0)), ("moments", (4, 3)), ("", (4, 3))):
        trainer = center(cohort, tmp_path / "killed")
        with monkeypatch.context() as patched:
            if place == "outbox.Outbox":
                patched.setattr("client.outgoing.outbox.Outbox.keep", kill)
            elif place:
                patched.setattr("client.optimisation.moments.KeptMoments.keep", kill)
            if place:
                with pytest.raises(KilledError):
                    trainer.answer(kept(study, *numbers))
            else:
                found = trainer.answer(kept(study, *numbers))
                assert payload_hash(found) == frame_hash(frames[numbers[0] - 3])
    fresh = center(cohort, tmp_path / "fresh").answer(kept(study, 4, 0))
    assert payload_hash(fresh) != frame_hash(frames[1])


def payload_hash(leaving: SealedReply) -> str:
    assert leaving.reply.payload is not None
    return content_hash(leaving.reply.payload.tensors)


def frame_hash(frame: bytes) -> str:
    payload = unpack_reply(frame).payload
    assert payload is not None
    return content_hash(payload.tensors)


def test_what_egress_refuses_leaves_no_moments(cohort: Path, tmp_path: Path, study: Study) -> None:
    refused = center(cohort, tmp_path, minimum_cases=2).perform(kept(study, 3, 0))
    assert refused.error == "egress-refused"
    assert not list(tmp_path.glob("moments/*"))


def test_a_trainer_hands_out_what_waits_and_says_when_nothing_does(cohort: Path, tmp_path: Path, study: Study) -> None:
    trainer = center(cohort, tmp_path)
    trainer.perform(asked(study))
    found = trainer.perform(asked(study, "collect", server_round=4))
    assert found.payload is not None
    assert (found.kind, found.payload.server_round) == ("collect", 3)
    nothing = trainer.perform(asked(study, "collect", server_round=4, acknowledged=3))
    assert (nothing.center, nothing.kind, nothing.error) == ("center-d", "collect", "nothing-waiting")
    assert [(line["kind"], line["again"], line["error"]) for line in lines(tmp_path)[1:]] == [
        ("collect", True, ""),
        ("collect", False, "nothing-waiting"),
    ]


def test_work_outlives_a_log_that_could_not_be_written(
    cohort: Path, tmp_path: Path, study: Study, trained: list[int]
) -> None:
    """Nothing leaves without its line; once there is room, nothing is trained again."""
    (tmp_path / "outgoing.jsonl").mkdir()
    trainer = center(cohort, tmp_path)
    with pytest.raises(StorageError, match="nothing leaves until it can"):
        trainer.perform(asked(study))
    (tmp_path / "outgoing.jsonl").rmdir()
    assert trainer.perform(asked(study)).payload is not None
    assert len(trained) == 1


def test_what_waited_passes_the_checks_of_today(cohort: Path, tmp_path: Path, study: Study) -> None:
    """The center has raised its minimum since."""
    center(cohort, tmp_path).perform(asked(study))
    stricter = center(cohort, tmp_path, minimum_cases=2)
    assert stricter.perform(asked(study)).error == "egress-refused"


def test_an_update_that_may_not_leave_is_not_kept(cohort: Path, tmp_path: Path, study: Study) -> None:
    assert center(cohort, tmp_path, minimum_cases=2).perform(asked(study)).error == "egress-refused"
    assert list(tmp_path.glob("outbox/*")) == []


def test_of_a_round_that_is_summed_masked_rows_leave_and_nothing_else(
    cohort: Path, tmp_path: Path, study: Study
) -> None:
    """No tensor, count or loss of the center, in reply or log; without a sum under way not even those rows."""
    settings = study.settings.model_copy(update={"secure_aggregation": SecureAggregation()})
    summing = Summing(settings=settings)
    trainer = summing.trainer(cohort, tmp_path)
    instruction = replace(asked(study), settings=settings)
    assert trainer.perform(instruction).error == "secure-sum"
    boxes = summing.open_for(trainer, instruction)
    reply = trainer.perform(replace(instruction, secure=SumRequest(boxes=boxes)))
    assert reply.payload is not None
    assert {key.partition(".")[0] for key in reply.payload.tensors} == {"masked"}
    assert (reply.loss, dict(reply.payload.support)) == (None, {})
    assert reply.secure is not None
    assert reply.secure.contribution is not None
    assert reply.secure.contribution.groups == ("loss", "peft")
    (*_, line) = lines(tmp_path)
    assert (line["loss"], line["support"], line["sum"]["groups"]) == (None, {}, ["loss", "peft"])
