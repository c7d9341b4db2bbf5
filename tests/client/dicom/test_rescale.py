"""Values are slope x stored + intercept; a number that no scanner writes is told."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from client.dicom.rescale import Rescale, apply, judge_rescales, judge_unscaled, mark_padding, read_rescales
from tests.support.indexed import ABOUT_CT, codes

HU = Rescale(1.0, -1024.0, "HU")


def header(**tags: object) -> Dataset:
    data = Dataset()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def test_values_are_slope_times_stored_plus_intercept() -> None:
    assert apply(np.array([0, 1024, 3000]), HU).tolist() == [-1024, 0, 1976]
    assert apply(np.array([1, 2]), Rescale(0.25, 0.0)).tolist() == [0.25, 0.5]
    assert apply(np.array([7]), Rescale(None, None)).tolist() == [7]


def test_headers_give_one_rescale_a_frame() -> None:
    assert (
        read_rescales(header(RescaleSlope=2, RescaleIntercept=-1, RescaleType="HU"), 2) == (Rescale(2, -1, "HU"),) * 2
    )
    assert read_rescales(Dataset(), 1)[0].missing
    frames = [
        header(PixelValueTransformationSequence=Sequence([header(RescaleSlope=s, RescaleIntercept=0)])) for s in (1, 2)
    ]
    multi = header(PerFrameFunctionalGroupsSequence=Sequence(frames))
    assert [each.slope for each in read_rescales(multi, 2)] == [1, 2]


@pytest.mark.parametrize(
    ("rescales", "quantity", "expected"),
    [
        ([HU, HU], "ct_hu", {}),
        ([HU, Rescale(None, -1024.0)], "ct_hu", {("no-rescale", "error"): 1, ("ct-rescale-differs", "warning"): 1}),
        ([Rescale(None, None)] * 2, "ct_hu", {}),
        ([HU, Rescale(1.0, -1000.0)], "ct_hu", {("ct-rescale-differs", "warning"): 1}),
        ([Rescale(1.0, 0.0, "Z_EFF")], "ct_hu", {("ct-units", "error"): 1}),
        ([Rescale(0.0, 0.0)], "ct_hu", {("impossible-rescale", "error"): 1}),
        ([Rescale(0.5, 0.0), Rescale(0.25, 0.0)], "pet_suv", {}),
        ([Rescale(None, None)] * 2, "pet_suv", {("no-rescale", "error"): 1}),
        ([Rescale(-0.5, 0.0)], "pet_suv", {("impossible-rescale", "error"): 1}),
        ([Rescale(float("nan"), 0.0)], "pet_suv", {("impossible-rescale", "error"): 1}),
        ([Rescale(0.5, 3.0)], "pet_suv", {("pet-intercept", "warning"): 1}),
    ],
)
def test_numbers_that_are_missing_or_impossible_are_told(rescales, quantity, expected) -> None:
    assert codes(judge_rescales(rescales, quantity, ABOUT_CT)) == expected


def test_a_ct_without_rescale_is_in_hu_if_its_values_go_from_air_to_tissue() -> None:
    none = [Rescale(None, None)]
    assert codes(judge_unscaled(none, -1000, 1200, ABOUT_CT)) == {("ct-unscaled", "warning"): 1}
    assert codes(judge_unscaled(none, 0, 4095, ABOUT_CT)) == {("no-rescale", "error"): 1}
    assert judge_unscaled([HU], 0, 4095, ABOUT_CT) == []


def test_padding_below_what_can_be_becomes_the_least_and_tissue_stays() -> None:
    """Stored -2000 with intercept 0 is padding; with intercept 1024 the padding value is -976 HU and may be lung."""
    stored = np.array([[-2000, -1000, 50]])
    values = stored.astype(float)
    marked = header(PixelPaddingValue=63536, PixelRepresentation=1)
    assert mark_padding(stored, values, marked, -1024.0) == 1
    assert values.tolist() == [[-1024, -1000, 50]]
    inside = stored + 1024.0
    assert mark_padding(stored, inside, marked, -1024.0) == 0
    assert inside[0, 0] == -976


def test_a_range_of_padding_is_understood_from_either_end() -> None:
    stored = np.array([-3000, -2500, -2000, -1999])
    for ends in ((-3000, -2000), (-2000, -3000)):
        values = stored.astype(float)
        marked = header(PixelPaddingValue=ends[0], PixelPaddingRangeLimit=ends[1], PixelRepresentation=1)
        assert mark_padding(stored, values, marked, -1024.0) == 3
    assert mark_padding(stored, stored.astype(float), Dataset(), -1024.0) == 0
