"""A case's folder is the old one or the new one, and holds the values that were read."""

from pathlib import Path

import numpy as np
import pytest

from client.convert.case_folder import checksum, fits, volumes_of, write_case
from client.convert.contract import ReadCase
from client.data.conversion import Conversion
from client.data.conversion_file import read_conversion
from client.data.volume import IDENTITY, Volume, read_volume
from protocol.errors import StorageError

RECORD = Conversion("dicom", "test")


def _volume(values: object, quantity: str = "ct_hu") -> Volume:
    array = np.reshape(np.asarray(values, dtype=np.float32), (1, 1, -1))
    return Volume(array, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY, quantity)  # type: ignore[arg-type]


def test_images_and_record_are_read_back(tmp_path: Path) -> None:
    checksums = write_case(tmp_path / "case-a", {"ct": _volume([-1000, 40])}, RECORD)
    assert read_volume(tmp_path / "case-a/ct.nii.gz", "ct_hu").array_zyx.ravel().tolist() == [-1000, 40]
    assert read_conversion(tmp_path / "case-a") == RECORD
    assert sorted(checksums) == ["conversion.json", "ct.nii.gz"]
    assert checksums["ct.nii.gz"] == checksum(tmp_path / "case-a/ct.nii.gz")


@pytest.mark.parametrize(
    ("values", "quantity", "stored"),
    [
        ([-1000.0, 40.0], "ct_hu", "16-bit signed integer"),
        ([-1000.0, 40.5], "ct_hu", "32-bit float"),
        ([0.0, 40000.0], "ct_hu", "32-bit float"),
        ([1.0, 2.0], "pet_suv", "32-bit float"),
        ([0.0, 1.0], "mask", "8-bit unsigned integer"),
    ],
)
def test_values_are_stored_without_loss(tmp_path: Path, values: list[float], quantity: str, stored: str) -> None:
    import SimpleITK as sitk

    write_case(tmp_path / "case", {"ct": _volume(values, quantity)}, RECORD)
    image = sitk.ReadImage(str(tmp_path / "case/ct.nii.gz"))
    assert image.GetPixelIDTypeAsString() == stored
    assert sitk.GetArrayFromImage(image).ravel().tolist() == values


def test_a_case_that_lost_its_pet_keeps_no_old_one(tmp_path: Path) -> None:
    write_case(tmp_path / "case", {"ct": _volume([0, 1]), "pet": _volume([0, 1], "pet_suv")}, RECORD)
    write_case(tmp_path / "case", {"ct": _volume([0, 1])}, RECORD)
    assert sorted(path.name for path in (tmp_path / "case").iterdir()) == ["conversion.json", "ct.nii.gz"]
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


def test_a_write_that_fails_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checksums = write_case(tmp_path / "case", {"ct": _volume([0, 1])}, RECORD)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("client.convert.case_folder.write_conversion", refuse)
    with pytest.raises(StorageError, match=r"No space left on device.*what was converted stays"):
        write_case(tmp_path / "case", {"ct": _volume([5, 6])}, RECORD)
    assert fits(tmp_path / "case", checksums)
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


def test_a_rename_that_fails_brings_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checksums = write_case(tmp_path / "case", {"ct": _volume([0, 1])}, RECORD)
    rename, calls = Path.rename, []

    def refuse_the_second(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse_the_second)
    with pytest.raises(StorageError, match=r"Input/output error"):
        write_case(tmp_path / "case", {"ct": _volume([5, 6])}, RECORD)
    assert fits(tmp_path / "case", checksums)
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


@pytest.mark.parametrize("harm", ["change", "remove", "add"])
def test_a_folder_that_changed_does_not_fit(tmp_path: Path, harm: str) -> None:
    checksums = write_case(tmp_path / "case", {"ct": _volume([0, 1])}, RECORD)
    assert fits(tmp_path / "case", checksums)
    if harm == "remove":
        (tmp_path / "case/conversion.json").unlink()
    else:
        (tmp_path / "case" / ("ct.nii.gz" if harm == "change" else "pet.nii.gz")).write_bytes(b"other")
    assert not fits(tmp_path / "case", checksums)


def test_only_what_was_read_is_written() -> None:
    ct = _volume([0])
    assert volumes_of(ReadCase(ct=ct)) == {"ct": ct}
