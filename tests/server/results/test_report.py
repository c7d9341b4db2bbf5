import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import StorageError
from protocol.messages.instruction import Score
from protocol.messages.tensors import TensorSpec
from server.results.charts import dice_range, tint
from server.results.report import attendance, duration, report_html, score, size, verdict, words, write_report
from server.results.result import Facts, build_result
from server.study.file import Study
from server.study.history import History, RoundRecord, StageRow

CENTERS = {"center-a": ("ct", "pet"), "center-b": ("ct", "pet"), "center-d": ("ct",)}
STAGES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], int]] = {
    "pretrain": ("pretrain", ("center-a", "center-b"), ("backbone",), 4),
    "adapt": ("adapt", ("center-a", "center-b"), ("pet", "peft"), 5),
    "arrive-d": ("arrive", ("center-d",), ("peft",), 3),
}
DICE: dict[str, list[list[float | None]]] = {
    "ct": [[0.511, 0.472, 0.433], [0.624, 0.595, 0.456], [0.617, 0.588, 0.559]],
    "pet": [[0.021, 0.032, None], [0.543, 0.514, None], [0.535, 0.506, None]],
    "ct+pet": [[0.508, 0.461, None], [0.702, 0.673, None], [0.694, 0.665, None]],
}
HD95: dict[str, list[list[float | None]]] = {
    "ct": [[31.4, 33.5, None], [22.6, 24.7, 29.8], [22.1, 24.2, 26.3]],
    "pet": [[None, None, None], [25.5, 27.6, None], [25.7, 27.8, None]],
    "ct+pet": [[31.9, 34.1, None], [14.2, 16.3, None], [14.4, 16.5, None]],
}


def score_row(dice: float | None) -> dict[str, Any]:
    return {"cases": 2, "dice": dice, "hd95_mm": 12.5, "dice_undefined": 0, "hd95_undefined": 0}


def rounds() -> list[dict[str, Any]]:
    rows = []
    number = 0
    for stage, (_, members, groups, count) in STAGES.items():
        for position in range(count):
            number += 1
            for offset, center in enumerate(members):
                failed = center == "center-b" and number == 6
                level = min(0.75, 0.25 + 0.05 * number - 0.03 * offset)
                rows.append(
                    {
                        "stage": stage,
                        "server_round": number,
                        "center": center,
                        "error": "memory" if failed else "",
                        "loss": None if failed else 0.9 / number + 0.2,
                        "cases": 0 if failed else 6,
                        "seconds": 12.0,
                        "bytes_down": 3_400_000 if "backbone" in groups or position == 0 else 410_000,
                        "bytes_up": 0 if failed else 3_400_000 if "backbone" in groups else 410_000,
                        "validation": {}
                        if failed
                        else {
                            setting: score_row(None if setting == "pet" and number < 3 else level * share)
                            for setting, share in {"ct": 0.9, "pet": 0.75, "ct+pet": 1.0}.items()
                            if setting == "ct" or "pet" in CENTERS[center]
                        },
                    }
                )
    return rows


def matrix(setting: str) -> dict[str, Any]:
    dice = DICE[setting]
    return {
        "stages": list(STAGES),
        "centers": list(CENTERS),
        "dice": dice,
        "hd95_mm": HD95[setting],
        "cases": [[3 if value is not None else 0 for value in row] for row in dice],
        "dice_undefined": [[0] * 3 for _ in dice],
        "hd95_undefined": [[int(value is None and setting == "ct") for value in row] for row in HD95[setting]],
    }


def transfer(average: float, forgetting: float | None, worst: tuple[str, float] | None) -> dict[str, Any]:
    return {
        "average": average,
        "backward_transfer": -0.008,
        "forward_transfer": None,
        "forgetting": forgetting,
        "worst_center": worst and {"center": worst[0], "dice": worst[1]},
        "learning_accuracy": 0.687,
        "forgetting_after": {"adapt": None, "arrive-d": forgetting},
    }


def trainable(groups: tuple[str, ...]) -> dict[str, float]:
    counts = {"backbone": 801_232, "pet": 24_816, "peft": 36_864}
    found = sum(counts[group] for group in groups)
    return {"parameters": found, "percent": 100 * found / sum(counts.values())}


