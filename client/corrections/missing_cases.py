"""Corrected studies that are no case of the data folder yet: converted as the cases that are there were."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from client.convert.contract import Choices
from client.convert.conversion_run import convert
from client.convert.identities import PrivateFolder
from client.convert.planning import find_cases, plan
from client.convert.resumption import read_done
from client.corrections.edited import Matched
from client.corrections.keeping import find_case
from client.data.checks import Issue
from client.dicom.findings import find_in_archive


def convert_missing(
    matched: Sequence[Matched], images: Path, dest: Path, private: PrivateFolder, rois: str | None
) -> tuple[Issue, ...]:
    """Convert the studies that are no case yet, from a folder with their images; and why none could be.

    Args:
        matched: the corrections; those of cases need nothing.
        images: where the studies are looked for.
        dest: the data folder.
        private: its private folder, which knows how its cases were converted.
        rois: pattern of the contours that are meant; as for the other cases where None.

    Raises:
        CaseError: the private folder is damaged.
    """
    wanted = {
        each.predicted.study_uid
        for each in matched
        if not find_case(private, each.predicted.study_uid, each.predicted.series_uids[:1])
    }
    if not wanted:
        return ()
    choices = choices_of(private)
    if isinstance(choices, Issue):
        return (choices,)
    choices = replace(choices, rois=rois or choices.rois)
    found = find_cases(images, "dicom", choices, private, lambda _count: None)
    own = tuple(case for case in found.cases if case.identity.split("\n")[-1] in wanted)
    if own:
        planned = plan(replace(found, cases=own, issues=()), images, dest, "dicom", choices, private)
        convert(replace(planned, issues=()), dest, private, _Quiet(), jobs=1)
    return ()


def choices_of(private: PrivateFolder) -> Choices | Issue:
    """What the user said when the DICOM studies of the folder were converted; the defaults where there are none.

    That they were converted to SUV in several ways is an issue: none of these is the folder's.

    Raises:
        CaseError: the private folder is damaged.
    """
    of_studies = {case for case, origin in private.read_origins().items() if origin.origins.get("study_uid")}
    done = read_done(private.state)
    said = {done[case].choices for case in sorted(of_studies & set(done))} - {None}
    ways = {(choices.suv, choices.declared_suv) for choices in said if choices}
    if len(ways) > 1:
        found, step = (
            f"cases with SUV of {len(ways)} kinds",
            "convert the corrected study first, with the --suv that is meant",
        )
        return find_in_archive("correction-choices", found, "one kind, for a study that is no case yet", step)
    patterns = {choices.rois for choices in said if choices}
    suv, declared = next(iter(ways), (Choices.suv, Choices.declared_suv))
    return Choices(next(iter(patterns)) if len(patterns) == 1 else None, suv, declared)


class _Quiet:
    """Nobody is told how far the conversion of a few studies is."""

    def begin(self, cases: int) -> None:
        """Nothing."""

    def finish(self, outcome: object) -> None:
        """Nothing."""

    def stopped(self) -> bool:
        """Never."""
        return False
