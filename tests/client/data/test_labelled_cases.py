"""A table laid beside a folder's cases."""

import shutil
from pathlib import Path

import pytest

from client.data.checks import Subject
from client.data.labelled_cases import NO_ROWS, Rows, label_cases
from client.data.manifest import Case
from client.data.scan import scan_center
from protocol.messages.labels import Classes, Endpoint, Labels, Number
from protocol.modalities import Modality
from tests.support.clinical_table import SCHEMA, write_table

IMAGES: tuple[Modality, ...] = ("ct", "pet")
ALL: tuple[Modality, ...] = ("ct", "pet", "ehr")


def image_case(folder: Path, name: str, patient: str = "") -> Case:
    return Case(name, patient or name, folder.name, {"ct": folder / name / "ct.nii.gz"}, {}, {"ct": name})


def join(
    folder: Path, *names: str, modalities: tuple[Modality, ...] = IMAGES, rows: Rows = NO_ROWS, schema: Labels = SCHEMA
) -> tuple[list[Case], list[tuple[str, bool]]]:
    """The cases, and code and weight of the issues about the table as a whole."""
    cases = [image_case(folder, name) for name in names]
    found, issues = label_cases(Subject("a", "", folder), cases, schema, modalities, rows)
    return found, [(issue.code, issue.fatal) for issue in issues]


def codes(case: Case) -> list[tuple[str, bool]]:
    return [(issue.code, issue.fatal) for issue in case.issues]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "center-a"
    write_table(found / "labels.csv", {"p1": {}, "p2": {"metastasis": "0"}})
    return found


def test_cases_get_the_labels_of_their_rows(folder: Path) -> None:
    cases, issues = join(folder, "p1", "p2")
    assert issues == []
    assert [(case.name, case.labels.class_index) for case in cases] == [("p1", 1), ("p2", 0)]
    assert [case.modalities for case in cases] == [("ct",), ("ct",)]


def test_ehr_is_a_modality_where_it_is_offered(folder: Path) -> None:
    cases, _ = join(folder, "p1", modalities=ALL)
    assert [case.modalities for case in cases] == [("ct", "ehr"), ("ehr",)]


def test_a_schema_without_columns_reads_no_table(folder: Path) -> None:
    (folder / "labels.csv").write_bytes(b"\xff")
    assert join(folder, "p1", schema=Labels()) == ([image_case(folder, "p1")], [])


def test_a_case_without_a_row_is_told_and_a_row_without_a_case_is_named(folder: Path) -> None:
    cases, _ = join(folder, "p1", "p9")
    assert codes(cases[1]) == [("no-row", False)]
    found = label_cases(Subject("a", "", folder), [image_case(folder, "p1")], SCHEMA, IMAGES, NO_ROWS)[1]
    assert [(issue.code, issue.case) for issue in found] == [("no-case", "")]
    assert "1 row(s) that name no case: p2" in found[0].message


def test_two_rows_for_one_case_leave_it_without_labels(folder: Path) -> None:
    write_table(folder / "labels.csv", {"p1": {}, "p1#again": {}, "p2": {}})
    cases, issues = join(folder, "p1", "p2")
    assert (codes(cases[0]), cases[0].has_target("classification"), issues) == ([("row-twice", True)], False, [])
    assert "lines 2, 3" in cases[0].issues[0].message


def test_a_row_without_a_name_is_told(folder: Path) -> None:
    write_table(folder / "labels.csv", {"p1": {}, "": {}})
    assert join(folder, "p1")[1] == [("row-unnamed", False)]


def test_a_table_that_lacks_a_column_is_refused_by_name(folder: Path) -> None:
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace("age_years", "age"))
    assert join(folder, "p1", "p2")[1] == []
    found = label_cases(Subject("a", "", folder), [], SCHEMA, ALL, NO_ROWS)[1]
    assert [(issue.code, issue.fatal) for issue in found] == [("no-column", True)]
    assert "also age_years" in found[0].message


def test_a_table_without_case_or_patient_is_refused(folder: Path) -> None:
    write_table(folder / "labels.csv", {"p1": {}}, key="id")
    found = label_cases(Subject("a", "", folder), [], SCHEMA, IMAGES, NO_ROWS)[1]
    assert [issue.code for issue in found] == ["no-column"]
    assert "case or patient" in found[0].message


def test_a_table_that_cannot_be_read_is_told(folder: Path) -> None:
    (folder / "labels.csv").write_bytes(b"\xff\xfe\xff")
    assert join(folder, "p1")[1] == [("table", True)]


def test_no_table_is_told_and_fails_a_center_of_rows_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert join(tmp_path / "a", "p1")[1] == [("no-table", False)]
    assert join(tmp_path / "a", modalities=("ehr",))[1] == [("no-table", True)]


def test_the_center_s_rows_of_a_shared_table_alone_are_its_cases(tmp_path: Path) -> None:
    cells = {"p1": {"center": "x"}, "p2": {"center": "y"}, "p3": {"center": "x"}, "p4": {"center": "z"}}
    folder = write_table(tmp_path / "both" / "clinical.csv", cells, key="patient").parent
    cases, issues = join(folder, "p3", "p4", modalities=ALL, rows={"center": "x"})
    assert issues == []
    assert [(case.name, case.folder, case.modalities) for case in cases] == [
        ("p3", "both/x", ("ct", "ehr")),
        ("p1", "both/x", ("ehr",)),
    ]
    pooled, _ = join(folder, modalities=ALL, rows={"center": ("x", "y")})
    assert [(case.name, case.folder) for case in pooled] == [("p1", "both/x"), ("p2", "both/y"), ("p3", "both/x")]


