"""A manifest: what its cases have, and a digest of all of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from client.data.checks import Issue
from client.data.conversion import Conversion, PetValues
from client.data.conversion_file import write_conversion
from client.data.labels import CaseLabels
from client.data.manifest import Case, list_issues, raise_if_unusable
from client.data.scan import scan_center
from protocol.tasks import TASKS
from tests.support.clinical_table import SCHEMA, write_table
from tests.support.two_cases import scan, sound_pet, write_file


def case(labels: CaseLabels, *files: str) -> Case:
    return Case("p", "p", "a", {file: Path(file) for file in files}, {}, {}, labels=labels)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("found", "targets"),
    [
        (case(CaseLabels(), "ct"), ["fusion"]),
        (case(CaseLabels(), "pet"), []),
        (case(CaseLabels(), "gtv"), ["segmentation"]),
        (case(CaseLabels(class_index=0)), ["classification"]),
        (case(CaseLabels(endpoints=(None, None))), []),
        (case(CaseLabels(endpoints=(None, (3.0, 0)))), ["survival"]),
    ],
)
def test_a_case_has_the_targets_of_its_files_and_labels(found: Case, targets: list[str]):
    assert [task for task in TASKS if found.has_target(task)] == targets


def test_ehr_is_the_last_modality():
    assert case(CaseLabels(ehr=(1.0, 0.0)), "pet", "ct").modalities == ("ct", "pet", "ehr")


def test_issues_are_listed_a_line_each(folder: Path):
    manifest = scan_center("a", [folder], ("ct",), SCHEMA)
    assert list_issues(manifest.issues) == f"  {manifest.issues[0].message}"
    raise_if_unusable(manifest)


def test_the_digest_depends_on_content_not_on_place(folder: Path, tmp_path: Path):
    moved = tmp_path / "elsewhere" / "center-a"
    shutil.copytree(folder, moved)
    assert scan(moved).digest == scan(folder).digest
    write_file(moved / "one" / "pet.nii.gz", sound_pet() + 0.5, 4.0, "pet_suv", origin=(1.0, 1.0, 0.0))
    assert scan(moved).digest != scan(folder).digest


def test_the_digest_sees_a_patient_renamed(folder: Path):
    manifest = scan(folder)
    renamed = replace(manifest, cases=(replace(manifest.cases[0], patient="P7"), manifest.cases[1]))
    assert renamed.digest != manifest.digest


def test_the_digest_sees_a_label_changed_or_missing(folder: Path):
    found = set()
    for cells in ({}, {"metastasis": "0"}, {"metastasis": ""}, {"death_days": "701"}):
        write_table(folder / "labels.csv", {"one": cells, "two": {}})
        found.add(scan_center("a", [folder], ("ct", "pet"), SCHEMA).digest)
    assert len(found | {scan(folder).digest}) == 5


def test_the_digest_covers_a_record_and_no_note(folder: Path):
    before = scan(folder)
    told = [replace(case, issues=(Issue("mask-parts", case.name, "two", "note"),)) for case in before.cases]
    assert replace(before, cases=tuple(told)).digest == before.digest
    write_conversion(Conversion("dicom", "concilium", PetValues("lbm", "declared")), folder / "one")
    by_lbm = scan(folder).digest
    write_conversion(Conversion("dicom", "concilium", PetValues("bw", "declared")), folder / "one")
    assert len({before.digest, by_lbm, scan(folder).digest}) == 3
