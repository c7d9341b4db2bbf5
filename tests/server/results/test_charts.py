import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from protocol.modalities import SETTINGS
from server.results.charts import DOWN, MARKS, UP, Curves, curves_svg, gradient, legend_mark, tenths_around


def test_the_colour_scale_ends_at_whole_tenths():
    assert tenths_around([0.433, None, 0.702]) == (0.4, 0.8)
    assert tenths_around([None]) == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_every_score_lies_inside_the_colour_scale(values: list[float]):
    low, high = tenths_around(values)
    assert low <= min(values) <= max(values) <= high + 1e-9


def test_the_legend_of_the_scale_begins_and_ends_with_the_colours_of_its_ends() -> None:
    stops = re.findall(r"#[0-9a-f]{6}", gradient(0.4, 0.8))
    assert (len(stops), stops[0], stops[-1]) == (9, "#440154", "#fde725")


CURVES = Curves(
    stage_starts=(1, 3),
    label="Dice",
    scores={"ct": (None, 0.25, 0.5)},
    loss=(1.0, None, 0.5),
    down=(3_000_000, 1_000_000, None),
    up=(1_000_000, None, 1_000_000),
    failed=(False, True, False),
)


def test_the_curves_of_a_center_say_what_they_show_and_begin_a_second_stage() -> None:
    drawn = curves_svg(CURVES, "curves-0")
    assert [text in drawn for text in ("validation Dice", "training loss", ">MB<", ">round<")] == [True] * 4
    assert (drawn.count(DOWN.lower()), drawn.count(UP.lower())) == (3, 3)
    assert [re.search(f">{number}</text>", drawn) is not None for number in (1, 2)] == [True, True]


def test_what_is_beyond_all_measure_leaves_a_gap_in_a_drawing() -> None:
    values = (1e308, -1e308, 0.5)
    drawn = curves_svg(replace(CURVES, scores={"ct": values}, loss=values), "curves-0")
    assert "nan" not in drawn
    assert tenths_around([*values, float("nan")]) == (0.5, 0.6)


def test_ids_begin_with_the_name_that_is_unique_in_the_page() -> None:
    ids = re.findall(r' id="([^"]+)"', curves_svg(CURVES, "curves-7"))
    assert ids
    assert all(name.startswith("curves-7-") for name in ids)


def test_every_setting_has_a_mark_of_its_own_in_drawings_and_legends() -> None:
    assert set(MARKS) == set(SETTINGS)
    assert len({mark.colour for mark in MARKS.values()}) == len(SETTINGS)
    assert len({legend_mark(setting) for setting in SETTINGS}) == len(SETTINGS)
    assert legend_mark("ct+pet").endswith('stroke-width="2"/><circle cx="15" cy="5" r="4" fill="#009E73"/></svg>')
