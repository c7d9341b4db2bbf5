"""The list of what a PET's header keeps is whole: whatever the modules of SUV ask a header for is in it."""

import re
from pathlib import Path

import pytest
from pydicom.datadict import tag_for_keyword

from client.dicom import body, clock, decay, injection, suv
from client.dicom.pet_keywords import KEYWORDS, PRIVATE_GROUPS

OF_A_DRUG = ("RadiopharmaceuticalStart", "Radionuclide", "CodeValue")
"""Elements of the items of RadiopharmaceuticalInformationSequence, which is kept whole."""


@pytest.mark.parametrize("module", [body, clock, decay, injection, suv])
def test_every_element_that_the_module_names_is_kept(module) -> None:
    words = set(re.findall(r'"([A-Z][A-Za-z]{4,})"', Path(module.__file__).read_text("utf-8")))
    named = {word for word in words if tag_for_keyword(word)}
    events = {f"{word}{part}" for word in words & {"Series", "Acquisition"} for part in ("Date", "Time", "DateTime")}
    needed = {word for word in named | events if tag_for_keyword(word) and not word.startswith(OF_A_DRUG)}
    assert needed <= set(KEYWORDS)


def test_the_groups_of_both_private_creators_are_kept() -> None:
    assert PRIVATE_GROUPS == (0x0009, 0x7053)
