import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.messages.tensors import TensorSpec
from server.results.result import (
    Facts,
    build_result,
    evaluation_matrix,
    matrix_rows,
    read_versions,
    schema_issue,
    write_result,
)
from server.study.file import Study
from server.study.history import AggregationRecord, GateRecord, History, LateRecord, QueryRecord, RoundRecord, StageRow
from strategies.bank.entry import Entry
from strategies.continual.gate import Verdict
from tests.support.segmentation_scores import dice_score

PAGE = Path(__file__).parents[3] / "docs" / "result.md"
STAGE = {"rounds": 2, "local_steps": 5, "learning_rate": 0.1}
CENTERS = ("a", "b", "c")
R = ((0.1, 0.2, 0.1), (0.8, 0.3, 0.2), (0.7, 0.9, 0.4), (0.6, 0.8, 0.85))

GATE = {"gate/0/ct/mean": 0.25, "gate/0/pet/mean": 0.75}


def study_of(stages, **changes):
    return Study.model_validate(
        {
            "name": "toy",
            "title": "A toy",
            "formed_by": "hand",
            "model": {"name": "tiny", "options": {"width": 4}},
            "adapter": {"targets": ["qkv"]},
            "centers": {"a": {}, "b": {}, "c": {"modalities": ["ct"]}, "union": {"evaluated": False}},
            "stages": [{**STAGE, "name": name, "kind": kind, "centers": who} for name, kind, who in stages],
            **changes,
        }
    )


STUDY = study_of(
    [
        ("ct1", "pretrain", ["a"]),
        ("ct2", "pretrain", ["b"]),
        ("first", "adapt", ["a"]),
        ("second", "arrive", ["b"]),
        ("third", "arrive", ["c"]),
    ],
    strategy={"personal": ["center"], "gate": {}},
)


def row(stage, dice, setting="ct"):
    return StageRow(
        stage,
        {center: {setting: dice_score(5, value, 4.0, 0, 1)} for center, value in zip(CENTERS, dice, strict=True)},
    )


HISTORY = History(
    rounds=(
        RoundRecord("ct1", 1, "a", "", 0.5, 7, 2.0, 100, 10, {"ct": dice_score(2, None, None, 2, 2)}, {"backbone": 7}),
        RoundRecord("first", 2, "a", "", math.nan, 7, 3.0, 200, 20, update_norms={"peft": 0.5}, diagnostics=GATE),
        RoundRecord("first", 2, "b", "cases", None, 0, 0.5, 5, 0),
    ),
    rows=(
        row("ct1", (0.0, 0.0, 0.0)),
        row("ct2", R[0]),
        row("first", R[1]),
        row("second", R[2]),
        replace(row("third", R[3]), bytes_down={"b": 40}, seconds={"b": 1.5}, errors={"c": "cases"}),
    ),
)
VERDICT = Verdict(True, ("a", -0.004), 0.01, 0.002, {"a": -0.004, "b": 0.024}, ("c",), "promoted", provisional=True)
HISTORY = replace(
    HISTORY,
    aggregations=(AggregationRecord("first", 2, "flexlora", {"tail_dropped/w": 0.01}),),
    gates=(GateRecord("first", VERDICT, ("b",)),),
    queries=(QueryRecord("first", "compare", "b", "", 0.25, 50, 3),),
    late=(LateRecord("first", 2, "b", 3, "set-aside", "ef" * 32),),
)
SPECS = (
    TensorSpec("w", "backbone", (10, 90)),
    TensorSpec("pet.w", "pet", (60,)),
    TensorSpec("w#lora_a", "peft", (2, 20)),
)
ENTRY = Entry("shared", 3, "", "third", 4, "shared/0002", "ab" * 32, "cd" * 32, {"peft": 5}, 2, 44)
FACTS = Facts(
    status="complete",
    specs=SPECS,
    backbone="ab" * 32,
    seconds=9.5,
    cases={"a": {"train": 6, "validation": 1, "test": 5}},
    entries=(ENTRY,),
    versions={"python": "3.11.7"},
)


def test_transfer_and_forgetting_are_those_of_the_textbook_matrix():
    transfer = build_result(STUDY, HISTORY, FACTS)["transfer"]["ct"]
    assert transfer["average"] == pytest.approx(0.75)
    assert transfer["learning_accuracy"] == pytest.approx(0.85)
    assert transfer["backward_transfer"] == pytest.approx(-0.15)
    assert transfer["forward_transfer"] == pytest.approx(0.20)
    assert transfer["forgetting"] == pytest.approx(0.15)
    assert transfer["worst_center"] == {"center": "a", "dice": 0.6}
    assert list(transfer["forgetting_after"]) == ["first", "second", "third"]
    assert transfer["forgetting_after"]["first"] is None
    assert transfer["forgetting_after"]["second"] == pytest.approx(0.1)


def test_row_zero_is_the_last_of_the_leading_pretrain_stages():
    matrix = build_result(STUDY, HISTORY, FACTS)["matrices"]["ct"]
    assert matrix["stages"] == ["ct2", "first", "second", "third"]
    assert matrix["centers"] == ["a", "b", "c"]
    assert matrix["dice"] == [list(values) for values in R]
    assert matrix["hd95_undefined"] == [[1, 1, 1]] * 4


def test_a_study_without_pretraining_starts_from_the_initial_row():
    study = study_of([("all", "adapt", ["a", "b"])])
    scored = History(rows=(row("initial", R[0]), row("all", R[1])))
    assert [line.stage for line in matrix_rows(study, scored)] == ["initial", "all"]
    unscored = build_result(study, History(rows=(row("all", R[1]),)), FACTS)
    assert unscored["matrices"]["ct"]["stages"] == ["initial", "all"]
    assert unscored["matrices"]["ct"]["dice"][0] == [None, None, None]
    assert unscored["undefined"]["ct"] == {"dice": 0, "hd95_mm": 3, "cells": 3}


