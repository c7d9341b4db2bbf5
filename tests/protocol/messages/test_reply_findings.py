"""What of a reply nobody asked for, or cannot be."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.reply_findings import metrics_of, reply_findings
from protocol.messages.scores import Comparison, Score
from protocol.messages.secure_sum import Contribution, SumAnswer
from protocol.messages.suppression import Suppressed
from tests.support.messages import REPLY, SETTINGS_SMALL

METRICS = metrics_of(SETTINGS_SMALL)


def test_a_study_of_segmentation_has_two_figures() -> None:
    assert {"dice", "hd95_mm"} == METRICS
    assert list(reply_findings(REPLY, METRICS)) == []


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"seconds": 1e308}, "seconds is not a number from 0 to 1e+07"),
        ({"seconds": -1.0}, "seconds is not a number from 0 to 1e+07"),
        ({"seconds": float("inf")}, "seconds is inf, expected a finite number"),
        ({"loss": -1e10}, "loss is not a number from -1e+09 to 1e+09"),
        ({"scores": {"ct": Score(5, {"auc": 0.5})}}, "hold 1 figure(s) that the study's tasks do not have"),
        ({"scores": {"ct": Score(5, {"dice": 7.0})}}, "scores of setting 'ct': 'dice' is not a number in [0, 1]"),
        ({"scores": {"mr\x1b": Score(5)}}, "scores of setting 'mr\\x1b', allowed: ["),
        ({"facts": {"patients": 5}}, "fact 'patients' is not in the table"),
        ({"diagnostics": {"gate/0/ct/mean": 7.0}}, "diagnostics: 'gate/0/ct/mean' is not a number in [0, 1]"),
        ({"comparison": Comparison(5, 7.0)}, "comparison: difference is not a number in [-1, 1]"),
    ],
)
def test_what_cannot_be_is_one_finding(changes: dict[str, Any], finding: str) -> None:
    (found,) = reply_findings(replace(REPLY, **changes), METRICS)
    assert finding in found


PET_STAYS = Suppressed(groups=("pet",))
SENT = Payload("a", "b" * 64, "adapt", 3, support={"peft": 5})


def test_a_tensor_group_is_suppressed_or_stood_behind_and_only_where_tensors_are_sent() -> None:
    said = SumAnswer(contribution=Contribution("c" * 64, ("loss", "pet")))
    summed = Reply("a", "train", payload=replace(SENT, support={}), secure=said, suppressed=PET_STAYS)
    both = Reply("a", "train", payload=replace(SENT, support={"peft": 5, "pet": 5}), suppressed=PET_STAYS)
    for reply in (summed, both):
        assert list(reply_findings(reply, METRICS)) == ["tensors of group 'pet' are suppressed and given as well"]
    assert list(reply_findings(Reply("a", "train", payload=SENT, suppressed=PET_STAYS), METRICS)) == []
    assert list(reply_findings(Reply("a", "evaluate", suppressed=PET_STAYS), METRICS)) == [
        "1 tensor group(s) are suppressed in a reply without tensors"
    ]
