"""The page's pictures of classified cases: what is read, what is drawn, and what is said where it cannot be."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.report.class_pictures import FOLDER, case_png, class_pictures, read_case, roc_png
from client.report.task_rows import CaseRow
from protocol.errors import CaseError

PNG = b"\x89PNG"


def write(home: Path, changes: Mapping[str, Any] | None = None, *, name: str = "p1") -> Path:
    image = np.zeros((4, 5, 6), dtype=np.float32)
    image[2, 3, 4] = 1
    arrays: dict[str, Any] = {
        "ct": image,
        "pet": image,
        "class": np.array(1),
        "probability": np.array([0.3, 0.7], dtype=np.float32),
        "values": np.array(["adc", "sqc"]),
        "spacing_zyx_mm": np.array([4.0, 2.0, 2.0]),
        "modalities": np.array("ct+pet"),
        **(changes or {}),
    }
    (home / FOLDER).mkdir(parents=True, exist_ok=True)
    path = home / FOLDER / f"{name}.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def scored(*names: str, setting: str = "ct+pet") -> list[CaseRow]:
    return [CaseRow("adapt", name, setting, {}) for name in names]


def test_a_case_comes_back_as_it_was_recorded(tmp_path: Path) -> None:
    case = read_case(write(tmp_path))
    assert (case.name, case.own, case.values, case.modalities) == ("p1", 1, ("adc", "sqc"), "ct+pet")
    assert case.spacing_zyx_mm == (4.0, 2.0, 2.0)
    assert set(case.images) == {"ct", "pet"}


def test_every_case_is_shown_with_its_class_and_its_answer(tmp_path: Path) -> None:
    write(tmp_path, {"class": None}, name="p2")
    write(tmp_path, {"probability": np.array([0.8, 0.2])})
    first, second = class_pictures(tmp_path, scored("p1", "p2"))  # one case of a known class has no curve
    assert first.caption == "From CT+PET · class sqc · answer adc (0.80)"
    assert second.caption == "From CT+PET · class unknown · answer sqc (0.70)"
    assert base64.b64decode(first.png).startswith(PNG)


def test_the_curve_of_cases_of_both_classes_comes_first(tmp_path: Path) -> None:
    write(tmp_path, name="p1")
    write(tmp_path, {"class": np.array(0)}, name="p2")
    titles = [picture.title for picture in class_pictures(tmp_path, scored("p1", "p2"))]
    assert titles == ["ROC curve, from CT+PET", "p1", "p2"]


def test_a_case_of_less_input_is_shown_and_not_in_the_curve(tmp_path: Path) -> None:
    for name, own, given in (("p1", 0, "ct+pet"), ("p2", 1, "ct+pet"), ("p3", 1, "ct")):
        write(tmp_path, {"class": np.array(own), "modalities": np.array(given)}, name=name)
    curve, *cases = class_pictures(tmp_path, [*scored("p1", "p2"), *scored("p1", "p2", "p3", setting="ct")])
    assert curve.caption == "2 case(s) as they were predicted last from CT+PET"
    assert [case.title for case in cases] == ["p1", "p2", "p3"]


def test_a_case_that_is_no_longer_for_test_is_not_shown(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        write(tmp_path, name=name)
    assert [picture.title for picture in class_pictures(tmp_path, scored("p2"))] == ["p2"]


def test_a_broken_file_is_told_instead_of_shown(tmp_path: Path) -> None:
    write(tmp_path).write_bytes(b"nothing")
    (picture,) = class_pictures(tmp_path, scored("p1"))
    assert picture.png == ""
    assert "p1.npz cannot be read" in picture.problem


def test_an_array_that_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="probability"):
        read_case(write(tmp_path, {"probability": None}))


@pytest.mark.parametrize("absent", ["ct", "pet"])
def test_a_case_of_one_image_is_drawn(tmp_path: Path, absent: str) -> None:
    assert case_png(read_case(write(tmp_path, {absent: None}))).startswith(PNG)


def test_nothing_predicted_shows_nothing(tmp_path: Path) -> None:
    assert class_pictures(tmp_path, scored("p1")) == []


def test_the_curve_needs_cases_of_both_kinds() -> None:
    probability = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert roc_png(np.array([0, 1]), probability, ("no", "yes")).startswith(PNG)
    assert roc_png(np.array([1, 1]), probability, ("no", "yes")) == b""


def test_three_classes_have_a_curve_each() -> None:
    probability = np.eye(3)
    assert roc_png(np.arange(3), probability, ("a", "b", "c")).startswith(PNG)