def test_a_pooled_center_teaches_the_centers_whose_folders_it_holds():
    centers = {"a": {}, "b": {}, "c": {}, "pool": {"folders": ["a", "b"], "evaluated": False}}
    study = study_of([("ct", "pretrain", ["pool"]), ("all", "adapt", ["pool"])], centers=centers)
    result = build_result(study, History(rows=(row("ct", R[0]), row("all", R[1]))), FACTS)
    scores = evaluation_matrix(study, result["matrices"]["ct"])
    assert scores is not None
    assert scores.learned == (1, 1, None)
    assert result["matrices"]["ct"]["centers"] == ["a", "b", "c"]


def test_an_interrupted_study_has_a_result_too():
    result = build_result(STUDY, History(), replace(FACTS, status="interrupted", specs=(), entries=()))
    assert result["status"] == "interrupted"
    assert result["matrices"]["ct"]["dice"] == []
    assert result["transfer"]["ct+pet"]["average"] is None
    assert result["transfer"]["ct+pet"]["forgetting_after"] == {}
    assert result["stages"][0]["trainable"] == {"parameters": 0, "percent": 0.0}
    json.dumps(result, allow_nan=False)


def test_parameters_are_counted_from_the_specs():
    result = build_result(STUDY, HISTORY, FACTS)
    counts = {key: value for key, value in result["parameters"].items() if key != "definition"}
    assert counts == {"total": 1000, "backbone": 900, "pet": 60, "fusion": 0, "peft": 40, "center": 0, "norm": 0}
    assert [stage["trainable"]["parameters"] for stage in result["stages"]] == [900, 900, 100, 40, 40]
    assert result["stages"][2]["trainable"]["percent"] == 10.0


def test_bytes_and_seconds_add_up_over_rounds_evaluations_and_queries():
    result = build_result(STUDY, HISTORY, FACTS)
    assert result["bytes"]["down"] == 395
    assert result["bytes"]["by_center"]["a"] == {"down": 300, "up": 30}
    assert result["seconds"]["total"] == 9.5
    assert result["seconds"]["by_center"] == {"a": 5.0, "b": 2.25, "c": 0, "union": 0}


def test_what_is_not_a_number_is_null(tmp_path):
    result = build_result(STUDY, HISTORY, FACTS)
    assert result["rounds"][1]["loss"] is None
    assert [row["update_norms"] for row in result["rounds"]] == [{}, {"peft": 0.5}, {}]
    assert [row["diagnostics"] for row in result["rounds"]] == [{}, GATE, {}]
    assert result["rounds"][0]["validation"]["ct"]["dice"] is None
    assert result["centers"]["b"]["cases"] == {"train": None, "validation": None, "test": None}
    write_result(tmp_path / "result.json", result)
    assert json.loads((tmp_path / "result.json").read_text()) == result


def test_settings_that_nobody_offers_are_left_out():
    study = study_of([("ct", "pretrain", ["a"])], centers={"a": {"modalities": ["ct"]}})
    assert list(build_result(study, History(), FACTS)["matrices"]) == ["ct"]
    assert list(build_result(STUDY, History(), FACTS)["matrices"]) == ["ct", "pet", "ct+pet"]


NAMED = {
    "model.options": "option",
    "centers": "center",
    "stages[].modality_shares": "setting",
    "matrices": "setting",
    "transfer": "setting",
    "undefined": "setting",
    "rounds[].validation": "setting",
    "rounds[].support": "group",
    "rounds[].update_norms": "group",
    "rounds[].diagnostics": "diagnostic",
    "evaluations[].bytes_down": "center",
    "evaluations[].seconds": "center",
    "evaluations[].errors": "center",
    "aggregations[].figures": "figure",
    "gates[].differences": "center",
    "bytes.by_center": "center",
    "seconds.by_center": "center",
    "versions": "package",
}


def paths(value, path=""):
    """Every key of a result as the documentation writes it."""
    if isinstance(value, list):
        return {found for part in value for found in paths(part, f"{path}[]")}
    if not isinstance(value, dict):
        return {path}
    place = "stage" if path.endswith("forgetting_after") else NAMED.get(path)
    return {
        found
        for key, part in value.items()
        for found in paths(part, f"{path}.<{place}>" if place else f"{path}.{key}".lstrip("."))
    }


def test_the_documentation_lists_exactly_the_keys_that_are_written():
    first_cells = re.findall(r"^\| (`.*?) \|", PAGE.read_text(), re.MULTILINE)
    documented = {key for cell in first_cells for key in re.findall(r"`([^`]+)`", cell)}
    written = paths(build_result(STUDY, HISTORY, FACTS))
    tables_that_may_be_null = {"transfer.<setting>.worst_center", "strategy.gate"}
    assert written - tables_that_may_be_null == documented - tables_that_may_be_null


def test_versions_name_python_and_the_packages_that_are_installed():
    versions = read_versions()
    assert versions["flwr"].startswith("1.41")
    assert {"python", "numpy"} <= set(versions)


def test_a_result_of_another_schema_is_told_from_ours():
    assert schema_issue(build_result(STUDY, History(), FACTS)) == ""
    assert schema_issue({"schema": 1}) == "its result.json has schema 1, this version of concilium reads 2"
    assert "schema None" in schema_issue({})
