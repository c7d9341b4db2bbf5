"""What is an image of a case is told by class, type and modality; everything else has a name."""

from dataclasses import replace

import pytest

from client.dicom.kinds import LeftOut, classify
from tests.support.indexed import series

CT = replace(series("ct", "1").instances[0], sop_class_uid="1.2.840.10008.5.1.4.1.1.2", modality="CT")


@pytest.mark.parametrize(
    ("sop_class", "modality", "kind"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "CT", "ct"),
        ("1.2.840.10008.5.1.4.1.1.2.1", "CT", "ct"),
        ("1.2.840.10008.5.1.4.1.1.128", "PT", "pet"),
        ("1.2.840.10008.5.1.4.1.1.130", "PT", "pet"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT", "rtstruct"),
        ("1.2.840.10008.5.1.4.1.1.66.4", "SEG", "seg"),
    ],
)
def test_images_and_contours_have_a_kind(sop_class: str, modality: str, kind: str) -> None:
    assert classify(replace(CT, sop_class_uid=sop_class, modality=modality)) == kind


@pytest.mark.parametrize(
    ("sop_class", "name"),
    [
        ("1.2.840.10008.5.1.4.1.1.7", "Secondary Capture Image Storage"),
        ("1.2.840.10008.5.1.4.1.1.88.67", "X-Ray Radiation Dose SR Storage"),
        ("1.2.840.10008.5.1.4.1.1.4", "MR Image Storage"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "Grayscale Softcopy Presentation State Storage"),
        ("1.2.3*", "an unknown class"),
        ("", "an unknown class"),
    ],
)
def test_other_objects_are_left_out_by_the_name_of_their_class(sop_class: str, name: str) -> None:
    left = classify(replace(CT, sop_class_uid=sop_class))
    assert isinstance(left, LeftOut)
    assert name in left.what
    assert "1.2.3" not in left.what


@pytest.mark.parametrize(
    ("image_type", "what"),
    [
        (("ORIGINAL", "PRIMARY", "LOCALIZER"), "scout images"),
        (("DERIVED", "SECONDARY", "SCREEN SAVE"), "screenshots"),
        (("DERIVED", "SECONDARY", "MIP"), "projections"),
    ],
)
def test_scouts_screenshots_and_projections_are_left_out(image_type: tuple[str, ...], what: str) -> None:
    left = classify(replace(CT, image_type=image_type))
    assert isinstance(left, LeftOut)
    assert (left.what, left.usual) == (what, True)


def test_a_class_that_its_modality_contradicts_is_left_out() -> None:
    left = classify(replace(CT, modality="MR"))
    assert isinstance(left, LeftOut)
    assert (left.code, left.usual) == ("modality-contradicts", False)


def test_derived_images_with_a_place_stay() -> None:
    """So does the PET of many archives: resampled, and marked as derived and secondary."""
    assert classify(replace(CT, image_type=("DERIVED", "SECONDARY"))) == "ct"
