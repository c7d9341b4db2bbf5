import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

import pytest

from protocol.messages.tensors import TensorSpec
from server.results.report import attendance, center_gates, report_html, traffic, verdict
from server.results.result import Facts, build_result
from server.study.file import Study
from server.study.history import History, RoundRecord, StageRow
from tests.support.example_result import CENTERS, DICE, HD95, example_result, transfer, visible_text
from tests.support.own_service import SERVICE
from tests.support.segmentation_scores import dice_score


@pytest.fixture(scope="module")
def page() -> str:
    return report_html(example_result())


def test_page_loads_nothing_from_elsewhere_and_runs_no_script(page: str):
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page) == []
    assert re.findall(r"url\((?!#)", page) == []
    assert "<script" not in page
    assert "@import" not in page


def test_the_gate_says_what_it_decided_and_for_whom(page: str):
    text = visible_text(page)
    assert "arrive-c shared, provisionally center-a -0.031 , center-b +0.004 -0.013 undefined center-c" in text
    assert "arrive-d not shared center-a -0.031 , center-b +0.004 -0.013 -0.040 center-d" in text


def test_the_last_figures_of_the_aggregation_are_shown(page: str):
    assert "adapt fedit 1 tail dropped 0.0125" in visible_text(page)


@pytest.mark.parametrize("center", CENTERS)
def test_every_center_has_its_row_and_its_curves(page: str, center: str):
    assert f'aria-label="Curves of {center}"' in page
    assert f"<tr><th>{center}</th>" in page


@pytest.mark.parametrize("setting", DICE)
def test_every_defined_dice_of_a_matrix_stands_in_a_coloured_cell(page: str, setting: str):
    cells = re.findall(r'style="background: #[0-9a-f]{6}; color: #[0-9a-f]{6}"[^>]*>(0\.\d{3})', page)
    expected = {f"{value:.3f}" for row in DICE[setting] for value in row if value is not None}
    assert expected <= set(cells)
    assert len(cells) == 21


def test_every_defined_distance_is_printed_in_millimetres(page: str):
    expected = {f"{value:.1f} mm" for rows in HD95.values() for row in rows for value in row if value is not None}
    assert expected <= set(re.findall(r"\d+\.\d mm", page))


def test_the_six_absent_dice_are_words_and_never_zero(page: str):
    assert len(re.findall(r'<td class="[^"]*undefined" title="0 case\(s\), undefined for 0">absent', page)) == 6
    assert ">0.000<" not in page


def test_undefined_distances_are_counted(page: str):
    assert "<tr><th>CT</th>" + "".join(f'<td class="number">{n}</td>' for n in (0, 1, 0)) in page


def test_cells_of_a_stage_outline_the_centers_that_trained_in_it(page: str):
    assert page.count('<td class="trained') == 3 * (2 + 2 + 1)


def test_synthetic_and_how_the_centers_were_formed_stand_wherever_results_are_shown(page: str):
    text = visible_text(page)
    assert "Synthetic cohort" in text
    assert text.count("Phantoms of three simulated scanners; one center without PET.") == 4


def test_a_real_study_is_not_called_synthetic():
    assert "synthetic" not in report_html(example_result() | {"synthetic": False, "rounds": []}).lower()


def test_verdict_states_average_forgetting_and_worst_center():
    assert verdict(example_result()) == (
        "After stage arrive-d, the average test Dice over centers is 0.679 with CT+PET, "
        "0.588 with CT and 0.520 with PET; forgetting is 0.008 (CT+PET), 0.007 (CT) and undefined (PET); "
        "the worst center is center-b at 0.665 (CT+PET) and center-d at 0.559 (CT)."
    )


def test_trainable_parameters_stand_in_number_and_percent_with_their_definition(page: str):
    assert "61,680" in page
    assert "7.15 %" in page
    assert "Trainable: tensors that receive a gradient." in page


def test_bytes_stand_in_total_and_for_every_center(page: str):
    text = visible_text(page)
    assert "41.5 MB of tensors went to the centers and 32.1 MB came back." in text
    assert "center-d 4.2 MB 1.2 MB 410.0 kB 410.0 kB" in text


def test_hashes_of_bank_and_backbone_are_whole(page: str):
    assert all(pair * 32 in page for pair in ("b4", "c5", "d6"))


def test_an_error_counts_as_not_completed_and_a_silent_center_as_no_answer():
    study = example_result()
    study["rounds"] = [r for r in study["rounds"] if (r["center"], r["server_round"]) != ("center-a", 2)]
    rows = {row.center: row for row in attendance(study)}
    assert (rows["center-a"].asked, rows["center-a"].completed, rows["center-a"].unanswered) == (9, 8, 1)
    assert (rows["center-b"].asked, rows["center-b"].completed, dict(rows["center-b"].errors)) == (9, 8, {"memory": 1})


def test_a_name_with_markup_is_shown_and_not_run():
    study = deepcopy(example_result())
    evil = "<script>alert(1)</script>"
    study["centers"][evil] = study["centers"].pop("center-d")
    for row in study["rounds"]:
        row["center"] = evil if row["center"] == "center-d" else row["center"]
    for table in study["matrices"].values():
        table["centers"] = [evil if name == "center-d" else name for name in table["centers"]]
    study["transfer"]["ct"]["worst_center"]["center"] = evil
    study["bytes"]["by_center"][evil] = study["bytes"]["by_center"].pop("center-d")
    found = report_html(study)
    assert "<script" not in found
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in found


def test_ids_in_the_page_are_unique(page: str):
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 0


def test_the_same_result_gives_the_same_page(page: str):
    assert report_html(example_result()) == page


