"""What a running study shows, line by line."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from protocol.messages.scores import Score
from protocol.messages.suppression import Suppressed
from server.study.display import Display, score_table
from server.study.events import (
    CenterAnswered,
    Event,
    Extended,
    GateDecided,
    Resumed,
    RoundStarted,
    ScoringStarted,
    StageScored,
)
from server.study.file import Study, read_study
from server.study.history import GateRecord, RoundRecord, Scores, StageRow
from strategies.continual.gate import Verdict
from tests.support.segmentation_scores import dice_score
from tests.support.small_study import write_study

RECORD = RoundRecord(
    stage="adapt",
    server_round=3,
    center="center-a",
    loss=0.1234,
    seconds=7.4,
    validation={"ct": dice_score(2, 0.5, 4.0), "ct+pet": dice_score(2, None, None, 2, 2)},
)
ROW = StageRow(
    "adapt",
    {"center-a": {"ct": dice_score(2, 0.5, 4.04)}, "center-d": {"ct": dice_score(1, None, None, 1, 1)}},
)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(write_study(tmp_path / "study.toml"))


def show(study: Study, event: Event) -> str:
    console = Console(file=StringIO(), width=160, force_terminal=False)
    with Display(study, console) as display:
        display.listen(event)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_round_is_one_line_with_loss_scores_and_seconds(study: Study) -> None:
    (line,) = [line for line in show(study, CenterAnswered(RECORD)).splitlines() if "center-a" in line]
    expected = "3 adapt center-a loss 0.123 validation Dice ct 0.500 ct+pet undefined 7 s"
    assert line.split() == expected.split()


def test_a_failed_round_shows_its_code_in_place_of_the_loss(study: Study) -> None:
    text = show(study, CenterAnswered(RoundRecord("adapt", 3, "center-d", error="internal")))
    assert "3 adapt center-d internal validation Dice failed 0 s" in " ".join(text.split())


def test_a_refused_payload_shows_its_code_also_when_there_is_a_loss(study: Study) -> None:
    text = show(study, CenterAnswered(RoundRecord("adapt", 3, "center-d", error="payload", loss=0.5)))
    assert "payload" in text
    assert "0.500" not in text


def test_what_the_screen_could_act_on_is_shown_as_it_stands(study: Study) -> None:
    """Markup, an emoji's name and a name in brackets: of a code, a center and a stage."""
    text = show(study, CenterAnswered(replace(RECORD, error="[/x]", center="[red]a", stage=":smile:")))
    assert [part in text for part in ("[/x]", "[red]a", ":smile:")] == [True] * 3
    row = StageRow("[/x]", {"[bold]d": ROW.test["center-a"]})
    assert [part in show(study, StageScored(row)) for part in ("[/x]", "[bold]d")] == [True] * 2


def test_a_round_without_a_loss_says_so(study: Study) -> None:
    assert "no loss" in show(study, CenterAnswered(RoundRecord("adapt", 3, "center-d")))


def test_the_bar_moves_when_the_last_center_of_a_round_is_in(study: Study) -> None:
    """Five rounds in all: 2, 2 and 1."""
    console = Console(file=StringIO(), width=160, force_terminal=False)
    with Display(study, console) as display:
        (task,) = display._progress.tasks
        display.listen(RoundStarted(study.stages[1], 1, ("center-a", "center-d")))
        display.listen(CenterAnswered(RECORD))
        assert (task.completed, task.total, task.description) == (0, 5, "adapt 1/2")
        display.listen(CenterAnswered(RECORD))
        assert task.completed == 1
        display.listen(ScoringStarted("adapt", ("center-a", "center-d")))
        assert task.description == "adapt: test cases of 2 centers"


def test_a_resumed_study_starts_its_bar_where_it_stands(study: Study) -> None:
    assert "resumed after round 3" in show(study, Resumed(3))
    assert "resumed" not in show(study, Resumed(0))


def test_a_row_of_the_matrix_keeps_undefined_and_absent_apart(study: Study) -> None:
    text = show(study, StageScored(ROW))
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
        for line in text.splitlines()
        if line.startswith("│")
    }
    assert rows["center-a"] == ["2", "0.500 / 4.0"]
    assert rows["center-d"] == ["1", "undefined / undefined"]


