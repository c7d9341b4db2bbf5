"""From a folder of cases to a manifest: every defect is found, named and survived."""

import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.data.manifest import raise_if_unusable, scan_center
from protocol.errors import CaseError
from tests.support.two_cases import case_of, codes_of, scan, sound_ct, sound_gtv, sound_pet, write_file

Origin = tuple[float, float, float]


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


def test_a_modality_the_center_does_not_offer_is_ignored(folder: Path):
    case = case_of(scan_center("a", [folder], ("ct",)))
    assert case.modalities == ("ct",)
    assert set(case.paths) == {"ct", "gtv"}


def test_a_pet_only_center_keeps_masks_drawn_on_the_ct(folder: Path):
    manifest = scan_center("a", [folder], ("pet",))
    assert case_of(manifest).modalities == ("pet",)
    assert manifest.all_issues == ()


def test_a_pet_only_case_has_its_mask_on_the_pet(folder: Path):
    (folder / "one" / "ct.nii.gz").unlink()
    assert codes_of(case_of(scan(folder))) == [("mask-grid", True)]
    mask = (sound_pet() > 6).astype(np.uint8)
    write_file(folder / "one" / "gtv.nii.gz", mask, 4.0, "mask", origin=(1.0, 1.0, 0.0))
    assert codes_of(case_of(scan(folder))) == []


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


def test_a_case_without_ct_and_pet_is_quarantined(folder: Path):
    (folder / "one" / "ct.nii.gz").unlink()
    (folder / "one" / "pet.nii.gz").rename(folder / "one" / "PT.nii.gz")
    manifest = scan(folder)
    assert codes_of(case_of(manifest)) == [("no-image", True)]
    assert "PT.nii.gz" in manifest.all_issues[0].message
    assert [case.name for case in manifest.usable] == ["two"]
    raise_if_unusable(manifest)


def test_a_case_without_a_mask_is_told_and_used(folder: Path):
    (folder / "one" / "gtv.nii.gz").unlink()
    case = case_of(scan(folder))
    assert codes_of(case) == [("no-mask", False)]
    assert case.usable
    assert not case.labelled


@pytest.mark.parametrize("content", [b"", b"no image", gzip.compress(b"no image")], ids=["empty", "plain", "gzip"])
def test_a_file_that_is_no_image_is_quarantined(folder: Path, content: bytes):
    (folder / "one" / "pet.nii.gz").write_bytes(content)
    assert codes_of(case_of(scan(folder))) == [("unreadable", True)]


@pytest.mark.parametrize(("file", "unpacked"), [("ct", False), ("pet", False), ("gtv", False), ("pet", True)])
def test_a_file_that_was_cut_off_is_quarantined(folder: Path, file: str, unpacked: bool):
    path = folder / "one" / f"{file}.nii.gz"
    content = path.read_bytes()
    cut = gzip.compress(gzip.decompress(content)[:-100]) if unpacked else content[: len(content) * 2 // 3]
    path.write_bytes(cut)
    assert ("unreadable", True) in codes_of(case_of(scan(folder)))


def test_a_broken_ct_does_not_blame_the_mask(folder: Path):
    (folder / "one" / "ct.nii.gz").write_bytes(b"no image")
    assert codes_of(case_of(scan(folder))) == [("unreadable", True)]


def test_all_issues_are_found_at_once(folder: Path):
    write_file(folder / "one" / "ct.nii.gz", sound_ct() + 2000, 2.0, "ct_hu")
    write_file(folder / "one" / "pet.nii.gz", sound_pet() * 1000, 4.0, "pet_suv", origin=(0.0, 0.0, 500.0))
    write_file(folder / "one" / "gtv.nii.gz", sound_gtv() * 3, 2.5, "mask")
    (folder / "two" / "pet.nii.gz").write_bytes(b"no image")
    manifest = scan(folder)
    codes = {issue.code for issue in manifest.all_issues}
    assert codes == {"ct-not-hu", "pet-not-suv", "mask-values", "mask-grid", "no-overlap", "unreadable"}
    assert len(manifest.quarantined) == 2
    with pytest.raises(CaseError, match=r"0 of 2 case\(s\) can be used, and 6 issue") as raised:
        raise_if_unusable(manifest)
    assert str(raised.value).count("\n") == 6


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


@pytest.mark.realdata
def test_every_real_case_is_usable(sts_root: Path):
    manifests = [scan_center(f"center-{c}", [sts_root / f"center-{c}"], ("ct", "pet")) for c in "abcd"]
    assert [len(manifest.usable) for manifest in manifests] == [12, 6, 9, 10]
    assert [issue.message for manifest in manifests for issue in manifest.all_issues] == []
    shorter = case_of(manifests[0], "STS_035")
    assert shorter.grids["ct"].shape_zyx[0] - shorter.grids["pet"].shape_zyx[0] == 2
