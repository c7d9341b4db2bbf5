"""The curve becomes a picture or a page, and nothing else."""

from pathlib import Path

import pytest

from client.privacy.spending import Spending, Spent
from client.privacy.spending_picture import PictureError, write_picture

SPENDING = Spending((Spent(1e-3, 1.5, 3.0),), {}, ((1, 1.0), (2, 1.5)))


def test_a_picture_is_drawn_and_a_page_says_what_is_spent(tmp_path: Path) -> None:
    write_picture(tmp_path / "curve.png", SPENDING)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    write_picture(tmp_path / "curve.html", SPENDING)
    page = (tmp_path / "curve.html").read_text()
    assert "<p>Epsilon 1.5 of 3 promised is spent at delta 0.001.</p>" in page
    assert page.count("<svg") == 1


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"ends with neither of \['.html', '.png'\]"):
        write_picture(tmp_path / "curve.gif", SPENDING)
