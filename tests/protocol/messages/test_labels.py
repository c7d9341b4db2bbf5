"""The study's schema of a center's table."""

from typing import Any

import pytest
from pydantic import ValidationError

from protocol.messages.labels import Labels
from protocol.messages.settings import Model, StudySettings

AGE = {"kind": "number", "unit": "years", "minimum": 0, "maximum": 120, "mean": 60, "standard_deviation": 10}
HPV = {"kind": "category", "values": ["0", "1"]}
DEATH = {"event": "death_event", "time": "death_days", "unit": "days"}


def test_a_number_takes_two_entries_and_a_category_one_more_than_its_values() -> None:
    assert Labels.model_validate({"covariates": {"age": AGE, "hpv": HPV}}).covariate_width == 2 + 3


@pytest.mark.parametrize("unit", [{}, {"unit": ""}])
def test_a_number_has_a_unit(unit: dict[str, str]) -> None:
    number = {key: value for key, value in AGE.items() if key != "unit"} | unit
    with pytest.raises(ValidationError, match=r"covariates\.age\.number\.unit"):
        Labels.model_validate({"covariates": {"age": number}})


def test_a_time_has_a_unit() -> None:
    with pytest.raises(ValidationError, match="unit"):
        Labels.model_validate({"endpoints": {"death": {"event": "e", "time": "t"}}})
    years = Labels.model_validate({"endpoints": {"death": {**DEATH, "unit": "years"}}})
    assert years.endpoints["death"].days == 365.25


@pytest.mark.parametrize(
    "content",
    [
        {"file": "../other.csv"},
        {"file": "labels.xlsx"},
        {"endpoints": {"Death!": DEATH}},
        {"endpoints": {f"e{number}": DEATH for number in range(33)}},
        {"classes": {"column": "subtype", "values": ["0", "0"]}},
        {"classes": {"column": "subtype", "weights": [1.0]}},
        {"survival": {"edges_days": [10, 10]}},
        {"covariates": {"age": {**AGE, "standard_deviation": 0}}},
        {"covariates": {"age": {**AGE, "minimum": 120}}},
        {"covariates": {"hpv": {**HPV, "values": ["1", "1"]}}},
    ],
)
def test_a_schema_that_cannot_be_meant_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Labels.model_validate(content)


def test_mtlr_has_an_output_for_each_edge_and_cox_one() -> None:
    assert Labels.model_validate({"survival": {"edges_days": [100, 200, 300]}}).survival.outputs == 3
    assert Labels.model_validate({"survival": {"head": "cox"}}).survival.outputs == 1


@pytest.mark.parametrize(
    ("task", "labels", "lacks"),
    [
        ("classification", {}, "labels.classes"),
        ("survival", {}, "labels.endpoints"),
        ("survival", {"endpoints": {"death": DEATH}}, "edges_days"),
    ],
)
def test_a_task_without_its_labels_is_refused(task: str, labels: dict[str, Any], lacks: str) -> None:
    with pytest.raises(ValidationError, match=lacks):
        StudySettings.model_validate(
            {"study": "s", "seed": 0, "model": Model(name="m"), "tasks": [task], "labels": labels}
        )
