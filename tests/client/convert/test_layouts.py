"""A source is read by the one layout that recognizes it; none or two are refused by name."""

from pathlib import Path

import pytest

from client.convert.contract import FoundCases
from client.convert.layouts import LAYOUTS, LayoutRow, recognize_layout
from client.data.conversion import Layout
from protocol.errors import CaseError
from tests.support.nifti_files import write_ct


def _row(mark: str) -> LayoutRow:
    return LayoutRow(lambda source: f"it has {mark}" if (source / mark).exists() else "", lambda _: FoundCases(()))


ROWS: dict[Layout, LayoutRow] = {"nnunet": _row("dataset.json"), "hecktor": _row("imagesTr")}


def test_the_layout_that_recognizes_a_source_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "imagesTr").mkdir()
    assert recognize_layout(tmp_path, ROWS) == ("hecktor", "it has imagesTr")


def test_a_source_of_two_layouts_is_not_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "dataset.json").touch()
    with pytest.raises(CaseError, match=r"2 layouts \(nnunet: it has dataset\.json; hecktor: .*--layout"):
        recognize_layout(tmp_path, ROWS)


def test_a_source_of_no_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"none of the layouts nnunet, hecktor"):
        recognize_layout(tmp_path, ROWS)


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="does not exist"):
        recognize_layout(tmp_path / "none", ROWS)


def test_no_layout_of_the_table_recognizes_an_empty_folder(tmp_path: Path) -> None:
    assert {name for name, row in LAYOUTS.items() if row.recognize(tmp_path)} == set()


def test_each_layout_of_files_is_told_by_its_own_row_alone(tmp_path: Path) -> None:
    write_ct(tmp_path / "nifti" / "p1_ct.nii.gz")
    write_ct(tmp_path / "hecktor" / "imagesTr" / "CHUM-001__CT.nii.gz")
    for name in ("CT", "SUV"):
        write_ct(tmp_path / "autopet" / "PETCT_1" / "study" / f"{name}.nii.gz")
    write_ct(tmp_path / "nnunet" / "imagesTr" / "p1_0000.nii.gz")
    (tmp_path / "nnunet" / "dataset.json").write_text('{"channel_names": {"0": "CT"}}')
    (tmp_path / "pclt20k" / "0001").mkdir(parents=True)
    for name in ("CT", "PET"):
        (tmp_path / "pclt20k" / "0001" / f"0001_1_{name}.png").touch()
    names: list[Layout] = ["nifti", "hecktor", "autopet", "nnunet", "pclt20k"]
    assert [recognize_layout(tmp_path / name)[0] for name in names] == names


def test_a_folder_of_data_sets_is_told_which_of_its_folders_are_some(tmp_path: Path) -> None:
    (tmp_path / "Dataset221").mkdir()
    (tmp_path / "Dataset221/dataset.json").touch()
    (tmp_path / "other").mkdir()
    with pytest.raises(CaseError, match=r"none of .*; its folders do: Dataset221 \(nnunet\); name one of them"):
        recognize_layout(tmp_path, ROWS)
