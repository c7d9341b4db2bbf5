"""What a center did not agree to is refused by name, before anything is read: one case a field of the message."""

from dataclasses import replace
from typing import Any

import pytest

from client.home.plan_check import check_planned
from protocol.enrolment.plan import StudyPlan
from protocol.errors import OtherStudyError
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.secure_aggregation import SecureAggregation
from protocol.messages.secure_sum import Purpose, SumRequest
from protocol.messages.settings import Statistic
from protocol.plain_text import MAXIMUM_LABEL
from server.centers.study_plan import plan_of
from server.study.file import Study, read_study
from tests.support.one_center import asked
from tests.support.small_study import STUDY, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    text = STUDY.replace("[[stages]]", "[strategy.terms]\ngram_anchor = 1.0\n\n[[stages]]", 1)
    return read_study(write_study(tmp_path_factory.mktemp("study") / "study.toml", text))


@pytest.fixture(scope="module")
def plan(study: Study) -> StudyPlan:
    return plan_of(study, "center-d")


def refused(study: Study, plan: StudyPlan, instruction: Instruction) -> str:
    with pytest.raises(OtherStudyError) as caught:
        check_planned(instruction, "center-d", study.settings, plan)
    return str(caught.value)


KINDS: tuple[Kind, ...] = ("register", "train", "evaluate", "compare", "observe", "collect")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_study_asks_is_planned(study: Study, plan: StudyPlan, kind: Kind) -> None:
    statistics: tuple[Statistic, ...] = ("gram",) if kind == "observe" else ()
    check_planned(replace(asked(study, kind), statistics=statistics), "center-d", study.settings, plan)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"groups": ("backbone",)}, "groups"),
        ({"groups": ("pet", "fusion", "peft", "norm")}, "groups"),
        ({"batch_size": 3000}, "batch_size"),
        ({"local_steps": 1}, "local_steps"),
        ({"learning_rate": 1e-30}, "learning_rate"),
        ({"roles": ("lora_a", "lora_b", "magnitude")}, "roles"),
        ({"terms": {"scaffold": True}}, "terms"),
        ({"modality_shares": {"pet": 1.0}}, "modality_shares"),
        ({"validate_first": False}, "validate_first"),
        ({"weight_decay": 1.0}, "weight_decay"),
    ],
)
def test_a_training_that_was_not_agreed_is_refused_by_field(
    study: Study, plan: StudyPlan, changes: dict[str, Any], named: str
) -> None:
    instruction = asked(study)
    assert instruction.training is not None
    other = replace(instruction, training=instruction.training.model_copy(update=changes))
    assert f"the training differs from the planned one in {named}" in refused(study, plan, other)


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("train", {"server_round": 5}, "round 5 is not among its rounds of this stage, [3, 4]"),
        ("train", {"stage": "more"}, "it trains in no stage 'more', only in ['pretrain', 'adapt', 'arrive']"),
        ("train", {"task": "survival"}, "task 'survival' is none of ['segmentation']"),
        ("train", {"statistics": ("gram",)}, "it brings statistics, which 'train' does not need"),
        ("evaluate", {"continues": 3}, "it brings continues, which 'evaluate' does not need"),
        ("observe", {"statistics": ("gram", "fisher", "prototype")}, "planned: ['gram']"),
        ("observe", {"statistics": ("gram",), "server_round": 9}, "round 9 is not of this stage, which has 3 to 4"),
        ("observe", {"statistics": ("gram",), "stage": "more"}, "it trains in no stage 'more'"),
        ("evaluate", {"stage": ""}, "the stage has no name"),
        ("evaluate", {"stage": "a\nb"}, "the stage has no name"),
    ],
)
def test_what_no_plan_has_is_refused(
    study: Study, plan: StudyPlan, kind: Kind, changes: dict[str, Any], named: str
) -> None:
    said = refused(study, plan, replace(asked(study, kind), **changes))
    assert named in said
    assert said.endswith("a new kit is needed to agree to it")


