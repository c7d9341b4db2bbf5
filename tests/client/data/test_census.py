"""Counts of a center: by modality, label and part, expected against used."""

from pathlib import Path

import pytest

from client.data.census import Expectation, count_cases, expect_folders, pet_origin, read_expected
from client.data.checks import Issue
from client.data.conversion import Conversion, PetValues
from client.data.labels import UNLABELLED, CaseLabels
from client.data.manifest import Case, Manifest
from protocol.errors import CaseError
from protocol.messages.labels import Labels
from tests.support.clinical_table import SCHEMA

LOST = Issue("constant", "c", "", "error")


def case(name: str, *files: str, labels: CaseLabels = UNLABELLED, issues: tuple[Issue, ...] = ()) -> Case:
    paths = {file: Path(file) for file in files}
    return Case(name, name, "a", paths, {}, {}, labels=labels, issues=issues)  # type: ignore[arg-type]


CASES = (case("a", "ct", "pet", "gtv"), case("b", "ct"), case("c", "ct", issues=(LOST,)))
MANIFEST = Manifest("x", CASES)


def test_usable_cases_are_counted_by_modality_label_and_part() -> None:
    found = count_cases(MANIFEST, [LOST], {"a": "train", "b": "test"}, Labels(), expect_folders(MANIFEST, ()))
    assert found.grades == {"error": 1, "warning": 0, "note": 0}
    assert (found.used, found.left_out, found.absent) == (2, ("c",), ())
    assert found.modalities == {"ct": 1, "ct+pet": 1}
    assert found.labels == {"contour": {"yes": 1, "no": 1}}
    assert found.parts == {"train": {"ct+pet": 1}, "validation": {}, "test": {"ct": 1}}
    assert found.expected.count == 3


def test_classes_and_events_are_counted_by_value() -> None:
    """Of three: classes 1, 1 and none; the first endpoint once with its event, once censored."""
    labels = [CaseLabels(1, ((9.0, 1), None)), CaseLabels(1, ((9.0, 0), None)), CaseLabels(None, (None, None))]
    cases = tuple(case(str(n), "ct", labels=found) for n, found in enumerate(labels))
    found = count_cases(Manifest("x", cases), [], {}, SCHEMA, Expectation(3, ""))
    first, second = SCHEMA.endpoints
    assert found.labels[SCHEMA.classes.column if SCHEMA.classes else ""] == {"1": 2, "not known": 1}
    assert found.labels[first] == {"event": 1, "censored": 1, "not known": 1}
    assert found.labels[second] == {"not known": 3}
    assert found.parts == {}


def test_cases_that_a_conversion_named_are_expected() -> None:
    found = count_cases(MANIFEST, [], {}, Labels(), expect_folders(MANIFEST, ["a", "d"]))
    assert (found.expected.count, found.absent) == (4, ("d",))


@pytest.mark.parametrize(
    ("text", "count", "names"),
    [("a\nb\n\n", 2, {"a", "b"}), ("case;x\na;1\n", 1, {"a"}), ("patient\na\na\n", 1, {"a"}), ("", 0, set())],
)
def test_a_list_of_cases_is_read_with_and_without_a_header(
    tmp_path: Path, text: str, count: int, names: set[str]
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    assert read_expected(str(path)) == Expectation(count, "list.csv", frozenset(names))


def test_a_number_is_expected_without_names_and_anything_else_refused(tmp_path: Path) -> None:
    assert read_expected("40") == Expectation(40, "--expected")
    with pytest.raises(CaseError, match="neither a number nor a list"):
        read_expected(str(tmp_path / "none"))


def test_kind_and_origin_of_pet_values_are_words() -> None:
    values = PetValues("lbm", "computed", "BQML", "START")
    known = Case("a", "a", "a", {}, {}, {}, conversion=Conversion("dicom", "concilium", values))
    assert pet_origin(known) == "SUVlbm, computed from BQML (START)"
    assert pet_origin(CASES[0]) == "not known"
