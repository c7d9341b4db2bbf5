"""From a center's folders to a manifest: images, labels, and what concerns the whole folder."""

import shutil
from pathlib import Path

import pytest

from client.data.manifest import raise_if_unusable
from client.data.scan import scan_center
from protocol.errors import CaseError
from tests.support.clinical_table import SCHEMA, write_table
from tests.support.two_cases import case_of, codes_of, scan


def test_sound_cases_have_no_issue(folder: Path):
    manifest = scan(folder)
    case = case_of(manifest)
    assert manifest.all_issues == ()
    assert manifest.usable == manifest.cases
    assert (case.name, case.patient, case.folder) == ("one", "one", "center-a")
    assert case.modalities == ("ct", "pet")
    assert case.grids["pet"].spacing_zyx_mm == (3.0, 4.0, 4.0)
    assert len(case.checksums["ct"]) == 64
    raise_if_unusable(manifest)


@pytest.mark.parametrize("missing", ["absent", "empty", "hidden"])
def test_a_folder_without_cases_fails_the_center(tmp_path: Path, missing: str):
    if missing != "absent":
        (tmp_path / missing).mkdir()
    if missing == "hidden":
        (tmp_path / missing / ".cache").mkdir()
    manifest = scan_center("a", [tmp_path / missing], ("ct",))
    assert [(issue.code, issue.fatal) for issue in manifest.issues] == [("no-cases", True)]
    with pytest.raises(CaseError, match="center 'a'") as raised:
        raise_if_unusable(manifest)
    assert str(tmp_path / missing) in str(raised.value)


def test_one_empty_folder_of_two_fails_the_center(folder: Path, tmp_path: Path):
    manifest = scan_center("a", [folder, tmp_path / "absent"], ("ct", "pet"))
    assert len(manifest.usable) == 2
    with pytest.raises(CaseError, match="no such folder"):
        raise_if_unusable(manifest)


def test_two_cases_with_one_id_are_both_quarantined(folder: Path, tmp_path: Path):
    other = tmp_path / "center-b"
    shutil.copytree(folder / "two", other / "one")
    manifest = scan_center("pooled", [folder, other], ("ct", "pet"))
    assert [(case.folder, codes_of(case)) for case in manifest.cases if case.name == "one"] == [
        ("center-a", [("duplicate", True)]),
        ("center-b", [("duplicate", True)]),
    ]
    assert "case 'one'" in manifest.all_issues[0].message


def test_one_image_under_two_ids_is_told(folder: Path):
    shutil.copytree(folder / "one", folder / "copy")
    manifest = scan(folder)
    assert codes_of(case_of(manifest, "copy")) == codes_of(case_of(manifest, "one")) == [("same-images", False)]
    assert codes_of(case_of(manifest, "two")) == []


def test_participants_name_the_patient_of_a_case(folder: Path):
    (folder / "participants.csv").write_text("case,patient\none,P7\n")
    assert [case.patient for case in scan(folder).cases] == ["P7", "two"]


@pytest.mark.realdata
def test_every_real_case_is_usable(sts_root: Path):
    manifests = [scan_center(f"center-{c}", [sts_root / f"center-{c}"], ("ct", "pet")) for c in "abcd"]
    assert [len(manifest.usable) for manifest in manifests] == [12, 6, 9, 10]
    told = [issue for manifest in manifests for issue in manifest.all_issues]
    assert {issue.code for issue in told} <= {"mask-parts"}
    assert {issue.grade for issue in told} <= {"note"}
    shorter = case_of(manifests[0], "STS_035")
    assert shorter.grids["ct"].shape_zyx[0] - shorter.grids["pet"].shape_zyx[0] == 2


def test_participants_with_semicolons_are_understood_and_broken_ones_fail_the_center(folder: Path):
    path = folder / "participants.csv"
    path.write_text("\ufeffcase;patient\none;P7\n", encoding="utf-8")
    assert [case.patient for case in scan(folder).cases] == ["P7", "two"]
    path.write_bytes(b"case,patient\none,\xe9\n")
    assert [(issue.code, issue.fatal) for issue in scan(folder).issues] == [("participants", True)]


def test_labels_are_read_only_where_the_study_has_a_schema(folder: Path):
    write_table(folder / "labels.csv", {"one": {}, "two": {}})
    assert [case.labels.class_index for case in scan(folder).cases] == [None, None]
    manifest = scan_center("a", [folder], ("ct", "pet"), SCHEMA)
    assert [case.labels.class_index for case in manifest.cases] == [1, 1]
    assert manifest.all_issues == ()


def test_a_folder_with_a_table_alone_is_a_center(tmp_path: Path):
    folder = write_table(tmp_path / "hn" / "clinical.csv", {"p1": {}, "p2": {}}, key="patient").parent
    manifest = scan_center("a", [folder], ("ehr",), SCHEMA)
    assert [(case.name, case.modalities, case.paths) for case in manifest.usable] == [
        ("p1", ("ehr",), {}),
        ("p2", ("ehr",), {}),
    ]
    assert manifest.all_issues == ()
    assert [issue.code for issue in scan_center("a", [folder], ("ehr",)).issues] == ["no-cases"]


def test_a_case_in_two_tables_is_left_out(folder: Path, tmp_path: Path):
    write_table(folder / "labels.csv", {"one": {}, "two": {}})
    other = write_table(tmp_path / "b" / "labels.csv", {"one": {}}).parent
    manifest = scan_center("a", [folder, other], ("ct", "pet", "ehr"), SCHEMA)
    assert [case.name for case in manifest.quarantined] == ["one", "one"]
