"""Every center alone: as many steps as in the federation, no exchange, one sentence."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w
from rich.console import Console

from deploy.simulation.local_only import (
    Gain,
    alone,
    gains,
    on_test,
    refuse_summed_scores,
    simulate_alone,
    tell,
    tell_services,
)
from protocol.errors import StudyError, WithdrawalError
from protocol.storage.sealed_json import seal
from server.results.service import OnTest
from server.study.directory import StudyDirectory
from server.study.file import Study
from tests.support.own_service import SERVICE
from tests.support.small_study import STUDY
from tests.support.study_text import stage_text
from tests.support.summed_score_study import text_of

GROWING = STUDY + stage_text("stay", ("center-a", "center-d"), kind="arrive", rounds=3, local_steps=6)


def matrices(**dice: dict[str, list[float | None]]) -> dict[str, object]:
    def matrix(last: list[float | None]) -> dict[str, object]:
        cases = [2 if value is not None else 0 for value in last]
        return {"centers": ["a", "d"], "dice": [[0.0, 0.0], last], "cases": [[1, 1], cases]}

    return {
        "tasks": ["segmentation"],
        "centers": {"a": {}, "d": {}},
        "matrices": {name.replace("_", "+"): matrix(values["last"]) for name, values in dice.items()},
    }


def test_a_center_takes_all_its_adapter_steps_in_one_stage_of_its_own() -> None:
    study = Study.model_validate(tomllib.loads(GROWING))
    by_itself = Study.model_validate(tomllib.loads(tomli_w.dumps(alone(study))))
    taken = {stage.centers: (stage.rounds, stage.local_steps) for stage in by_itself.stages}
    # adapt: 2 rounds of 4; arrive: 1 of 2 at center-d alone; stay: 3 of 6. Both lengths that divide all are 2.
    assert taken == {("center-a",): (13, 2), ("center-d",): (14, 2)}
    assert by_itself.steps_by_center() == {"center-a": 26, "center-d": 28}
    assert {by_itself.scheme_name(stage) for stage in by_itself.stages} == {"local-only"}
    assert not by_itself.strategy.gate
    assert by_itself.stages[0].trained == ("pet", "fusion", "peft")


def test_a_center_keeps_its_own_rank_alone() -> None:
    """The federation combines ranks; alone there is nothing to combine."""
    ranked = STUDY.replace("[centers.center-d]\n", "[centers.center-d]\nrank = 1\n").replace('method = "dora"\n', "")
    study = Study.model_validate(tomllib.loads(ranked + '[strategy.aggregation]\nscheme = "flora"\n'))
    by_itself = Study.model_validate(tomllib.loads(tomli_w.dumps(alone(study))))
    assert by_itself.settings_for("center-d").adapter.rank == 1


def test_a_center_learns_each_of_its_tasks_alone_in_a_stage_of_its_own() -> None:
    """Two steps of one, 8 and 18 of the other, which come first and last."""
    labels = '\n[labels.classes]\ncolumn = "grade"\n'
    several = GROWING.replace("pemma-unetr-tiny", "pemma-prognosis-tiny") + labels
    second = several.replace('name = "arrive"', 'name = "arrive"\ntask = "classification"')
    study = Study.model_validate(tomllib.loads(second))
    by_itself = Study.model_validate(tomllib.loads(tomli_w.dumps(alone(study))))
    taken = {stage.name: (stage.task, stage.rounds * stage.local_steps) for stage in by_itself.stages}
    assert taken == {
        "alone-center-a": ("segmentation", 26),
        "alone-center-d-segmentation": ("segmentation", 26),
        "alone-center-d-classification": ("classification", 2),
    }


def test_each_center_is_compared_under_its_fullest_setting() -> None:
    federated = matrices(ct={"last": [0.6, 0.5]}, ct_pet={"last": [0.75, None]})
    by_itself = matrices(ct={"last": [0.6, 0.45]}, ct_pet={"last": [0.7, None]})
    assert gains(federated, by_itself) == [Gain("a", "ct+pet", 2, 0.75, 0.7), Gain("d", "ct", 2, 0.5, 0.45)]


def test_one_sentence_says_what_it_brought() -> None:
    told = tell([Gain("a", "ct+pet", 2, 0.75, 0.7), Gain("d", "ct", 1, None, 0.45)], matrices(ct={"last": [0.6, 0.5]}))
    assert told == (
        "What federation brought, Dice against training alone in as many steps: a +0.050 with CT+PET (0.750 against "
        "0.700, 2 test cases); d undefined with CT (undefined against 0.450, 1 test case)."
    )


def test_who_is_served_its_own_is_named_and_for_whom_nothing_could_be_decided() -> None:
    loses_nothing = replace(SERVICE, center="b", own=False)
    unknown = replace(SERVICE, center="c", own=False, validation=())
    assert tell_services([SERVICE, loses_nothing]) == (
        "Served its own from now on: a (federation changes by -0.2000 on 4 validation cases, beyond their noise)."
    )
    assert tell_services([loses_nothing]) == "No center is served its own."
    assert tell_services([loses_nothing, unknown]) == (
        "No center is served its own. Too few validation cases to decide: c."
    )


def test_centers_that_are_evaluated_and_trained_adapters_are_judged() -> None:
    text = STUDY.replace("[centers.center-a]\n", "[centers.center-a]\nevaluated = false\n")
    study, found = Study.model_validate(tomllib.loads(STUDY)), [Gain("center-d", "ct", 2, 0.5, 0.75)]
    assert on_test(study, found) == {"center-a": None, "center-d": OnTest("ct", 2, 0.5, 0.75, -0.25)}
    assert list(on_test(Study.model_validate(tomllib.loads(text)), found)) == ["center-d"]
    pretrained = [stage.model_copy(update={"centers": ("center-a",)}) for stage in study.stages]
    assert list(on_test(study.model_copy(update={"stages": tuple(pretrained)}), found)) == ["center-a"]


def test_a_center_that_withdrew_does_not_train_alone_either(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path)
    directory.withdrawals.mkdir()
    told = {"center": "d", "first_stage": "", "in_use": "shared/0001", "replay": ""}
    (directory.withdrawals / "d.json").write_bytes(seal({"statement": told}))
    with pytest.raises(WithdrawalError, match=r"\['d'\] withdrew .* would train here again"):
        simulate_alone(directory, tmp_path, engine="in-process", device="cpu", console=Console(quiet=True))


def test_summed_scores_judge_no_center_against_itself(tmp_path: Path) -> None:
    """Refused before anything is trained."""
    (tmp_path / "summed.toml").write_text(text_of())
    (tmp_path / "plain.toml").write_text(STUDY)
    with pytest.raises(StudyError, match="leave one of the two out"):
        refuse_summed_scores(tmp_path / "summed.toml")
    refuse_summed_scores(tmp_path / "plain.toml")
