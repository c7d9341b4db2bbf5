"""Plots of a cohort: their words, and what they cannot show."""

from base64 import b64decode

from client.data.volume import Grid
from client.viewing.case_figures import CaseFigures
from client.viewing.cohort_plots import Plot, cohort_plots

GRIDS = [{"ct": Grid((2, 2, 2), (3.0, 1.0, 1.0))}, {"pet": Grid((2, 2, 2), (3.0, 4.0, 4.0))}, {}]
FIGURES = [CaseFigures(tumour_suv_max=4.0, volume_ml=1.0), CaseFigures(tumour_suv_max=8.0), CaseFigures()]


def plots() -> dict[str, Plot]:
    return {plot.title: plot for plot in cohort_plots(FIGURES, GRIDS)}  # type: ignore[arg-type]


def test_undefined_cases_are_counted_not_drawn():
    found = plots()
    assert found["SUVmax in the contour"].words == "4.0 to 8.0 SUV, median 6.0 SUV; 2 case(s)"
    assert {title: plot.undefined for title, plot in found.items()} == {
        "SUVmax in the contour": 1,
        "SUVmax of the whole PET": 3,
        "Volume of the contour": 2,
        "Spacings": 1,
        "Distribution of HU": 3,
    }


def test_spacings_are_told_for_ct_and_pet():
    assert plots()["Spacings"].words == "CT 1.00 to 1.00 mm in the plane; PET 4.00 to 4.00 mm in the plane"


def test_a_plot_is_an_svg_in_the_page_and_the_same_each_time():
    address = plots()["Spacings"].address
    assert b64decode(address.removeprefix("data:image/svg+xml;base64,")).rstrip().endswith(b"</svg>")
    assert address == plots()["Spacings"].address


def test_an_empty_cohort_is_drawn_too():
    assert [plot.words for plot in cohort_plots([], [])][:4] == ["no case has it; 0 case(s)"] * 3 + [
        "no case has an image"
    ]
