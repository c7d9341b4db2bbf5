"""What every run leaves behind: result.json, the matrices, the report, and copies of them in MLflow."""

import json
from collections.abc import Mapping

from protocol.storage.atomic_files import write_text
from server.results.report import report_html
from server.results.result import Facts, Status, build_result, read_versions, write_result
from server.study.checkpoint import Checkpoint
from server.study.directory import Prepared, StudyDirectory
from server.tracking.tracker import Tracker
from strategies.bank.bank import AdapterBank


def write_outputs(
    directory: StudyDirectory,
    prepared: Prepared,
    state: Checkpoint,
    bank: AdapterBank,
    tracker: Tracker,
    cases: Mapping[str, Mapping[str, int]],
    status: Status,
) -> None:
    """Write the outputs of a study as far as it came."""
    facts = Facts(
        status=status,
        specs=prepared.specs,
        backbone=state.backbone_hash,
        seconds=state.elapsed_s,
        cases=cases,
        entries=bank.entries(),
        versions=read_versions(),
    )
    result = build_result(prepared.study, state.history, facts)
    write_result(directory.result, result)
    write_text(directory.matrix, json.dumps(result["matrices"], indent=1))
    write_text(directory.report, report_html(result))
    tracker.catch_up(state)