def test_a_round_tells_whose_tensors_a_center_withholds(study: Study) -> None:
    record = replace(RECORD, suppressed=("tensors.fusion", "tensors.pet"))
    (line,) = [line for line in show(study, CenterAnswered(record)).splitlines() if "center-a" in line]
    assert line.endswith("7 s  tensors of fusion, pet withheld")


def test_a_round_tells_what_is_withheld_from_what_is_undefined_or_absent(study: Study) -> None:
    """Of CT nothing came, of CT and PET nothing is defined, and PET was not scored."""
    validation: Scores = {"ct+pet": dice_score(2, None, None, 2, 2)}
    record = replace(RECORD, loss=None, validation=validation, suppressed=("loss", "ct/dice", "ct/hd95_mm"))
    (line,) = [line for line in show(study, CenterAnswered(record)).splitlines() if "center-a" in line]
    expected = "3 adapt center-a loss withheld validation Dice ct withheld ct+pet undefined 7 s"
    assert line.split() == expected.split()


def test_a_row_of_the_matrix_tells_what_is_withheld() -> None:
    """Center-a holds back all of PET and the Dice of CT; center-d all that it has; nobody was scored on CT and PET."""
    held = {
        "center-a": Suppressed({"ct": ("dice",), "pet": ("dice", "hd95_mm")}),
        "center-d": Suppressed({"ct": ("dice", "hd95_mm")}),
    }
    row = StageRow("adapt", {"center-a": {"ct": dice_score(6, None, 4.04)}, "center-d": {}}, suppressed=held)
    table = score_table("after", row, "segmentation")
    columns = {str(column.header): [str(cell) for cell in column.cells] for column in table.columns}
    assert columns == {
        "center": ["center-a", "center-d"],
        "cases": ["6", "withheld"],
        "ct": ["withheld / 4.0", "withheld"],
        "pet": ["withheld", "absent"],
    }


def test_a_row_of_the_matrix_tells_who_failed_also_of_one_that_did_not_answer() -> None:
    row = StageRow(
        "adapt", {"a": {"ct": dice_score(6, 0.5, 4.04)}, "b": {}}, errors={"b": "internal", "c": "no-answer"}
    )
    (_, _, column) = score_table("after", row, "segmentation").columns
    assert sorted(map(str, column.cells)) == ["0.500 / 4.0", "failed", "failed"]


def test_the_gate_names_who_compared_and_held_it_back(study: Study) -> None:
    silent = Verdict(promoted=True, worst=None, mean=None, lower_bound=None, unheard=("a", "d"), reason="promoted: x")
    text = " ".join(show(study, GateDecided(GateRecord("adapt", silent, withheld=("d",)))).split())
    assert "is shared (promoted: x); comparisons withheld by d" in text
    assert "withheld" not in show(study, GateDecided(GateRecord("adapt", silent)))


def test_a_center_that_did_not_answer_has_no_cases() -> None:
    table = score_table("after", StageRow("adapt", {"center-a": {}}), "segmentation")
    assert [[str(cell) for cell in column.cells] for column in table.columns] == [["center-a"], ["0"]]


def test_a_round_shows_the_primary_metric_of_what_its_stage_trains_for(study: Study) -> None:
    stages = tuple(stage.model_copy(update={"task": "survival"}) for stage in study.stages)
    scored = replace(RECORD, validation={"ct": Score(9, {"dice": 0.5, "concordance": 0.625})})
    assert "validation concordance ct 0.625" in show(
        study.model_copy(update={"stages": stages}), CenterAnswered(scored)
    )


def test_every_task_has_a_table_with_its_main_metrics(study: Study) -> None:
    stages = (*study.stages, study.stages[-1].model_copy(update={"name": "prognosis", "task": "survival"}))
    row = StageRow("prognosis", {"center-a": {"ct": Score(9, {"concordance": 0.625, "uno": None})}})
    text = " ".join(show(study.model_copy(update={"stages": stages}), StageScored(row)).split())
    assert "after prognosis: Dice / HD95 in mm" in text
    assert "after prognosis: concordance / Uno's concordance" in text
    assert "0.625 / undefined" in text


def test_a_study_that_was_extended_names_its_stages(study: Study) -> None:
    assert "the study was extended: its stages are pretrain, adapt, arrive" in show(study, Extended(study))
