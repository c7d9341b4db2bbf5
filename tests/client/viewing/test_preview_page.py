"""The page of all cases: what it says, what it must not ask for, and who may read it."""

import re
from pathlib import Path

import pytest

from client.data.checks import Issue
from client.data.manifest import Case, Manifest
from client.viewing.case_overviews import CaseOverview, overview
from client.viewing.preview_page import grades_of, preview_html, write_preview


@pytest.fixture(scope="module")
def page(looked_at: Manifest) -> str:
    return preview_html(looked_at, [overview(case) for case in looked_at.cases])


def test_cases_are_counted_by_grade(page: str):
    """Case "both" is sound, "plain" lacks a contour (warning), "sole" has a contour of 7 (error)."""
    for told in ("all 3", "✖ error: 1", "▲ warning: 1", "● note: 0", "✓ no finding: 1"):
        assert f">{told}</label>" in page


def test_a_case_shows_its_figures_and_its_findings_with_the_remedy(page: str):
    assert "SUVmax in the contour 8.00, of the PET 8.00; contour 1.2 ml" in page
    assert "SUVmax in the contour undefined, of the PET undefined" in page
    assert "; <strong>write a binary mask</strong> (" in page


def test_nothing_is_asked_for_from_elsewhere(page: str):
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "<script" not in page
    addresses = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert addresses
    assert all(address.startswith("data:") for address in addresses)


def test_every_picture_is_told_in_words(page: str):
    assert page.count("<img") == len(re.findall(r"<img [^>]*alt=\"[^\"]{20,}", page)) == 3 + 5


def test_what_a_file_says_cannot_become_markup():
    issue = Issue("x", "<b>case", "found <script>alert(1)</script>", "error", remedy="<i>mend</i>")
    case = Case("<b>case", "p", "hgj", {}, {}, {}, (issue,))
    page = preview_html(Manifest("<u>hgj", (case,), (issue,)), [CaseOverview()])
    assert not any(mark in page for mark in ("<b>", "<script>", "<i>", "<u>"))


def test_grades_are_sorted_worst_first():
    issues = tuple(Issue("x", "c", "m", grade) for grade in ("note", "error"))
    assert grades_of(Case("c", "c", "hgj", {}, {}, {}, issues)) == ("error", "note")
    assert grades_of(Case("c", "c", "hgj", {}, {}, {})) == ("clear",)


def test_the_page_is_for_its_owner_alone(looked_at: Manifest, tmp_path: Path):
    path = tmp_path / "pages" / "preview.html"
    size = write_preview(looked_at, [CaseOverview()] * 3, path)
    assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o600, size)
    assert "No image of this case can be read." in path.read_text()
