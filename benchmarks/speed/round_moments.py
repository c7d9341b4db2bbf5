"""What a coordinator's process and its study's directory had used when each round began, and figures a round of it."""

import math
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from server.study.directory import StudyDirectory
from server.study.events import Event, RoundStarted, ScoringStarted

MIB, KIB = 1024**2, 1024
PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Moment:
    """What this process and the study's directory had used when a round began."""

    wall_s: float
    cpu_s: float
    process_cpu_s: float
    centers_s: float
    resident: int
    written: int
    checkpoint: int
    audit: int


class Clock:
    """Notes a moment when a round begins, and when the last one has ended.

    Args:
        directory: of the study.
        centers_s: tells how many seconds of this process the centers' apps have taken.
    """

    def __init__(self, directory: StudyDirectory, centers_s: Callable[[], float]) -> None:
        self._directory, self._centers_s = directory, centers_s
        self.moments: list[Moment] = []

    def listen(self, event: Event) -> None:
        """Note the time when a round begins, and the one before has ended."""
        if isinstance(event, RoundStarted) or (isinstance(event, ScoringStarted) and self.moments):
            self.moments.append(self._moment())

    def _moment(self) -> Moment:
        return Moment(
            time.perf_counter(),
            time.thread_time(),
            time.process_time(),
            self._centers_s(),
            resident_bytes(),
            written_bytes(),
            _size(self._directory.checkpoint),
            _size(self._directory.audit),
        )


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def peak_bytes() -> int:
    """The most memory that this process has had in use; unlike getrusage, without what its parent had before."""
    return 1024 * _figure_of("/proc/self/status", "VmHWM:")


def written_bytes() -> int:
    """What this process has written to files so far."""
    return _figure_of("/proc/self/io", "wchar:")


def _figure_of(path: str, name: str) -> int:
    return next(int(line.split()[1]) for line in Path(path).read_text().splitlines() if line.startswith(name))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def figures(moments: Sequence[Moment], centers: int, resident_before: int) -> dict[str, float]:
    """What the rounds took, the first left out.

    Args:
        moments: when each round began, and when the last one had ended; at least three.
        centers: their number.
        resident_before: bytes in use before the study.
    """
    rounds = list(pairwise(moments[1:]))
    cpu = [_own_s(first, second) for first, second in rounds]
    return {
        "centers": centers,
        "rounds": len(moments) - 1,
        "wall_s": statistics.median(second.wall_s - first.wall_s for first, second in rounds),
        "cpu_s": statistics.median(cpu),
        "beside_cpu_s": statistics.median(_beside_s(first, second) for first, second in rounds),
        "centers_cpu_s": statistics.median(second.centers_s - first.centers_s for first, second in rounds),
        "growth": cpu[-1] / cpu[0] if cpu[0] else math.nan,
        "mib_before": resident_before / MIB,
        "mib_growth_a_round": (moments[-1].resident - moments[1].resident) / MIB / len(rounds),
        "written_mib": statistics.median((second.written - first.written) / MIB for first, second in rounds),
        "written_growth": (rounds[-1][1].written - rounds[-1][0].written)
        / max(1, rounds[0][1].written - rounds[0][0].written),
        "checkpoint_kib": moments[-1].checkpoint / KIB,
        "checkpoint_growth_kib": (moments[-1].checkpoint - moments[1].checkpoint) / KIB / len(rounds),
        "audit_kib": (moments[-1].audit - moments[1].audit) / KIB / len(rounds),
    }


def _own_s(first: Moment, second: Moment) -> float:
    """Seconds of the processor between two moments, without those of the centers."""
    return (second.cpu_s - first.cpu_s) - (second.centers_s - first.centers_s)


def _beside_s(first: Moment, second: Moment) -> float:
    """Seconds of the processor that other threads took meanwhile: what is sent to MLflow."""
    return (second.process_cpu_s - first.process_cpu_s) - (second.cpu_s - first.cpu_s)
