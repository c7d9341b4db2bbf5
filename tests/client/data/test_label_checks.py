"""No study begins with a table that cannot be, or with training cases that teach nothing."""

import pytest

from client.data.checks import Issue
from client.data.label_checks import raise_if_mislabelled, raise_if_unlearnable, training_issues
from client.data.labels import CaseLabels
from client.data.manifest import Case, Manifest
from protocol.errors import LabelError
from protocol.messages.instruction import Part
from protocol.messages.labels import Endpoint, Labels
from protocol.messages.settings import Model, StudySettings
from protocol.tasks import TaskName
from tests.support.clinical_table import SCHEMA

TRAIN: Part = "train"


def settings(*tasks: TaskName, labels: Labels = SCHEMA) -> StudySettings:
    return StudySettings(study="s", seed=0, model=Model(name="m"), tasks=tasks, labels=labels)


def manifest(*labels: CaseLabels) -> Manifest:
    """Cases "0", "1", ... with the labels."""
    return Manifest("a", tuple(Case(str(n), str(n), "a", {}, {}, {}, labels=label) for n, label in enumerate(labels)))


def findings(found: Manifest, *tasks: TaskName, test: tuple[int, ...] = ()) -> list[tuple[str, bool]]:
    """Code and weight of what keeps the center from learning; cases train unless they test."""
    drawn: dict[str, Part] = {case.name: "test" if int(case.name) in test else TRAIN for case in found.cases}
    return [(issue.code, issue.fatal) for issue in training_issues(found, drawn, settings(*tasks))]


def classes(*indices: int | None) -> Manifest:
    return manifest(*(CaseLabels(class_index=index) for index in indices))


def times(*events: tuple[int | None, int | None]) -> Manifest:
    return manifest(*(CaseLabels(endpoints=tuple(None if e is None else (100.0, e) for e in pair)) for pair in events))


def test_both_classes_suffice():
    assert findings(classes(0, 1), "classification") == []


def test_one_class_alone_among_training_cases_is_refused_with_counts():
    assert findings(classes(0, 0, 1), "classification", test=(2,)) == [("one-class", True)]
    drawn: dict[str, Part] = {"0": "train", "1": "train", "2": "test"}
    with pytest.raises(LabelError, match="found 2 of '0', expected also 1"):
        raise_if_unlearnable(classes(0, 0, 1), drawn, settings("classification"))


def test_one_absent_class_of_three_is_told():
    assert SCHEMA.classes is not None
    labels = SCHEMA.model_copy(update={"classes": SCHEMA.classes.model_copy(update={"values": ("0", "1", "2")})})
    found = training_issues(classes(0, 2), {"0": TRAIN, "1": TRAIN}, settings("classification", labels=labels))
    assert [(issue.code, issue.fatal, "also 1" in issue.message) for issue in found] == [("one-class", False, True)]


def test_times_that_are_all_censored_are_refused():
    assert findings(times((0, 0), (0, None)), "survival") == [("all-censored", True), ("all-censored", True)]


def test_an_endpoint_without_events_is_told_where_another_has_some():
    assert findings(times((0, 1), (0, None)), "survival") == [("all-censored", False)]
    assert findings(times((1, None), (0, None)), "survival") == []


def test_a_task_that_no_case_here_has_is_left_to_others():
    assert findings(classes(0, 1), "survival", "classification") == []


def test_a_center_without_any_target_is_refused_and_told_that_there_is_no_table():
    no_table = Issue("no-table", "", "no table", "warning")
    found = training_issues(Manifest("a", classes(None).cases, (no_table,)), {}, settings("classification"))
    assert [(issue.code, issue.fatal) for issue in found] == [("no-table", False), ("no-target", True)]
    assert "found none among 1 usable case(s), expected a class" in found[1].message


def test_a_study_of_segmentation_alone_asks_for_no_label():
    assert training_issues(classes(None), {}, settings("segmentation")) == []


@pytest.mark.parametrize(
    ("code", "fatal", "refused"),
    [
        ("time", True, True),
        ("row-twice", True, True),
        ("table", True, True),
        ("no-case", False, True),
        ("row-unnamed", False, True),
        ("no-table", False, False),
        ("no-class", False, False),
        ("no-row", False, False),
        ("constant", True, False),
    ],
)
def test_what_a_table_cannot_say_is_refused_and_what_it_leaves_open_is_not(code: str, fatal: bool, refused: bool):
    case = Case("p", "p", "a", {}, {}, {}, (Issue(code, "p", f"about {code}", "error" if fatal else "warning"),))
    told = ""
    try:
        raise_if_mislabelled(Manifest("a", (case,)))
    except LabelError as error:
        told = str(error)
    assert told == (f"center 'a': 1 problem(s) with its labels:\n  about {code}" if refused else "")


def test_a_time_needs_a_unit():
    with pytest.raises(ValueError, match="unit"):
        Labels(endpoints={"death": Endpoint.model_validate({"event": "e", "time": "t"})})
