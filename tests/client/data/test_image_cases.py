"""From a folder of images to cases: every defect is found, named and survived."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from client.data.image_cases import scan_images
from client.data.manifest import raise_if_unusable
from client.data.scan import scan_center
from protocol.errors import CaseError
from tests.support.two_cases import case_of, codes_of, scan, sound_ct, sound_gtv, sound_pet, write_file


def test_a_center_without_images_has_no_case_of_images(folder: Path):
    assert scan_images("a", folder, ("ehr",), {}) == []
    assert [case.name for case in scan_images("a", folder, ("ct", "ehr"), {})] == ["one", "two"]


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
    assert not case.has_target("segmentation")


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
