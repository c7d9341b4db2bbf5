"""Findings are counted and listed in one way."""

import pytest

from client.cli.finding_view import all_counts, count_grades, few_counts, issue_lines
from client.data.checks import Issue


def test_notes_and_warnings_do_not_drown_what_matters() -> None:
    told = [Issue("mask-parts", f"case-{n}", f"note {n}", "note") for n in range(9)]
    lines = issue_lines([*told, Issue("constant", "x", "an error", "error")])
    assert lines[:2] == ["error constant: 1", "  an error"]
    assert lines[2:] == ["note mask-parts: 9", "  note 0", "  note 1", "  note 2", "  and 6 more; --json lists them"]


@pytest.mark.parametrize(
    ("grades", "whole", "few"),
    [
        ((), "0 errors, 0 warnings, 0 notes", "-"),
        (("note", "error", "note"), "1 error, 0 warnings, 2 notes", "1 error, 2 notes"),
    ],
)
def test_counts_are_of_each_grade_or_of_those_that_are_there(grades: tuple[str, ...], whole: str, few: str) -> None:
    counts = count_grades(grades)
    assert (all_counts(counts), few_counts(counts)) == (whole, few)
