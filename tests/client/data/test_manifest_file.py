"""A manifest on the center's disk."""

from pathlib import Path

import pytest

from client.data.checks import Issue
from client.data.conversion import Conversion, PetValues, Registration
from client.data.conversion_file import write_conversion
from client.data.labels import CaseLabels
from client.data.manifest_file import read_manifest, write_manifest
from client.data.scan import scan_center
from protocol.errors import CaseError, StorageError
from tests.support.clinical_table import SCHEMA, write_table
from tests.support.two_cases import scan


def test_a_manifest_reads_back_equal(folder: Path, tmp_path: Path):
    (folder / "one" / "pet.nii.gz").write_bytes(b"no image")
    manifest = scan_center("a", [folder, tmp_path / "absent"], ("ct", "pet"))
    write_manifest(manifest, tmp_path / "out" / "manifest.json")
    assert read_manifest(tmp_path / "out" / "manifest.json") == manifest


def test_a_manifest_holds_labels_and_is_for_its_owner_alone(folder: Path, tmp_path: Path):
    path = tmp_path / "out" / "manifest.json"
    write_manifest(scan(folder), path)
    assert [of.stat().st_mode & 0o777 for of in (path, path.parent)] == [0o600, 0o700]


@pytest.mark.parametrize("damage", ["absent", "not json", "a case renamed", "no center"])
def test_a_damaged_manifest_is_refused(folder: Path, tmp_path: Path, damage: str):
    path = tmp_path / "manifest.json"
    write_manifest(scan(folder), path)
    changes = {"not json": ("{", "["), "a case renamed": ('"one"', '"six"'), "no center": ('"center"', '"centre"')}
    if damage == "absent":
        path.unlink()
    else:
        path.write_text(path.read_text().replace(*changes[damage]))
    with pytest.raises(CaseError, match=r"manifest\.json"):
        read_manifest(path)


def test_a_manifest_that_cannot_be_written_leaves_the_old_one(folder: Path, tmp_path: Path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(StorageError):
        write_manifest(scan(folder), tmp_path / "file" / "manifest.json")
    assert (tmp_path / "file").read_text() == "old"


def test_labels_are_read_back_equal(folder: Path, tmp_path: Path):
    write_table(folder / "labels.csv", {"one": {}, "two": {"death_event": "", "metastasis": "", "age_years": "70.5"}})
    manifest = scan_center("a", [folder], ("ct", "ehr"), SCHEMA)
    write_manifest(manifest, tmp_path / "manifest.json")
    found = read_manifest(tmp_path / "manifest.json")
    assert found == manifest
    assert found.cases[1].labels == CaseLabels(None, (None, (60.875, 1)), (1.05, 0.0, 0.0, 1.0, 0.0))


def test_the_record_of_a_conversion_is_read_back_equal(folder: Path, tmp_path: Path):
    told = (Issue("slices", "one", "2 slices are missing", "warning", "ct.nii.gz"),)
    found = Conversion("dicom", "concilium", PetValues("bw", "units"), Registration(1.5, None, 0.25), issues=told)
    write_conversion(found, folder / "one")
    manifest = scan(folder)
    write_manifest(manifest, tmp_path / "manifest.json")
    assert read_manifest(tmp_path / "manifest.json") == manifest
    assert manifest.cases[0].conversion == found
