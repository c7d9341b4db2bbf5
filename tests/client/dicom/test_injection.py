import datetime as dt

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from client.dicom.injection import Injection, read_dose_bq, read_injection
from tests.support.pet_headers import HALF_LIFE_S, SUBJECT, pet_header

NINE = dt.datetime.fromisoformat("2020-03-01T09:00")


def nuclide(code: str) -> DicomSequence:
    item = Dataset()
    item.CodeValue = code
    return DicomSequence([item])


def messages(**tags: object) -> list[str]:
    found = read_injection(pet_header(**tags), SUBJECT)
    return [] if isinstance(found, Injection) else [issue.message for issue in found]


def injected(**tags: object) -> Injection:
    found = read_injection(pet_header(**tags), SUBJECT)
    assert isinstance(found, Injection)
    return found


def test_dose_half_life_and_start_are_read() -> None:
    assert injected() == Injection(350e6, HALF_LIFE_S, NINE)


def test_everything_that_is_missing_is_told_at_once() -> None:
    found = messages(
        RadionuclideTotalDose=None,
        RadionuclideHalfLife=None,
        RadiopharmaceuticalStartTime=None,
        RadiopharmaceuticalStartDateTime=None,
    )
    for tag, message in zip(("0018,1074", "0018,1075", "0018,1072"), found, strict=True):
        assert tag in message


def test_a_dose_in_megabecquerel_is_refused_with_its_value() -> None:
    assert (
        "RadionuclideTotalDose (0018,1074) 350 Bq, expected 1e+06 to 1e+10 Bq" in messages(RadionuclideTotalDose=350)[0]
    )


def test_the_dose_alone_asks_for_no_time() -> None:
    header = pet_header(
        RadiopharmaceuticalStartTime=None, RadiopharmaceuticalStartDateTime=None, RadionuclideHalfLife=None
    )
    assert read_dose_bq(header, SUBJECT) == 350e6


@pytest.mark.parametrize("count", [0, 2])
def test_a_pet_of_no_or_two_injections_is_refused(count: int) -> None:
    header = pet_header()
    header.RadiopharmaceuticalInformationSequence = list(header.RadiopharmaceuticalInformationSequence) * count
    found = read_injection(header, SUBJECT)
    assert not isinstance(found, Injection)
    assert f"{count or 'no'} items in RadiopharmaceuticalInformationSequence (0054,0016)" in found[0].message


@pytest.mark.parametrize("code", ["C-111A1", "77004003"])
def test_a_missing_half_life_is_that_of_the_nuclide_that_is_named(code: str) -> None:
    assert injected(RadionuclideHalfLife=None, RadionuclideCodeSequence=nuclide(code)).half_life_s == 6586.2


def test_a_nuclide_that_the_table_lacks_does_not_fill_a_half_life() -> None:
    assert (
        "no RadionuclideHalfLife (0018,1075)"
        in messages(RadionuclideHalfLife=None, RadionuclideCodeSequence=nuclide("129504001"))[0]
    )


def test_a_half_life_that_the_nuclide_does_not_have_is_refused() -> None:
    """109.77 min of F-18, entered in minutes."""
    found = messages(RadionuclideHalfLife=109.77, RadionuclideCodeSequence=nuclide("C-111A1"))
    assert "RadionuclideHalfLife (0018,1075) 109.77 s, expected 6586.2 s" in found[0]


def test_a_time_of_day_is_the_last_one_before_the_scan() -> None:
    late = injected(RadiopharmaceuticalStartDateTime=None, RadiopharmaceuticalStartTime="233000")
    assert late.started(dt.datetime.fromisoformat("2020-03-02T00:30")) == dt.datetime.fromisoformat("2020-03-01T23:30")
    assert late.started(dt.datetime.fromisoformat("2020-03-02T23:45")) == dt.datetime.fromisoformat("2020-03-02T23:30")


def test_an_injection_without_date_is_refused_for_a_nuclide_of_days() -> None:
    """Zr-89 is scanned days later; a time of day does not say how many."""
    found = messages(RadiopharmaceuticalStartDateTime=None, RadionuclideHalfLife=282280.0)
    assert "no RadiopharmaceuticalStartDateTime (0018,1078), for a half-life of 78 h" in found[0]


def test_two_times_of_injection_that_differ_are_refused() -> None:
    assert "30 min apart" in messages(RadiopharmaceuticalStartTime="093000")[0]


def test_times_of_injection_either_side_of_midnight_are_seconds_apart() -> None:
    tags = {"RadiopharmaceuticalStartDateTime": "20200301235950", "RadiopharmaceuticalStartTime": "000010"}
    assert injected(**tags).start == dt.datetime.fromisoformat("2020-03-01T23:59:50")


def test_a_zone_that_cannot_be_compared_gives_way_to_the_time_of_day() -> None:
    assert injected(RadiopharmaceuticalStartDateTime="20200301080000+0000").start == dt.time(9)
