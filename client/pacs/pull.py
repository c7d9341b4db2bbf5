"""The studies of a worklist, from the PACS into a folder, one after another; each told as it ends.

    <out>/<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm
    <out>/pull.json          what came, and what did not

A study that fails is told and the next one is fetched; a PACS that refuses or stays silent ends the pull. What was
fetched stays, and the same pull again fetches what lacks.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from client.pacs.contract import FoundSeries, FoundStudy, PacsClient, PacsSilentError, StudyFailedError
from client.pacs.fetching import fetch_series, wanted
from client.pacs.pace import Pace
from client.pacs.patience import Patience
from client.pacs.worklist import Entry
from protocol.storage.atomic_files import write_private

SUMMARY = "pull.json"
State = Literal["complete", "found", "incomplete", "not-found", "other-study", "nothing-to-fetch"]
WELL: frozenset[State] = frozenset({"complete", "found"})


@dataclass(frozen=True)
class Outcome:
    """What became of one row of the worklist, or of one study where a row means several.

    series: how many by modality. objects: how many the PACS lists; received: those that came now.
    """

    line: int
    state: State
    study_uid: str = ""
    series: dict[str, int] | None = None
    objects: int = 0
    received: int = 0
    received_bytes: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Wanted:
    """A study to fetch, for a row of the worklist."""

    line: int
    study_uid: str
    series: tuple[FoundSeries, ...]

    def outcome(self, state: State, *, received: int = 0, received_bytes: int = 0, problem: str = "") -> Outcome:
        """What became of it."""
        counts = dict(sorted(Counter(one.modality for one in self.series).items()))
        objects = sum(len(one.sop_uids) for one in self.series)
        return Outcome(self.line, state, self.study_uid, counts, objects, received, received_bytes, problem)


def pull(
    client: PacsClient,
    entries: Sequence[Entry],
    out: Path,
    *,
    modalities: Collection[str],
    patience: Patience,
    pace: Pace,
    count: Callable[[int], None] = lambda _bytes: None,
) -> Iterator[Outcome]:
    """Fetch the studies of a worklist, in its order.

    Raises:
        PacsError: the PACS refuses, or is silent for longer than `patience` bears.
        StorageError: the disk is full.
    """
    for found in look(client, entries, modalities=modalities, patience=patience):
        if isinstance(found, Outcome):
            yield found
            continue
        try:
            came = fetch_series(client, found.series, out / found.study_uid, patience=patience, pace=pace, count=count)
        except (StudyFailedError, PacsSilentError) as error:
            yield found.outcome("incomplete", problem=str(error))
            if isinstance(error, PacsSilentError):
                raise
        else:
            yield found.outcome("complete", received=came.received, received_bytes=came.received_bytes)


def look(
    client: PacsClient, entries: Sequence[Entry], *, modalities: Collection[str], patience: Patience
) -> Iterator[Wanted | Outcome]:
    """What the PACS has of a worklist; rows that cannot be fetched come as their outcome.

    Raises:
        PacsError: as `pull`.
    """
    for entry in entries:
        try:
            studies = patience.ask(lambda entry=entry: client.find_studies(entry.query))  # type: ignore[misc]
        except StudyFailedError as error:
            yield Outcome(entry.line, "incomplete", entry.said.study_uid, problem=str(error))
            continue
        if not studies:
            problem = "the PACS has no such study for this center; check the row, and whether it was archived elsewhere"
            yield Outcome(entry.line, "not-found", entry.said.study_uid, problem=problem)
        for study in studies:
            yield _look_into(client, entry, study, modalities=modalities, patience=patience)


def _look_into(
    client: PacsClient, entry: Entry, study: FoundStudy, *, modalities: Collection[str], patience: Patience
) -> Wanted | Outcome:
    uid = study.study_uid
    if other := entry.contradiction(study):
        problem = f"the PACS says {other} of this study than the row does; nothing was fetched, correct the row"
        return Outcome(entry.line, "other-study", uid, problem=problem)
    try:
        found = patience.ask(lambda: client.find_series(uid))
    except StudyFailedError as error:
        return Outcome(entry.line, "incomplete", uid, problem=str(error))
    series = wanted(found, modalities)
    if not series:
        has = ", ".join(sorted({one.modality for one in found})) or "none"
        problem = f"no series of {', '.join(modalities)} with objects, it has {has}; take the row out, or ask for those"
        return Outcome(entry.line, "nothing-to-fetch", uid, problem=problem)
    return Wanted(entry.line, uid, series)


def summary(place: str, outcomes: Sequence[Outcome], *, stopped: str = "") -> dict[str, object]:
    """All that a pull did, for its file and for scripts. `stopped`: why it ended early, "" where it did not."""
    counts = Counter(outcome.state for outcome in outcomes)
    return {
        "pacs": place,
        "stopped": stopped,
        "counts": dict(sorted(counts.items())),
        "received_objects": sum(outcome.received for outcome in outcomes),
        "received_bytes": sum(outcome.received_bytes for outcome in outcomes),
        "studies": [asdict(outcome) for outcome in outcomes],
    }


def write_summary(out: Path, found: dict[str, object]) -> None:
    """Keep the summary beside the studies, for the owner alone."""
    write_private(out / SUMMARY, json.dumps(found, indent=1).encode())
