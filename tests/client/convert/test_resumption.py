"""A case is the same as long as its files, the user's choices and the program are."""

import os
from pathlib import Path

import pytest

from client.convert.case_conversion import Done
from client.convert.contract import Choices, FoundCase, ReadCase
from client.convert.resumption import fingerprint_of, read_done, write_done
from protocol.errors import CaseError


def _found(*files: Path) -> FoundCase:
    return FoundCase("1.2.3", "A", files, lambda _: ReadCase())


def test_the_order_in_which_files_are_found_does_not_matter(tmp_path: Path) -> None:
    one, other = tmp_path / "1", tmp_path / "2"
    one.write_text("1")
    other.write_text("22")
    both = (_found(one, other), _found(other, one))
    assert len({fingerprint_of(found, Choices(), "dicom") for found in both}) == 1


@pytest.mark.parametrize("change", ["size", "time", "gone", "more", "rois", "suv", "declared", "layout"])
def test_any_change_is_seen(tmp_path: Path, change: str) -> None:
    file = tmp_path / "image"
    file.write_text("1")
    os.utime(file, ns=(5, 5))
    before = fingerprint_of(_found(file), Choices(), "dicom")
    if change == "size":
        file.write_text("22")
        os.utime(file, ns=(5, 5))
    elif change == "time":
        os.utime(file, ns=(5, 6))
    elif change == "gone":
        file.unlink()
    files = [file, tmp_path / "new"] if change == "more" else [file]
    choices = {"rois": Choices(rois="gtv"), "suv": Choices(suv="lbm"), "declared": Choices(declared_suv=True)}
    after = fingerprint_of(_found(*files), choices.get(change, Choices()), "nifti" if change == "layout" else "dicom")
    assert after != before


def test_what_was_made_is_read_back(tmp_path: Path) -> None:
    done = {"case-a": Done("f", {"ct.nii.gz": "c"})}
    assert read_done(tmp_path / "state.json") == {}
    write_done(tmp_path / "state.json", done)
    assert read_done(tmp_path / "state.json") == done


def test_a_damaged_list_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(CaseError, match=r"remove it, and every case is converted again"):
        read_done(tmp_path / "state.json")
