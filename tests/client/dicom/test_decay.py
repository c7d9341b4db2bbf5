import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from client.dicom.decay import doses_bq, find_scan_start, mean_time_s
from client.dicom.injection import Injection
from tests.support.pet_headers import HALF_LIFE_S, SUBJECT, pet_header

NINE = dt.datetime.fromisoformat("2020-03-01T09:00")
TEN = dt.datetime.fromisoformat("2020-03-01T10:00")
INJECTION = Injection(350e6, HALF_LIFE_S, NINE)


def with_ge_start(header: Dataset, text: str) -> Dataset:
    header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", text)
    return header


def start(*headers: Dataset) -> dt.datetime | None:
    return find_scan_start(headers, HALF_LIFE_S, SUBJECT).moment


def warnings(*headers: Dataset) -> list[str]:
    return [issue.message for issue in find_scan_start(headers, HALF_LIFE_S, SUBJECT).issues]


def test_the_mean_of_a_short_frame_is_just_before_its_middle() -> None:
    """m = T / 2 - l T^2 / 24 to the second order: 60 - 1.0524e-4 * 14400 / 24 = 59.937 s."""
    assert mean_time_s(120, HALF_LIFE_S) == pytest.approx(59.937, abs=1e-3)


@given(st.floats(0.1, 1e5), st.floats(60, 1e6))
def test_activity_at_the_mean_time_is_the_mean_of_the_frame(duration_s: float, half_life_s: float) -> None:
    rate = math.log(2) / half_life_s * duration_s
    mean = -math.expm1(-rate) / rate
    assert 2 ** (-mean_time_s(duration_s, half_life_s) / half_life_s) == pytest.approx(mean, rel=1e-9)


def test_the_series_time_is_the_start_where_it_is_not_after_the_first_acquisition() -> None:
    beds = [pet_header(AcquisitionTime=time) for time in ("100600", "100300", "100000")]
    assert start(*beds) == TEN
    assert warnings(*beds) == []


def test_a_series_time_rounded_up_to_the_second_is_the_start() -> None:
    assert start(pet_header(SeriesTime="100000", AcquisitionTime="095959.6")) == TEN


def test_a_series_processed_later_at_ge_has_its_start_in_a_private_element() -> None:
    header = with_ge_start(pet_header(SeriesTime="153000", AcquisitionTime="100300"), "20200301100000.00")
    assert start(header) == TEN
    assert warnings(header) == []


def test_a_series_processed_later_elsewhere_has_its_start_in_its_frame_reference_times() -> None:
    """The second bed begins 180 s after the start, and its mean is 59.937 s later."""
    beds = [
        pet_header(SeriesTime="153000", AcquisitionTime=time, FrameReferenceTime=offset_ms)
        for time, offset_ms in (("100000", 59937), ("100300", 239937))
    ]
    found = start(*beds)
    assert found is not None
    assert abs((found - TEN).total_seconds()) < 0.01
    assert warnings(*beds) == []


def test_a_decay_factor_says_the_start_where_no_frame_reference_time_does() -> None:
    """A real header of GE: 240 s of F-18 with factor 1.01268 is 119.7 s, and the mean of the frame."""
    header = pet_header(
        SeriesTime="153000",
        AcquisitionTime="100000",
        ActualFrameDuration=240000,
        FrameReferenceTime=0,
        DecayFactor=1.01268,
    )
    found = start(header)
    assert found is not None
    assert abs((found - TEN).total_seconds()) < 0.2


def test_slices_that_disagree_on_the_start_leave_the_first_acquisition_with_a_warning() -> None:
    beds = [
        pet_header(SeriesTime="153000", AcquisitionTime=time, FrameReferenceTime=59937) for time in ("100300", "100000")
    ]
    assert start(*beds) == TEN
    assert "a series time after the first acquisition" in warnings(*beds)[0]


def test_frame_reference_times_that_contradict_the_series_time_are_a_warning_in_percent_of_suv() -> None:
    """A mean 659.937 s after the start, by the header, that is 59.937 s after it: 2^(600/6586.2) is 1.065."""
    found = warnings(pet_header(FrameReferenceTime=659937))
    assert "600 s from the start that its other elements give, which is 7% of SUV" in found[0]


def test_a_private_start_that_contradicts_the_series_time_is_a_warning() -> None:
    found = warnings(with_ge_start(pet_header(), "20200301095000"))
    assert "600 s from the start that its other elements give" in found[0]


