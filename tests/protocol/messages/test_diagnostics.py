"""Which figures from inside a network may be said: those of the table, within their bounds."""

from typing import Any

import pytest

from protocol.messages.diagnostics import diagnostic_findings


@pytest.mark.parametrize(
    ("figures", "findings"),
    [
        ({}, []),
        ({"gate/0/ct/mean": 0.0, "gate/9/pet/std": 0.5, "gate/3/ct/saturated": 1}, []),
        ({"gate/0/ct/std": 0.51}, ["'gate/0/ct/std' is not a number in [0, 0.5]"]),
        ({"gate/0/ct/mean": float("nan")}, ["'gate/0/ct/mean' is not a number in [0, 1]"]),
        ({"gate/0/ct/mean": "DOE"}, ["'gate/0/ct/mean' is not a number in [0, 1]"]),
        ({"gate/0/ct/mean": True}, ["'gate/0/ct/mean' is not a number in [0, 1]"]),
        ({"gate/0/ct/mean": -0.1, "gate/0/pet/mean": 1.1}, ["'gate/0/ct/mean' is", "'gate/0/pet/mean' is"]),
        ({"gate/10/ct/mean": 0.5}, ["'gate/10/ct/mean' is not in the table"]),
        ({"gate/0/mr/mean": 0.5}, ["'gate/0/mr/mean' is not in the table"]),
        ({"gate/0/ct/mean/DOE": 0.5}, ["'gate/0/ct/mean/DOE' is not in the table"]),
        ({"gate/0/ct/mean\n": 0.5}, ["'gate/0/ct/mean\\n' is not in the table"]),
        ({"x" * 41: 0.5}, [f"'{'x' * 40}... (41 characters)' is not in the table"]),
        (
            {f"gate/{i}/{m}/{s}": 0.5 for i in range(9) for m in ("ct", "pet") for s in ("mean", "std", "saturated")},
            ["has 54 figures, expected at most 48"],
        ),
    ],
)
def test_only_listed_names_within_their_bounds_and_not_too_many(figures: Any, findings: list[str]) -> None:
    found = list(diagnostic_findings(figures))
    assert len(found) == len(findings)
    assert all(text.startswith(start) for text, start in zip(found, findings, strict=True))
