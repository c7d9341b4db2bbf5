"""No message that leaves the private folder names a patient, a date, a UID or a path."""

from pathlib import Path

import pytest

from client.convert.discretion import WITHHELD, is_discreet, private_words, withhold, withhold_name
from client.data.checks import Issue

WORDS = private_words(["Mueller^Hans", "4711-A", "19550312"], [Path("/archive/mueller h/000001")])


def test_the_parts_of_a_name_count_from_two_characters() -> None:
    assert private_words(["Li^Hans^P"], []) == ("hans", "li")


@pytest.mark.parametrize(
    "text",
    [
        "drawn by HANS",
        "patient 4711-A",
        "cannot open /archive/mueller h/000002",
        "series 1.3.6.1.4.1.14519.5 is gone",
        "acquired 20200301",
        "region 'GTVHans'",
    ],
)
def test_a_message_that_names_somebody_is_withheld(text: str) -> None:
    issue = withhold(Issue("code", "case-a", text, "warning", file="pet.nii.gz", source="/archive"), WORDS)
    assert issue.message == "case 'case-a': found code; read its words in issues.json of the private folder"
    assert (issue.code, issue.case, issue.grade, issue.source) == ("code", "case-a", "warning", "")


@pytest.mark.parametrize(
    ("patient", "name"),
    [
        (("王小明", "88123"), "GTV 王小明"),
        (("王小明", "88123"), "GTV王小明2"),
        (("Kim^Li", "991"), "GTV Kim"),
        (("Kim^Li", "991"), "li_gtv"),
        (("Kim^Li", "991"), "GTV 991"),
        (("Kim^Li", "991"), "GTV991"),
        (("Kim^Li", "991"), "GTVKim"),
        (("Kim^Li", "991"), "KimGTV"),
        (("Ott^Eva", "77"), "GTV_OTT"),
        (("Weiß^Jürgen",), "gtv WEISS"),
        (("Weiß^Jürgen",), "GTV Juergen"),
        (("Weiß^Jürgen",), "GTV Jurgen"),
        (("Lehmann^Karl",), "GTVLehmann"),
        (("19550312",), "GTV 120355"),
        (("Case^Slice",), "GTV Case"),
    ],
)
def test_the_name_of_a_contour_that_holds_a_word_of_the_patient_is_withheld(
    patient: tuple[str, ...], name: str
) -> None:
    words = private_words(patient, [])
    assert withhold_name(name, words) == WITHHELD
    assert not is_discreet(f"the regions '{name}', expected one", words)


@pytest.mark.parametrize(
    "date",
    [
        "12.03.1955",
        "1955-03-12",
        "12/03/55",
        "03-12-1955",
        "1955/3/12",
        "12. 3. 1955",
        "12 03 1955",
        "12_03_55",
        "19550312",
        "12 Mar 1955",
        "12. März 55",
        "12MAR1955",
    ],
)
def test_a_date_in_any_usual_form_is_withheld(date: str) -> None:
    assert withhold_name(f"GTV {date}", ()) == WITHHELD
    assert not is_discreet(f"found {date}", ())


@pytest.mark.parametrize(
    "text", ["grid zyx (10, 64, 64) of (3.00, 1.50, 1.50) mm", "GTV_Mass_CT", "12345678 voxels", "GTV 1", "GTV 40% SUV"]
)
def test_figures_and_names_of_contours_are_kept(text: str) -> None:
    issue = Issue("code", "case-a", text, "error", source="/archive")
    assert withhold(issue, WORDS).message == text
    assert withhold_name(text, WORDS) == text
    assert is_discreet(text, WORDS)


@pytest.mark.parametrize("name", ["Slice^Case", "Weight^Dose", "Li^Price", "Center^Pet", "Total^Patient", "1030"])
def test_a_name_that_is_a_word_of_our_sentences_costs_no_message(name: str) -> None:
    text = (
        "case 'case-abcdefghij23': pet.nii.gz: found no PatientWeight (0010,1030) of slices, expected 12; give "
        "the weight and the RadionuclideTotalDose"
    )
    assert is_discreet(text, private_words([name, "12"], []))


def test_a_remedy_is_read_too() -> None:
    assert withhold(Issue("code", "", "found", "note", remedy="ask Mueller"), WORDS).message.startswith("found code")
