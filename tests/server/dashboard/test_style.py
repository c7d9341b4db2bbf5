"""Shades of the heat maps and the style sheet that has them."""

import pytest

from reporting.pages import open_templates
from reporting.tints import tint
from server.dashboard.style import STEPS, shade_of, style_sheet


@pytest.mark.parametrize(
    ("value", "low", "high", "shade"),
    [
        (0.0, 0.0, 1.0, 0),
        (1.0, 0.0, 1.0, 20),
        (0.5, 0.0, 1.0, 10),
        (0.6, 0.5, 0.7, 10),
        (7.0, 0.0, 1.0, 20),
        (1, 1, 1, 0),
    ],
)
def test_a_value_has_the_shade_of_its_place_on_the_scale(value, low, high, shade):
    assert shade_of(value, low, high) == f"shade-{shade}"


def test_the_style_sheet_has_every_shade_with_an_ink_that_can_be_read():
    sheet = style_sheet(open_templates("server.dashboard"))
    assert sheet.count(".heat td.shade-") == STEPS
    assert f".shade-20 {{ background: {tint(1.0).background}; color: #000000; }}" in sheet
    assert "http" not in sheet