def bank_row(name: str, center: str, stage: str, number: int, digest: str) -> dict[str, Any]:
    row = {"name": name, "version": 1, "center": center, "stage": stage, "server_round": number, "sha256": digest}
    return {**row, "backbone": "b4" * 32}


def example() -> dict[str, Any]:
    """A finished study of three centers, written by hand; center-d has CT only and never a PET score."""
    records = rounds()
    by_center = {
        center: {
            "up": sum(row["bytes_up"] for row in records if row["center"] == center),
            "down": sum(row["bytes_down"] for row in records if row["center"] == center),
        }
        for center in CENTERS
    }
    return {
        "schema": 1,
        "status": "complete",
        "study": "demo",
        "title": "Continual PET/CT adaptation",
        "synthetic": True,
        "formed_by": "Phantoms of three simulated scanners; one center without PET.",
        "seed": 7,
        "model": {"name": "pemma-unetr", "options": {"width": 48, "depth": 4}},
        "adapter": {"method": "lora", "rank": 8, "alpha": 16.0, "targets": ["attn.qkv"]},
        "preprocessing": {"spacing_zyx_mm": [4.0, 4.0, 4.0], "ct_window_hu": [-200.0, 250.0]},
        "centers": {
            name: {"modalities": list(found), "evaluated": True, "cases": {"train": 7, "validation": 2, "test": 3}}
            for name, found in CENTERS.items()
        },
        "stages": [
            {
                "name": name,
                "kind": kind,
                "centers": list(members),
                "rounds": count,
                "local_steps": 40,
                "learning_rate": 0.0004,
                "aggregation": "fedit",
                "trained_groups": list(groups),
                "trainable": trainable(groups),
            }
            for name, (kind, members, groups, count) in STAGES.items()
        ],
        "parameters": {
            "total": 863_912,
            "backbone": 801_232,
            "pet": 24_816,
            "fusion": 1_000,
            "peft": 36_864,
            "center": 0,
            "norm": 0,
            "definition": "Trainable: tensors that receive a gradient. Percent: of all three groups together.",
        },
        "matrices": {setting: matrix(setting) for setting in ("ct", "pet", "ct+pet")},
        "transfer": {
            "ct": transfer(0.588, 0.007, ("center-d", 0.559)),
            "pet": transfer(0.5205, None, None),
            "ct+pet": transfer(0.6795, 0.008, ("center-b", 0.665)),
        },
        "rounds": records,
        "aggregations": [
            {"stage": "adapt", "server_round": 9, "scheme": "fedit", "figures": {"tail_dropped": 0.0125}},
        ],
        "gates": [gate("arrive-c", promoted=True), gate("arrive-d", promoted=False)],
        "bytes": {
            "up": sum(total["up"] for total in by_center.values()),
            "down": sum(total["down"] for total in by_center.values()),
            "by_center": by_center,
        },
        "seconds": {"total": 402.4, "by_center": dict.fromkeys(CENTERS, 130.0)},
        "backbone": "b4" * 32,
        "bank": [
            bank_row("shared", "", "arrive-d", 12, "c5" * 32),
            bank_row("center-a", "center-a", "adapt", 9, "d6" * 32),
        ],
        "versions": {"concilium": "0.1.0", "flwr": "1.41.0"},
        "undefined": {
            "ct": {"dice": 0, "hd95_mm": 1, "cells": 0},
            "pet": {"dice": 0, "hd95_mm": 0, "cells": 3},
            "ct+pet": {"dice": 0, "hd95_mm": 0, "cells": 3},
        },
    }


def gate(stage: str, *, promoted: bool) -> dict[str, Any]:
    return {
        "stage": stage,
        "promoted": promoted,
        "provisional": promoted,
        "differences": {"center-a": -0.031, "center-b": 0.004},
        "mean": -0.0135,
        "lower_bound": None if promoted else -0.04,
        "unheard": ["center-c"] if promoted else [],
        "branches": [] if promoted else ["center-d"],
    }


def visible_text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<style>.*?</style>", " ", page)))


@pytest.fixture(scope="module")
def page() -> str:
    return report_html(example())


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


def test_the_six_undefined_dice_are_words_and_never_zero(page: str):
    assert len(re.findall(r'<td class="[^"]*undefined" title="0 case\(s\), undefined for 0">undefined', page)) == 6
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
    assert "synthetic" not in report_html(example() | {"synthetic": False, "rounds": []}).lower()


