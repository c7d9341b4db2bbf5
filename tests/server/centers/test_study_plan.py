"""The plan of one center: every instruction of a study is in it, and it stays the same while others come."""

from pathlib import Path

import pytest

from server.centers.study_plan import digest_of, plan_of
from server.study.file import Study, read_study
from tests.support.small_study import NAMES, STUDY, write_study
from tests.support.study_text import stage_text


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(write_study(tmp_path / "study.toml"))


def grown(tmp_path: Path, centers: tuple[str, ...], text: str = STUDY) -> Study:
    """The study with one more stage."""
    return read_study(write_study(tmp_path / "grown.toml", text + stage_text("later", centers, kind="arrive")))


def test_the_rounds_of_a_center_are_counted_over_the_whole_study(study: Study) -> None:
    plan = plan_of(study, "center-d")
    assert [(stage.name, stage.first_round, stage.last_round) for stage in plan.stages] == [
        ("pretrain", 1, 2),
        ("adapt", 3, 4),
        ("arrive", 5, 5),
    ]
    assert [stage.name for stage in plan_of(study, "center-a").stages] == ["pretrain", "adapt"]
    assert (plan.compares, plan.scored) == (True, True)


def test_a_planned_round_is_the_one_that_will_be_sent(study: Study) -> None:
    stage = study.stages[1]
    for completed in range(stage.all_rounds):
        sent, planned = (
            study.training_in(stage, completed),
            plan_of(study, "center-a").training_of("adapt", 3 + completed),
        )
        assert planned is not None
        assert planned.model_copy(update={"learning_rate": 1.0}) == sent.model_copy(update={"learning_rate": 1.0})
        assert planned.learning_rate == pytest.approx(sent.learning_rate, rel=1e-8)


def test_another_centers_stage_changes_no_plan_but_its_own(study: Study, tmp_path: Path) -> None:
    later = grown(tmp_path, ("center-d",))
    assert digest_of(later, "center-a") == digest_of(study, "center-a")
    assert digest_of(later, "center-d") != digest_of(study, "center-d")


@pytest.mark.parametrize(
    ("before", "after"),
    [("rank = 2", "rank = 3"), ("local_steps = 4", "local_steps = 4\nbatch_size = 3"), ("rounds = 2", "rounds = 3")],
)
def test_what_concerns_a_center_changes_its_digest(study: Study, tmp_path: Path, before: str, after: str) -> None:
    changed = read_study(write_study(tmp_path / "changed.toml", STUDY.replace(before, after)))
    assert all(digest_of(changed, name) != digest_of(study, name) for name in NAMES)


def test_a_backbone_stage_observes_nothing_and_anchors_what_they_remember(tmp_path: Path) -> None:
    text = STUDY.replace("[[stages]]", "[strategy]\nrouter = true\n[strategy.terms]\newc = 1.0\n\n[[stages]]", 1)
    stages = plan_of(read_study(write_study(tmp_path / "study.toml", text)), "center-d").stages
    assert [stage.observed for stage in stages] == [(), ("fisher", "prototype"), ("fisher", "prototype")]
    assert {stage.beside for stage in stages} == {()}


def test_what_a_scheme_weighs_by_is_observed_beside_the_rounds_that_share_an_adapter(tmp_path: Path) -> None:
    text = STUDY.replace("[[stages]]", '[strategy.aggregation]\nscheme = "lorm"\n\n[[stages]]', 1)
    stages = plan_of(read_study(write_study(tmp_path / "study.toml", text)), "center-d").stages
    assert [stage.beside for stage in stages] == [(), ("gram",), ("gram",)]
