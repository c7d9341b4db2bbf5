"""Finished training waits on the center's disk until the coordinator has acknowledged it; nobody trains it twice."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.outgoing.outbox import Outbox, instruction_digest
from client.outgoing.sealed_reply import SealedReply, seal
from protocol.errors import NothingWaitingError
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings, Training
from protocol.socket_codec import pack_reply
from server.study.file import Study, read_study

SETTINGS = StudySettings(study="demo", seed=0, model=Model(name="none"))
TENSORS = {"a#lora_a": np.array([[1, 2]], np.float32)}
TRAINING = Training(groups=("peft",), local_steps=2, learning_rate=1e-3, modality_shares={"ct": 1.0})
TRAIN = Instruction("train", SETTINGS, "adapt", 3, "0" * 64, TRAINING, TENSORS)
REPLY = Reply("a", "train", payload=Payload("a", "0" * 64, "adapt", 3, TENSORS, {"peft": 5}), loss=0.5, seconds=2.5)
COLLECT = Instruction("collect", SETTINGS, "adapt", 9)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox", size=3)


def in_round(number: int) -> tuple[Instruction, SealedReply]:
    """An instruction of a round and its reply, which names the round too."""
    assert REPLY.payload is not None
    reply = replace(REPLY, payload=replace(REPLY.payload, server_round=number))
    return replace(TRAIN, server_round=number), seal(reply)


def files(folder: Path) -> list[str]:
    return sorted(path.name[:8] for path in folder.glob("outbox/*.safetensors"))


def same(found: Reply | None, expected: Reply) -> bool:
    return found is not None and pack_reply(found) == pack_reply(expected)


def test_the_same_instruction_finds_its_reply_bit_for_bit_after_a_restart(outbox: Outbox, tmp_path: Path) -> None:
    outbox.keep(TRAIN, seal(REPLY))
    assert same(Outbox(tmp_path / "outbox").waiting_for(TRAIN), REPLY)


@pytest.mark.parametrize("changed", [{"acknowledged": 2}, {"backbone": TENSORS}])
def test_what_does_not_decide_the_answer_does_not_change_the_digest(changed: dict[str, Any]) -> None:
    """The backbone is named by its hash, whether it comes along or not."""
    assert instruction_digest(replace(TRAIN, **changed)) == instruction_digest(TRAIN)


@pytest.mark.parametrize(
    "changed",
    [
        {"server_round": 4},
        {"stage": "arrive"},
        {"backbone_hash": "1" * 64},
        {"tensors": {"a#lora_a": np.array([[1, 3]], np.float32)}},
        {"reference": TENSORS},
        {"training": TRAINING.model_copy(update={"local_steps": 3})},
        {"settings": SETTINGS.model_copy(update={"seed": 1})},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_decides_the_answer_changes_the_digest(outbox: Outbox, changed: dict[str, Any]) -> None:
    outbox.keep(TRAIN, seal(REPLY))
    assert outbox.waiting_for(replace(TRAIN, **changed)) is None


def test_acknowledged_rounds_are_removed_and_later_ones_stay(outbox: Outbox, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        outbox.keep(*in_round(number))
    outbox.waiting_for(Instruction("evaluate", SETTINGS, acknowledged=2))
    assert files(tmp_path) == ["00000003"]


def test_acknowledging_one_study_leaves_another_alone(outbox: Outbox, tmp_path: Path) -> None:
    outbox.keep(TRAIN, seal(REPLY))
    outbox.waiting_for(Instruction("register", SETTINGS.model_copy(update={"study": "other"}), acknowledged=9))
    assert files(tmp_path) == ["00000003"]


def test_collect_hands_out_the_oldest_round_after_the_acknowledged_one(outbox: Outbox) -> None:
    for number in (2, 1, 3):
        outbox.keep(*in_round(number))
    rounds = []
    for acknowledged in (0, 1, 2):
        found = outbox.waiting_for(replace(COLLECT, acknowledged=acknowledged))
        assert found is not None
        assert found.payload is not None
        assert found.kind == "collect"
        rounds.append(found.payload.server_round)
    assert rounds == [1, 2, 3]
    with pytest.raises(NothingWaitingError, match="after round 3 and before 9"):
        outbox.waiting_for(replace(COLLECT, acknowledged=3))


def test_collect_leaves_its_own_round_and_other_studies_alone(outbox: Outbox) -> None:
    outbox.keep(TRAIN, seal(REPLY))
    others = (replace(COLLECT, server_round=3), replace(COLLECT, settings=SETTINGS.model_copy(update={"seed": 1})))
    for other in others:
        with pytest.raises(NothingWaitingError):
            outbox.waiting_for(other)


@pytest.mark.parametrize("damage", [lambda old: old[:-1], lambda old: old[:-1] + b"\x7f", lambda _: b""])
def test_a_damaged_file_is_set_aside_and_the_work_done_anew(
    outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    outbox.keep(TRAIN, seal(REPLY))
    (path,) = (tmp_path / "outbox").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert outbox.waiting_for(TRAIN) is None
    assert "set aside and the work done anew" in caplog.text
    assert [left.name for left in (tmp_path / "outbox").iterdir()] == [f"{path.name}.damaged"]
    outbox.keep(TRAIN, seal(REPLY))
    assert same(outbox.waiting_for(TRAIN), REPLY)


def test_a_disk_that_refuses_costs_a_line_in_the_log(
    outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "outbox").write_text("mine")
    outbox.keep(TRAIN, seal(REPLY))
    assert "the update of stage 'adapt', round 3 leaves but could not be kept" in caplog.text
    assert outbox.waiting_for(TRAIN) is None


def test_more_than_it_holds_drops_the_one_kept_first_and_says_so(
    outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for age, number in enumerate((2, 1, 3, 4)):
        outbox.keep(*in_round(number))
        kept = next((tmp_path / "outbox").glob(f"{number:08d}-*"))
        os.utime(kept, ns=(age, age))
    assert files(tmp_path) == ["00000001", "00000003", "00000004"]
    assert "the one of round 2 is dropped" in caplog.text


@pytest.mark.parametrize("digits", [1, 9, 30])
def test_a_round_of_any_number_of_digits_counts(outbox: Outbox, tmp_path: Path, digits: int) -> None:
    """What waits is found, comes after smaller rounds, and is dropped where there is too much."""
    outbox.keep(*in_round(2))
    (path,) = (tmp_path / "outbox").iterdir()
    for number in range(1, 5):
        path.with_name(f"{number}{'0' * (digits - 1)}{path.name[8:]}").write_bytes(path.read_bytes())
    path.unlink()
    assert same(outbox.waiting_for(in_round(2)[0]), in_round(2)[1].reply)
    outbox.keep(TRAIN, seal(REPLY))
    assert len(list((tmp_path / "outbox").iterdir())) == 3


def test_of_what_no_instruction_names_the_last_few_stay(outbox: Outbox, tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    for age in range(7):
        strange = folder / f"-000000{age}-strange.safetensors{'.damaged' * (age % 2)}"
        strange.touch()
        os.utime(strange, ns=(age, age))
    outbox.keep(TRAIN, seal(REPLY))
    assert sorted(path.name[7] for path in folder.glob("-*")) == ["3", "4", "5", "6"]


def test_what_waits_is_for_its_owner_alone(outbox: Outbox, tmp_path: Path) -> None:
    outbox.keep(TRAIN, seal(REPLY))
    folder = tmp_path / "outbox"
    assert [path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())] == [0o700, 0o600]


def test_another_reply_to_the_same_instruction_takes_the_place_of_the_first(outbox: Outbox, tmp_path: Path) -> None:
    for seconds in (1.0, 2.0):
        outbox.keep(TRAIN, seal(replace(REPLY, seconds=seconds)))
    assert files(tmp_path) == ["00000003"]
    assert same(outbox.waiting_for(TRAIN), replace(REPLY, seconds=2.0))


def test_what_a_killed_writer_left_is_removed(outbox: Outbox, tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / ".00000003.1234.part").write_bytes(b"half")
    outbox.keep(TRAIN, seal(REPLY))
    assert len(list((tmp_path / "outbox").iterdir())) == 1


@pytest.mark.parametrize("reply", [replace(REPLY, kind="evaluate"), Reply("a", "train", error="internal")])
def test_only_finished_training_is_kept(outbox: Outbox, tmp_path: Path, reply: Reply) -> None:
    outbox.keep(TRAIN, seal(reply))
    assert files(tmp_path) == []


@pytest.fixture(scope="module")
def study(study_file: Path) -> Study:
    return read_study(study_file)


def lines(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "outgoing.jsonl").read_text().splitlines()]
