"""The last lines of a run."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.simulation.summary import print_summary
from server.study.directory import StudyDirectory

MATRIX = {
    "stages": ["initial", "adapt"],
    "centers": ["north", "south"],
    "dice": [[0.1, 0.2], [0.81249, None]],
    "hd95_mm": [[9.0, 9.0], [4.04, None]],
    "cases": [[3, 2], [3, 0]],
    "undefined": {},
}
RESULT: dict[str, Any] = {
    "synthetic": False,
    "formed_by": "two hospitals",
    "tasks": ["segmentation"],
    "matrices": {"ct": MATRIX},
    "transfer": {"ct": {"average": 0.8125, "forgetting": None}},
    "transfer_of_other_tasks": {},
    "rounds": [{"error": ""}, {"error": "no-answer"}],
    "centers": {"north": {}, "south": {}},
}


def lines(result: dict[str, Any]) -> list[str]:
    screen = io.StringIO()
    print_summary(StudyDirectory(Path("out")), result, Console(file=screen, width=200))
    return screen.getvalue().splitlines()


def test_every_center_has_its_last_scores_and_what_is_undefined_says_so() -> None:
    printed = lines(RESULT)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed if line.startswith("│")]
    assert cells == [
        ["north", "3", "0.812 / 4.0"],
        ["south", "0", "absent"],
        ["mean of centers", "", "0.812"],
    ]
    assert "forgetting ct: undefined" in printed
    assert "rounds without a center's update: 1 of 2" in printed


def test_what_is_withheld_or_failed_is_told_from_what_is_absent_and_a_mean_says_what_it_stands_on() -> None:
    held = {**MATRIX, "suppressed": {name: [[False, False], [False, True]] for name in ("dice", "hd95_mm")}}
    failed = [{"stage": "adapt", "errors": {"south": "internal"}}]
    assert any("south" in line and "withheld" in line for line in lines({**RESULT, "matrices": {"ct": held}}))
    assert any("south" in line and "failed" in line for line in lines({**RESULT, "evaluations": failed}))
    one = {**MATRIX, "cases": [[3, 2], [1, 0]]}
    assert "! mean of centers, ct: stands on one test case" in lines({**RESULT, "matrices": {"ct": one}})


def test_it_says_how_the_centers_were_formed_and_where_their_pages_lie() -> None:
    printed = lines(RESULT)
    assert printed[0] == "test cases after the last stage, Dice / HD95 in mm (two hospitals)"
    assert "center page   out/centers/north/report.html" in printed
    assert "(synthetic cohort)" in lines({**RESULT, "synthetic": True})[0]


def test_every_task_has_its_own_table() -> None:
    auc = {"auc": [[0.5, 0.5], [0.75, 0.625]], "g_mean": [[None, None], [0.5, None]]}
    other = {"classification": {"ct": {"average": 0.6875, "forgetting": -0.125}}}
    changes = {"tasks": ["segmentation", "classification"], "transfer_of_other_tasks": other}
    printed = lines({**RESULT, **changes, "matrices": {"ct": {**MATRIX, **auc, "cases": [[3, 2], [3, 2]]}}})
    assert "test cases after the last stage, AUC / G-mean (two hospitals)" in printed
    assert any("0.625 / undefined" in line for line in printed)
    assert "forgetting, AUC, ct: -0.125" in printed
