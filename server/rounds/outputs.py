"""What every run leaves behind: result.json, the matrices, the report, and copies of them in MLflow."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from protocol.errors import StudyError
from protocol.storage.atomic_files import write_text
from server.results.report import report_html
from server.results.result import (
    Facts,
    Status,
    build_result,
    read_result,
    read_versions,
    with_services,
    with_withdrawals,
    write_result,
)
from server.results.service import Service, read_services, write_services
from server.study.checkpoint import Checkpoint
from server.study.directory import Prepared, StudyDirectory
from server.study.withdrawn import read_withdrawn
from server.tracking.background import BackgroundTracker
from server.tracking.tracker import Tracker
from strategies.bank.bank import AdapterBank


def write_outputs(
    directory: StudyDirectory,
    prepared: Prepared,
    state: Checkpoint,
    bank: AdapterBank,
    tracker: BackgroundTracker | Tracker,
    cases: Mapping[str, Mapping[str, int]],
    status: Status,
) -> None:
    """Write the outputs of a study as far as it came."""
    facts = Facts(
        status=status,
        specs=prepared.specs,
        backbone=state.backbone_hash,
        seconds=state.elapsed_s,
        cases={**_cases_told_before(directory.result), **cases},
        entries=bank.entries(),
        versions=read_versions(),
        services=read_services(directory.service),
    )
    result = with_withdrawals(build_result(prepared.study, state.history, facts), read_withdrawn(directory))
    write_result(directory.result, result, bank.tell)
    write_text(directory.matrix, json.dumps(result["matrices"], indent=1))
    write_text(directory.report, report_html(result))
    tracker.catch_up(state)


def _cases_told_before(path: Path) -> dict[str, Mapping[str, int]]:
    """What the last result says of the centers' cases: nobody registers when a study that is done is resumed."""
    try:
        told = read_result(path) or {}
    except StudyError:
        return {}
    return {name: center["cases"] for name, center in told.get("centers", {}).items()}


def add_services(directory: StudyDirectory, bank: AdapterBank, services: Sequence[Service]) -> None:
    """Write what the centers are served into the outputs of a study that is done; what says so already is left alone.

    Raises:
        StudyError: the study has no result that can be read.
        StorageError: the disk refuses.
    """
    if services != read_services(directory.service):
        write_services(directory.service, services)
    before = read_result(directory.result)
    if before is None:
        raise StudyError(f"{directory.root} has no {directory.result.name}; finish the study first")
    result = with_services(before, services, bank.entries())
    if json.dumps(result) != json.dumps(before):
        write_result(directory.result, result, bank.tell)
        write_text(directory.report, report_html(result))
