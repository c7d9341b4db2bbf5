"""A series that mixes stacks is taken apart or refused, never stacked."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from client.dicom.series import Instance
from client.dicom.splitting import split
from tests.support.indexed import codes, plane, series

TEN = series("ct", "1.2", range(10)).instances


def changed(instances: Iterable[Instance], **facts: object) -> list[Instance]:
    return [replace(instance, **facts) for instance in instances]  # type: ignore[arg-type]


def test_one_stack_is_one_series() -> None:
    (made,), issues = split("ct", TEN)
    assert (len(made.instances), issues) == (10, [])


@pytest.mark.parametrize(
    "facts",
    [
        {"reconstruction": ("B60",)},
        {"image_type": ("DERIVED", "SECONDARY", "REFORMATTED")},
        {"frame_of_reference_uid": "other"},
        {"planes": (plane(size=12),)},
        {"planes": (replace(plane(), spacing_yx_mm=(2.0, 2.0)),)},
        {"planes": (replace(plane(), orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0)),)},
    ],
    ids=["kernel", "type", "frame", "size", "spacing", "orientation"],
)
def test_other_images_are_a_series_of_their_own_if_they_are_a_stack_and_else_refuse_all(
    facts: dict[str, object],
) -> None:
    parts, issues = split("ct", [*TEN, *changed(TEN[:5], **facts)])
    assert [len(part.instances) for part in parts] == [10, 5]
    assert codes(issues) == {("series-split", "warning"): 1}
    parts, issues = split("ct", [*TEN, *changed(TEN[:4], **facts)])
    assert (parts, codes(issues)) == ([], {("series-mixed", "error"): 1})
    assert "(10, 4 of each)" in issues[0].message


def test_an_orientation_that_differs_by_rounding_is_the_same() -> None:
    turned = replace(plane(20.0), orientation=(1.0, 0.0, -0.0004, 0.0, 1.0, 0.0))
    assert len(split("ct", [*TEN, replace(TEN[0], planes=(turned,))])[0]) == 1


def test_a_ct_that_passes_the_same_places_again_is_one_series_for_each_acquisition() -> None:
    parts, issues = split("ct", [*changed(TEN, acquisition="1"), *changed(TEN, acquisition="2")])
    assert [len(part.instances) for part in parts] == [10, 10]
    assert codes(issues) == {("series-split", "warning"): 1}


def test_acquisitions_side_by_side_are_one_stack_and_those_of_a_pet_are_beds_or_times() -> None:
    below = series("ct", "1.2", range(10, 20)).instances
    assert len(split("ct", [*changed(TEN, acquisition="1"), *changed(below, acquisition="2")])[0]) == 1
    assert len(split("pet", [*changed(TEN, acquisition="1"), *changed(TEN, acquisition="2")])[0]) == 1


def test_an_image_without_place_stays_with_the_others_to_be_refused_with_them() -> None:
    (made,), issues = split("ct", [*TEN, *changed(TEN[:1], planes=())])
    assert (len(made.instances), issues) == (11, [])
    assert len(split("ct", changed(TEN, planes=()))[0]) == 1


def test_a_single_image_is_told_since_it_may_have_strayed() -> None:
    parts, issues = split("ct", TEN[:1])
    assert (len(parts), codes(issues)) == (1, {("series-fragment", "warning"): 1})
    assert split("rtstruct", TEN[:1])[1] == []