def test_verdict_states_average_forgetting_and_worst_center():
    assert verdict(example()) == (
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
    study = example()
    study["rounds"] = [r for r in study["rounds"] if (r["center"], r["server_round"]) != ("center-a", 2)]
    rows = {row.center: row for row in attendance(study)}
    assert (rows["center-a"].asked, rows["center-a"].completed, rows["center-a"].unanswered) == (9, 8, 1)
    assert (rows["center-b"].asked, rows["center-b"].completed, dict(rows["center-b"].errors)) == (9, 8, {"memory": 1})


def test_a_name_with_markup_is_shown_and_not_run():
    study = deepcopy(example())
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
    assert report_html(example()) == page


def test_a_study_without_a_finished_round_has_a_page_that_says_so():
    empty: dict[str, Any] = {"stages": [], "centers": list(CENTERS), "dice": [], "hd95_mm": [], "cases": []}
    empty |= {"dice_undefined": [], "hd95_undefined": []}
    nothing = transfer(0.0, None, None) | {"average": None, "learning_accuracy": None, "forgetting_after": {}}
    study = example() | {"rounds": [], "bank": [], "status": "interrupted"}
    study |= {"matrices": dict.fromkeys(DICE, empty), "transfer": dict.fromkeys(DICE, nothing)}
    found = report_html(study)
    assert "No stage has been completed yet" in found
    assert "The bank holds no adapter yet." in found


def test_writing_replaces_the_page_whole(tmp_path: Path):
    write_report(example() | {"rounds": []}, tmp_path / "report.html")
    write_report(example() | {"rounds": [], "title": "Second"}, tmp_path / "report.html")
    assert "<title>Second</title>" in (tmp_path / "report.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_page_that_cannot_be_written_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"report\.html"):
        write_report(example() | {"rounds": []}, tmp_path / "file" / "report.html")


def test_values_read_as_people_write_them():
    assert [score(None), score(0.7)] == ["undefined", "0.700"]
    assert [size(999), size(3_400_000), size(2.5e9)] == ["999 B", "3.4 MB", "2.5 GB"]
    assert [duration(None), duration(4.25), duration(402.4), duration(7260)] == [
        "undefined",
        "4.2 s",
        "6 min 42 s",
        "2 h 1 min",
    ]
    assert words({"rank": 8, "targets": ["attn.qkv"], "rate": 0.0004}) == "rank 8, targets [attn.qkv], rate 0.0004"


def test_the_colour_scale_ends_at_whole_tenths():
    assert dice_range([0.433, None, 0.702]) == (0.4, 0.8)
    assert dice_range([None]) == (0.0, 1.0)
    assert tint(0.4, 0.4, 0.8).background == "#440154"
    assert tint(0.8, 0.4, 0.8).background == "#fde725"


@given(st.lists(st.floats(0, 1), min_size=1))
def test_every_score_lies_inside_the_colour_scale_and_its_ink_can_be_read(values: list[float]):
    low, high = dice_range(values)
    assert low <= min(values) <= max(values) <= high + 1e-9
    assert all(contrast(tint(value, low, high)) >= 4.5 for value in values)


def contrast(found: Any) -> float:
    """WCAG contrast ratio of ink on background."""
    levels = sorted(luminance(colour) for colour in (found.background, found.ink))
    return (levels[1] + 0.05) / (levels[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_no_case_identifier_can_reach_the_page():
    study: Mapping[str, Any] = example()
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
    validation, test = Score(2, None, None, 2, 2), Score(3, 0.625, None, 0, 3)
    history = History(
        rounds=(RoundRecord("first", 1, "a", "", 0.5, 7, 2.0, 100, 10, {"ct": validation}),),
        rows=(StageRow("first", {"a": {"ct": test}}),),
    )
    facts = Facts("interrupted", (TensorSpec("w", "backbone", (3, 7)), TensorSpec("v", "peft", (21,))), "", 9.5)
    found = visible_text(report_html(build_result(study, history, facts)))
    assert "After stage first, the average test Dice over centers is 0.625 with CT" in found
    assert "first pet, fusion, peft 21 50.00 %" in found
    assert "a CT + PET unknown unknown unknown yes" in found


def test_parameters_of_every_group_are_named(page: str) -> None:
    assert "backbone 801,232, PET pathway 24,816, fusion 1,000, adapter (peft) 36,864." in page
