"""Results back into the PACS, and then the question whether it has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.dicom.reading import read_header
from client.pacs.contract import PacsClient, StudyFailedError
from client.pacs.patience import USUAL, Patience


@dataclass(frozen=True)
class Sent:
    """One object that was sent. problem: why it is not in the PACS, "" where the PACS lists it."""

    path: Path
    study_uid: str
    series_uid: str
    sop_uid: str
    problem: str = ""


def store(client: PacsClient, paths: Sequence[Path], *, patience: Patience = USUAL) -> tuple[Sent, ...]:
    """Send DICOM files, then ask the PACS for them; one that it refuses does not keep the others back.

    Raises:
        PacsError: it refuses this center as a whole, or does not answer.
        CaseError: a file is no DICOM.
    """
    sent = [_send(client, path, patience) for path in paths]
    listed = _listed(client, sorted({one.study_uid for one in sent if not one.problem}), patience)
    return tuple(_checked(client, one, listed) for one in sent)


def _send(client: PacsClient, path: Path, patience: Patience) -> Sent:
    header = read_header(path)
    uids = (str(header.StudyInstanceUID), str(header.SeriesInstanceUID), str(header.SOPInstanceUID))
    try:
        patience.ask(lambda: client.store(path))
    except StudyFailedError as error:
        return Sent(path, *uids, problem=str(error))
    return Sent(path, *uids)


def _listed(client: PacsClient, study_uids: Sequence[str], patience: Patience) -> frozenset[tuple[str, str]]:
    """Series and object of all that the PACS lists in some studies."""
    found: set[tuple[str, str]] = set()
    for study_uid in study_uids:
        for series in patience.ask(lambda uid=study_uid: client.find_series(uid)):  # type: ignore[misc]
            found |= {(series.series_uid, sop_uid) for sop_uid in series.sop_uids}
    return frozenset(found)


def _checked(client: PacsClient, sent: Sent, listed: frozenset[tuple[str, str]]) -> Sent:
    if sent.problem or (sent.series_uid, sent.sop_uid) in listed:
        return sent
    problem = (
        f"{client.name}: took object {sent.sop_uid} but does not list it in study {sent.study_uid}; it may wait for "
        "approval there, ask the PACS' administrator"
    )
    return Sent(sent.path, sent.study_uid, sent.series_uid, sent.sop_uid, problem)
