"""A figure on too few cases is withheld alone; what is withheld is undefined, not zero."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.outgoing.payload_egress import EgressLimits
from protocol.messages.instruction import Instruction
from protocol.messages.labels import Endpoint, Labels
from protocol.messages.labels import Survival as SurvivalHead
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score
from protocol.messages.settings import Model, StudySettings
from tests.support.leaving import COMPARED, PAYLOAD, REPLY, leave, lines_of, send
from tests.support.segmentation_scores import dice_score


def test_comparison_on_enough_cases_leaves(tmp_path: Path) -> None:
    """Five cases, the minimum exactly."""
    log = tmp_path / "log"
    assert send(COMPARED, log) is COMPARED
    line = lines_of(log)[0]
    assert (line["comparison"], line["held_back"]) == ({"cases": 5, "difference": 0.25, "replicates": 2}, [])


def test_comparison_on_too_few_cases_is_withheld_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    reply = replace(COMPARED, scores=REPLY.scores, comparison=Comparison(4, 0.25, (0.5,)))
    assert send(reply, log) == replace(COMPARED, scores=REPLY.scores, comparison=None)
    line = lines_of(log)[0]
    assert line["comparison"] is None
    assert line["held_back"] == ["comparison stands on 4 case(s), this center sends from 5 on"]


def _few(cases: int, **undefined: int) -> Score:
    return dice_score(cases, 0.5, 3.0, **undefined)


@pytest.mark.parametrize(
    ("scores", "leaving", "reason"),
    [
        ({"ct": _few(4), "ct+pet": _few(5)}, {"ct+pet": _few(5)}, "scores of setting 'ct' stand on 4 case(s)"),
        (
            {"ct": _few(6, dice_undefined=2)},
            {"ct": replace(_few(6, dice_undefined=2), values={"dice": None, "hd95_mm": 3.0})},
            "Dice of setting 'ct' stands on 4 case(s)",
        ),
        (
            {"ct": _few(6, hd95_undefined=5)},
            {"ct": replace(_few(6, hd95_undefined=5), values={"dice": 0.5, "hd95_mm": None})},
            "HD95 of setting 'ct' stands on 1 case(s)",
        ),
    ],
)
def test_scores_on_too_few_cases_are_withheld_alone(tmp_path: Path, scores: Any, leaving: Any, reason: str) -> None:
    """What is withheld is undefined, not zero; a mean over six cases of which two count is a mean of four or two."""
    reply = replace(REPLY, scores=scores)
    assert send(reply, tmp_path / "log") == replace(reply, scores=leaving)
    assert lines_of(tmp_path / "log")[0]["held_back"] == [f"{reason}, this center sends from 5 on"]


def test_a_loss_without_enough_training_cases_behind_it_is_withheld_alone(tmp_path: Path) -> None:
    reply = replace(REPLY, payload=replace(PAYLOAD, tensors={}, support={"peft": 4, "pet": 2}))
    assert send(reply, tmp_path / "log") == replace(reply, loss=None)
    line = lines_of(tmp_path / "log")[0]
    assert line["held_back"] == ["loss stands on 4 case(s), this center sends from 5 on"]
    assert line["loss"] is None


def test_counts_of_cases_leave_however_small(tmp_path: Path) -> None:
    reply = Reply(center="a", kind="register", facts={"validation_cases": 1, "test_cases": 0})
    assert send(reply, tmp_path / "log") is reply


OUTCOMES = StudySettings(
    study="s",
    seed=0,
    model=Model(name="none"),
    tasks=("survival",),
    labels=Labels(
        endpoints={"death": Endpoint(event="death", time="months", unit="months")}, survival=SurvivalHead(head="cox")
    ),
)


def _survival(log: Path, reply: Reply) -> Reply:
    """What leaves a center that sends from one case on."""
    asked = Instruction("evaluate", OUTCOMES, task="survival")
    return leave(reply, log, EgressLimits(("peft",), minimum_cases=1, maximum_bytes=8), instruction=asked)


def test_a_figure_of_a_cohort_needs_five_cases_whatever_the_center_asks_for(tmp_path: Path) -> None:
    """Of six cases two have no time of death: its concordance stands on four; its pairs are a count and leave."""
    names = ("concordance", "concordance/death", "pairs/death")
    score = Score(6, dict(zip(names, (0.5, 0.75, 9.0), strict=True)), dict(zip(names, (0, 2, 2), strict=True)))
    reply = Reply("a", "evaluate", scores={"ct": score})
    left = _survival(tmp_path / "log", reply).scores["ct"]
    assert left.values == {"concordance": 0.5, "concordance/death": None, "pairs/death": 9.0}
    assert lines_of(tmp_path / "log")[0]["held_back"] == [
        "concordance (death) of setting 'ct' stands on 4 case(s), this center sends from 5 on"
    ]


def test_a_comparison_of_cohorts_needs_as_many_as_its_metric(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert _survival(log, Reply("a", "compare", comparison=Comparison(4, 0.25))).comparison is None
    assert _survival(log, Reply("a", "compare", comparison=Comparison(5, 0.25))).comparison is not None
    assert lines_of(log)[0]["held_back"] == ["comparison stands on 4 case(s), this center sends from 5 on"]
