"""nnU-Net's raw data sets."""

import json
from pathlib import Path

import pytest

from client.convert.contract import Choices
from client.convert.nnunet_layout import find_nnunet_cases, recognize_nnunet
from client.data.conversion import PetValues
from protocol.errors import CaseError
from tests.support.nifti_files import CT_GRID, codes, read_only, write_ct, write_labels, write_pet

BOX = (slice(0, 1), slice(0, 2), slice(0, 2))
OTHER = (slice(3, 4), slice(0, 3), slice(0, 1))
V2 = {
    "channel_names": {"0": "PET", "1": "CT"},
    "labels": {"background": 0, "tumour": 1},
    "numTraining": 1,
    "file_ending": ".nii.gz",
}


def _dataset(root: Path, *, images: str = "imagesTr", **changes) -> Path:
    content = {key: value for key, value in {**V2, **changes}.items() if value is not None}
    (root / images).mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(content))
    write_pet(root / images / "p_1_0000.nii.gz", grid=CT_GRID)
    write_ct(root / images / "p_1_0001.nii.gz")
    write_labels(root / "labelsTr" / "p_1.nii.gz", {1: BOX})
    return root


def test_channels_are_told_by_name_and_not_by_number(tmp_path: Path):
    read = read_only(find_nnunet_cases(_dataset(tmp_path), Choices(declared_suv=True)))
    assert read.ct is not None
    assert read.pet is not None
    assert (float(read.ct.array_zyx.min()), float(read.pet.array_zyx.max())) == (-1000, 5)
    assert (read.rois, read.pet_values, read.issues) == (("tumour",), PetValues("bw", "declared"), ())


def test_a_pet_of_which_nobody_says_that_it_is_suv_is_an_error(tmp_path: Path):
    read = read_only(find_nnunet_cases(_dataset(tmp_path), Choices()))
    assert codes(read) == [("pet-quantity", "pet.nii.gz", "warning")]


def test_a_channel_named_suv_says_what_it_holds(tmp_path: Path):
    _dataset(tmp_path, channel_names={"0": "PET_SUV", "1": "CT"})
    assert read_only(find_nnunet_cases(tmp_path, Choices())).pet_values == PetValues("bw", "declared")


def test_a_pet_named_ct_for_its_normalization_is_refused(tmp_path: Path):
    with pytest.raises(CaseError, match="channels CT, CT, expected at most one"):
        find_nnunet_cases(_dataset(tmp_path, channel_names={"0": "CT", "1": "CT"}), Choices())


def test_version_1_names_labels_the_other_way_round(tmp_path: Path):
    _dataset(
        tmp_path,
        channel_names=None,
        file_ending=None,
        modality={"0": "PET", "1": "CT"},
        labels={"0": "background", "1": "tumour"},
    )
    assert read_only(find_nnunet_cases(tmp_path, Choices(declared_suv=True))).rois == ("tumour",)


def test_a_region_is_all_of_its_values(tmp_path: Path):
    _dataset(tmp_path, labels={"background": 0, "whole": [1, 2], "core": 2})
    write_labels(tmp_path / "labelsTr" / "p_1.nii.gz", {1: BOX, 2: OTHER})
    choices = Choices(declared_suv=True, rois="whole")
    read = read_only(find_nnunet_cases(tmp_path, choices))
    assert read.gtv is not None
    assert int(read.gtv.array_zyx.sum()) == 4 + 3
    assert codes(read_only(find_nnunet_cases(tmp_path, Choices(declared_suv=True)))) == [
        ("several-rois", "gtv.nii.gz", "warning")
    ]


def test_voxels_that_nobody_judged_are_not_outside_the_tumour(tmp_path: Path):
    _dataset(tmp_path, labels={"background": 0, "tumour": 1, "ignore": 2})
    write_labels(tmp_path / "labelsTr" / "p_1.nii.gz", {1: BOX, 2: OTHER})
    read = read_only(find_nnunet_cases(tmp_path, Choices(declared_suv=True)))
    assert codes(read) == [("mask-unjudged", "gtv.nii.gz", "warning")]


def test_a_case_for_testing_has_no_mask_and_a_missing_channel_is_told(tmp_path: Path):
    _dataset(tmp_path, images="imagesTs")
    (tmp_path / "imagesTs" / "p_1_0000.nii.gz").unlink()
    found = find_nnunet_cases(tmp_path, Choices())
    assert codes(read_only(found)) == [("no-channel", "pet.nii.gz", "warning")]
    assert read_only(found).gtv is None
    assert [issue.code for issue in found.issues] == ["patients-unknown"]


def test_files_that_the_description_lists_are_those_that_are_read(tmp_path: Path):
    _dataset(tmp_path)
    listed = {"images": ["imagesTr/p_1_0000.nii.gz", "imagesTr/p_1_0001.nii.gz"], "label": "labelsTr/p_1.nii.gz"}
    _dataset(tmp_path, dataset={"only": listed})
    found = find_nnunet_cases(tmp_path, Choices(declared_suv=True))
    assert [case.identity for case in found.cases] == ["only"]
    assert codes(read_only(found)) == []


@pytest.mark.parametrize(
    ("changes", "told"), [({"file_ending": ".png"}, "no place in space"), ({"labels": 3}, "no description")]
)
def test_what_is_no_description_of_images_in_space_is_refused(tmp_path: Path, changes, told):
    with pytest.raises(CaseError, match=told):
        find_nnunet_cases(_dataset(tmp_path, **changes), Choices())


def test_a_data_set_is_recognized_by_its_description(tmp_path: Path):
    assert recognize_nnunet(tmp_path) == ""
    assert "dataset.json" in recognize_nnunet(_dataset(tmp_path))


def test_a_pet_of_a_pet_ct_is_no_second_ct(tmp_path: Path):
    _dataset(tmp_path, channel_names={"0": "PET of PET/CT", "1": "CT"})
    read = read_only(find_nnunet_cases(tmp_path, Choices(declared_suv=True)))
    assert read.ct is not None
    assert float(read.ct.array_zyx.min()) == -1000
