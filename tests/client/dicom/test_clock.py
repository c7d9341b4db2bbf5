import datetime as dt

import pytest
from pydicom.dataset import Dataset

from client.dicom.clock import read_date_time, read_moment, read_time


def data(**tags: str) -> Dataset:
    made = Dataset()
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("101530", dt.time(10, 15, 30)),
        ("101530.25", dt.time(10, 15, 30, 250000)),
        ("1015", dt.time(10, 15)),
        ("10", None),
        ("", None),
        ("later", None),
        ("235960", dt.time(23, 59, 59)),
    ],
)
def test_a_time_is_read_to_the_minute_at_least(text: str, time: dt.time | None) -> None:
    made = Dataset()
    made.add_new("SeriesTime", "UT", text)
    assert read_time(made, "SeriesTime") == time


def test_the_old_spelling_of_a_time_is_read() -> None:
    made = Dataset()
    made.add_new("SeriesTime", "UT", "10:15:30")
    assert read_time(made, "SeriesTime") == dt.time(10, 15, 30)


def test_a_moment_is_date_and_time_or_the_element_that_has_both() -> None:
    both = data(AcquisitionDate="20200301", AcquisitionTime="101530")
    one = data(AcquisitionDateTime="20200301101530")
    assert (
        read_moment(both, "Acquisition")
        == read_moment(one, "Acquisition")
        == dt.datetime.fromisoformat("2020-03-01T10:15:30")
    )


@pytest.mark.parametrize("text", ["2020", "20200301", "2020030110", "", "yesterday", "some time in the past"])
def test_a_date_and_time_without_minutes_is_none(text: str) -> None:
    """An injection "on that day" must not become one at midnight."""
    made = Dataset()
    made.add_new("AcquisitionDateTime", "UT", text)
    assert read_moment(made, "Acquisition") is None


@pytest.mark.parametrize(
    ("text", "hour"), [("20200301090000+0000", 10), ("20200301090000-0500", 15), ("20200301090000", 9)]
)
def test_a_zone_in_a_value_is_turned_into_that_of_the_file(text: str, hour: int) -> None:
    header = data(TimezoneOffsetFromUTC="+0100", AcquisitionDateTime=text)
    assert read_date_time(header, "AcquisitionDateTime", header) == (
        dt.datetime.fromisoformat(f"2020-03-01T{hour:02}:00"),
        False,
    )


def test_a_file_west_of_greenwich_turns_zones_the_other_way() -> None:
    header = data(TimezoneOffsetFromUTC="-0330", AcquisitionDateTime="20200301090000+0000")
    assert read_date_time(header, "AcquisitionDateTime", header) == (
        dt.datetime.fromisoformat("2020-03-01T05:30"),
        False,
    )


def test_a_zone_that_a_file_without_one_cannot_compare_is_told() -> None:
    header = data(AcquisitionDateTime="20200301090000+0000")
    assert read_date_time(header, "AcquisitionDateTime", header) == (
        dt.datetime.fromisoformat("2020-03-01T09:00"),
        True,
    )


def test_a_date_that_is_none_makes_no_moment() -> None:
    made = data(SeriesTime="101530")
    made.add_new("SeriesDate", "UT", "first of May")
    assert read_moment(made, "Series") is None
