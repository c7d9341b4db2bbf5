"""From a row to labels: what is missing stays missing, what cannot be is named."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from client.data.checks import Issue, Subject
from client.data.labels import CaseLabels, columns_of, read_labels
from client.data.table import Row
from protocol.messages.labels import Category, Classes, Labels
from tests.support.clinical_table import SCHEMA, SOUND

PLACE = Subject("a", "p1", Path("/data"))


def read(cells: Mapping[str, str] = SOUND, *, ehr: bool = True) -> tuple[CaseLabels, list[Issue]]:
    row = Row(7, {"case": "p1", **SOUND, **cells})
    return read_labels(row, SCHEMA, PLACE, "labels.csv", ehr=ehr)


def test_a_sound_row_is_read_whole_with_times_in_days() -> None:
    labels, issues = read()
    assert issues == []
    assert labels == CaseLabels(1, ((700.0, 0), (60.875, 1)), (1.5, 0.0, 0.0, 1.0, 0.0))


def test_numbers_of_a_table_with_gaps_are_the_same_values() -> None:
    assert read({"metastasis": "1.0", "death_event": "0.0", "hpv": "1.0"}) == read()


def test_a_value_that_is_spelled_exactly_goes_before_an_equal_number() -> None:
    schema = Labels(classes=Classes(column="grade", values=("1", "01")))
    labels, issues = read_labels(Row(2, {"grade": "01"}), schema, PLACE, "labels.csv", ehr=False)
    assert (labels.class_index, issues) == (1, [])


def test_without_ehr_no_covariate_is_read() -> None:
    labels, issues = read({"age_years": "soon"}, ehr=False)
    assert (labels.ehr, issues) == (None, [])


@pytest.mark.parametrize(
    ("cells", "code", "found"),
    [
        ({"death_days": "-3"}, "time", "'-3' in column 'death_days', line 7"),
        ({"distant_months": "-0.5"}, "time", "'-0.5'"),
        ({"death_event": "2"}, "event", "'2' in column 'death_event'"),
        ({"death_event": "yes"}, "event", "'yes'"),
        ({"metastasis": "maybe"}, "class", "'maybe' in column 'metastasis'"),
        ({"age_years": "17.9"}, "range", "18 to 100 years"),
        ({"age_years": "612"}, "range", "'612' in column 'age_years'"),
        ({"hpv": "positive"}, "category", "one of 0, 1"),
        ({"age_years": "sixty"}, "not-a-number", "'sixty'"),
        ({"age_years": "61,5"}, "not-a-number", "decimal point"),
        ({"death_days": "inf"}, "not-a-number", "'inf'"),
        ({"death_days": "1_000"}, "not-a-number", "'1_000'"),
    ],
)
def test_a_cell_that_cannot_be_is_named_and_taken_for_missing(cells: dict[str, str], code: str, found: str) -> None:
    labels, (issue,) = read(cells)
    assert (issue.code, issue.case, issue.fatal) == (code, "p1", True)
    assert issue.message.startswith("center 'a', case 'p1': labels.csv: found ")
    assert found in issue.message
    sound = read()[0]
    assert (labels.class_index, labels.endpoints, labels.ehr) != (sound.class_index, sound.endpoints, sound.ehr)


def test_all_problems_of_a_row_are_found_at_once() -> None:
    _, issues = read({"metastasis": "x", "death_event": "3", "distant_months": "-1", "age_years": "0", "hpv": "2"})
    assert [issue.code for issue in issues] == ["class", "event", "time", "range", "category"]


@pytest.mark.parametrize("nothing", ["", "NA", "nan", "NaN"])
def test_what_is_missing_stays_missing(nothing: str) -> None:
    labels, issues = read(dict.fromkeys(("metastasis", "death_event", "death_days", "age_years", "hpv"), nothing))
    assert labels == CaseLabels(None, (None, (60.875, 1)), None)
    assert [(issue.code, issue.fatal) for issue in issues] == [("no-class", False), ("no-time", False)]


def test_half_an_endpoint_is_none() -> None:
    labels, issues = read({"death_days": ""})
    assert labels.endpoints[0] is None
    assert [(issue.code, "death_days" in issue.message) for issue in issues] == [("no-time", True)]


def test_columns_are_those_of_the_schema_and_covariates_only_with_ehr() -> None:
    labels = ["metastasis", "death_event", "death_days", "distant_event", "distant_months"]
    assert columns_of(SCHEMA, ehr=False) == labels
    assert columns_of(SCHEMA, ehr=True) == [*labels, "age_years", "hpv"]
    assert columns_of(Labels(covariates={"hpv": Category(column="HPV", values=("0", "1"))}), ehr=True) == ["HPV"]