def test_rows_that_nobody_has_are_refused(folder: Path) -> None:
    write_table(folder / "labels.csv", {"p1": {"center": "x"}})
    assert join(folder, "p1", rows={"center": "q"})[1] == [("no-rows", True)]
    assert join(folder, "p1", rows={"hospital": "x"})[1] == [("no-column", True)]


def test_a_table_beside_the_folder_makes_no_case_of_another_center_s_patient(folder: Path) -> None:
    shutil.move(folder / "labels.csv", folder.parent / "labels.csv")
    assert join(folder, "p1")[1] == []
    cases, issues = join(folder, "p1", modalities=ALL)
    assert ([case.name for case in cases], issues) == (["p1"], [("row-shared", False)])
    write_table(folder.parent / "labels.csv", {name: {"center": "x"} for name in ("p1", "p2")})
    cases, issues = join(folder, "p1", modalities=ALL, rows={"center": "x"})
    assert ([case.name for case in cases], issues) == (["p1", "p2"], [])


def test_a_row_with_no_covariate_and_no_image_is_no_case(folder: Path) -> None:
    write_table(folder / "labels.csv", {"p1": {}, "p2": {"age_years": "", "hpv": ""}})
    cases, issues = join(folder, modalities=("ehr",))
    assert ([case.name for case in cases], issues) == (["p1"], [("no-ehr", False)])


def test_a_row_stands_for_a_case_whose_images_the_center_lacks(folder: Path) -> None:
    issue = Subject("a", "p1", folder).issue("no-image", "", "nothing", "an image", "add one")
    bare = Case("p1", "p1", "center-a", {"gtv": folder / "p1" / "gtv.nii.gz"}, {}, {}, (issue,))
    (case, _), _ = label_cases(Subject("a", "", folder), [bare], SCHEMA, ALL, NO_ROWS)
    assert (case.paths, case.modalities, case.usable) == ({}, ("ehr",), True)


def test_the_table_names_the_patient_of_a_case_unless_participants_did(folder: Path) -> None:
    write_table(folder / "labels.csv", {"p1": {"patient": "P"}, "p2": {"patient": "Q"}})
    cases = [image_case(folder, "p1"), image_case(folder, "p2", patient="R")]
    found, _ = label_cases(Subject("a", "", folder), cases, SCHEMA, IMAGES, NO_ROWS)
    assert [case.patient for case in found] == ["P", "R"]


HOSPITALS = {"CHUM": 51, "CHUS": 69, "HGJ": 65, "HMR": 33}
HN = Labels(
    endpoints={"death": Endpoint(event="death_event", time="death_days", unit="days")},
    covariates={
        "age": Number(column="age_years", unit="years", minimum=18, maximum=100, mean=62, standard_deviation=10)
    },
)


@pytest.mark.realdata
def test_each_hospital_of_a_real_table_has_its_own_patients(data_root: Path) -> None:
    folder = data_root / "hn_clinical"
    if not folder.is_dir():
        pytest.skip(f"real data: {data_root} holds no hn_clinical/ folder")
    for rows, patients in [*(({"center": name}, count) for name, count in HOSPITALS.items()), ({}, 218)]:
        cases, issues = join(folder, modalities=("ehr",), schema=HN, rows=rows)
        assert (len(cases), issues, [issue for case in cases for issue in case.issues]) == (patients, [], [])
    assert sum(event for case in cases for _, event in filter(None, case.labels.endpoints)) == 47


@pytest.mark.realdata
def test_a_real_table_beside_the_folders_labels_every_case(sts_root: Path) -> None:
    schema = Labels(classes=Classes(column="lung_metastasis"))
    positive = []
    for folder in sorted(path for path in sts_root.iterdir() if path.is_dir()):
        cases, issues = join(folder, *(path.name for path in folder.iterdir() if path.is_dir()), schema=schema)
        assert (issues, [issue for case in cases for issue in case.issues]) == ([], [])
        positive.append(sum(case.labels.class_index or 0 for case in cases))
    assert positive == [4, 1, 4, 5]


def test_a_row_whose_name_no_file_should_have_is_left_out(tmp_path: Path):
    table = write_table(tmp_path / "hn" / "labels.csv", {"../../outside": {}, "p1": {}})
    manifest = scan_center("a", [table.parent], ("ehr",), SCHEMA)
    assert [case.name for case in manifest.usable] == ["p1"]
    assert [issue.code for issue in manifest.quarantined[0].issues] == ["case-name"]


def test_rows_are_the_centers_whatever_the_capitals_of_its_name(tmp_path: Path):
    """A row of "hgj" was another center's, and its patient left out without a word."""
    spellings = {"p0": "HGJ", "p1": "hgj", "p2": " Hgj ", "p3": "HMR"}
    write_table(tmp_path / "clinical.csv", {case: {"center": name} for case, name in spellings.items()})
    (tmp_path / "a").mkdir()
    manifest = scan_center("a", [tmp_path / "a"], ("ehr",), SCHEMA, {"center": "HGJ"})
    assert [(case.name, case.folder) for case in manifest.usable] == [(f"p{n}", "a/HGJ") for n in range(3)]
