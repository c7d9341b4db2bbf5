"""What stays with a center by its split, with numbers one can count."""

import pytest

from client.data.split import part_sizes
from client.data.split_outlook import (
    count_parts,
    fewest_patients,
    outlook_lines,
    split_words,
    thin_parts,
    wanted_parts,
    withheld_words,
)
from protocol.messages.settings import Split

EIGHT = {"train": 5, "validation": 1, "test": 2}


def test_eight_cases_withhold_all_scores_at_the_default() -> None:
    """The split of the defaults: 0.16 and 0.2 of 8 are 1.28 and 1.6."""
    sizes = part_sizes(8, Split())
    assert sizes == EIGHT
    assert split_words(sizes) == "train 5, validation 1, test 2"
    assert thin_parts(sizes, Split(), 5) == ("validation", "test")
    assert withheld_words(["validation", "test"]) == (
        "validation scores and the comparison that the no-harm gate asks for, test scores"
    )


def test_a_part_without_a_share_or_without_a_case_withholds_nothing() -> None:
    assert wanted_parts(Split(test=0.0)) == ("train", "validation")
    assert thin_parts({"train": 5, "validation": 0, "test": 2}, Split(test=0.0), 5) == ()
    assert count_parts(["train", "test", "train"]) == {"train": 2, "validation": 0, "test": 1}


@pytest.mark.parametrize(
    ("split", "fewest"), [(Split(), 29), (Split(validation=0.0, test=0.5), 10), (Split(fold=1, folds=5), 29)]
)
def test_so_many_patients_fill_every_part(split: Split, fewest: int) -> None:
    """0.16 of 29 is 4.64, of 28 4.48; half of 9 rounds to 5 tests and leaves 4 to train; a fifth of 25 is 5."""
    assert fewest_patients(split, 5) == fewest


def test_the_outlook_names_what_is_withheld_and_from_when_on_nothing_is() -> None:
    first, last = outlook_lines(Split(), 5, [8])
    assert first.startswith("8 patients: train 5, validation 1, test 2; withheld: validation scores and")
    assert last == "from 29 patients on nothing is withheld"
