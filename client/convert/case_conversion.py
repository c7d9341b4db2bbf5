"""Converts one case: what a worker does with it. Whatever goes wrong is that case's issue; only a full disk goes on."""

import os
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import SimpleITK as sitk

from client.convert.case_folder import SUFFIX, fits, volumes_of, write_case
from client.convert.contract import Choices, FoundCase, ReadCase, subject_of
from client.convert.discretion import private_words, withhold, withhold_name
from client.convert.kept_correction import Earlier, keep_correction
from client.convert.registration import compare_in_space, registration_issues
from client.data.checks import Issue, Subject, voxel_issues
from client.data.conversion import Conversion, Layout
from client.data.conversion_file import read_conversion, write_conversion
from client.data.manifest import File
from client.data.volume import Volume
from protocol.errors import CaseError, StorageError
from protocol.modalities import IMAGES

State = Literal["converted", "unchanged", "failed"]
PROGRAM: Final = f"concilium {version('concilium')}"
KIB_PER_MIB: Final = 1024 if sys.platform == "linux" else 1024**2


@dataclass(frozen=True)
class Done:
    """What was converted: the fingerprint of what it was made of, the SHA-256 of the files made, what the user said."""

    fingerprint: str
    checksums: Mapping[str, str]
    choices: Choices | None = None


@dataclass(frozen=True)
class Task:
    """A case to convert. folder: its folder in the data folder; earlier, done: what is kept of earlier runs."""

    case: str
    found: FoundCase
    layout: Layout
    folder: Path
    fingerprint: str
    earlier: Earlier
    done: Done | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    record: what its folder says. issues: its own, with sources, for the private folder. files: images in its folder.
    lacking: images and contours that its source has and the folder has not. peak_mib: most memory that the worker had
    used so far.
    """

    case: str
    state: State
    record: Conversion
    issues: tuple[Issue, ...]
    files: tuple[str, ...] = ()
    lacking: tuple[File, ...] = ()
    origins: Mapping[str, str | list[str]] | None = None
    done: Done | None = None
    peak_mib: float = 0.0


@dataclass(frozen=True)
class Failure:
    """Why nothing was made of a case: a code, what was found, what to do, and the words of the error."""

    code: str
    found: str
    step: str
    words: str = ""
    issues: Sequence[Issue] = field(default=())


def use_one_thread() -> None:
    """Leave the other cores to the other workers; for a process of its own."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def convert_case(task: Task) -> Outcome:
    """Convert a case unless its folder already holds what would be made.

    Raises:
        StorageError: the disk is full or refuses.
    """
    try:
        made = _skip_unchanged(task) or _convert(task)
    except StorageError:
        raise
    except CaseError as error:
        made = fail(task, Failure("not-read", "a source that cannot be read", "export it again", str(error)))
    except MemoryError as error:
        step = "convert with fewer --jobs, or on a machine with more memory"
        made = fail(task, Failure("memory", "too little memory for the case", step, str(error)))
    except Exception as error:  # noqa: BLE001 - one case out of thousands; its files are whatever a hospital has
        step = "report it to the makers of the program; the other cases are not touched by it"
        words = f"{type(error).__name__}: {error}"
        made = fail(task, Failure("unexpected", f"an unexpected {type(error).__name__}", step, words))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB
    return replace(made, peak_mib=peak_mib, lacking=tuple(_lacking(task.found, made.files)))


def _lacking(found: FoundCase, files: Sequence[str]) -> Iterator[File]:
    yield from (image for image in IMAGES if image in found.modalities and f"{image}{SUFFIX}" not in files)
    if f"gtv{SUFFIX}" not in files and found.has_contours():
        yield "gtv"


def fail(task: Task, failure: Failure) -> Outcome:
    """Nothing could be made of the case: its folder says so, beside images of an earlier run, if there are any."""
    subject = subject_of(task.case)
    source = failure.words or os.fspath(task.found.files[0].parent if task.found.files else "")
    told = subject.issue(failure.code, "", failure.found, "a study that can be read", failure.step, source=source)
    issues = (*_of_case(task, (*task.found.issues, *failure.issues)), told)
    shown = _discreet(task, issues)
    record = replace(_earlier_record(task), issues=shown)
    if _files(task.folder):
        write_conversion(record, task.folder)
    else:
        write_case(task.folder, {}, record)
    return Outcome(task.case, "failed", record, issues, _files(task.folder))


def _skip_unchanged(task: Task) -> Outcome | None:
    done = task.done
    if done is None or done.fingerprint != task.fingerprint or not fits(task.folder, done.checksums):
        return None
    record = read_conversion(task.folder)
    return Outcome(task.case, "unchanged", record, record.issues, _files(task.folder), done=done) if record else None


def _convert(task: Task) -> Outcome:
    read = keep_correction(task.found.read(task.case), task.folder, task.earlier)
    volumes = volumes_of(read)
    if not set(volumes) & set(IMAGES):
        failure = Failure("no-image", "neither CT nor PET that can be used", "see its other issues", issues=read.issues)
        return fail(task, failure)
    registration = compare_in_space(read.ct, read.pet) if read.ct and read.pet else None
    compared = registration_issues(subject_of(task.case), registration) if registration else ()
    values = _value_issues(subject_of(task.case), volumes)
    issues = _of_case(task, (*task.found.issues, *read.issues, *values, *compared))
    record = Conversion(
        task.layout,
        PROGRAM,
        pet_values=read.pet_values if read.pet else None,
        registration=registration,
        contours_from=read.contours_from if read.gtv else None,
        rois=tuple(withhold_name(name, _words(task, read)) for name in read.rois),
        issues=_discreet(task, issues, read),
    )
    done = Done(task.fingerprint, write_case(task.folder, volumes, record))
    return Outcome(task.case, "converted", record, issues, _files(task.folder), origins=read.origins, done=done)


def _value_issues(subject: Subject, volumes: Mapping[File, Volume]) -> tuple[Issue, ...]:
    """What `check` would say of the images' values."""
    images = {f"{image}{SUFFIX}": volumes[image] for image in IMAGES if image in volumes}
    return tuple(issue for file, volume in images.items() for issue in voxel_issues(subject, file, volume))


def _of_case(task: Task, issues: Sequence[Issue]) -> tuple[Issue, ...]:
    """Issues that were found before the case had an id get it; each is told once."""
    return tuple(dict.fromkeys(replace(issue, case=task.case) for issue in issues))


def _discreet(task: Task, issues: Sequence[Issue], read: ReadCase | None = None) -> tuple[Issue, ...]:
    words = _words(task, read)
    return tuple(withhold(issue, words) for issue in issues)


def _words(task: Task, read: ReadCase | None) -> tuple[str, ...]:
    """What names the case in its source; readers add the words of the images' own headers."""
    own = read.origins.get("names", []) if read else []
    names = [own] if isinstance(own, str) else own
    return private_words([task.found.patient, *task.found.identity.split("\n"), *names], task.found.files)


def _earlier_record(task: Task) -> Conversion:
    """The record of a folder that holds images; a new one where there is none or it is damaged."""
    blank = Conversion(task.layout, PROGRAM)
    try:
        return (read_conversion(task.folder) if _files(task.folder) else None) or blank
    except CaseError:
        return blank


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.glob(f"*{SUFFIX}")))
