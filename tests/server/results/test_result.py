import json
import math
import re
from dataclasses import replace
from pathlib import Path

from protocol.messages.benefit import Benefit
from protocol.messages.scores import Comparison
from protocol.messages.tensors import GROUPS, TensorSpec
from protocol.tasks import TASKS, metric_names
from server.results.result import (
    Facts,
    build_result,
    read_result,
    read_versions,
    schema_issue,
    with_services,
    write_result,
)
from server.study.history import (
    AggregationRecord,
    GateRecord,
    History,
    LateRecord,
    QueryRecord,
    RollbackRecord,
    RoundRecord,
)
from strategies.bank.entry import Entry
from strategies.continual.gate import Verdict
from tests.support.own_service import SERVICE
from tests.support.segmentation_scores import dice_score
from tests.support.textbook_study import ROWS, STUDY

PAGE = Path(__file__).parents[3] / "docs" / "result.md"
METRICS = set(metric_names(TASKS))
HALF = {"peft": 0.5}
BENEFITS = {"a": (Benefit("segmentation", "ct", "local-only", 2, Comparison(2, 0.25, 0.125)),)}
GATE = {"gate/0/ct/mean": 0.25, "gate/0/pet/mean": 0.75}

HISTORY = History(
    rounds=(
        RoundRecord("ct1", 1, "a", "", 0.5, 7, 2.0, 100, 10, {"ct": dice_score(2, None, None, 2, 2)}, {"backbone": 7}),
        RoundRecord(
            "first",
            2,
            "a",
            "",
            math.nan,
            7,
            3.0,
            200,
            20,
            update_norms={"peft": 0.5},
            diagnostics=GATE,
            clipped={"peft": 0.5},
            alarms=("unmoved",),
            suppressed=("loss",),
        ),
        RoundRecord("first", 2, "b", "cases", None, 0, 0.5, 5, 0),
    ),
    rows=(
        *ROWS[:-1],
        replace(ROWS[-1], bytes_down={"b": 40}, seconds={"b": 1.5}, errors={"c": "cases"}, benefits=BENEFITS),
    ),
)
VERDICT = Verdict(
    promoted=True,
    worst=("a", -0.02),
    mean=0.01,
    lower_bound=0.002,
    differences={"a": -0.02, "b": 0.024},
    unheard=("c",),
    reason="promoted",
    provisional=True,
    standard_errors={"a": 0.01, "b": 0.02},
    weights={"a": 0.5, "b": 0.5},
    tolerated=1,
    harmed=("a",),
    away=("c",),
)
HISTORY = replace(
    HISTORY,
    aggregations=(AggregationRecord("first", 2, "flexlora", {"tail_dropped/w": 0.01}),),
    gates=(GateRecord("first", VERDICT, ("b",), ("a", "c"), ("c",)),),
    rollbacks=(RollbackRecord("first", 3, 1, {"a": 0.5, "b": 0.4}, {"a": 0.2, "b": -0.3}),),
    queries=(QueryRecord("first", "compare", "b", "", 0.25, 50, 3, ("comparison",)),),
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
    services=(SERVICE,),
)


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
    counts = {key: result["parameters"][key] for key in ("total", "backbone", "pet", "fusion", "peft")}
    assert counts == {"total": 1000, "backbone": 900, "pet": 60, "fusion": 0, "peft": 40}
    assert set(result["parameters"]) == {"total", "definition", *GROUPS}
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
    assert result["rounds"][0]["validation"]["ct"]["values"]["dice"] is None
    assert result["centers"]["b"]["cases"] == {"train": None, "validation": None, "test": None}
    write_result(tmp_path / "result.json", result)
    assert read_result(tmp_path / "result.json") == result


NAMED = {
    "model.options": "option",
    "centers": "center",
    "stages[].modality_shares": "setting",
    "matrices": "setting",
    "transfer": "setting",
    "undefined": "setting",
    "transfer_of_other_tasks": "task",
    "transfer_of_other_tasks.<task>": "setting",
    "rounds[].validation": "setting",
    "rounds[].support": "group",
    "rounds[].update_norms": "group",
    "rounds[].clipped": "group",
    "rounds[].diagnostics": "diagnostic",
    "rollbacks[].falls": "center",
    "rollbacks[].directions": "center",
    "evaluations[].bytes_down": "center",
    "evaluations[].seconds": "center",
    "evaluations[].errors": "center",
    "aggregations[].figures": "figure",
    "gates[].differences": "center",
    "gates[].standard_errors": "center",
    "gates[].weights": "center",
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
    if path.endswith(
        ("matrices.<setting>", "undefined", "values", "undefined.<setting>", "over_centers", "suppressed")
    ):
        value = {"<metric>" if key in METRICS else key: part for key, part in value.items()}
    if path == "transfer_of_other_tasks.<task>.<setting>":
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
    second = STUDY.stages[-1].model_copy(update={"name": "fourth", "task": "classification"})
    written = paths(build_result(STUDY.model_copy(update={"stages": (*STUDY.stages, second)}), HISTORY, FACTS))
    tables_that_may_be_null = {"transfer.<setting>.worst_center", "strategy.gate", "strategy.rollback"}
    assert written - tables_that_may_be_null == documented - tables_that_may_be_null


def test_what_a_center_is_served_joins_a_result_that_is_there():
    before = build_result(STUDY, HISTORY, replace(FACTS, services=(), entries=()))
    assert (before["service"], before["bank"]) == ([], [])
    assert with_services(before, [SERVICE], [ENTRY]) == build_result(STUDY, HISTORY, FACTS)


def test_versions_name_python_and_the_packages_that_are_installed():
    versions = read_versions()
    assert versions["flwr"].startswith("1.41")
    assert {"python", "numpy"} <= set(versions)


def test_a_result_of_another_schema_is_told_from_ours():
    assert schema_issue(build_result(STUDY, History(), FACTS)) == ""
    assert schema_issue({"schema": 1}) == "its result.json has schema 1, this version of concilium reads 5"
    assert "schema None" in schema_issue({})