def test_scores_and_comparisons_of_stages_of_others_need_no_new_agreement(study: Study, plan: StudyPlan) -> None:
    for kind in ("evaluate", "compare"):
        check_planned(replace(asked(study, kind), stage="later", server_round=9), "center-d", study.settings, plan)


def test_a_stage_may_have_the_longest_name_that_a_study_file_allows(study: Study, plan: StudyPlan) -> None:
    check_planned(replace(asked(study, "evaluate"), stage="s" * MAXIMUM_LABEL), "center-d", study.settings, plan)
    said = refused(study, plan, replace(asked(study, "evaluate"), stage="s" * (MAXIMUM_LABEL + 1)))
    assert "the stage has no name of 1 to 200 letters" in said


def test_a_center_that_is_not_scored_or_compared_is_asked_for_neither(study: Study, plan: StudyPlan) -> None:
    without = plan.model_copy(update={"scored": False, "compares": False})
    assert "does not score this center's test cases" in refused(study, without, asked(study, "evaluate"))
    assert "the study compares nothing" in refused(study, without, asked(study, "compare"))


def test_a_comparison_may_name_a_training_of_its_stage_and_no_other(study: Study, plan: StudyPlan) -> None:
    """Under what a stage trains on, its backbones are compared."""
    planned = asked(study, "train").training
    assert planned is not None
    compared = replace(asked(study, "compare"), training=planned.model_copy(update={"learning_rate": 7.0}))
    check_planned(compared, "center-d", study.settings, plan)
    other = planned.model_copy(update={"local_steps": planned.local_steps + 1})
    assert "for a training that is not planned" in refused(study, plan, replace(compared, training=other))


@pytest.mark.parametrize("kind", ["advertise", "share", "unmask"])
def test_a_phase_of_a_sum_is_planned_where_the_study_sums(study: Study, plan: StudyPlan, kind: Kind) -> None:
    summing = study.settings.model_copy(update={"secure_aggregation": SecureAggregation()})
    phase = Instruction(kind, summing, "adapt", 3, secure=SumRequest())
    check_planned(phase, "center-d", summing, plan)
    assert "has no [secure_aggregation]" in refused(study, plan, replace(phase, settings=study.settings))
    with pytest.raises(OtherStudyError, match="round 9 is not among its rounds"):
        check_planned(replace(phase, server_round=9), "center-d", summing, plan)
    with pytest.raises(OtherStudyError, match=f"it brings tensors, which '{kind}' does not need"):
        check_planned(replace(phase, tensors=asked(study).tensors), "center-d", summing, plan)


def test_what_is_of_a_sum_has_no_place_in_a_score(study: Study, plan: StudyPlan) -> None:
    assert "it brings secure" in refused(study, plan, replace(asked(study, "evaluate"), secure=SumRequest()))


@pytest.mark.parametrize("of", ["evaluate", "compare"])
def test_scores_are_summed_where_the_study_does_and_only_in_answer_to_what_is_planned(
    study: Study, plan: StudyPlan, of: Purpose
) -> None:
    """A row of a stage in which the center does not train, and no row of a center that is not scored."""
    by_center = study.settings.model_copy(update={"secure_aggregation": SecureAggregation()})
    summing = study.settings.model_copy(update={"secure_aggregation": SecureAggregation(scores="summed")})
    phase = Instruction("advertise", summing, "another", 3, secure=SumRequest(of=of))
    check_planned(phase, "center-d", summing, plan)
    answer = replace(asked(study, of), settings=summing, secure=SumRequest(of=of))
    check_planned(answer, "center-d", summing, plan)
    with pytest.raises(OtherStudyError, match="the study sums no scores"):
        check_planned(replace(phase, settings=by_center), "center-d", by_center, plan)
    with pytest.raises(OtherStudyError, match=r"does not score|compares nothing"):
        check_planned(phase, "center-d", summing, plan.model_copy(update={"scored": False, "compares": False}))
