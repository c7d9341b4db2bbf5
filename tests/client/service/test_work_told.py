"""What a trainer's log says of its work."""

import logging

import pytest

from client.service.work_told import describe_work, tell_begun, tell_done, tell_progress
from protocol.messages.instruction import Instruction
from protocol.messages.settings import Model, StudySettings

SETTINGS = StudySettings(study="s", seed=0, model=Model(name="m"))


def test_the_beginning_and_the_end_of_an_instruction_are_lines(caplog: pytest.LogCaptureFixture) -> None:
    asked = Instruction("evaluate", SETTINGS, stage="adapt", server_round=3)
    caplog.set_level(logging.INFO)
    what = describe_work(asked)
    tell_begun(what)
    tell_progress(what, 7, 10.0)
    tell_done(what, "", 12.4)
    tell_done(what, "internal", 1.0)
    assert what == "scores test cases, stage 'adapt', round 3"
    told = ["", ": 7 steps and cases done after 10 s", ": done after 12 s", ": failed with 'internal' after 1 s"]
    assert caplog.messages == [what + rest for rest in told]


def test_what_has_no_words_of_its_own_is_named_by_its_kind() -> None:
    assert describe_work(Instruction("unmask", SETTINGS)) == "takes part in a sum (unmask)"
    assert describe_work(Instruction("register", SETTINGS)) == "tells how many cases there are"
