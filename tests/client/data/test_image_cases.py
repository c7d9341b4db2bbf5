"""From a folder of images to cases: every defect is found, named and survived."""

import contextlib
import gzip
import os
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from client.data import image_cases
from client.data.checks import Issue
from client.data.conversion import RECORD, Conversion, PetValues
from client.data.conversion_file import write_conversion
from client.data.free_memory import LowMemoryError
from client.data.image_cases import scan_images
from client.data.manifest import raise_if_unusable
from client.data.scan import scan_center
from client.data.volume import Volume, read_volume
from protocol.errors import CaseError
from protocol.modalities import IMAGES
from tests.support.two_cases import case_of, codes_of, scan, sound_ct, sound_gtv, sound_pet, write_file


def test_a_center_without_images_has_no_case_of_images(folder: Path):
    assert scan_images("a", folder, ("ehr",), lambda: None) == []
    assert [case.name for case in scan_images("a", folder, ("ct", "ehr"), lambda: None)] == ["one", "two"]


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


def test_a_folder_that_holds_case_folders_is_not_to_be_removed(folder: Path, tmp_path: Path):
    """`check` of the folder above: the center's folder is taken for a case, and is all of its data."""
    center = tmp_path / "above" / "center"
    shutil.copytree(folder, center)
    manifest = scan_center("above", [tmp_path / "above"], IMAGES)
    (issue,) = [issue for issue in manifest.all_issues if issue.code == "no-image"]
    assert issue.remedy.startswith(f"give --data {center}")
    assert "remove" not in issue.remedy


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


def record(folder: Path, *issues: Issue) -> None:
    write_conversion(Conversion("dicom", "concilium", PetValues("bw", "computed", "BQML"), issues=issues), folder)


def test_what_a_conversion_found_is_among_the_issues_of_the_case(folder: Path):
    record(folder / "one", Issue("slices", "case-x", "2 slices are missing", "warning", "ct.nii.gz"))
    case = case_of(scan(folder))
    assert case.conversion is not None
    assert case.conversion.pet_values == PetValues("bw", "computed", "BQML")
    assert [(issue.code, issue.case) for issue in case.issues] == [("slices", "one")]
    assert case_of(scan(folder), "two").conversion is None


def test_what_a_scan_finds_too_is_told_once(folder: Path):
    (folder / "one" / "gtv.nii.gz").unlink()
    record(folder / "one", Issue("no-mask", "one", "no contour", "warning", "gtv.nii.gz"))
    (issue,) = case_of(scan(folder)).issues
    assert "found no file" in issue.message


def test_what_is_wrong_with_a_modality_that_is_not_offered_is_not_told(folder: Path):
    record(folder / "one", Issue("dose", "one", "no dose", "error", "pet.nii.gz"))
    assert not case_of(scan(folder)).usable
    assert case_of(scan_center("a", [folder], ("ct",))).usable


def test_a_damaged_record_keeps_its_case_out(folder: Path):
    (folder / "one" / RECORD).write_text("{")
    assert codes_of(case_of(scan(folder))) == [("record", True)]


def _bad_offset(path: Path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<f", content, 108, -5.0)
    path.write_bytes(gzip.compress(content))


def _bomb(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(8 << 20)))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _socket(path: Path) -> None:
    path.unlink()
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


def _link(path: Path, to: str) -> None:
    path.unlink()
    path.symlink_to(to)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "bad offset": _bad_offset,
    "bomb": _bomb,
    "nothing in it": lambda path: path.write_bytes(b""),
    "pipe": _pipe,
    "socket": _socket,
    "device": lambda path: _link(path, "/dev/zero"),
    "link in a circle": lambda path: _link(path, path.name),
    "link to nothing": lambda path: _link(path, "absent.nii.gz"),
    "folder": _folder,
}


@pytest.mark.parametrize("file", ["ct", "gtv"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_a_file_is_its_case_is_left_out_and_the_others_are_used(folder: Path, damage: str, file: str):
    """No pipe is waited for, and a CT that is not one never makes a case of its PET alone."""
    DAMAGES[damage](folder / "one" / f"{file}.nii.gz")
    manifest = scan(folder)
    assert ("unreadable", True) in codes_of(case_of(manifest))
    assert [case.name for case in manifest.usable] == ["two"]
    raise_if_unusable(manifest)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "memory"),
        (RecursionError(), "unexpected"),
        (ValueError("never thought of"), "unexpected"),
        (PermissionError(13, "Permission denied"), "unreadable"),
        (FileNotFoundError(2, "No such file"), "unreadable"),
    ],
)
def test_an_error_nobody_thought_of_keeps_its_case_out_and_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
):
    def read(path: Path, quantity: str) -> Volume:
        if path.parent.name == "one":
            raise error
        return read_volume(path, quantity)  # type: ignore[arg-type]

    monkeypatch.setattr(image_cases, "read_volume", read)
    manifest = scan(folder)
    assert {found for found, _ in codes_of(case_of(manifest))} == {code}
    assert [case.name for case in manifest.usable] == ["two"]


def test_an_image_too_large_for_the_memory_keeps_its_case_out(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def read(path: Path, quantity: str) -> Volume:
        raise LowMemoryError(f"image {path} needs 9 GiB")

    monkeypatch.setattr(image_cases, "read_volume", read)
    assert codes_of(case_of(scan(folder)))[0] == ("memory", True)


@pytest.mark.parametrize("name", [b"a\nb", b"\xff\xfe", b"\x1b[2J", b"x" * 200])
def test_a_case_whose_name_no_file_should_have_is_left_out_and_shown_on_one_line(folder: Path, name: bytes):
    shutil.copytree(folder / "one", folder / os.fsdecode(name))
    manifest = scan(folder)
    (odd,) = [case for case in manifest.cases if case.name not in {"one", "two"}]
    assert codes_of(odd) == [("case-name", True)]
    assert odd.issues[0].message.isprintable()
    assert len(manifest.digest) == 64
    assert [case.name for case in manifest.usable] == ["one", "two"]


def test_folders_that_cannot_be_listed_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "lost").symlink_to(folder / "unmounted")
    (folder / "round").symlink_to(folder / "round")
    iterdir, (barred, all_of_it) = Path.iterdir, (folder / "one", tmp := folder.parent / "barred")
    tmp.mkdir()

    def listed(path: Path) -> Iterator[Path]:
        if path in (barred, all_of_it):
            raise PermissionError(13, "Permission denied")
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", listed)
    (folder / "one" / "ct.nii.gz").unlink()
    (folder / "one" / "pet.nii.gz").unlink()
    manifest = scan(folder)
    left_out = {case.name: codes_of(case) for case in manifest.quarantined}
    assert left_out == {name: [("unreadable", True)] for name in ("lost", "one", "round")}
    (issue,) = scan(all_of_it).issues
    assert (issue.code, "cannot be read" in issue.message) == ("no-cases", True)


def test_a_record_nested_without_end_keeps_its_case_out(folder: Path):
    (folder / "one" / RECORD).write_text("[" * 100_000)
    assert codes_of(case_of(scan(folder))) == [("record", True)]
    (folder / "one" / RECORD).unlink()
    os.mkfifo(folder / "one" / RECORD)
    assert codes_of(case_of(scan(folder))) == [("record", True)]
