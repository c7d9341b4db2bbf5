"""What `predict` asks of a PACS: studies before, and a place for the results after."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from client.cli.interruption import exit_on_signals
from protocol.errors import CaseError

if TYPE_CHECKING:
    from client.predict.prediction_run import Outcome

STORED = ("seg", "report", "rtstruct")
"""What is sent back, by its name among a record's files."""


def fetch_studies(server: Path, study_uids: Sequence[str], folder: Path) -> None:
    """Fetch CT, PET and nothing else of some studies into `folder`; what is there already is not fetched again.

    Raises:
        PacsError: the PACS refuses or does not answer.
        CaseError: it has no CT and no PET of a study.
    """
    from client.pacs.clients import connect
    from client.pacs.fetching import fetch_study
    from client.pacs.settings import read_server

    with exit_on_signals(), connect(read_server(server)) as client:
        for uid in study_uids:
            found = fetch_study(client, uid, folder / uid, modalities=("CT", "PT"))
            if not found.objects:
                raise CaseError(f"{client.name} has neither CT nor PET of study {uid}; correct --study-uid")
            typer.echo(f"{client.name}: {found.objects} object(s) of study {uid}", err=True)


def store_results(server: Path, outcomes: "Sequence[Outcome]") -> list[str]:
    """Send SEG, SR and RTSTRUCT of all predictions, and return what the PACS did not take, a sentence each.

    Raises:
        PacsError: it refuses this center as a whole, or does not answer.
    """
    from client.pacs.clients import connect
    from client.pacs.settings import read_server
    from client.pacs.storing import store

    paths = [path for outcome in outcomes for path in objects_of(outcome)]
    unmade = [told for outcome in outcomes for told in unmade_objects_of(outcome)]
    if not paths:
        return unmade or ["there is no DICOM object to send: predictions of image files have none"]
    with exit_on_signals(), connect(read_server(server)) as client:
        sent = store(client, paths)
        typer.echo(f"{client.name}: {sum(not one.problem for one in sent)} of {len(sent)} object(s) stored", err=True)
    return [*unmade, *(f"{one.path}: {one.problem}" for one in sent if one.problem)]


def objects_of(outcome: "Outcome") -> list[Path]:
    """The DICOM files of a prediction."""
    files = {} if outcome.record is None else outcome.record["files"]
    return [outcome.folder / files[name] for name in STORED if name in files]


def unmade_objects_of(outcome: "Outcome") -> list[str]:
    """Why objects of a prediction could not be made, a sentence each."""
    from client.predict.outputs import NO_OBJECT

    told = [] if outcome.record is None else outcome.record["warnings"]
    return [issue["message"] for issue in told if issue["code"] == NO_OBJECT]
