"""The page's style sheet, as a file of its own: a policy that forbids inline styles leaves no other place."""

from jinja2 import Environment

from reporting.tints import Tint, tint

STEPS = 21
"""Shades of a heat map: no eye tells two neighbours apart, and each is a class."""


def shade_of(value: float, low: float, high: float) -> str:
    """The class of a heat map's cell, for a value on the scale low..high."""
    share = (value - low) / (high - low) if high > low else 0.0
    return f"shade-{round(min(max(share, 0.0), 1.0) * (STEPS - 1))}"


def style_sheet(environment: Environment) -> str:
    """The whole style sheet."""
    return environment.get_template("dashboard.css").render(shades=[_tint(step) for step in range(STEPS)])


def _tint(step: int) -> Tint:
    return tint(step / (STEPS - 1))
