"""From a folder of cases to a manifest: every defect is found, named and survived."""

import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from client.data.checks import Subject, coverage, overlap_issues
from client.data.manifest import Case, Manifest, raise_if_unusable, scan_center
from client.data.manifest_file import read_manifest, write_manifest
from client.data.volume import IDENTITY, Grid, Quantity, Volume, write_volume
from protocol.errors import CaseError, StorageError

Origin = tuple[float, float, float]
CENTER: Origin = (0.0, 0.0, 0.0)
SHAPE = (6, 8, 10)


def _ct() -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1000, 1500, SHAPE).astype(np.float32)


def _pet() -> NDArray[np.float32]:
    return np.random.default_rng(1).uniform(0, 12, (6, 4, 5)).astype(np.float32)


def _gtv() -> NDArray[np.uint8]:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:4, 3:5, 4:6] = 1
    return mask


def _write(path: Path, array: NDArray, spacing_mm: float, quantity: Quantity, origin: Origin = CENTER) -> None:
    write_volume(Volume(array, (3.0, spacing_mm, spacing_mm), origin, IDENTITY, quantity), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sound cases, "one" and "two"."""
    root = tmp_path / "center-a"
    for name, shift in (("one", 0), ("two", 1)):
        _write(root / name / "ct.nii.gz", _ct() + shift, 2.0, "ct_hu")
        _write(root / name / "pet.nii.gz", _pet() + shift, 4.0, "pet_suv", origin=(1.0, 1.0, 0.0))
        _write(root / name / "gtv.nii.gz", _gtv(), 2.0, "mask")
    return root


def _scan(folder: Path) -> Manifest:
    return scan_center("a", [folder], ("ct", "pet"))


def _case(manifest: Manifest, name: str = "one") -> Case:
    return next(case for case in manifest.cases if case.name == name)


def _codes(case: Case) -> list[tuple[str, bool]]:
    return [(issue.code, issue.fatal) for issue in case.issues]


def test_sound_cases_have_no_issue(folder: Path):
    manifest = _scan(folder)
    case = _case(manifest)
    assert manifest.all_issues == ()
    assert manifest.usable == manifest.cases
    assert (case.name, case.patient, case.folder) == ("one", "one", "center-a")
    assert case.modalities == ("ct", "pet")
    assert case.quantities == {"ct": "ct_hu", "pet": "pet_suv", "gtv": "mask"}
    assert case.grids["pet"].spacing_zyx_mm == (3.0, 4.0, 4.0)
    assert len(case.checksums["ct"]) == 64
    raise_if_unusable(manifest)


def test_a_modality_the_center_does_not_offer_is_ignored(folder: Path):
    case = _case(scan_center("a", [folder], ("ct",)))
    assert case.modalities == ("ct",)
    assert set(case.paths) == {"ct", "gtv"}


def test_a_pet_only_center_keeps_masks_drawn_on_the_ct(folder: Path):
    manifest = scan_center("a", [folder], ("pet",))
    assert _case(manifest).modalities == ("pet",)
    assert manifest.all_issues == ()


def test_a_pet_only_case_has_its_mask_on_the_pet(folder: Path):
    (folder / "one" / "ct.nii.gz").unlink()
    assert _codes(_case(_scan(folder))) == [("mask-grid", True)]
    mask = (_pet() > 6).astype(np.uint8)
    _write(folder / "one" / "gtv.nii.gz", mask, 4.0, "mask", origin=(1.0, 1.0, 0.0))
    assert _codes(_case(_scan(folder))) == []


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
    manifest = _scan(folder)
    assert _codes(_case(manifest)) == [("no-image", True)]
    assert "PT.nii.gz" in manifest.all_issues[0].message
    assert [case.name for case in manifest.usable] == ["two"]
    raise_if_unusable(manifest)


def test_a_case_without_a_mask_is_told_and_used(folder: Path):
    (folder / "one" / "gtv.nii.gz").unlink()
    case = _case(_scan(folder))
    assert _codes(case) == [("no-mask", False)]
    assert case.usable
    assert not case.labelled


@pytest.mark.parametrize("content", [b"", b"no image", gzip.compress(b"no image")], ids=["empty", "plain", "gzip"])
def test_a_file_that_is_no_image_is_quarantined(folder: Path, content: bytes):
    (folder / "one" / "pet.nii.gz").write_bytes(content)
    assert _codes(_case(_scan(folder))) == [("unreadable", True)]


@pytest.mark.parametrize(("file", "unpacked"), [("ct", False), ("pet", False), ("gtv", False), ("pet", True)])
def test_a_file_that_was_cut_off_is_quarantined(folder: Path, file: str, unpacked: bool):
    path = folder / "one" / f"{file}.nii.gz"
    content = path.read_bytes()
    cut = gzip.compress(gzip.decompress(content)[:-100]) if unpacked else content[: len(content) * 2 // 3]
    path.write_bytes(cut)
    assert ("unreadable", True) in _codes(_case(_scan(folder)))


def test_a_broken_ct_does_not_blame_the_mask(folder: Path):
    (folder / "one" / "ct.nii.gz").write_bytes(b"no image")
    assert _codes(_case(_scan(folder))) == [("unreadable", True)]


@pytest.mark.parametrize(
    ("file", "origin", "spacing_mm"), [("gtv", (0.5, 0.0, 0.0), 2.0), ("gtv", CENTER, 2.2), ("gtv", (0, 0, 30.0), 2.0)]
)
def test_a_mask_on_another_grid_is_quarantined(folder: Path, file: str, origin: Origin, spacing_mm: float):
    _write(folder / "one" / f"{file}.nii.gz", _gtv(), spacing_mm, "mask", origin)
    manifest = _scan(folder)
    assert _codes(_case(manifest)) == [("mask-grid", True)]
    message = manifest.all_issues[0].message
    assert "center 'a', case 'one': gtv.nii.gz: found grid" in message
    assert "expected grid zyx (6, 8, 10) of (3.00, 2.00, 2.00) mm" in message
    assert "resample" in message


def test_a_mask_rounded_in_its_header_lies_on_the_grid(folder: Path):
    _write(folder / "one" / "gtv.nii.gz", _gtv(), 2.0001, "mask", origin=(0.001, 0.0, 0.0))
    assert _codes(_case(_scan(folder))) == []


def _with(array: NDArray, value: float) -> NDArray:
    changed = array.copy()
    changed[1, 1, 1] = value
    return changed


@pytest.mark.parametrize(
    ("file", "array", "expected"),
    [
        ("ct", _with(_ct(), np.nan), ("not-finite", True)),
        ("pet", _with(_pet(), np.inf), ("not-finite", True)),
        ("gtv", _with(_gtv().astype(np.float32), np.nan), ("not-finite", True)),
        ("ct", np.full(SHAPE, -1000, np.int16), ("constant", True)),
        ("pet", np.zeros((6, 4, 5), np.float32), ("constant", True)),
        ("ct", _ct() + 1024, ("ct-not-hu", True)),
        ("ct", _ct() / 3000, ("ct-not-hu", True)),
        ("ct", _ct() - 2000, ("ct-not-hu", True)),
        ("pet", _pet() * 1000, ("pet-not-suv", True)),
        ("pet", _pet() * 30, ("pet-not-suv", True)),
        ("pet", _with(_pet(), 2000), ("pet-not-suv", True)),
        ("pet", _pet() / 100, ("pet-not-suv", True)),
        ("pet", _pet() - 6, ("pet-not-suv", True)),
        ("gtv", _gtv() * 255, ("mask-values", True)),
        ("gtv", _gtv() * np.float32(0.7), ("mask-values", True)),
        ("gtv", np.zeros(SHAPE, np.uint8), ("mask-empty", False)),
    ],
)
def test_voxels_that_are_not_what_the_file_says(folder: Path, file: str, array: NDArray, expected: tuple[str, bool]):
    geometry = {"ct": (2.0, CENTER), "gtv": (2.0, CENTER), "pet": (4.0, (1.0, 1.0, 0.0))}
    spacing_mm, origin = geometry[file]
    _write(folder / "one" / f"{file}.nii.gz", array, spacing_mm, "mask", origin)
    manifest = _scan(folder)
    assert _codes(_case(manifest)) == [expected]
    message = manifest.all_issues[0].message
    for part in (f"center 'a', case 'one': {file}.nii.gz", "found", "expected", str(folder / "one")):
        assert part in message


def test_noise_just_below_zero_is_a_pet(folder: Path):
    _write(folder / "one" / "pet.nii.gz", _with(_pet(), -0.4), 4.0, "pet_suv", origin=(1.0, 1.0, 0.0))
    assert _codes(_case(_scan(folder))) == []


def test_a_ct_named_pet_and_a_pet_named_ct_are_recognised(folder: Path):
    shutil.copy(folder / "one" / "ct.nii.gz", folder / "one" / "pet.nii.gz")
    assert _codes(_case(_scan(folder))) == [("pet-is-ct", True)]
    shutil.copy(folder / "two" / "pet.nii.gz", folder / "one" / "ct.nii.gz")
    (folder / "one" / "gtv.nii.gz").unlink()
    issues = _case(_scan(folder)).issues
    assert "it may be a PET" in next(issue.message for issue in issues if issue.code == "ct-not-hu")


def test_a_pet_elsewhere_in_space_is_quarantined(folder: Path):
    _write(folder / "one" / "pet.nii.gz", _pet(), 4.0, "pet_suv", origin=(0.0, 0.0, 500.0))
    assert _codes(_case(_scan(folder))) == [("no-overlap", True)]


def test_a_pet_over_half_of_the_ct_is_told_and_used(folder: Path):
    _write(folder / "one" / "pet.nii.gz", _pet()[:3], 4.0, "pet_suv", origin=(1.0, 1.0, 0.0))
    manifest = _scan(folder)
    assert _codes(_case(manifest)) == [("pet-partial", False)]
    assert "PET over 50% of the CT" in manifest.all_issues[0].message


def test_a_pet_two_slices_shorter_than_the_ct_is_no_issue():
    ct = Volume(np.zeros((63, 4, 4)), (3.27, 1, 1), (0, 0, 0), IDENTITY, "ct_hu")
    pet = Volume(np.zeros((61, 4, 4)), (3.27, 1, 1), (0, 0, 3.27), IDENTITY, "pet_suv")
    assert overlap_issues(Subject("a", "x", Path("x")), "pet.nii.gz", ct, pet) == []


def test_coverage_is_a_share_of_the_ct():
    ct = Grid((10, 10, 10), (1, 1, 1))
    assert coverage(ct, Grid((10, 10, 5), (1, 1, 1))) == 0.5
    assert coverage(ct, Grid((20, 20, 20), (1, 1, 1), (-5, -5, -5))) == 1.0
    assert coverage(ct, Grid((10, 10, 10), (1, 1, 1), (10, 0, 0))) == 0.0


def test_all_issues_are_found_at_once(folder: Path):
    _write(folder / "one" / "ct.nii.gz", _ct() + 2000, 2.0, "ct_hu")
    _write(folder / "one" / "pet.nii.gz", _pet() * 1000, 4.0, "pet_suv", origin=(0.0, 0.0, 500.0))
    _write(folder / "one" / "gtv.nii.gz", _gtv() * 3, 2.5, "mask")
    (folder / "two" / "pet.nii.gz").write_bytes(b"no image")
    manifest = _scan(folder)
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
    assert [(case.folder, _codes(case)) for case in manifest.cases if case.name == "one"] == [
        ("center-a", [("duplicate", True)]),
        ("center-b", [("duplicate", True)]),
    ]
    assert "case 'one'" in manifest.all_issues[0].message


def test_one_image_under_two_ids_is_told(folder: Path):
    shutil.copytree(folder / "one", folder / "copy")
    manifest = _scan(folder)
    assert _codes(_case(manifest, "copy")) == _codes(_case(manifest, "one")) == [("same-images", False)]
    assert _codes(_case(manifest, "two")) == []


def test_participants_name_the_patient_of_a_case(folder: Path):
    (folder / "participants.csv").write_text("case,patient\none,P7\n")
    assert [case.patient for case in _scan(folder).cases] == ["P7", "two"]


def test_the_digest_depends_on_content_not_on_place(folder: Path, tmp_path: Path):
    moved = tmp_path / "elsewhere" / "center-a"
    shutil.copytree(folder, moved)
    assert _scan(moved).digest == _scan(folder).digest
    _write(moved / "one" / "pet.nii.gz", _pet() + 0.5, 4.0, "pet_suv", origin=(1.0, 1.0, 0.0))
    assert _scan(moved).digest != _scan(folder).digest


def test_the_digest_sees_a_patient_renamed(folder: Path):
    manifest = _scan(folder)
    renamed = replace(manifest, cases=(replace(manifest.cases[0], patient="P7"), manifest.cases[1]))
    assert renamed.digest != manifest.digest


def test_a_manifest_reads_back_equal(folder: Path, tmp_path: Path):
    (folder / "one" / "pet.nii.gz").write_bytes(b"no image")
    manifest = scan_center("a", [folder, tmp_path / "absent"], ("ct", "pet"))
    write_manifest(manifest, tmp_path / "out" / "manifest.json")
    assert read_manifest(tmp_path / "out" / "manifest.json") == manifest


@pytest.mark.parametrize("damage", ["absent", "not json", "a case renamed", "no center"])
def test_a_damaged_manifest_is_refused(folder: Path, tmp_path: Path, damage: str):
    path = tmp_path / "manifest.json"
    write_manifest(_scan(folder), path)
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
        write_manifest(_scan(folder), tmp_path / "file" / "manifest.json")
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.realdata
def test_every_real_case_is_usable(sts_root: Path):
    manifests = [scan_center(f"center-{c}", [sts_root / f"center-{c}"], ("ct", "pet")) for c in "abcd"]
    assert [len(manifest.usable) for manifest in manifests] == [12, 6, 9, 10]
    assert [issue.message for manifest in manifests for issue in manifest.all_issues] == []
    shorter = _case(manifests[0], "STS_035")
    assert shorter.grids["ct"].shape_zyx[0] - shorter.grids["pet"].shape_zyx[0] == 2
