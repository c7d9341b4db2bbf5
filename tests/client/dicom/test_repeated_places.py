"""Several planes at one place: equal ones are one, beds overlap, and times are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.data.volume import Quantity
from client.dicom.findings import RefusedSeriesError, SeriesSubject
from client.dicom.geometry import sort_planes
from client.dicom.repeated_places import keep_one_a_place
from client.dicom.slices import Place, places_of
from tests.support.dicom_study import MadeGrid, MadeStudy, write_ct, write_pet
from tests.support.indexed import SUBJECT, codes, only_series

STUDY = MadeStudy(study_uid="1.2.826.2.1", frame_of_reference_uid="1.2.826.2.2")
VALUES = np.random.default_rng(3).integers(0, 900, (4, 5, 6)).astype(float)


def keep(source: Path, quantity: Quantity):
    about = SeriesSubject(SUBJECT, "file", "1.2.3")
    places = places_of(only_series(source), about)
    return keep_one_a_place(places, sort_planes([place.plane for place in places]), quantity, about)


def heights(places: tuple[Place, ...]) -> list[float]:
    return sorted(place.plane.position_xyz_mm[2] for place in places)


def write(folder: Path, values: np.ndarray, first_mm: float, time: str, **tags: Any) -> None:
    write_pet(
        folder, STUDY, values, MadeGrid(origin_xyz_mm=(0.0, 0.0, first_mm)), SeriesInstanceUID="1.2.3",
        AcquisitionTime=time, **tags,
    )  # fmt: skip


def test_one_plane_a_place_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "pet", VALUES, 0.0, "100000")
    kept, issues = keep(tmp_path / "pet", "pet_suv")
    assert (len(kept), issues) == (4, [])


def test_equal_planes_are_one(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct", STUDY, VALUES, SeriesInstanceUID="1.2.3")
    write_ct(tmp_path / "ct" / "again", STUDY, VALUES[:1], SeriesInstanceUID="1.2.3")
    kept, issues = keep(tmp_path / "ct", "ct_hu")
    assert heights(kept) == [0, 3, 6, 9]
    assert codes(issues) == {("slices-repeat", "note"): 1}


def test_of_two_beds_of_a_pet_the_first_acquired_stays(tmp_path: Path) -> None:
    """Beds from 0 to 9 and from 9 to 18 mm; the one at 9 mm that was acquired at 10:00 stays."""
    write(tmp_path / "pet", VALUES, 9.0, "100300")
    write(tmp_path / "pet" / "first", VALUES + 50, 0.0, "100000")
    kept, issues = keep(tmp_path / "pet", "pet_suv")
    assert heights(kept) == [0, 3, 6, 9, 12, 15, 18]
    assert {place.instance.acquired[-6:] for place in kept if place.plane.position_xyz_mm[2] == 9} == {"100000"}
    assert codes(issues) == {("beds-overlap", "warning"): 1}


def test_unequal_slices_of_a_ct_at_one_place_are_refused(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct", STUDY, VALUES, SeriesInstanceUID="1.2.3")
    write_ct(tmp_path / "ct" / "again", STUDY, VALUES[1:2], SeriesInstanceUID="1.2.3")
    with pytest.raises(RefusedSeriesError, match="2 slices at one place, at 1 of 4 places"):
        keep(tmp_path / "ct", "ct_hu")


def test_a_dynamic_pet_is_refused_by_the_number_of_its_times(tmp_path: Path) -> None:
    for minute in range(3):
        write(tmp_path / "pet" / str(minute), VALUES + minute, 0.0, f"100{minute}00", SeriesType="DYNAMIC")
    with pytest.raises(RefusedSeriesError, match="3 slices at one place, at 4 of 4 places, acquired at 3 time") as told:
        keep(tmp_path / "pet", "pet_suv")
    assert "export the static or averaged one" in told.value.issues[0].remedy
