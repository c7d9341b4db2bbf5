"""A study from the PACS into a folder: one file an object, whole or not there, for the owner alone.

    <folder>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm      folders mode 0700, files 0600

What is there already is not asked for again: what was broken off continues with the series that lack objects.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.pacs.contract import MODALITIES, FoundSeries, PacsClient, SeriesShortError
from client.pacs.pace import Pace
from client.pacs.patience import USUAL, Patience
from protocol.storage.atomic_files import write_private


@dataclass(frozen=True)
class Fetched:
    """What came: objects of the study in the folder, those of them that came now, and their bytes."""

    objects: int
    received: int
    received_bytes: int


def wanted(series: Sequence[FoundSeries], modalities: Collection[str]) -> tuple[FoundSeries, ...]:
    """The series of some modalities that have objects."""
    return tuple(one for one in series if one.modality in modalities and one.sop_uids)


def fetch_study(
    client: PacsClient,
    study_uid: str,
    folder: Path,
    *,
    modalities: Collection[str] = MODALITIES,
    patience: Patience = USUAL,
    pace: Pace | None = None,
) -> Fetched:
    """Ask the PACS for a study's series and fetch those of some modalities into `folder`.

    Raises:
        PacsError: it refuses, does not answer, or keeps back objects that it lists.
        StorageError: the disk is full; what came before stays.
    """
    series = patience.ask(lambda: client.find_series(study_uid))
    return fetch_series(client, wanted(series, modalities), folder, patience=patience, pace=pace)


def fetch_series(
    client: PacsClient,
    series: Sequence[FoundSeries],
    folder: Path,
    *,
    patience: Patience,
    pace: Pace | None = None,
    count: Callable[[int], None] = lambda _bytes: None,
) -> Fetched:
    """Fetch what `folder` lacks of some series; `count` is told the bytes of each object that came.

    Raises:
        PacsError: as `fetch_study`.
        StorageError: as `fetch_study`.
    """
    sizes: list[int] = []

    def tell(size: int) -> None:
        sizes.append(size)
        count(size)
        if pace is not None:
            pace.spend(size)

    for one in series:
        into = folder / one.series_uid
        patience.ask(lambda one=one, into=into: _complete(client, one, into, tell))  # type: ignore[misc]
    return Fetched(sum(len(one.sop_uids) for one in series), len(sizes), sum(sizes))


def _complete(client: PacsClient, series: FoundSeries, into: Path, tell: Callable[[int], None]) -> None:
    """Fetch a series unless all of it is there.

    Raises:
        SeriesShortError: objects that the PACS lists did not come.
    """

    def keep(sop_uid: str, content: bytes) -> None:
        path = into / f"{sop_uid}.dcm"
        if sop_uid in listed and not path.exists():
            write_private(path, content)
        tell(len(content))

    listed = frozenset(series.sop_uids)
    if not _lacking(series, into):
        return
    client.fetch_series(series, keep)
    lacking = _lacking(series, into)
    if lacking:
        raise SeriesShortError(
            f"{client.name}, study {series.study_uid}, series {series.series_uid}: {len(lacking)} of {len(listed)} "
            f"object(s) did not come, the first is {lacking[0]}; ask the PACS' administrator whether it can send them"
        )


def _lacking(series: FoundSeries, into: Path) -> list[str]:
    return [uid for uid in series.sop_uids if not (into / f"{uid}.dcm").exists()]
