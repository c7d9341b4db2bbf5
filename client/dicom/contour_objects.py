"""An RTSTRUCT or a SEG as one thing: the regions it names, and the mask that some of them make together."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.data.checks import Issue, Subject
from client.data.conversion import ContourFrom
from client.data.volume import OnGrid
from client.dicom.contours import Roi, draw_roi, read_rois
from client.dicom.findings import UnreadableFileError
from client.dicom.reading import read_elements
from client.dicom.region_issues import FILE, drawing_issues, placement_issues
from client.dicom.segmentation import SegmentFile, place_segments, read_segments
from client.dicom.series import Instance, Kind

Masked = tuple[NDArray[np.uint8] | None, tuple[Issue, ...]]


@dataclass(frozen=True, eq=False)
class ContourObject:
    """One contour object.

    referenced: UIDs of the series it was drawn on. drawn: when, as "YYYYMMDDHHMMSS", empty where it does not say.
    """

    path: Path
    kind: ContourFrom
    referenced: tuple[str, ...]
    drawn: str
    content: tuple[Roi, ...] | SegmentFile

    @property
    def names(self) -> tuple[str, ...]:
        """The regions that have something drawn, each name once; of a SEG all, since its frames are not decoded yet."""
        if isinstance(self.content, SegmentFile):
            return tuple(dict.fromkeys(segment.label for segment in self.content.segments))
        return tuple(dict.fromkeys(roi.name for roi in self.content if roi.drawn))

    @property
    def empty_names(self) -> tuple[str, ...]:
        """The regions that enclose nothing."""
        if isinstance(self.content, SegmentFile):
            return ()
        return tuple(dict.fromkeys(roi.name for roi in self.content if roi.name not in self.names))

    @property
    def automatic_names(self) -> tuple[str, ...]:
        """The regions that an algorithm alone drew."""
        if isinstance(self.content, SegmentFile):
            return tuple(segment.label for segment in self.content.segments if segment.automatic)
        return tuple(roi.name for roi in self.content if roi.automatic)

    def draw(self, names: Collection[str], grid: OnGrid, subject: Subject) -> Masked:
        """The union of the regions on the grid, and what there is to tell of it; no mask where it cannot be made."""
        if isinstance(self.content, SegmentFile):
            return _place(self.content, names, grid, subject)
        mask = np.zeros(grid.shape_zyx, dtype=np.uint8)
        issues: list[Issue] = []
        for roi in self.content:
            if roi.name in names:
                drawing = draw_roi(roi, grid)
                mask |= drawing.mask_zyx
                issues += drawing_issues(roi, drawing, subject, str(self.path))
        return mask, tuple(issues)


def read_contour_object(instance: Instance, kind: Kind) -> ContourObject:
    """The object of an instance of a series of contours.

    Raises:
        UnreadableFileError: it cannot be read, or is neither RTSTRUCT nor SEG.
    """
    event = "Content" if kind == "seg" else "StructureSet"
    header = read_elements(instance.path, [f"{event}Date", f"{event}Time"])
    drawn = f"{header.get(f'{event}Date') or ''}{header.get(f'{event}Time') or ''}"
    content = read_segments(instance.path) if kind == "seg" else read_rois(instance.path)
    made: ContourFrom = "seg" if kind == "seg" else "rtstruct"
    return ContourObject(instance.path, made, instance.referenced, drawn, content)


def _place(file: SegmentFile, names: Collection[str], grid: OnGrid, subject: Subject) -> Masked:
    numbers = [segment.number for segment in file.segments if segment.label in names]
    try:
        placed = place_segments(file, numbers, grid)
    except UnreadableFileError as error:
        step = "export it again"
        issue = subject.issue("contours-unreadable", FILE, error.found, "a volume", step, source=error.source)
        return None, (issue,)
    return placed.mask_zyx, tuple(placement_issues(file, placed, subject, str(file.path)))
