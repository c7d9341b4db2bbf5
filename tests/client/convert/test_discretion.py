"""No message that leaves the private folder names a patient, a date, a UID or a path."""

from pathlib import Path

import pytest

from client.convert.discretion import WITHHELD, is_discreet, private_words, withhold, withhold_name
from client.data.checks import Issue

WORDS = private_words(["Mueller^Hans", "4711-A"], [Path("/archive/mueller h/000001")])


def test_the_parts_of_a_name_count_from_four_characters() -> None:
    assert private_words(["Li^Hans^Peter"], []) == ("Hans", "Li^Hans^Peter", "Peter")


@pytest.mark.parametrize(
    "text",
    [
        "drawn by HANS",
        "patient 4711-A",
        "cannot open /archive/mueller h/000002",
        "series 1.3.6.1.4.1.14519.5 is gone",
        "acquired 20200301",
    ],
)
def test_a_message_that_names_somebody_is_withheld(text: str) -> None:
    issue = withhold(Issue("code", "case-a", text, "warning", file="pet.nii.gz", source="/archive"), WORDS)
    assert issue.message == "case 'case-a': found code; read its words in issues.json of the private folder"
    assert (issue.code, issue.case, issue.grade, issue.source) == ("code", "case-a", "warning", "")
    assert withhold_name(text, WORDS) == WITHHELD


@pytest.mark.parametrize("text", ["grid zyx (10, 64, 64) of (3.00, 1.50, 1.50) mm", "GTV_Mass_CT", "12345678 voxels"])
def test_figures_and_names_of_contours_are_kept(text: str) -> None:
    issue = Issue("code", "case-a", text, "error", source="/archive")
    assert withhold(issue, WORDS).message == text
    assert withhold_name(text, WORDS) == text
    assert is_discreet(text, WORDS)


def test_a_remedy_is_read_too() -> None:
    assert withhold(Issue("code", "", "found", "note", remedy="ask Mueller"), WORDS).message.startswith("found code")
