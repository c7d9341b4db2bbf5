"""Centers as lines: the figures of each, and a curve that is small however many rounds there were."""

from typing import Any

import pytest

from server.results import report
from server.results.center_lines import POINTS, center_lines, gate_lines
from server.results.charts import Curves
from server.results.report import report_html
from tests.support.example_result import example_result, visible_text


def curves(*values: float | None) -> Curves:
    nothing = (None,) * len(values)
    failed = tuple(value is None for value in values)
    return Curves((1,), "Dice", {"ct": values}, loss=values, down=nothing, up=nothing, failed=failed)


def test_a_line_tells_the_last_figures_and_the_rounds_that_were_not_completed() -> None:
    (line,) = center_lines({"a": (3, curves(0.25, 0.5, None))}, ["ct", "pet"])
    assert (line.center, line.rounds, line.missed) == ("a", 3, 1)
    assert (line.scores, line.loss) == (("0.500", "undefined"), "0.500")


def test_a_curve_has_a_gap_where_nothing_is_known_and_rises_with_the_score() -> None:
    (line,) = center_lines({"a": (4, curves(0, 1, None, 0.5))}, ["ct"])
    assert 'd="M0 23.0h1L40 1.0M120 12.0h1"' in line.svg


def test_a_curve_of_a_thousand_rounds_has_forty_points() -> None:
    (line,) = center_lines({"a": (1000, curves(*[0.5] * 1000))}, ["ct"])
    assert line.svg.count("L") == POINTS - 1


def test_the_gates_that_a_center_told_last() -> None:
    rounds: list[dict[str, Any]] = [
        {"center": "a", "diagnostics": {"gate/1/ct/mean": mean, "gate/1/ct/std": 0.1}} for mean in (0.2, 0.5)
    ]
    (line,) = gate_lines([*rounds, {"center": "b", "diagnostics": {}}], ["a", "b"])
    assert (line.center, line.gates) == ("a", ("1/ct 0.50",))


def many(centers: int) -> dict[str, Any]:
    """The example with so many more centers, which took part in each round of the first."""
    result = example_result()
    names = [f"more-{number}" for number in range(centers - len(result["centers"]))]
    (first, about), *_ = result["centers"].items()
    rounds = [row for row in result["rounds"] if row["center"] == first]
    return {
        **result,
        "centers": {**result["centers"], **dict.fromkeys(names, about)},
        "rounds": [*result["rounds"], *({**row, "center": name} for name in names for row in rounds)],
    }


def test_beyond_fifty_centers_nothing_is_drawn_and_each_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(*_: object) -> str:
        raise AssertionError("drawn")

    monkeypatch.setattr(report, "curves_svg", draw)
    page = report_html(many(51))
    assert "Curves of" not in page
    assert visible_text(page).count("A line each, since they are too many to be drawn") == 1
    assert page.count('viewBox="0 0 120 24"') == 51
    assert " of 3 centers, a line each" in page


def test_of_fifty_centers_each_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def draw(_: Curves, name: str) -> str:
        drawn.append(name)
        return ""

    monkeypatch.setattr(report, "curves_svg", draw)
    page = report_html(many(50))
    assert len(drawn) == 50
    assert "a line each" not in page
