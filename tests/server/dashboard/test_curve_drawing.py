"""The small drawings: what a line goes through, what is told of it, and nothing that the page's policy forbids."""

import re

from server.dashboard.curve_drawing import draw_curves, tell_curves
from server.results.charts import MARKS, Curves

CURVES = Curves(
    stage_starts=(1, 3),
    label="Dice",
    scores={"ct": (0.0, None, 1.0, 0.5), "ct+pet": (None, None, None, None)},
    loss=(1.0, 1.0, 1.0, 1.0),
    down=(1, 1, 1, 1),
    up=(1, 1, 1, 1),
    failed=(False, True, False, False),
)


def test_a_line_goes_from_the_foot_to_the_top_and_has_a_gap_where_nothing_is_known():
    """Four rounds over 320 - 38 = 282 units from x 30; scores 0 to 1 over 120 units from y 128 up to 8."""
    drawn = draw_curves(CURVES)
    assert re.findall(r'points="([^"]+)"', drawn) == ["30.0,128.0", "218.0,8.0 312.0,68.0"]
    assert f'stroke="{MARKS["ct"].colour}"' in drawn
    assert MARKS["ct+pet"].colour not in drawn


def test_a_round_that_was_not_completed_is_crossed_and_a_stage_has_a_dashed_line():
    drawn = draw_curves(CURVES)
    assert drawn.count("#B2182B") == 1
    assert drawn.count('stroke-dasharray="3 3"') == 1


def test_no_style_is_inline():
    assert "style" not in draw_curves(CURVES)


def test_a_drawing_is_told_in_words():
    assert tell_curves(CURVES, 3) == "CT from 0.000 to 0.500; 1 round not completed"
    nothing = Curves((1,), "Dice", {}, (None,), (None,), (None,), (False,))
    assert tell_curves(nothing, 3) == "no score yet"
    assert draw_curves(nothing).startswith("<svg")
