"""What a conversion will do: the cases of a source under their ids, and what earlier runs know of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from client.convert.case_conversion import Task
from client.convert.contract import Choices, FoundCase, FoundCases, subject_of
from client.convert.identities import Origin, PrivateFolder
from client.convert.kept_correction import Earlier
from client.convert.layouts import LAYOUTS, Search
from client.convert.resumption import fingerprint_of, read_done
from client.data.checks import Issue
from client.data.conversion import Layout
from protocol.errors import CaseError


@dataclass(frozen=True)
class Plan:
    """The cases of a source by their ids, with what was said about the source; `named` has whom all ids stand for."""

    tasks: tuple[Task, ...]
    named: Mapping[str, Origin]
    issues: tuple[Issue, ...] = ()
    choices: Choices = field(default_factory=Choices)


def find_cases(
    source: Path, layout: Layout, choices: Choices, private: PrivateFolder, progress: Callable[[int], None]
) -> FoundCases:
    """What the source holds, by the row of its layout.

    Raises:
        CaseError: the source has not this layout.
        StorageError: there is no room for members of archives.
    """
    return LAYOUTS[layout].find(Search(source, choices, private.unpacked, progress))


def plan(found: FoundCases, source: Path, dest: Path, layout: Layout, choices: Choices, private: PrivateFolder) -> Plan:
    """Ids, folders and fingerprints of what was found; what is there twice or came from elsewhere before is told.

    Raises:
        CaseError: the private folder is damaged, or two cases have one id.
    """
    named, done = private.read_origins(), read_done(private.state)
    tasks: dict[str, Task] = {}
    issues = list(found.issues)
    for each in found.cases:
        case = private.case_id(each.identity)
        if case in tasks:
            issues.append(_twice(case, each))
            continue
        told = _compare_with_earlier(case, each, named.get(case), source)
        full = replace(each, issues=(*each.issues, *told))
        frame = named[case].origins.get("frame_of_reference_uid", "") if case in named else ""
        earlier = Earlier(private.labels_of(case), str(frame))
        fingerprint = fingerprint_of(each, choices, layout)
        tasks[case] = Task(case, full, layout, dest / case, fingerprint, earlier, done.get(case))
    issues += _gone(named, tasks, source, dest)
    return Plan(tuple(tasks.values()), _with_origins(named, tasks.values(), source), tuple(issues), choices)


def _compare_with_earlier(case: str, each: FoundCase, earlier: Origin | None, source: Path) -> tuple[Issue, ...]:
    """Whether the case came from another source before.

    Raises:
        CaseError: another case has this id.
    """
    if earlier is None:
        return ()
    if earlier.identity != each.identity:
        raise CaseError(
            f"two cases have the id {case}; convert one of them into a folder with a private folder of its own"
        )
    if earlier.source == _text(source):
        return ()
    told, step = "a study that was converted from another source before", "nothing to do if both are the same export"
    return (subject_of(case).issue("other-source", "", told, "one source", step, grade="note", source=earlier.source),)


def _twice(case: str, each: FoundCase) -> Issue:
    step = "remove one of them from the source; the first was converted"
    source = str(each.files[0]) if each.files else ""
    return subject_of(case).issue(
        "twice", "", "a study that is there twice", "once", step, grade="warning", source=source
    )


def _gone(named: Mapping[str, Origin], tasks: Mapping[str, Task], source: Path, dest: Path) -> Iterator[Issue]:
    """Cases that an earlier run converted from this source and that it no longer holds; their folders stay."""
    for case, origin in sorted(named.items()):
        if origin.source == _text(source) and case not in tasks and (dest / case).is_dir():
            found, step = "a case that its source no longer holds", "nothing to do, or remove its folder"
            yield subject_of(case).issue("source-gone", "", found, "it is kept", step, grade="warning")


def _with_origins(named: Mapping[str, Origin], tasks: Iterable[Task], source: Path) -> dict[str, Origin]:
    """Whom all ids stand for; what is known of a case's files stays until it is read again."""
    origins = dict(named)
    for task in tasks:
        known = named[task.case].origins if task.case in named else {}
        origins[task.case] = Origin(task.found.identity, task.found.patient, _text(source), known)
    return origins


def _text(source: Path) -> str:
    return str(source.resolve())
