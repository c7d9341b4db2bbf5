"""Converts the cases of a plan on all cores and says what became of each; what was converted is never harmed.

    DEST/<case>/          images and record of a case, written whole or not at all
    DEST/participants.csv case and patient, by their ids
    private folder        whom the ids stand for, all issues with their sources, what was made of which files

Whom an id stands for, and which cases are of one patient, is on the disk before a case is. What was made is noted every
few seconds and at the end: a run that is killed loses the note of its last cases, which are made again, and no image.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from client.convert.case_conversion import Done, Failure, Outcome, Task, convert_case, fail, use_one_thread
from client.convert.identities import Origin, PrivateFolder
from client.convert.participants import write_participants
from client.convert.planning import Plan
from client.convert.resumption import read_done, write_done
from client.data.checks import Issue
from client.data.workers import Crew, WorkerDiedError
from protocol.errors import StorageError
from protocol.storage.atomic_files import make_case_folder, remove_unfinished

NOTE_EVERY_S = 5.0


class Screen(Protocol):
    """Who is told how far a conversion is."""

    def begin(self, cases: int) -> None:
        """So many cases are to be converted."""

    def finish(self, outcome: Outcome) -> None:
        """One of them ended."""

    def stopped(self) -> bool:
        """Whether the user wants to stop."""


@dataclass(frozen=True)
class Summary:
    """What became of the cases of a source. stopped: whether the user stopped it before all were done."""

    outcomes: tuple[Outcome, ...]
    issues: tuple[Issue, ...]
    stopped: bool = False

    @property
    def complete(self) -> bool:
        """Whether every case was converted with all images and contours that its source has, and no error was found."""
        issues = (*self.issues, *(issue for outcome in self.outcomes for issue in outcome.record.issues))
        lacking = any(outcome.state == "failed" or outcome.lacking for outcome in self.outcomes)
        return not (self.stopped or lacking or any(issue.fatal for issue in issues))


@dataclass
class Progress:
    """What a run has to note on the disk."""

    private: PrivateFolder
    plan: Plan
    named: dict[str, Origin]
    done: dict[str, Done]
    earlier: list[Issue]
    noted_s: float
    outcomes: list[Outcome] = field(default_factory=list)

    def take(self, outcome: Outcome) -> None:
        """Note what became of a case; on the disk when the last note is a few seconds old."""
        self.outcomes.append(outcome)
        if outcome.done:
            self.done[outcome.case] = replace(outcome.done, choices=self.plan.choices)
        if outcome.origins is not None:
            self.named[outcome.case] = replace(self.named[outcome.case], origins=outcome.origins)
        if time.monotonic() - self.noted_s > NOTE_EVERY_S:
            self.write()

    def write(self) -> None:
        """Note it on the disk; of a case that is not made anew, the issues of the run that converted it."""
        made = {outcome.case: outcome.issues for outcome in self.outcomes if outcome.state != "unchanged"}
        earlier = [issue for issue in self.earlier if issue.case and issue.case not in made]
        issues = dict.fromkeys([*self.plan.issues, *earlier, *(issue for those in made.values() for issue in those)])
        self.private.write_origins(self.named)
        self.private.write_issues(list(issues))
        write_done(self.private.state, self.done)
        self.noted_s = time.monotonic()


def convert(plan: Plan, dest: Path, private: PrivateFolder, screen: Screen, *, jobs: int) -> Summary:
    """Convert the cases of a plan.

    Raises:
        StorageError: the disk is full or refuses; what was converted stays, and the next run goes on from there.
    """
    _make_dest(dest)
    private.write_origins(plan.named)
    write_participants(dest, {task.case: private.patient_id(task.found.patient) for task in plan.tasks})
    earlier = private.read_issues()
    progress = Progress(private, plan, dict(plan.named), read_done(private.state), earlier, time.monotonic())
    screen.begin(len(plan.tasks))
    try:
        for outcome in _outcomes(plan.tasks, jobs, screen):
            progress.take(outcome)
            screen.finish(outcome)
    finally:
        remove_unfinished(dest)
        progress.write()
    outcomes = sorted(progress.outcomes, key=lambda outcome: outcome.case)
    return Summary(tuple(outcomes), plan.issues, stopped=len(outcomes) < len(plan.tasks))


def _outcomes(tasks: Sequence[Task], jobs: int, screen: Screen) -> Iterator[Outcome]:
    readers = {type(task.found.read).__module__ for task in tasks}
    for task, result in Crew(convert_case, use_one_thread, jobs, screen.stopped, readers).run(tasks):
        if isinstance(result, StorageError):
            raise result
        yield _explain(task, result) if isinstance(result, Exception) else result


def _explain(task: Task, error: Exception) -> Outcome:
    """What is said of a case whose worker gave no outcome."""
    if isinstance(error, WorkerDiedError):
        step = "convert it with --jobs 1, or on a machine with more memory"
        return fail(task, Failure("worker-died", "a process that was killed, as when memory is full", step, str(error)))
    step = "report it to the makers of the program; the other cases are not touched by it"
    return fail(task, Failure("unexpected", f"an unexpected {type(error).__name__}", step, repr(error)))


def _make_dest(dest: Path) -> None:
    try:
        make_case_folder(dest)
    except OSError as error:
        raise StorageError(
            f"folder {dest} cannot be made ({error.strerror}); correct the path or permissions"
        ) from error
    remove_unfinished(dest)
