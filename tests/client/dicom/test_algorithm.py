"""What every output says of its maker, within the lengths of DICOM."""

from dataclasses import replace

from client.dicom.algorithm import program_version
from tests.support.drawn_mask import ALGORITHM, SHA256


def test_a_description_names_adapter_hash_and_research() -> None:
    assert ALGORITHM.description == f"shared/0002 {SHA256[:12]}; research, not a medical device"


def test_a_long_name_of_an_adapter_is_cut_before_hash_and_research_are() -> None:
    found = replace(ALGORITHM, adapter="a" * 64 + "/0002")
    assert (len(found.description), len(found.name)) == (64, 64)
    assert found.description.endswith(f"{SHA256[:12]}; research, not a medical device")


def test_the_version_is_that_of_the_package() -> None:
    assert program_version().count(".") >= 1
