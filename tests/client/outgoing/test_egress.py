"""What leaves a center is on the allow-list and in the log, or it does not leave."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages.facts import FACTS
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score
from protocol.messages.suppression import Suppressed
from tests.support.leaving import COMPARED, REPLY, lines_of, reply_with, send
from tests.support.segmentation_scores import dice_score


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (replace(REPLY, comparison=Comparison(9, 1.5)), "comparison: difference is not a number in [-1, 1]"),
        (replace(REPLY, comparison=Comparison(9, float("nan"))), "comparison: difference is not a number in [-1, 1]"),
        (
            replace(REPLY, comparison=Comparison(9, 0.5, 1.5)),
            "comparison: standard_error is not a number in [0, 1]",
        ),
        (
            replace(REPLY, comparison=Comparison(9, "DOE")),  # type: ignore[arg-type]
            "comparison: difference is not a number in [-1, 1]",
        ),
        (replace(REPLY, loss=float("inf")), "loss is inf, expected a finite number"),
    ],
)
def test_what_is_not_agreed_stops_the_reply(tmp_path: Path, reply: Reply, reason: str) -> None:
    """The coordinator sees a code; the one reason is in the log."""
    log = tmp_path / "outgoing.jsonl"
    assert send(reply, log) == Reply(center="a", kind="train", error="egress-refused")
    (line,) = lines_of(log)
    assert line["held_back"] == [reason]
    assert (line["error"], line["tensors"], line["bytes"]) == ("egress-refused", 0, 0)


def test_a_tensor_group_that_was_left_out_is_said_and_one_that_is_there_stops_the_reply(tmp_path: Path) -> None:
    """The last line of defence: three cases behind PET, of five."""
    named = replace(REPLY, suppressed=Suppressed(groups=("pet",)))
    assert send(named, tmp_path / "named").suppressed.groups == ("pet",)
    (line,) = lines_of(tmp_path / "named")
    assert (line["suppressed"], line["error"]) == (["tensors.pet"], "")
    assert line["held_back"] == ["tensors of group 'pet' stand on fewer than 5 case(s) and stay"]
    pet = {"pet.weight": np.ones(2, np.float32)}
    sent = reply_with(tensors=pet, support={"peft": 5, "pet": 3})
    assert send(sent, tmp_path / "sent", owned_groups=("peft", "pet")).error == "egress-refused"
    said = "tensors of group 'pet' stand on 3 case(s), this center sends from 5 on"
    assert lines_of(tmp_path / "sent")[0]["held_back"] == [said]


def test_a_reply_that_cannot_be_written_as_declared_stays(tmp_path: Path) -> None:
    reply = reply_with(server_round="DOE^JOHN")
    assert send(reply, tmp_path / "log").error == "egress-refused"
    assert "payload.server_round" in lines_of(tmp_path / "log")[0]["held_back"][0]
    assert "DOE" not in (tmp_path / "log").read_text()


def test_comparison_of_a_refused_reply_gives_no_second_reason(tmp_path: Path) -> None:
    reply = replace(COMPARED, comparison=Comparison(4, 0.25), loss=float("nan"))
    assert send(reply, tmp_path / "log").error == "egress-refused"
    assert lines_of(tmp_path / "log")[0]["held_back"] == ["loss is nan, expected a finite number"]


@pytest.mark.parametrize(
    "reply",
    [
        replace(REPLY, facts={"patient": "DOE^JOHN"}),
        replace(REPLY, facts={"modalities": "DOE^JOHN"}),
        replace(REPLY, facts={"train_cases": 5.0}),
        replace(REPLY, facts={"train_cases": True}),
        replace(REPLY, scores={"DOE": dice_score(cases=1, dice=0.5, hd95_mm=None)}),  # type: ignore[dict-item]
        replace(REPLY, scores={"ct": dice_score(cases=1, dice=20200101.0, hd95_mm=None)}),
        replace(REPLY, scores={"ct": dice_score(cases=-1, dice=0.5, hd95_mm=None)}),
        replace(REPLY, scores={"ct": dice_score(cases=1, dice=0.5, hd95_mm=float("nan"))}),
        replace(REPLY, scores={"ct": Score(9, {"auc": 0.5})}),
        replace(REPLY, scores={"ct": Score(9, {"concordance/DOE": 0.5})}),
    ],
)
def test_unknown_fact_or_score_stops_the_reply(tmp_path: Path, reply: Reply) -> None:
    assert send(reply, tmp_path / "log").error == "egress-refused"
    assert len(lines_of(tmp_path / "log")[0]["held_back"]) == 1


def test_a_metric_of_another_task_is_refused_without_its_name_or_value(tmp_path: Path) -> None:
    """An endpoint's name could be a patient's."""
    send(replace(REPLY, scores={"ct": Score(9, {"dice": 0.5, "concordance/doe_john": 0.25})}), tmp_path / "log")
    (reason,) = lines_of(tmp_path / "log")[0]["held_back"]
    assert reason == "scores of setting 'ct' hold 1 figure(s) that the study's tasks do not have"


def test_all_reasons_are_found(tmp_path: Path) -> None:
    """One tensor unknown, one not finite, a cap exceeded, a fact unknown: four reasons."""
    tensors = {"image": np.array([1], np.float32), "a#lora_a": np.array([[1, np.inf]], np.float32)}
    send(replace(reply_with(tensors=tensors), facts={"patient": 1}), tmp_path / "log")
    assert len(lines_of(tmp_path / "log")[0]["held_back"]) == 4


def test_error_travels_as_code_alone(tmp_path: Path) -> None:
    reply = replace(REPLY, error="cases")
    assert send(reply, tmp_path / "log") == Reply(center="a", kind="train", error="cases")


def test_error_text_becomes_internal(tmp_path: Path) -> None:
    reply = Reply(center="a", kind="train", error="cannot read /data/DOE^JOHN")
    assert send(reply, tmp_path / "log") == Reply(center="a", kind="train", error="internal")
    assert lines_of(tmp_path / "log")[0]["held_back"] == ["error 'cannot read /data/DOE^JOHN' is not a known code"]


@given(name=st.text(), value=st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text())
def test_no_fact_outside_the_table_leaves(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: float | str
) -> None:
    leaving = send(replace(REPLY, facts={name: value}), tmp_path_factory.mktemp("egress") / "log")
    assert leaving.error == "egress-refused" or name in FACTS
