"""Whether a center's PET are all SUV of one kind."""

from pathlib import Path

import pytest

from client.data.conversion import Conversion, PetValues, SuvKind
from client.data.conversion_file import write_conversion
from tests.support.two_cases import scan


def record(folder: Path, kind: SuvKind) -> None:
    write_conversion(Conversion("dicom", "concilium", PetValues(kind, "computed", "BQML", "START")), folder)


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ({}, []),
        ({"one": "bw", "two": "bw"}, []),
        ({"one": "bw"}, []),
        ({"one": "bw", "two": "lbm"}, [("suv-mixed", "warning")]),
        ({"one": "bsa", "two": "bsa"}, [("suv-kind", "note")]),
        ({"one": "bsa"}, [("suv-kind", "note")]),
    ],
)
def test_kinds_other_than_by_body_weight_are_told_once_for_the_center(
    folder: Path, kinds: dict[str, SuvKind], told: list[tuple[str, str]]
):
    for case, kind in kinds.items():
        record(folder / case, kind)
    manifest = scan(folder)
    assert [(issue.code, issue.grade) for issue in manifest.issues] == told
    assert len(manifest.usable) == 2


def test_a_pet_without_a_record_is_counted(folder: Path):
    record(folder / "one", "lbm")
    (issue,) = scan(folder).issues
    assert "1 PET by lean body mass, 1 that do not say" in issue.message
