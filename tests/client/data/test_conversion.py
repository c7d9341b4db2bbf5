"""What a record of a conversion says where nothing is known."""

import dataclasses

import pytest

from client.data.conversion import Conversion


def test_what_is_not_known_is_none_and_no_guess() -> None:
    record = Conversion("nifti", "concilium 1.0")
    assert (record.pet_values, record.registration, record.contours_from) == (None, None, None)
    assert (record.rois, record.issues) == ((), ())


def test_a_record_is_never_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Conversion("nifti", "concilium 1.0").layout = "dicom"  # type: ignore[misc]
