"""Checkpoints, the study's files and the registry held against the log."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from protocol.errors import EnrolmentError, StorageError, StudyError
from server.audit.finding import Finding, Weight, is_last_of_its_writer
from server.audit.told_file import told_file_findings
from server.centers.registry import read_registry, standing
from server.study.audit_log import AuditEvent, content_of
from server.study.checkpoint import load_named
from server.study.checksums import CHECKSUMS
from server.study.directory import StudyDirectory, read_prepared
from server.study.history_events import history_events
from server.study.stage_states import kept_stage_states, state_path
from strategies.bank.told import digest


def state_findings(directory: StudyDirectory, events: Sequence[AuditEvent]) -> Iterator[Finding]:
    """What of the checkpoint, of those of stage borders, prepared files and result does not agree with the log."""
    yield from _file_findings(directory, events)
    yield from _checkpoint_findings(directory.checkpoint, events)
    yield from told_file_findings(directory.result, "result", events)
    announced = {str(found.facts["sha256"]) for found in events if found.event == "saved"}
    for index in kept_stage_states(directory):
        path = state_path(directory, index)
        try:
            found = load_named(path)
        except StorageError as error:
            yield Finding("broken", str(path), str(error))
            continue
        if found is not None and found[0] not in announced:
            yield Finding("broken", str(path), "no event of the log saved this checkpoint")


def member_findings(directory: StudyDirectory, study: str, events: Sequence[AuditEvent]) -> Iterator[Finding]:
    """What of the registry of centers does not agree with the log."""
    try:
        members = read_registry(directory.enrolment, study).members
    except EnrolmentError as error:
        yield Finding("broken", str(directory.enrolment), str(error))
        return
    last = {str(found.facts["center"]): found for found in events if found.event == "member"}
    for center in sorted(members.keys() | last.keys()):
        told, there = last.get(center), standing(members.get(center))
        if told is None:
            yield Finding("broken", str(directory.enrolment), f"center '{center}' is in it, and in no event of the log")
        elif {key: value for key, value in told.facts.items() if key != "center"} != there:
            is_state, told_state = there.get("state", "not in it"), told.facts["state"]
            found = f"center '{center}' is {is_state}, event {told.number} says {told_state}, or another key or end"
            weight: Weight = "unfinished" if is_last_of_its_writer(events, told) else "broken"
            yield Finding(weight, str(directory.enrolment), found)


def _file_findings(directory: StudyDirectory, events: Sequence[AuditEvent]) -> Iterator[Finding]:
    told = [found for found in events if found.event in {"started", "prepared", "extended"}]
    path = directory.root / CHECKSUMS
    there = digest(path.read_bytes()) if path.exists() else ""
    if told and _is_cut_off(directory, there, told, events):
        found = f"event {told[-1].number} extended the study, and its file is as before; `concilium extend` again"
        yield Finding("unfinished", str(directory.study_file), found)
        return
    try:
        read_prepared(directory.root)
    except StudyError as error:
        yield Finding("broken", str(directory.root), str(error))
    if told and there != told[-1].facts["files_sha256"]:
        yield Finding("broken", str(path), f"it is not as event {told[-1].number} found it")


def _is_cut_off(
    directory: StudyDirectory, checksums: str, told: Sequence[AuditEvent], events: Sequence[AuditEvent]
) -> bool:
    """Whether the study was about to be extended, and a kill left its file, and perhaps the checksums, as they were."""
    last = told[-1]
    if last.event != "extended" or not is_last_of_its_writer(events, last):
        return False
    known = {found.facts["files_sha256"] for found in told[-2:]}
    return checksums in known and digest(directory.study_file.read_bytes()) == last.facts["study_sha256_before"]


def _checkpoint_findings(path: Path, events: Sequence[AuditEvent]) -> Iterator[Finding]:
    """A checkpoint is the last that was announced, or one whose successors may all have been broken off by a kill."""
    saved = [found for found in events if found.event == "saved"]
    try:
        found = load_named(path)
    except StorageError as error:
        yield Finding("broken", str(path), str(error))
        return
    sha256, state = found if found is not None else ("", None)
    for place, event in enumerate(reversed(saved)):
        if event.facts["sha256"] == sha256:
            if place:
                yield Finding("unfinished", str(path), "a newer one was announced and not written; resume the study")
            break
        if not is_last_of_its_writer(events, event):
            what = "it is missing" if state is None else "it is not the one that was saved last, or was changed"
            yield Finding("broken", str(path), f"{what}; event {event.number} saved it")
            return
    else:
        if state is not None:
            yield Finding("broken", str(path), "no event of the log saved this checkpoint")
            return
    if state is not None:
        known = {content_of(found.event, found.facts) for found in events}
        missing = [
            f"{name} {dict(facts)}"
            for name, all_facts in history_events(state).items()
            for facts in all_facts
            if content_of(name, facts) not in known
        ]
        if missing:
            yield Finding(
                "unfinished", str(path), f"it tells what the log does not yet: {missing[0]}; resume the study"
            )
