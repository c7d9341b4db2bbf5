"""A scan is not answered without an image that it has, unless that was asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from client.convert.contract import Choices, FoundCase, ReadCase
from client.convert.identities import PrivateFolder
from client.convert.planning import find_cases
from client.data.checks import Issue
from client.predict.contract import Scan
from client.predict.lost_images import leave_out_lost
from client.predict.scans import scan_of_files, scans_of_studies
from protocol.errors import CaseError
from tests.support.predicted_scan import made_scan
from tests.support.two_cases import write_two_cases


def read_scan(folder: Path) -> Scan:
    return replace(made_scan(folder).scan, ct_headers=(), pet_headers=())


def hot(scan: Scan) -> Scan:
    """The scan with a PET in Bq/ml."""
    assert scan.pet is not None
    return replace(scan, pet=replace(scan.pet, array_zyx=scan.pet.array_zyx * 5000))


def test_a_scan_of_usable_images_stays_as_it_is(tmp_path: Path) -> None:
    scan = read_scan(tmp_path)
    assert leave_out_lost(scan, ("ct", "pet"), None).images == scan.images


def test_a_ct_that_was_refused_refuses_the_scan_with_the_reason(tmp_path: Path) -> None:
    told = Issue("slices-missing", "x", "found 3 gaps", "warning", file="ct.nii.gz")
    scan = replace(read_scan(tmp_path), ct=None, issues=(told,))
    with pytest.raises(CaseError, match=r"has a CT that cannot be used; .*--modalities pet\. found 3 gaps"):
        leave_out_lost(scan, ("ct", "pet"), None)
    assert list(leave_out_lost(scan, ("ct", "pet"), "pet").images) == ["pet"]
    assert list(leave_out_lost(scan, ("pet",), None).images) == ["pet"]


def test_a_pet_that_check_would_refuse_is_not_shown_to_the_network(tmp_path: Path) -> None:
    """SUV 8 as 40000."""
    scan = hot(read_scan(tmp_path))
    with pytest.raises(CaseError, match=r"has a PET that cannot be used; .*--modalities ct\. .*values from 0 to 40000"):
        leave_out_lost(scan, ("ct", "pet"), None)
    assert list(leave_out_lost(scan, ("ct", "pet"), "ct").images) == ["ct"]


def test_studies_and_files_are_judged_when_they_are_read(tmp_path: Path) -> None:
    read = ReadCase(pet=read_scan(tmp_path / "source").pet)
    study = FoundCase("identity", "patient", (), lambda _case: read, modalities=("ct", "pet"))
    (found,) = scans_of_studies([study], PrivateFolder(Path("private"), b"k" * 32))
    with pytest.raises(CaseError, match="no CT could be read of its series"):
        found.read()
    folder = write_two_cases(tmp_path / "data") / "one"
    with pytest.raises(CaseError, match="has a PET that cannot be used"):
        scan_of_files(None, folder / "ct.nii.gz").read()


def test_a_pet_whose_ct_was_left_out_of_the_archive_is_refused_and_others_are_not(tmp_path: Path) -> None:
    """Slices of the CT lie there twice, with other slopes."""
    made = made_scan(tmp_path / "source")
    again = made.folder / "again.dcm"
    data = dcmread(made.folder / "ct" / "ct-0003.dcm")
    data.RescaleSlope = 2
    data.save_as(again)
    private = PrivateFolder(Path("private"), b"k" * 32)
    found = find_cases(made.folder, "dicom", Choices(), private, lambda _seen: None)
    (scan,) = scans_of_studies(found.cases, private, None, found.issues)
    with pytest.raises(CaseError, match=r"has a PET alone, .*--modalities pet\. found 1 object"):
        scan.read()
    (asked,) = scans_of_studies(found.cases, private, "pet", found.issues)
    assert list(asked.read().images) == ["pet"]
    (other,) = scans_of_studies(
        found.cases, private, None, tuple(replace(each, source="1.2: x") for each in found.issues)
    )
    assert list(other.read().images) == ["pet"]
