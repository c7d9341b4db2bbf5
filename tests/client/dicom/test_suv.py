"""Each vendor's path against a number worked out by hand: 350 MBq of F-18, an hour before the scan, 70 kg.

2^(-3600 / 6586.2) = 0.684632: 239.621 MBq are left, and 1 Bq/ml is 70000 / 239.621e6 = 2.92128e-4 SUV.
"""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from client.data.checks import Issue
from client.data.conversion import PetValues, SuvKind
from client.data.volume import read_volume
from client.dicom.findings import RefusedSeriesError
from client.dicom.index import index_source
from client.dicom.pairing import pair_studies
from client.dicom.series import Series
from client.dicom.suv import SuvScale, read_pet, suv_scale
from tests.support.dicom_study import MadeStudy, write_pet
from tests.support.pet_headers import SUBJECT, pet_header

PER_BQ_ML = 2.92128e-4
SHIFT = st.integers(-10_000_000, 10_000_000)


def scale(*headers: Dataset, kind: SuvKind = "bw", declared_suv: bool = False) -> SuvScale:
    found, issues = suv_scale(headers, SUBJECT, kind=kind, declared_suv=declared_suv)
    assert found, issues
    return found


def factor(kind: SuvKind = "bw", **tags: object) -> float:
    return scale(pet_header(**tags), kind=kind).factors[0]


def refusal(kind: SuvKind = "bw", **tags: object) -> list[Issue]:
    found, issues = suv_scale([pet_header(**tags)], SUBJECT, kind=kind)
    assert found is None
    assert any(issue.fatal for issue in issues)
    return list(issues)


def philips(offset: int, value: object, **tags: object) -> Dataset:
    header = pet_header(Units="CNTS", **tags)
    vr = "UN" if isinstance(value, bytes) else "DS"
    header.private_block(0x7053, "Philips PET Private Group", create=True).add_new(offset, vr, value)
    return header


def test_an_enhanced_pet_without_units_is_refused_as_such() -> None:
    frames = DicomSequence([Dataset()])
    (issue,) = refusal(Units=None, CorrectedImage=None, PerFrameFunctionalGroupsSequence=frames)
    assert issue.code == "pet-enhanced"
    assert "an enhanced multi-frame PET, whose quantity is given by RealWorldValueMapping" in issue.message
    assert scale(pet_header(Units=None, PerFrameFunctionalGroupsSequence=frames), declared_suv=True).factors == (1.0,)


def test_activity_corrected_to_the_start_of_the_scan() -> None:
    assert factor() == pytest.approx(PER_BQ_ML, rel=1e-5)
    assert scale(pet_header()).values == PetValues("bw", "computed", "BQML", "START")


def test_activity_corrected_to_the_injection() -> None:
    """70000 / 350e6, whatever the times."""
    tags: dict[str, Any] = {
        "RadiopharmaceuticalStartTime": None,
        "RadiopharmaceuticalStartDateTime": None,
        "SeriesTime": None,
    }
    assert factor(DecayCorrection="ADMIN", **tags) == pytest.approx(2e-4, rel=1e-12)


def test_activity_that_was_not_corrected() -> None:
    """A frame of 120 s has its mean 59.937 s after its start: a factor 2^(59.937 / 6586.2) = 1.006328 more."""
    found = factor(DecayCorrection="NONE", CorrectedImage=["ATTN"])
    assert found == pytest.approx(PER_BQ_ML * 1.006328, rel=1e-5)