def test_a_scan_that_begins_long_after_its_series_time_is_a_warning() -> None:
    found = warnings(pet_header(AcquisitionTime="103000"))
    assert "1800 s from the first acquisition, which is 21% of SUV" in found[0]


def test_no_message_holds_a_time_of_day() -> None:
    messages = warnings(pet_header(AcquisitionTime="103000")) + warnings(pet_header(SeriesTime="153000"))
    assert len(messages) == 2
    assert not any(text in message for message in messages for text in ("2020", "10:", "15:", "1030", "1530"))


def test_a_scan_without_acquisition_times_has_no_start() -> None:
    assert start(pet_header(AcquisitionTime=None)) is None


@pytest.mark.parametrize("value", [b"20200301100000\0", "20200301100000.00"])
def test_ge_private_values_are_read_as_text_and_as_bytes(value: str | bytes) -> None:
    """A private element of a file with implicit types comes as bytes."""
    header = pet_header(SeriesTime="153000", AcquisitionTime="100300")
    vr = "UN" if isinstance(value, bytes) else "DT"
    header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, vr, value)
    assert start(header) == TEN


def test_the_same_element_of_another_creator_is_not_ge_s() -> None:
    header = pet_header(SeriesTime="153000", AcquisitionTime="100300")
    header.private_block(0x0009, "SOMEBODY ELSE", create=True).add_new(0x0D, "DT", "20200301090000")
    assert start(header) == dt.datetime.fromisoformat("2020-03-01T10:03")


def test_one_half_life_leaves_half_the_dose_for_all_beds_alike() -> None:
    injection = Injection(300e6, 3600.0, NINE)
    beds = [pet_header(), pet_header(AcquisitionTime="101000")]
    assert doses_bq(beds, injection, "START", SUBJECT) == ((150e6, 150e6), ())


def test_without_correction_each_slice_has_the_dose_at_its_own_mean() -> None:
    beds = [pet_header(DecayCorrection="NONE"), pet_header(DecayCorrection="NONE", AcquisitionTime="110000")]
    doses, issues = doses_bq(beds, Injection(300e6, 3600.0, NINE), "NONE", SUBJECT)
    mean_s = mean_time_s(120, 3600)
    assert doses == pytest.approx([150e6 * 2 ** (-mean_s / 3600), 75e6 * 2 ** (-mean_s / 3600)], rel=1e-8)
    assert issues == ()


def test_without_correction_and_frame_duration_the_missing_tag_is_named() -> None:
    doses, issues = doses_bq([pet_header(ActualFrameDuration=None)], INJECTION, "NONE", SUBJECT)
    assert doses == ()
    assert "ActualFrameDuration (0018,1242)" in issues[-1].message


def test_a_scan_just_before_the_injection_is_refused() -> None:
    doses, issues = doses_bq([pet_header(SeriesTime="085900")], INJECTION, "START", SUBJECT)
    assert doses == ()
    assert "a scan -1 min after the injection, expected 0 to 1098 min" in issues[-1].message


@pytest.mark.parametrize("date", ["20200302", "20200229", "20231111"])
def test_a_date_of_injection_that_cannot_be_gives_way_to_its_time_of_day_with_a_warning(date: str) -> None:
    """As where a research archive shifted some dates and forgot one: an hour is an hour."""
    doses, issues = doses_bq([pet_header(SeriesDate=date, AcquisitionDate=date)], INJECTION, "START", SUBJECT)
    assert doses == pytest.approx([350e6 * 2 ** (-3600 / HALF_LIFE_S)])
    assert [(issue.code, issue.grade) for issue in issues] == [("pet-date", "warning")]


def test_a_wrong_date_of_a_nuclide_of_days_is_refused() -> None:
    doses, issues = doses_bq([pet_header(SeriesDate="20200229")], Injection(37e6, 282280.0, NINE), "START", SUBJECT)
    assert doses == ()
    assert [issue.code for issue in issues if issue.fatal] == ["pet-times"]


def test_a_time_of_day_that_is_more_than_four_half_lives_ago_is_refused() -> None:
    """From 02:00 to 10:00 are 480 min, of F-18 439 are believed without a date."""
    doses, issues = doses_bq([pet_header()], Injection(350e6, HALF_LIFE_S, dt.time(2)), "START", SUBJECT)
    assert doses == ()
    assert "a scan 480 min after the injection, expected 0 to 439 min" in issues[0].message
