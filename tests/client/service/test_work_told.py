"""What a trainer's log says of its work."""

import logging

import pytest

from client.service.work_told import describe_work, tell_begun, tell_done
from protocol.messages.instruction import Instruction
from protocol.messages.settings import Model, StudySettings

SETTINGS = StudySettings(study="s", seed=0, model=Model(name="m"))


def test_the_beginning_and_the_end_of_an_instruction_are_lines(caplog: pytest.LogCaptureFixture) -> None:
    asked = Instruction("evaluate", SETTINGS, stage="adapt", server_round=3)
    caplog.set_level(logging.INFO)
    tell_begun(asked)
    tell_done(asked, "", 12.4)
    tell_done(asked, "internal", 1.0)
    what = "scores test cases, stage 'adapt', round 3"
    assert caplog.messages == [what, f"{what}: done after 12 s", f"{what}: failed with 'internal' after 1 s"]


def test_what_has_no_words_of_its_own_is_named_by_its_kind() -> None:
    assert describe_work(Instruction("unmask", SETTINGS)) == "takes part in a sum (unmask)"
    assert describe_work(Instruction("register", SETTINGS)) == "tells how many cases there are"
