"""Pictures and figures of every case, drawn on as many cores as pay; a case that cannot be drawn says why."""

import math
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from client.data.manifest import Case
from client.data.workers import Crew
from client.viewing.case_figures import CaseFigures, measure
from client.viewing.case_slices import Place, cut_slices, read_volumes
from client.viewing.thumbnails import Thumbnail, draw_thumbnail

VOXELS_A_PROCESS = 100_000_000
LEAST_VOXELS_A_CASE = 1_000_000
PLACES: Mapping[Place, str] = {
    "contour": "through the largest slices of the contour",
    "pet": "no contour: through the largest uptake",
    "middle": "neither contour nor PET: through the middle",
}


@dataclass(frozen=True)
class CaseOverview:
    """One case as the page shows it.

    picture: None where it could not be drawn. told: what the slices go through, or why there is no picture.
    """

    picture: Thumbnail | None = None
    told: str = "No image of this case can be read."
    figures: CaseFigures = field(default_factory=CaseFigures)

    @property
    def address(self) -> str:
        """The picture as a data address; empty without one."""
        return "" if self.picture is None else f"data:image/jpeg;base64,{b64encode(self.picture.jpeg).decode()}"


def overview(case: Case) -> CaseOverview:
    """Read a case once, measure and draw it."""
    volumes = read_volumes(case)
    slices = cut_slices(volumes)
    if slices is None:
        return CaseOverview(figures=measure(volumes))
    return CaseOverview(draw_thumbnail(slices), PLACES[slices.place], measure(volumes))


def overviews(cases: Sequence[Case], workers: int) -> Iterator[tuple[int, CaseOverview]]:
    """Each case's place in `cases` with its overview, as they are done."""
    used = min(workers, _work(cases) // VOXELS_A_PROCESS)
    if used < 2:
        yield from enumerate(map(overview, cases))
        return
    crew = Crew(overview_at, _prepare, used, stopped=lambda: False)
    for (place, _), result in crew.run(list(enumerate(cases))):
        failure = CaseOverview(told=f"This case could not be drawn: {result}.")
        yield place, failure if isinstance(result, Exception) else result


def overview_at(task: tuple[int, Case]) -> CaseOverview:
    """The overview of a numbered case."""
    return overview(task[1])


def _work(cases: Sequence[Case]) -> int:
    """Voxels to read and draw; the smallest case takes its time too."""
    return sum(LEAST_VOXELS_A_CASE + sum(math.prod(grid.shape_zyx) for grid in case.grids.values()) for case in cases)


def _prepare() -> None:
    """Drawing needs nothing beforehand."""
