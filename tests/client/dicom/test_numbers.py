import pytest
from pydicom.dataset import Dataset

from client.data.checks import Issue
from client.dicom.numbers import name, number, read_number
from tests.support.pet_headers import SUBJECT


def read(value: object) -> float | Issue:
    data = Dataset()
    data.add_new("PatientWeight", "UT", value)
    return read_number(data, "PatientWeight", (1, 400), SUBJECT, code="pet-weight", unit="kg", step="enter it")


def test_a_number_within_its_limits_is_read() -> None:
    assert read("70") == 70.0


@pytest.mark.parametrize("value", ["", None, "heavy", "nan", "inf"])
def test_a_number_that_is_none_is_an_issue_with_its_tag(value: str | None) -> None:
    issue = read(value)
    assert isinstance(issue, Issue)
    found = "pet.nii.gz: found no PatientWeight (0010,1030), expected 1 to 400 kg; enter it (case-a/pet.nii.gz)"
    assert issue.message.endswith(found)


@pytest.mark.parametrize("value", ["0", "-70", "700", "70000"])
def test_a_number_outside_of_its_limits_is_an_issue_with_its_value(value: str) -> None:
    issue = read(value)
    assert isinstance(issue, Issue)
    assert f"PatientWeight (0010,1030) {float(value):g} kg, expected 1 to 400 kg" in issue.message


def test_several_values_are_no_number() -> None:
    data = Dataset()
    data.PixelSpacing = [1.0, 2.0]
    assert number(data, "PixelSpacing") is None


def test_an_element_is_named_with_its_tag() -> None:
    assert name("RadionuclideTotalDose") == "RadionuclideTotalDose (0018,1074)"
