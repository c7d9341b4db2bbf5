"""Where scans come from, under which names, and what is kept of their sources."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from client.convert.contract import Choices, FoundCase, ReadCase
from client.convert.identities import PrivateFolder
from client.convert.planning import find_cases
from client.data.checks import Issue
from client.predict.scans import scan_of_files, scans_of_cases, scans_of_studies
from protocol.errors import CaseError
from tests.support.predicted_scan import MadeScan, made_scan
from tests.support.two_cases import case_of, scan, write_two_cases

PRIVATE = PrivateFolder(Path("private"), b"k" * 32)


def study(made: MadeScan, **changed: object) -> FoundCase:
    """The study as a layout finds it."""
    origins: dict[str, str | list[str]] = {
        name: [str(path) for path in sorted((made.folder / folder).iterdir())]
        for name, folder in (("ct_files", "ct"), ("pet_files", "pet"))
    }
    origins |= {"ct_series_uid": "1.2", "pet_series_uid": "1.3"}
    read = ReadCase(made.scan.ct, made.scan.pet, pet_values=made.scan.pet_values, origins=origins, **changed)  # type: ignore[arg-type]
    return FoundCase("identity", "patient", (), lambda _case: read, (Issue("told", "x", "found", "note"),))


def test_a_study_has_the_id_of_its_conversion_and_the_headers_of_its_series(tmp_path: Path) -> None:
    (found,) = scans_of_studies([study(made_scan(tmp_path))], PRIVATE)
    read = found.read()
    assert found.case == read.case == PRIVATE.case_id("identity")
    assert (len(read.ct_headers), read.ct_headers[0].Modality) == (20, "CT")
    assert (len(read.pet_headers), read.pet_headers[0].Modality) == (20, "PT")
    assert read.pet_values is not None


def test_an_object_that_lies_there_twice_is_one_of_the_series(tmp_path: Path) -> None:
    made = made_scan(tmp_path)
    shutil.copy(made.folder / "ct" / "ct-0000.dcm", made.folder / "ct" / "copy.dcm")
    (found,) = scans_of_studies([study(made)], PRIVATE)
    assert len(found.read().ct_headers) == 20


def test_image_files_of_a_published_layout_have_no_headers(tmp_path: Path) -> None:
    write_two_cases(tmp_path / "data")
    for path in (tmp_path / "data").glob("*/pet.nii.gz"):
        path.rename(path.with_name("suv.nii.gz"))
    found = find_cases(tmp_path / "data", "nifti", Choices(), PRIVATE, lambda _seen: None)
    reads = [scan.read() for scan in scans_of_studies(found.cases, PRIVATE)]
    assert [(list(read.images), list(read.ct_headers)) for read in reads] == [(["ct", "pet"], [])] * 2


def test_issues_about_contours_are_left_out_and_others_kept(tmp_path: Path) -> None:
    of_mask = Issue("contours-several", "x", "two", "note", file="gtv.nii.gz")
    (found,) = scans_of_studies([study(made_scan(tmp_path), issues=(of_mask,))], PRIVATE)
    assert [issue.code for issue in found.read().issues] == ["told"]


def test_a_study_whose_ct_cannot_be_used_has_none_of_its_headers(tmp_path: Path) -> None:
    made = made_scan(tmp_path)
    (found,) = scans_of_studies([study(replace(made, scan=replace(made.scan, ct=None)))], PRIVATE)
    assert list(found.read().ct_headers) == []
    assert len(found.read().base_headers) == 20


def test_a_case_of_a_data_folder_keeps_its_name(tmp_path: Path) -> None:
    case = case_of(scan(write_two_cases(tmp_path / "data")), "two")
    (found,) = scans_of_cases([case], {})
    read = found.read()
    assert (found.case, read.pet_values, list(read.images)) == ("two", None, ["ct", "pet"])


def test_two_files_are_a_scan_named_by_their_folder(tmp_path: Path) -> None:
    folder = write_two_cases(tmp_path / "data") / "one"
    found = scan_of_files(folder / "ct.nii.gz", None)
    assert (found.case, list(found.read().images)) == ("one", ["ct"])
    assert list(scan_of_files(None, folder / "pet.nii.gz").read().images) == ["pet"]


def test_no_file_is_no_scan() -> None:
    with pytest.raises(CaseError, match="neither a CT nor a PET"):
        scan_of_files(None, None)
