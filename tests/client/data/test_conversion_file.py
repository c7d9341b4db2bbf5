"""The record of a conversion: read back equal, without sources, and refused where it was damaged."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from client.data.checks import Issue
from client.data.conversion import RECORD, Conversion, PetValues, Registration
from client.data.conversion_file import read_conversion, write_conversion
from protocol.errors import CaseError

TOLD = Issue("slices", "case-a", "2 slices are missing", "warning", "ct.nii.gz", "export them", source="/x/DOE/1.dcm")
FOUND = Conversion(
    "dicom",
    "concilium 1.0",
    PetValues("bw", "computed", "BQML", "START"),
    Registration(1.5, 0.97, None),
    "rtstruct",
    ("GTV_Mass",),
    (TOLD,),
)


def test_a_record_reads_back_equal_but_for_its_sources(tmp_path: Path):
    write_conversion(FOUND, tmp_path)
    assert read_conversion(tmp_path) == replace(FOUND, issues=(replace(TOLD, source=""),))
    assert "DOE" not in (tmp_path / RECORD).read_text()


def test_a_case_without_a_record_has_none(tmp_path: Path):
    assert read_conversion(tmp_path) is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{", "[", "cannot be read"),
        ('"version": 2', '"version": 3', "none of version 2"),
        ('"bw"', '"ml"', "pet_values.kind"),
        ("1.5", '"1.5"', "registration.shift_mm"),
        ('"program"', '"patient_name": "DOE", "program"', "patient_name"),
        ('"grade": "warning"', '"grade": "fatal"', "issues.0.grade"),
    ],
)
def test_a_damaged_record_is_refused_by_what_is_wrong(tmp_path: Path, old: str, new: str, told: str):
    write_conversion(FOUND, tmp_path)
    path = tmp_path / RECORD
    sealed = path.read_text()
    path.write_text(sealed.replace(old, new, 1))
    with pytest.raises(CaseError, match="cannot be read"):
        read_conversion(tmp_path)
    path.write_text(re.sub(r',\n "seal": "\w+"', "", sealed).replace(old, new, 1))
    with pytest.raises(CaseError, match=told):
        read_conversion(tmp_path)


def test_a_record_of_the_version_before_has_no_seal_and_is_read(tmp_path: Path):
    write_conversion(FOUND, tmp_path)
    path = tmp_path / RECORD
    path.write_text(re.sub(r',\n "seal": "\w+"', "", path.read_text()).replace('"version": 2', '"version": 1'))
    assert read_conversion(tmp_path) == replace(FOUND, issues=(replace(TOLD, source=""),))


def test_a_record_that_is_no_object_is_refused(tmp_path: Path):
    (tmp_path / RECORD).write_text("[1]")
    with pytest.raises(CaseError, match="none of version 2"):
        read_conversion(tmp_path)