def test_beds_that_were_not_corrected_have_a_factor_each() -> None:
    """One half-life, 6586.2 s, later: twice the factor."""
    tags = {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"]}
    early, late = scale(pet_header(**tags), pet_header(AcquisitionTime="114946.2", **tags)).factors
    assert late / early == pytest.approx(2, rel=1e-9)


def test_beds_corrected_to_the_start_share_one_factor() -> None:
    early, late = scale(pet_header(), pet_header(AcquisitionTime="101500")).factors
    assert early == late


@pytest.mark.parametrize("value", ["0.000551", b"0.000551 "])
def test_counts_of_philips_with_its_factor_to_suv(value: object) -> None:
    found = scale(philips(0x00, value, RadionuclideTotalDose=None))
    assert found == SuvScale((0.000551,), PetValues("bw", "computed", "CNTS", "START"))


def test_counts_of_philips_with_its_factor_to_activity() -> None:
    assert scale(philips(0x09, "2.5")).factors[0] == pytest.approx(2.5 * PER_BQ_ML, rel=1e-5)


def test_a_factor_of_philips_that_is_zero_gives_way_to_the_other() -> None:
    header = philips(0x09, "2.5")
    header.private_block(0x7053, "Philips PET Private Group").add_new(0x00, "DS", "0")
    assert scale(header).factors[0] == pytest.approx(2.5 * PER_BQ_ML, rel=1e-5)


def test_counts_without_a_factor_are_refused() -> None:
    assert "without Philips' scale factors (7053,1000) and (7053,1009)" in refusal(Units="CNTS")[0].message


def test_a_factor_under_another_creator_is_not_philips() -> None:
    header = pet_header(Units="CNTS")
    header.private_block(0x7053, "SOMEBODY ELSE", create=True).add_new(0x00, "DS", "0.5")
    assert suv_scale([header], SUBJECT)[0] is None


@pytest.mark.parametrize("stored", ["BW", None])
def test_suv_by_its_own_units_stays_as_it_is(stored: str | None) -> None:
    found = scale(pet_header(Units="GML", SUVType=stored, RadionuclideTotalDose=None, PatientWeight=None))
    assert found == SuvScale((1.0,), PetValues("bw", "units", "GML"))


def test_suv_by_weight_becomes_suv_by_lean_body_mass() -> None:
    """44.173 kg lean of 70 kg."""
    assert factor("lbm", Units="GML") == pytest.approx(44.173 / 70, rel=1e-4)


@pytest.mark.parametrize("stored", ["LBM", "LBMJAMES128", "LBMJANMA"])
def test_suv_by_lean_body_mass_is_not_taken_for_suv_by_weight(stored: str) -> None:
    issue = refusal(Units="GML", SUVType=stored)[0]
    assert f"SUVType (0054,1006) '{stored}', SUV by lean body mass, expected SUV by body weight" in issue.message


def test_suv_by_lean_body_mass_stays_as_it_is_where_it_is_asked_for() -> None:
    assert factor("lbm", Units="GML", SUVType="LBMJANMA") == 1.0


def test_lean_body_mass_by_another_formula_is_a_warning() -> None:
    _, issues = suv_scale([pet_header(Units="GML", SUVType="LBMJAMES128")], SUBJECT, kind="lbm")
    assert [(issue.code, issue.grade) for issue in issues] == [("pet-suv-type", "warning")]


@pytest.mark.parametrize("header", [pet_header(Units="GML", PatientSize=None), philips(0x00, "0.5", PatientSize=None)])
def test_suv_by_weight_without_height_does_not_become_another(header: Dataset) -> None:
    assert suv_scale([header], SUBJECT)[0] is not None
    found, issues = suv_scale([header], SUBJECT, kind="bsa")
    assert (found, [issue.code for issue in issues]) == (None, ["pet-height"])


def test_suv_of_a_type_that_is_not_known_is_refused() -> None:
    assert "'IBW', SUV of a type that is not known here" in refusal(Units="GML", SUVType="IBW")[0].message


def test_suv_by_body_surface_has_units_of_its_own() -> None:
    """18094 cm^2 / 239.621 MBq."""
    assert factor("bsa", Units="CM2ML") == 1.0
    assert factor("bsa") == pytest.approx(18094 / 239.621e6, rel=1e-3)


@pytest.mark.parametrize("units", ["PROPCPS", "1CM", "PCNT", "CPS", "BQCC"])
def test_other_units_are_refused_by_name(units: str) -> None:
    assert f"Units (0054,1001) '{units}', expected BQML, CNTS of Philips, or GML" in refusal(Units=units)[0].message


def test_missing_units_are_refused() -> None:
    assert "no Units (0054,1001)" in refusal(Units=None)[0].message


def test_values_without_units_are_suv_when_the_user_says_so() -> None:
    found, issues = suv_scale([pet_header(Units=None)], SUBJECT, declared_suv=True)
    assert found == SuvScale((1.0,), PetValues("bw", "declared"))
    assert issues == ()


def test_a_declaration_against_the_units_is_a_warning_with_these() -> None:
    found, issues = suv_scale([pet_header()], SUBJECT, declared_suv=True)
    assert found == SuvScale((1.0,), PetValues("bw", "declared", "BQML"))
    assert [(issue.code, issue.grade) for issue in issues] == [("pet-declared", "warning")]


def test_a_declaration_that_the_units_confirm_changes_nothing() -> None:
    assert scale(pet_header(Units="GML"), declared_suv=True).values == PetValues("bw", "units", "GML")


def test_everything_that_is_missing_is_told_at_once() -> None:
    issues = refusal(
        "lbm",
        PatientWeight=None,
        PatientSex=None,
        DecayCorrection=None,
        RadionuclideTotalDose=None,
        RadionuclideHalfLife=None,
    )
    assert [issue.code for issue in issues] == ["pet-decay", "pet-weight", "pet-sex", "pet-dose", "pet-half-life"]


@pytest.mark.parametrize("decay", ["CENTER", "", None])
def test_an_unknown_decay_correction_is_refused(decay: str | None) -> None:
    assert "DecayCorrection (0054,1102)" in refusal(DecayCorrection=decay)[0].message


@pytest.mark.parametrize(("decay", "corrected"), [("START", ["ATTN"]), ("NONE", ["ATTN", "DECY"])])
def test_two_elements_that_contradict_each_other_on_decay_are_refused(decay: str, corrected: list[str]) -> None:
    issue = refusal(DecayCorrection=decay, CorrectedImage=corrected)[0]
    assert "DECY in CorrectedImage (0028,0051), expected both to say the same" in issue.message


@pytest.mark.parametrize("units", ["BQML", "GML", "CNTS"])
def test_a_pet_without_attenuation_correction_is_refused(units: str) -> None:
    assert [issue.code for issue in refusal(Units=units, CorrectedImage=["DECY", "NORM"])] == ["pet-attenuation"]


def test_a_pet_that_lists_no_corrections_is_taken_by_its_decay_correction() -> None:
    assert factor(CorrectedImage=None) == pytest.approx(PER_BQ_ML, rel=1e-5)


def test_slices_of_two_weights_are_refused() -> None:
    found, issues = suv_scale([pet_header(), pet_header(PatientWeight=7.0)], SUBJECT)
    assert found is None
    assert "slices that differ in PatientWeight (0010,1030)" in issues[0].message


@given(dose=st.floats(2e6, 1e9), times=st.floats(1.1, 5))
def test_suv_is_inverse_in_dose(dose: float, times: float) -> None:
    assert factor(RadionuclideTotalDose=dose) == pytest.approx(
        times * factor(RadionuclideTotalDose=dose * times), rel=1e-6
    )


@given(weight=st.floats(2, 390))
def test_suv_is_linear_in_weight(weight: float) -> None:
    assert factor(PatientWeight=f"{weight:.6f}") == pytest.approx(PER_BQ_ML * weight / 70, rel=1e-5)


@given(shift_s=SHIFT, delay_s=st.integers(0, 26_000), dated=st.booleans())
def test_suv_does_not_change_when_all_times_shift_together(shift_s: int, delay_s: int, dated: bool) -> None:
    """Across midnight, new year and leap days, with the date of injection or without."""
    scan = dt.datetime.fromisoformat("2020-03-01T10:00") + dt.timedelta(seconds=shift_s)
    injected = scan - dt.timedelta(seconds=delay_s)
    tags: dict[str, Any] = {f"{event}Date": f"{scan:%Y%m%d}" for event in ("Series", "Acquisition")}
    tags |= {f"{event}Time": f"{scan:%H%M%S}" for event in ("Series", "Acquisition")}
    found = factor(
        RadiopharmaceuticalStartDateTime=f"{injected:%Y%m%d%H%M%S}" if dated else None,
        RadiopharmaceuticalStartTime=f"{injected:%H%M%S}",
        **tags,
    )
    assert found == pytest.approx(2e-4 * 2 ** (delay_s / 6586.2), rel=1e-9)


def test_an_injection_before_midnight_without_a_date_is_that_of_the_day_before() -> None:
    tags: dict[str, Any] = {f"{event}Time": "003000" for event in ("Series", "Acquisition")}
    found = factor(RadiopharmaceuticalStartDateTime=None, RadiopharmaceuticalStartTime="233000", **tags)
    assert found == pytest.approx(PER_BQ_ML, rel=1e-5)


def test_a_volume_is_scaled_slice_by_slice(tmp_path: Path) -> None:
    """1000 and 3000 Bq/ml; the scale of rescaled values does not know their slopes."""
    activity = np.full((3, 4, 4), 1000.0)
    activity[1] = 3000.0
    volume, values, issues = read_pet(made_pet(tmp_path, activity), SUBJECT)
    assert volume.array_zyx.dtype == np.float32
    assert volume.array_zyx[:, 0, 0] == pytest.approx([0.292128, 0.876384, 0.292128], rel=1e-3)
    assert (values, issues) == (PetValues("bw", "computed", "BQML", "START"), ())


def test_a_pet_without_weight_is_refused_with_its_series_as_the_source(tmp_path: Path) -> None:
    series = made_pet(tmp_path, np.full((3, 4, 4), 1000.0), weight_kg=None)
    with pytest.raises(RefusedSeriesError, match=r"no PatientWeight \(0010,1030\)") as refused:
        read_pet(series, SUBJECT)
    assert [issue.source for issue in refused.value.issues] == [series.uid]


def test_the_factor_of_philips_is_read_from_the_files_of_a_series(tmp_path: Path) -> None:
    series = made_pet(tmp_path, np.full((3, 4, 4), 1000.0))
    for path in series.paths:
        data = dcmread(path)
        data.Units = "CNTS"
        data.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.5")
        data.save_as(path)
    volume, values, _ = read_pet(series, SUBJECT)
    assert values.units == "CNTS"
    assert volume.array_zyx == pytest.approx(500, rel=1e-3)


def made_pet(folder: Path, activity: np.ndarray, weight_kg: float | None = 70.0) -> Series:
    write_pet(folder, replace(MadeStudy(), weight_kg=weight_kg), activity)
    (series,), _ = index_source(folder, folder / "unpacked", progress=lambda _: None)
    return series


@pytest.mark.realdata
@pytest.mark.parametrize("patient", ["STS_003", "STS_008", "STS_025"])
def test_real_values_that_are_suv_already_equal_the_published_images(
    patient: str, data_root: Path, tmp_path: Path
) -> None:
    series, _ = index_source(data_root / "sts_dicom" / patient, tmp_path, progress=lambda _: None)
    (study,), _ = pair_studies(series)
    assert study.pet
    volume, values, _ = read_pet(study.pet, SUBJECT)
    (published,) = (data_root / "sts").glob(f"center-*/{patient}/pet.nii.gz")
    assert values == PetValues("bw", "units", "GML")
    assert volume.array_zyx == pytest.approx(read_volume(published, "pet_suv").array_zyx, abs=1e-3)
