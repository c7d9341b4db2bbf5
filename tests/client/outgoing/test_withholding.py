"""A figure on too few cases is withheld alone; what is withheld is undefined, not zero."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.outgoing.egress import check_reply
from client.outgoing.payload_egress import EgressLimits
from client.outgoing.withholding import over_endpoints_left
from protocol.messages.benefit import Benefit
from protocol.messages.instruction import Instruction
from protocol.messages.labels import Classes, Endpoint, Labels
from protocol.messages.labels import Survival as SurvivalHead
from protocol.messages.reference import Reference
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score
from protocol.messages.settings import Model, StudySettings
from protocol.messages.suppression import Suppressed
from tests.support.leaving import COMPARED, PAYLOAD, REPLY, leave, lines_of, send
from tests.support.segmentation_scores import dice_score


def test_comparison_on_enough_cases_leaves(tmp_path: Path) -> None:
    """Five cases, the minimum exactly."""
    log = tmp_path / "log"
    assert send(COMPARED, log) == COMPARED
    line = lines_of(log)[0]
    assert (line["comparison"], line["held_back"]) == ({"cases": 5, "difference": 0.25, "standard_error": 0.125}, [])


def test_comparison_on_too_few_cases_is_withheld_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    reply = replace(COMPARED, scores=REPLY.scores, comparison=Comparison(4, 0.25, 0.125))
    held = Suppressed(parts=("comparison",))
    assert send(reply, log) == replace(COMPARED, scores=REPLY.scores, comparison=None, suppressed=held)
    line = lines_of(log)[0]
    assert line["comparison"] is None
    assert line["held_back"] == ["comparison stands on 4 case(s), this center sends from 5 on"]


METRICS = ("concordance", "uno", "brier", "pairs", "events")


def _few(cases: int, **undefined: int) -> Score:
    return dice_score(cases, 0.5, 3.0, **undefined)


@pytest.mark.parametrize(
    ("scores", "leaving", "held", "reason"),
    [
        (
            {"ct": _few(4), "ct+pet": _few(5)},
            {"ct+pet": _few(5)},
            ("dice", "hd95_mm"),
            "scores of setting 'ct' stand on 4 case(s)",
        ),
        (
            {"ct": _few(6, dice_undefined=2)},
            {"ct": replace(_few(6, dice_undefined=2), values={"dice": None, "hd95_mm": 3.0})},
            ("dice",),
            "Dice of setting 'ct' stands on 4 case(s)",
        ),
        (
            {"ct": _few(6, hd95_undefined=5)},
            {"ct": replace(_few(6, hd95_undefined=5), values={"dice": 0.5, "hd95_mm": None})},
            ("hd95_mm",),
            "HD95 of setting 'ct' stands on 1 case(s)",
        ),
    ],
)
def test_scores_on_too_few_cases_are_withheld_alone(
    tmp_path: Path, scores: Any, leaving: Any, held: Any, reason: str
) -> None:
    """What is withheld is suppressed, not zero; a mean over six cases of which two count is a mean of four or two."""
    reply = replace(REPLY, scores=scores)
    assert send(reply, tmp_path / "log") == replace(reply, scores=leaving, suppressed=Suppressed({"ct": held}))
    assert lines_of(tmp_path / "log")[0]["held_back"] == [f"{reason}, this center sends from 5 on"]


@pytest.mark.parametrize(("minimum", "leaves"), [(1, 0.4567), (5, 0.46)])
def test_a_loss_leaves_to_two_decimals_where_one_case_may_not(tmp_path: Path, minimum: int, leaves: float) -> None:
    reply = replace(REPLY, loss=0.4567)
    assert send(reply, tmp_path / "log", minimum_cases=minimum).loss == leaves


def test_a_loss_without_enough_training_cases_behind_it_is_withheld_alone(tmp_path: Path) -> None:
    reply = replace(REPLY, payload=replace(PAYLOAD, tensors={}, support={"peft": 4, "pet": 2}))
    assert send(reply, tmp_path / "log") == replace(reply, loss=None, suppressed=Suppressed(parts=("loss",)))
    line = lines_of(tmp_path / "log")[0]
    assert line["held_back"] == ["loss stands on 4 case(s), this center sends from 5 on"]
    assert line["loss"] is None


def test_counts_of_cases_leave_however_small(tmp_path: Path) -> None:
    reply = Reply(center="a", kind="register", facts={"validation_cases": 1, "test_cases": 0})
    assert send(reply, tmp_path / "log") == reply


OUTCOMES = StudySettings(
    study="s",
    seed=0,
    model=Model(name="none"),
    tasks=("survival",),
    labels=Labels(
        endpoints={name: Endpoint(event=name, time="months", unit="months") for name in ("death", "distant")},
        survival=SurvivalHead(head="cox"),
    ),
)


def _survival(log: Path, reply: Reply) -> Reply:
    """What leaves a center that sends from one case on."""
    asked = Instruction("evaluate", OUTCOMES, task="survival")
    return leave(reply, log, EgressLimits(("peft",), minimum_cases=1, maximum_bytes=8), instruction=asked)


def _score(behind: dict[str, int], events: dict[str, int], cases: int = 6) -> Score:
    """All figures of two endpoints, each 0.5, by the cases and events that they stand on; "" for both together."""
    names = {f"{metric}/{of}".rstrip("/"): of for metric in METRICS for of in ("", *behind)}
    known, seen = {"": cases, **behind}, {"": sum(events.values()), **events}
    return Score(
        cases,
        dict.fromkeys(names, 0.5),
        {name: cases - known[of] for name, of in names.items()},
        {name: seen[of] for name, of in names.items()},
    )


def _leaving(score: Score, log: Path) -> set[str]:
    left = _survival(log, Reply("a", "evaluate", scores={"ct": score})).scores["ct"]
    assert not left.rarest
    return {name for name, value in left.values.items() if value is not None}


def test_figures_on_enough_cases_and_two_events_leave(tmp_path: Path) -> None:
    """Seven cases with two events each, as a small test part has them."""
    score = _score({"death": 7, "distant": 5}, {"death": 2, "distant": 2}, cases=7)
    assert _leaving(score, tmp_path / "log") == set(score.values)


def test_what_an_endpoint_may_not_tell_cannot_be_computed_from_the_others(tmp_path: Path) -> None:
    """Death is known of four: its figures and counts stay, and those over both endpoints are of the other alone."""
    log = tmp_path / "log"
    score = _score({"death": 4, "distant": 6}, {"death": 3, "distant": 3})
    score = replace(score, values={**score.values, "concordance/distant": 0.75, "pairs": 12.0, "pairs/distant": 8.0})
    left = _survival(log, Reply("a", "evaluate", scores={"ct": score})).scores["ct"].values
    assert all(left[f"{metric}/death"] is None and left[metric] == left[f"{metric}/distant"] for metric in METRICS)
    assert (left["concordance"], left["pairs"]) == (0.75, 8.0)
    held_back = lines_of(log)[0]["held_back"]
    assert held_back[0] == "concordance (death) of setting 'ct' stands on 4 case(s), this center sends from 5 on"


def test_figures_of_one_event_are_withheld_and_its_count_is_not(tmp_path: Path) -> None:
    """One of six had an event: concordance would be of that patient; that there was one is a count over six."""
    score = _score({"death": 6, "distant": 6}, {"death": 1, "distant": 3})
    assert _leaving(score, tmp_path / "log") == set(score.values) - {"concordance/death", "uno/death", "brier/death"}


def test_a_mean_over_endpoints_is_weighed_by_those_that_leave() -> None:
    """(0.5 x 10 + 0.8 x 20) / 30 = 0.7; the third endpoint, of one event, counts in neither mean nor pairs."""
    values = {"concordance": 0.9, "concordance/a": 0.5, "concordance/b": 0.8, "concordance/c": None}
    pairs = {"pairs": 36.0, "pairs/a": 10.0, "pairs/b": 20.0, "pairs/c": 6.0}
    found = over_endpoints_left({**values, **pairs}, {"concordance/c"})
    assert found["concordance"] == pytest.approx(0.7)
    assert (found["pairs"], found["pairs/c"]) == (30.0, 6.0)
    assert over_endpoints_left({**values, **pairs}, set()) == {**values, **pairs}


def test_an_endpoint_that_nobody_has_withholds_nothing(tmp_path: Path) -> None:
    """Its counts are zero, of no case."""
    score = _score({"death": 0, "distant": 6}, {"death": 0, "distant": 3})
    nothing = dict.fromkeys(("concordance/death", "uno/death", "brier/death"), None)
    score = replace(score, values={**score.values, **nothing, "pairs/death": 0.0, "events/death": 0.0})
    assert _leaving(score, tmp_path / "log") == set(score.values) - nothing.keys()


def test_a_figure_stays_where_the_count_that_weighs_it_does(tmp_path: Path) -> None:
    """Pairs stand on four cases here, concordance on six."""
    score = _score({"death": 6}, {"death": 3})
    score = replace(score, undefined={**score.undefined, "pairs/death": 2})
    assert not {"concordance/death", "pairs/death", "concordance"} & _leaving(score, tmp_path / "log")


@pytest.mark.parametrize(("rarest", "leaving"), [(1, {"accuracy": 0.5}), (2, {"accuracy": 0.5, "auc": 0.5})])
def test_a_figure_of_classes_needs_two_cases_of_the_smaller(
    tmp_path: Path, rarest: int, leaving: dict[str, float]
) -> None:
    values = dict.fromkeys(("accuracy", "auc"), 0.5)
    labels = Labels(classes=Classes(column="hpv", values=("0", "1")))
    settings = StudySettings(study="s", seed=0, model=Model(name="none"), tasks=("classification",), labels=labels)
    asked = Instruction("evaluate", settings, task="classification")
    reply = Reply("a", "evaluate", scores={"ct": Score(5, values, {}, dict.fromkeys(values, rarest))})
    left = leave(reply, tmp_path / "log", EgressLimits(("peft",), minimum_cases=1, maximum_bytes=8), instruction=asked)
    assert {name: value for name, value in left.scores["ct"].values.items() if value is not None} == leaving


def _compared(cases: int, score: Score | None) -> Reply:
    return Reply("a", "compare", comparison=Comparison(cases, 0.25, 0.125, score))


@pytest.mark.parametrize(
    ("reply", "leaves"),
    [
        (_compared(4, _score({"death": 4}, {"death": 2}, cases=4)), False),
        (_compared(5, _score({"death": 5}, {"death": 2}, cases=5)), True),
        (_compared(5, _score({"death": 5}, {"death": 1}, cases=5)), False),
        (_compared(6, _score({"death": 4, "distant": 6}, {"death": 2, "distant": 3})), True),
        (_compared(5, None), False),
    ],
)
def test_a_comparison_of_cohorts_needs_what_its_metric_needs(tmp_path: Path, reply: Reply, leaves: bool) -> None:
    """Five cases, two events of each endpoint; what it stands on stays."""
    left = _survival(tmp_path / "log", reply).comparison
    assert left == (Comparison(reply.comparison.cases, 0.25, 0.125) if leaves and reply.comparison else None)


def test_what_federation_brought_is_withheld_alone_and_undefined_may_be_said(tmp_path: Path) -> None:
    """Five cases leave, four do not; five that define nothing say so."""
    known = Benefit("segmentation", "ct", "local-only", 5, Comparison(5, 0.25, 0.125))
    few = Benefit("segmentation", "pet", "local-only", 5, Comparison(4, 0.5, 0.25))
    undefined = Benefit("segmentation", "ct", "ct-network", 5, Comparison(0, None))
    asked = StudySettings(study="s", seed=0, model=Model(name="m"), reference=Reference(local_only=True))
    reply = Reply(center="a", kind="evaluate", benefits=(known, few, undefined))
    sent, reasons = check_reply(reply, EgressLimits(("peft",), 5, 1 << 20), Instruction("evaluate", asked))
    assert sent.reply.benefits == (known, replace(few, comparison=None), undefined)
    assert reasons == ["local-only beside 'pet': comparison stands on 4 case(s), this center sends from 5 on"]


def test_what_no_study_asked_for_stops_the_reply() -> None:
    told = Benefit("segmentation", "ct", "local-only", 5, Comparison(5, 0.25, 0.125))
    plain = StudySettings(study="s", seed=0, model=Model(name="m"))
    reply = Reply(center="a", kind="evaluate", benefits=(told,))
    sent, reasons = check_reply(reply, EgressLimits(("peft",), 1, 1 << 20), Instruction("evaluate", plain))
    assert (sent.reply.error, sent.reply.benefits) == ("egress-refused", ())
    assert reasons == ["benefits are there, and the study asks for none"]
