"""Contours go to the case whose images they were drawn on, then to the one in whose frame they lie."""

from client.dicom.contour_links import link_contours, referenced
from client.dicom.series import Series
from tests.support.indexed import codes, series

CT, PET = series("ct", "CT", range(3)), series("pet", "PET", range(3))


def contours(uid: str, *on: str, frame: str = "frame", acquired: str = "") -> Series:
    return series("rtstruct", uid, referenced=on, frame_of_reference_uid=frame, acquired=acquired)


def test_contours_on_the_ct_go_before_those_on_the_pet_and_those_in_the_frame() -> None:
    given = [contours("1-in-frame", "OTHER-CT"), contours("2-on-pet", "PET"), contours("3-on-ct", "CT")]
    other = series("ct", "OTHER-CT", range(3))
    ((linked, issues),), left = link_contours(given, [(CT, PET)], [CT, PET, other])
    assert [each.uid for each in linked] == ["3-on-ct", "2-on-pet", "1-in-frame"]
    assert (issues, left) == ((), [])


def test_of_contours_on_the_same_series_the_newest_goes_first() -> None:
    given = [contours("old", "CT", acquired="20200101000000"), contours("new", "CT", acquired="20200102000000")]
    ((linked, _),), _ = link_contours(given, [(CT, None)], [CT])
    assert [each.uid for each in linked] == ["new", "old"]


def test_contours_whose_series_is_not_there_stay_by_their_frame_with_a_warning() -> None:
    ((linked, issues),), left = link_contours([contours("lost", "GONE")], [(CT, PET)], [CT, PET])
    assert [each.uid for each in linked] == ["lost"]
    assert codes(issues) == {("contour-series-missing", "warning"): 1}
    assert (issues[0].source, left) == ("GONE", [])


def test_contours_of_no_case_are_told_by_the_series_that_they_miss() -> None:
    given = [contours("lost", "GONE", frame="elsewhere"), contours("alone", frame="elsewhere")]
    ((linked, _),), left = link_contours(given, [(CT, PET)], [CT, PET])
    assert linked == ()
    assert [(issue.code, issue.source) for issue in left] == [
        ("contour-series-missing", "GONE"),
        ("contour-alone", "alone"),
    ]


def test_each_case_has_the_contours_of_its_own_images() -> None:
    other = series("ct", "CT-2", range(3), frame_of_reference_uid="frame-2")
    given = [contours("1", "CT"), contours("2", "CT-2", frame="frame-2")]
    linked, left = link_contours(given, [(CT, None), (other, None)], [CT, other])
    assert [[each.uid for each in own] for own, _ in linked] == [["1"], ["2"]]
    assert (left, referenced(given[0])) == ([], ("CT",))
