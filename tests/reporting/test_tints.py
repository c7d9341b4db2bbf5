from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reporting.tints import tint


def test_the_ends_of_the_scale_have_the_ends_of_viridis():
    assert tint(0.4, 0.4, 0.8).background == tint(0).background == "#440154"
    assert tint(0.8, 0.4, 0.8).background == tint(1).background == "#fde725"


@given(st.floats(0, 1))
def test_the_ink_of_every_score_can_be_read(value: float):
    assert contrast(tint(value)) >= 4.5


def contrast(found: Any) -> float:
    """WCAG contrast ratio of ink on background."""
    levels = sorted(luminance(colour) for colour in (found.background, found.ink))
    return (levels[1] + 0.05) / (levels[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
