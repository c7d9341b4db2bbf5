"""What no study may begin with: a table that says what cannot be, training cases from which a task cannot be learnt."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from client.data.checks import Issue, Subject
from client.data.labels import CaseLabels
from client.data.manifest import Manifest, list_issues
from protocol.errors import LabelError
from protocol.messages.instruction import Part
from protocol.messages.labels import Labels
from protocol.messages.settings import StudySettings
from protocol.tasks import TASKS, TaskName

OF_A_TABLE = frozenset({"no-table", "table", "no-column", "no-rows", "row-twice"})
OF_A_CELL = frozenset({"not-a-number", "class", "event", "time", "range", "category"})
OF_TRAINING = frozenset({"no-target", "one-class", "all-censored"})
FATAL = OF_A_TABLE | OF_A_CELL | OF_TRAINING
ALWAYS = frozenset({"no-case", "row-unnamed"})
"""What leaves no case out, and may yet be a name misspelt: it is mended before a study begins."""


def raise_if_mislabelled(manifest: Manifest) -> None:
    """Refuse a table with anything in it that cannot be, also where other cases could be used.

    One value outside its range may be a unit mistaken in every row.

    Raises:
        LabelError: the message lists every issue that must be mended.
    """
    _refuse(manifest, manifest.all_issues)


def raise_if_unlearnable(manifest: Manifest, drawn: Mapping[str, Part], settings: StudySettings) -> None:
    """Refuse training cases from which a task of the study cannot be learnt; `drawn`: the part of each case.

    Raises:
        LabelError: the message says what is lacking.
    """
    _refuse(manifest, training_issues(manifest, drawn, settings))


def to_mend(issues: Sequence[Issue]) -> list[Issue]:
    """Those of the issues without whose mending no study may begin."""
    return [issue for issue in issues if issue.code in ALWAYS or (issue.fatal and issue.code in FATAL)]


def _refuse(manifest: Manifest, issues: Sequence[Issue]) -> None:
    found = to_mend(issues)
    if found:
        raise LabelError(f"center '{manifest.center}': {len(found)} problem(s) with its labels:\n{list_issues(found)}")


def training_issues(manifest: Manifest, drawn: Mapping[str, Part], settings: StudySettings) -> list[Issue]:
    """What keeps a study's tasks from being learnt here; a task that no case has a target of is left to other centers.

    `drawn`: the part of each case.
    """
    by_labels = [task for task in settings.tasks if task in CHECKS]
    subject = Subject(manifest.center, "", Path())
    if by_labels and not drawn:
        wanted = " or ".join(TASKS[task].target for task in settings.tasks)
        step = "add the labels, or check that the names in the table are those of the cases"
        return [*_tables_missing(manifest), subject.issue("no-target", "table", _none_of(manifest), wanted, step)]
    training = [case.labels for case in manifest.usable if drawn.get(case.name) == "train"]
    return [issue for task in by_labels for issue in CHECKS[task](training, settings.labels, subject)]


def _tables_missing(manifest: Manifest) -> list[Issue]:
    return [issue for issue in manifest.all_issues if issue.code == "no-table"]


def _none_of(manifest: Manifest) -> str:
    return f"none among {len(manifest.usable)} usable case(s)"


def _class_issues(training: Sequence[CaseLabels], labels: Labels, subject: Subject) -> Iterator[Issue]:
    """One class alone teaches nothing; of several, one that is absent is told."""
    values = labels.classes.values if labels.classes else ()
    found = [label.class_index for label in training if label.class_index is not None]
    absent = [value for index, value in enumerate(values) if index not in found]
    if not found or not absent:
        return
    counts = ", ".join(f"{found.count(index)} of '{value}'" for index, value in enumerate(values) if index in found)
    step = "add cases of the other classes, or ask the coordinator for another split.seed"
    expected, alone = f"also {', '.join(absent)}", len(set(found)) == 1
    yield subject.issue("one-class", "training cases", counts, expected, step, grade="error" if alone else "warning")


def _survival_issues(training: Sequence[CaseLabels], labels: Labels, subject: Subject) -> Iterator[Issue]:
    """Times that are all censored teach nothing; where another endpoint has events, an endpoint without one is told."""
    events = {name: _events(training, place) for place, name in enumerate(labels.endpoints)}
    none_at_all = not any(1 in found for found in events.values())
    for name, found in events.items():
        if found and 1 not in found:
            step = "add cases with the event, or ask the coordinator for another split.seed"
            counts = f"{len(found)} time(s) to '{name}', all censored"
            yield subject.issue(
                "all-censored", "training cases", counts, "an event", step, grade="error" if none_at_all else "warning"
            )


def _events(training: Sequence[CaseLabels], place: int) -> list[int]:
    known = [label.endpoints[place] for label in training if label.endpoints]
    return [endpoint[1] for endpoint in known if endpoint is not None]


CHECKS: Mapping[TaskName, Callable[[Sequence[CaseLabels], Labels, Subject], Iterator[Issue]]] = {
    "classification": _class_issues,
    "survival": _survival_issues,
}