def test_a_study_without_a_finished_round_has_a_page_that_says_so():
    empty: dict[str, Any] = {"stages": [], "centers": list(CENTERS), "dice": [], "hd95_mm": [], "cases": []}
    empty |= {"undefined": {"dice": [], "hd95_mm": []}, "over_centers": {"dice": [], "hd95_mm": []}}
    nothing = transfer(0.0, None, None) | {"average": None, "learning_accuracy": None, "forgetting_after": {}}
    study = example_result() | {"rounds": [], "bank": [], "status": "interrupted"}
    study |= {"matrices": dict.fromkeys(DICE, empty), "transfer": dict.fromkeys(DICE, nothing)}
    found = report_html(study)
    assert "No stage has been completed yet" in found
    assert "The bank holds no adapter yet." in found


def test_the_title_of_the_page_is_the_study_s():
    assert "<title>Second</title>" in report_html(example_result() | {"rounds": [], "title": "Second"})


def test_no_case_identifier_can_reach_the_page():
    study: Mapping[str, Any] = example_result()
    assert "STS_005" not in report_html({**study, "rounds": [], "case_scores": [{"case": "STS_005", "dice": 0.5}]})


def test_a_result_as_the_coordinator_builds_it_has_a_page():
    stage = {"rounds": 1, "local_steps": 5, "learning_rate": 0.1, "centers": ["a"]}
    study = Study.model_validate(
        {
            "name": "toy",
            "title": "A toy",
            "formed_by": "By hand.",
            "model": {"name": "tiny"},
            "centers": {"a": {}, "b": {"modalities": ["ct"]}},
            "stages": [{**stage, "name": "first", "kind": "adapt"}],
        }
    )
    validation, test = dice_score(2, None, None, 2, 2), dice_score(3, 0.625, None, 0, 3)
    history = History(
        rounds=(RoundRecord("first", 1, "a", "", 0.5, 7, 2.0, 100, 10, {"ct": validation}),),
        rows=(StageRow("first", {"a": {"ct": test}}),),
    )
    facts = Facts("interrupted", (TensorSpec("w", "backbone", (3, 7)), TensorSpec("v", "peft", (21,))), "", 9.5)
    found = visible_text(report_html(build_result(study, history, facts)))
    assert "After stage first, the average test Dice over centers is 0.625 with CT" in found
    assert "first pet, fusion, peft 21 50.00 %" in found
    assert "a CT + PET unknown unknown unknown yes" in found


def test_who_is_served_its_own_is_said_with_the_figures_of_both_kinds_of_cases() -> None:
    back = replace(SERVICE, center="b", own=False, adapter="b/0002", test=None, validation=())
    found = visible_text(report_html(example_result() | {"service": [asdict(SERVICE), asdict(back)]}))
    assert (
        f"a its own a/0003 {SERVICE.reason} 4 0.500 0.700 -0.200 CT+PET 3 0.625 0.750 -0.125 "
        f"b federated, by a rollback b/0002"
    ) in found
    assert found.split(f"b/0002 {SERVICE.reason}")[1].lstrip().startswith("no test case")


def test_a_study_whose_centers_did_not_train_alone_says_nothing_of_it(page: str) -> None:
    assert "trained alone" not in page


def test_parameters_of_every_group_are_named(page: str) -> None:
    assert "backbone 801,232, PET pathway 24,816, fusion 1,000, adapter (peft) 36,864." in page


@pytest.fixture(scope="module")
def gated_study() -> dict[str, Any]:
    """The example study in which center-a reported two stages of gates in rounds 5 and 6."""
    study = example_result()
    for row in study["rounds"]:
        row["diagnostics"] = {}
        if row["center"] == "center-a" and row["server_round"] in {5, 6}:
            row["diagnostics"] = {
                f"gate/{stage}/{modality}/{name}": 0.3
                for stage in (0, 1)
                for modality in ("ct", "pet")
                for name in ("mean", "std", "saturated")
            }
    return study


def test_the_report_draws_the_gates_of_the_centers_that_reported_any(gated_study: dict[str, Any]) -> None:
    (drawn,) = center_gates(gated_study)
    assert (drawn.center, drawn.rounds) == ("center-a", 2)
    assert re.findall(r"encoder stage \d", drawn.svg) == ["encoder stage 0", "encoder stage 1"]
    page = report_html(gated_study)
    assert "Fusion gates" in page
    assert 'aria-label="Gates of center-a"' in page
    assert "center-a 2 rounds" in visible_text(page)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_gate_tells_a_comparison_that_is_withheld_from_one_that_is_missing() -> None:
    study = example_result()
    gate = next(gate for gate in study["gates"] if gate["unheard"])
    gate.update(unheard=["center-b", "center-c"], withheld=["center-c"])
    assert "center-b, center-c (comparison withheld)" in visible_text(report_html(study))


def test_a_study_without_gates_has_no_section_for_them() -> None:
    assert "Fusion gates" not in report_html(example_result())


def test_the_widest_bar_is_the_largest_total_of_all_centers():
    study = {**example_result(), "bytes": {"by_center": {"a": {"down": 40, "up": 10}, "b": {"down": 0, "up": 20}}}}
    study["rounds"] = [{"center": "a", "bytes_down": down, "bytes_up": 5} for down in (10, 30)]
    rows = {row.center: row for row in traffic(study)}
    assert (rows["a"].share_down, rows["a"].share_up, rows["b"].share_up) == (1.0, 0.25, 0.5)
    assert (rows["a"].median_down, rows["b"].median_down) == (20, 0)
