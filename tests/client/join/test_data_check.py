"""The check of a center's data before it joins; each fault is named with its remedy, and no case."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.join.findings import Finding
from protocol.messages.labels import Labels
from protocol.messages.settings import Model, Split, StudySettings
from protocol.modalities import modalities_in
from tests.support.coordinator_stand_in import kit
from tests.support.join_checks import check, situation


def folder_of(tmp_path: Path, fault: str) -> Path:
    """A data folder with a fault."""
    path = tmp_path / "data"
    if fault == "file":
        path.write_text("no folder")
    elif fault != "absent":
        path.mkdir()
    if fault == "broken":
        (path / "case-1").mkdir()
        (path / "case-1" / "ct.nii.gz").write_bytes(b"not an image")
    return path


@pytest.mark.parametrize(
    ("fault", "words"),
    [("absent", "is no folder"), ("file", "is no folder"), ("empty", "holds no case"), ("broken", "0 usable")],
)
def test_data_that_cannot_be_used_is_named(tmp_path: Path, fault: str, words: str) -> None:
    data = folder_of(tmp_path, fault)
    result = check(situation(tmp_path, kit("nowhere.invalid:443"), b"", data), "data")["data"]
    assert result.finding.status == "failed"
    assert words in result.finding.text


def test_fewer_cases_than_the_study_needs_are_counted(tmp_path: Path, cohort: Path) -> None:
    of = situation(tmp_path, kit("nowhere.invalid:443", minimum_cases=4), b"", cohort / "center-a")
    data = check(of, "data")["data"]
    assert data.finding.text == "3 case(s), 3 usable with a contour, the study needs 4"


def test_the_split_and_what_stands_on_too_few_of_it_is_told_before_joining(tmp_path: Path, cohort: Path) -> None:
    """Three cases, one a part: enough to take part, too few for anything to leave at a minimum of 2."""
    for fewest, status in ((1, "ok"), (2, "warning")):
        of = situation(tmp_path, kit("nowhere.invalid:443"), b"", cohort / "center-a")
        assert of.settings is not None
        own = replace(of, settings=of.settings.model_copy(update={"minimum_cases": fewest}))
        found = check(own, "data")["data"].finding
        assert (found.status, "split train 1, validation 1, test 1" in found.text) == (status, True)
    assert "the comparison that the no-harm gate asks for, test scores would be withheld" in found.text
    assert "or choose a smaller --minimum-cases" in found.remedy


def test_a_modality_the_study_expects_and_no_case_has_is_named(tmp_path: Path, cohort: Path) -> None:
    of = situation(tmp_path, kit("nowhere.invalid:443"), b"", cohort / "center-d")
    data = check(of, "data")["data"]
    assert "none with PET" in data.finding.text


def test_the_list_of_what_is_wrong_with_the_data_stays_in_the_home(tmp_path: Path) -> None:
    of = situation(tmp_path, kit("nowhere.invalid:443"), b"", folder_of(tmp_path, "broken"))
    of.home.make_folders()
    data = check(of, "data")["data"]
    assert "case-1" in (of.home.trainer / "data-check.txt").read_text()
    assert "case-1" not in data.line


LABELS = Labels.model_validate(
    {
        "endpoints": {"death": {"event": "died", "time": "months", "unit": "months"}},
        "covariates": {
            "age": {
                "kind": "number",
                "unit": "years",
                "minimum": 0,
                "maximum": 120,
                "mean": 60,
                "standard_deviation": 10,
            },
        },
        "survival": {"head": "cox"},
    }
)
SURVIVAL = StudySettings(
    study="small",
    seed=5,
    model=Model(name="any"),
    tasks=("survival",),
    labels=LABELS,
    split=Split(validation=0, test=0),
)
TABLE = "patient,center,age,died,months\nA1,x,50,1,12\nA2,x,60,0,20\nB1,y,70,1,3\n"


def finding_of(tmp_path: Path, table: str, **agreed: Any) -> Finding:
    """The check of a center of health records alone."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "labels.csv").write_text(table)
    of = kit("nowhere.invalid:443", settings=SURVIVAL, modalities=("ehr",), **agreed)
    return check(situation(tmp_path, of, b"", data, modalities=modalities_in("ehr")), "data")["data"].finding


def test_a_table_alone_is_data_of_a_center_with_ehr(tmp_path: Path) -> None:
    found = finding_of(tmp_path, TABLE)
    assert found.text.startswith("3 case(s), 3 usable with a time and whether the event came;")


def test_the_rows_of_the_agreement_are_the_centers_own(tmp_path: Path) -> None:
    assert finding_of(tmp_path, TABLE, rows={"center": "x"}).text.startswith("2 case(s), 2 usable")


def test_a_label_that_cannot_be_stops_a_center_before_it_joins(tmp_path: Path) -> None:
    found = finding_of(tmp_path, TABLE.replace("1,12", "2,12"))
    assert (found.status, "1 fault(s) of labels" in found.text, "A1" in found.text) == ("failed", True, False)


def test_times_that_are_all_censored_are_told_before_joining(tmp_path: Path) -> None:
    found = finding_of(tmp_path, TABLE.replace("1,12", "0,12").replace("1,3", "0,3"))
    assert (found.status, "1 fault(s) of labels" in found.text) == ("failed", True)
