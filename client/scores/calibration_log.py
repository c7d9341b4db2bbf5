"""What a center keeps of how sure its masks are: one row for each stage and input, in `calibration.json`.

    {"schema": 1, "rows": [...], "seal": SHA-256}

Of the network that the center was served at the end of the stage: its temperature and threshold, from validation
cases; reliability and uncertainty of its test cases. Each case under its fullest input, so that an input has a row
where cases have no more. Written under the center's home, for its owner alone; read by its report and by `predict`, and
nothing of it travels.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from client.scores.abstention import COVERAGE, choose_threshold
from client.scores.calibration import PLAIN, fit_temperature, leave_one_out, reliability
from client.scores.calibration_rows import CALIBRATION, SCHEMA, CalibrationRow, CaseRow, read_calibration
from client.scores.scoring import Network, Scored
from client.tasks.margins import Margins, mean_entropy
from protocol.errors import CaseError
from protocol.modalities import SETTINGS, ModalitySetting
from protocol.storage.atomic_files import write_private
from protocol.storage.sealed_json import seal

logger = logging.getLogger(__name__)


def calibrate(
    stage: str, network: Network, validation: Sequence[Scored], tests: Sequence[Scored]
) -> list[CalibrationRow]:
    """A row for each input that is the fullest of a test case; none where the answers are no masks.

    Args:
        stage: that ended.
        network: what the center was served.
        validation: its validation cases, each under its fullest input.
        tests: its test cases likewise.
    """
    found = []
    for setting in SETTINGS:
        known, judged = (
            {row.score.case: row for row in rows if row.score.modalities == setting and row.margins is not None}
            for rows in (validation, tests)
        )
        if judged:
            found.append(_row(stage, setting, network, known, judged))
    return found


def record_calibration(home: Path, stage: str, rows: Sequence[CalibrationRow]) -> None:
    """Replace the stage's rows in `calibration.json`; a file without any is not made."""
    path = home / CALIBRATION
    kept = [row for row in _rows_before(path) if row.stage != stage]
    if kept or rows:
        content = [row.model_dump(mode="json") for row in (*kept, *rows)]
        write_private(path, seal({"schema": SCHEMA, "rows": content}))


def _row(
    stage: str,
    setting: ModalitySetting,
    network: Network,
    validation: Mapping[str, Scored],
    tests: Mapping[str, Scored],
) -> CalibrationRow:
    known, judged = (_margins(rows) for rows in (validation, tests))
    fitted = fit_temperature(known)
    temperature = PLAIN if fitted.value is None else fitted.value
    threshold = choose_threshold([mean_entropy(case.near, temperature) for case in known])
    return CalibrationRow(
        stage=stage,
        modalities=setting,
        adapter_sha256=network.adapter_hash,
        backbone_sha256=network.backbone_hash,
        validation_cases=len(known),
        temperature=fitted.value,
        temperature_range=None if fitted.value is None else leave_one_out(known),
        no_temperature=fitted.reason,
        threshold=threshold.value,
        no_threshold=threshold.reason,
        coverage=COVERAGE,
        before=tuple(reliability(judged, PLAIN)),
        after=() if fitted.value is None else tuple(reliability(judged, fitted.value)),
        cases=tuple(_case(row, temperature) for row in tests.values()),
    )


def _margins(rows: Mapping[str, Scored]) -> list[Margins]:
    return [row.margins for row in rows.values() if row.margins is not None]


def _case(row: Scored, temperature: float) -> CaseRow:
    uncertainty = None if row.margins is None else mean_entropy(row.margins.near, temperature)
    return CaseRow(case=row.score.case, uncertainty=uncertainty, dice=row.score.values["dice"])


def _rows_before(path: Path) -> tuple[CalibrationRow, ...]:
    """What was kept; a damaged file is set aside, since a study does not stop for a center's own page."""
    try:
        return read_calibration(path)
    except CaseError as error:
        aside = path.with_name(f"{path.name}.damaged")
        logger.warning("%s; it is set aside as %s, and rows of earlier stages are missing from now on", error, aside)
        path.replace(aside)
        return ()
