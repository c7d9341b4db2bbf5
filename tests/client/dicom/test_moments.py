"""Seconds between two moments of DICOM."""

import math

import pytest

from client.dicom.moments import seconds_between


@pytest.mark.parametrize(
    ("one", "other", "seconds"),
    [
        ("20200301235950", "20200302000010.250000", 20.0),
        ("20200301100000", "20200301090000", 3600.0),
        ("", "20200301090000", math.inf),
        ("20201301100000", "20200301090000", math.inf),
    ],
)
def test_seconds_count_across_midnight_and_are_infinite_where_unknown(one: str, other: str, seconds: float) -> None:
    assert seconds_between(one, other) == seconds
