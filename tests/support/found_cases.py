"""Made cases of a source for conversions; readers are pickled, since workers of other processes call them."""

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from client.convert.case_conversion import Outcome, Task
from client.convert.contract import FoundCase, ReadCase, subject_of
from client.convert.kept_correction import Earlier
from client.convert.resumption import fingerprint_of
from client.data.conversion import PetValues
from client.data.volume import IDENTITY, Volume
from protocol.errors import CaseError, StorageError

Ending = Literal["read", "refuse", "raise", "die", "memory", "full", "nothing", "wait"]
SPACING_MM, ORIGIN_MM = (4.0, 4.0, 4.0), (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class MadeReader:
    """Reads a CT of the value that `file` holds, on 8 x 8 x 8 voxels, with a PET and a mask; or ends as told."""

    file: Path
    ending: Ending = "read"

    def __call__(self, case: str) -> ReadCase:
        if self.ending == "refuse":
            raise CaseError(f"{self.file} of Mueller cannot be read")
        if self.ending == "raise":
            raise ZeroDivisionError("of Mueller")
        if self.ending == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.ending == "memory":
            raise MemoryError
        if self.ending == "full":
            raise StorageError("no space left on the device")
        if self.ending == "wait":
            time.sleep(1)
        issue = subject_of(case).issue(
            "made", "", "a made case", "one", "nothing to do", grade="note", source="Mueller"
        )
        if self.ending == "nothing":
            return ReadCase(issues=(issue,))
        hu = np.full((8, 8, 8), -1000.0, np.float32)
        hu[2:6, 2:6, 2:6] = float(self.file.read_text())
        mask = (hu > -500).astype(np.uint8)
        return ReadCase(
            ct=Volume(hu, SPACING_MM, ORIGIN_MM, IDENTITY, "ct_hu"),
            pet=Volume(mask.astype(np.float32), SPACING_MM, ORIGIN_MM, IDENTITY, "pet_suv"),
            gtv=Volume(mask, SPACING_MM, ORIGIN_MM, IDENTITY, "mask"),
            pet_values=PetValues("bw", "units", "GML"),
            contours_from="image",
            rois=("GTV", "GTV of Mueller"),
            issues=(issue,),
            origins={"study_uid": "1.2.3", "ct_files": [str(self.file)]},
        )


def found_case(folder: Path, name: str, ending: Ending = "read", *, hu: int = 60) -> FoundCase:
    """A case whose identity and patient are `name` and Mueller, made of one file."""
    file = folder / name
    if not file.exists():
        file.write_text(str(hu))
    return FoundCase(f"Mueller\n{name}", "Mueller", (file,), MadeReader(file, ending), modalities=("ct", "pet"))


def task_of(found: FoundCase, folder: Path, done=None) -> Task:
    """The task that converts a case to `folder`."""
    from client.convert.contract import Choices

    earlier = Earlier(folder.parent / "private" / "labels" / folder.name)
    return Task(folder.name, found, "nifti", folder, fingerprint_of(found, Choices(), "nifti"), earlier, done)


@dataclass
class QuietScreen:
    """Keeps what it is told; asks to stop once `most` cases ended."""

    most: int = 1000
    total: int = 0
    ended: list[Outcome] = field(default_factory=list)

    def begin(self, cases: int) -> None:
        self.total = cases

    def finish(self, outcome: Outcome) -> None:
        self.ended.append(outcome)

    def stopped(self) -> bool:
        return len(self.ended) >= self.most


@dataclass(frozen=True)
class CrewOfOne:
    """In place of `client.data.workers.Crew`: the same work in this process, which starts none."""

    work: Callable[[Any], Any]
    prepare: Callable[[], None]
    jobs: int
    stopped: Callable[[], bool]
    modules: Collection[str] = ()

    def run(self, tasks: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        for task in tasks:
            if self.stopped():
                return
            try:
                yield task, self.work(task)
            except StorageError as error:
                yield task, error
