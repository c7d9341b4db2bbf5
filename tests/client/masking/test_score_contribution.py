"""A center's rows hold what may leave of its scores, and zeros for all else."""

from dataclasses import replace

import pytest

from client.masking.score_contribution import contribute_scores
from protocol.errors import SecureSumError
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison
from protocol.messages.secure_sum import Harm, SumPlan
from protocol.tasks import TaskName
from tests.support.segmentation_scores import dice_score
from tests.support.summing import Summing

TASK: TaskName = "segmentation"


@pytest.fixture(scope="module")
def plan() -> SumPlan:
    """a weighs half of what b does."""
    weights = {name: {"a": 2.0, "b": 4.0, "c": 2.0} for name in ("ct/dice", "ct/hd95_mm", "ct+pet/dice")}
    return replace(Summing().plan(), scheme="(evaluate)", weights=weights)


def test_a_row_has_the_figure_by_its_weight_and_the_weight(plan: SumPlan) -> None:
    """0.5 * 0.6 * 2^10; there is no PET, and nothing defines the HD95."""
    reply = Reply("a", "evaluate", scores={"ct": dice_score(5, 0.6, None, hd95_undefined=5)})
    rows = contribute_scores(reply, plan, TASK)
    assert rows.rows["ct/dice"].tolist() == pytest.approx([307.2, 0.5, 5 / 2**20])
    assert rows.rows["ct/hd95_mm"].tolist() == rows.rows["ct+pet/dice"].tolist() == [0.0, 0.0, 0.0]
    assert rows.groups == ("ct/dice",)


def test_a_center_that_the_plan_does_not_count_stands_behind_nothing(plan: SumPlan) -> None:
    assert contribute_scores(Reply("d", "evaluate", scores={"ct": dice_score(5, 0.6, 1.0)}), plan, TASK).groups == ()


def test_a_comparison_says_itself_whether_it_harms(plan: SumPlan) -> None:
    compared = replace(plan, scheme="(compare segmentation)", weights={"comparison": {"a": 1.0, "b": 1.0, "c": 1.0}})
    compared = replace(compared, harm=Harm(-0.01))
    reply = Reply("a", "compare", comparison=Comparison(5, -0.02, 0.001))
    assert contribute_scores(reply, compared, TASK).rows["comparison"][4] == 1.0
    unable = Reply("a", "compare", comparison=Comparison(1, -0.02))
    assert contribute_scores(unable, compared, TASK).groups == ()


@pytest.mark.parametrize("scheme", ["(compare segmentation)", "fedit"])
def test_another_sum_than_was_asked_is_refused(plan: SumPlan, scheme: str) -> None:
    with pytest.raises(SecureSumError, match="nothing is masked"):
        contribute_scores(Reply("a", "evaluate"), replace(plan, scheme=scheme), TASK)


def test_a_sum_of_what_is_no_figure_is_refused(plan: SumPlan) -> None:
    reply = Reply("a", "evaluate", scores={"ct": dice_score(5, 0.6, 1.0)})
    with pytest.raises(SecureSumError, match="no task has such a figure"):
        contribute_scores(reply, replace(plan, weights={"ct/weight": {"a": 1.0}}), TASK)
    with pytest.raises(SecureSumError, match="expected 'comparison'"):
        contribute_scores(Reply("a", "compare"), replace(plan, scheme="(compare segmentation)"), TASK)


def test_all_are_asked_for_the_same_metric(plan: SumPlan) -> None:
    """One that is asked for another task than the others stands alone with it."""
    compared = replace(plan, scheme="(compare segmentation)", weights={"comparison": {"a": 1.0}}, harm=Harm(-0.01))
    with pytest.raises(SecureSumError, match="nothing is masked"):
        contribute_scores(Reply("a", "compare", comparison=Comparison(5, -0.02, 0.001)), compared, "survival")
