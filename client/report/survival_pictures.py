"""What a center's own page shows of predicted times: survival by predicted risk group, and calibration at one time.

A cohort is the cases that the latest stage scored from one of the fullest inputs, as in the table above the pictures.
Risk groups are halves of it by risk, thirds from FEWEST_FOR_THIRDS on. Calibration compares
in the same groups the mean predicted survival at the study's horizon with the Kaplan-Meier estimate and its 95 %
interval; a head without a curve has none.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from client.report.prediction_file import read_arrays
from client.report.task_rows import CaseRow, TaskPicture, fullest_inputs
from protocol.errors import CaseError
from reporting import formats
from strategies.evaluation.matrix import Floats
from strategies.evaluation.survival_metrics import calibration, concordance, kaplan_meier, survival_at

FOLDER = Path("predictions") / "survival"
FEWEST, FEWEST_FOR_THIRDS = 4, 30
COLOURS = {2: ("#0b4f7a", "#b3541e"), 3: ("#0b4f7a", "#8a929c", "#b3541e")}
GROUPS = {2: ("lower risk", "higher risk"), 3: ("low risk", "middle", "high risk")}
DAYS_A_YEAR = 365.25
DOTS_PER_INCH = 110


@dataclass(frozen=True, eq=False)
class RecordedCohort:
    """The cases of one endpoint whose time is known, predicted from one input.

    days, event, risk: (n,). survival: at edges_days, (n, k); no edge where the head predicts no time.
    """

    modalities: str
    endpoint: str
    days: Floats
    event: NDArray[np.bool_]
    risk: Floats
    survival: Floats
    edges_days: Floats
    horizon_days: float


def survival_pictures(home: Path, rows: Sequence[CaseRow]) -> list[TaskPicture]:
    """Every endpoint of the cases that `rows` scored last; none where no time was predicted."""
    try:
        return [_picture(cohort) for cohort in read_cohorts(home, rows)]
    except CaseError as error:
        return [TaskPicture("predicted times", "", "", problem=str(error))]


def read_cohorts(home: Path, rows: Sequence[CaseRow]) -> list[RecordedCohort]:
    """Read `predictions/survival/<case>.npz` of the cases in `rows`, one cohort an input and endpoint.

    Raises:
        CaseError: a file is broken or lacks an array.
    """
    scored = {row.case for row in rows}
    found = [_read(path) for path in sorted((home / FOLDER).glob("*.npz")) if path.stem in scored]
    by_input = {name: [case for case in found if str(case["modalities"]) == name] for name in fullest_inputs(rows)}
    return [cohort for name, cases in by_input.items() if cases for cohort in _cohorts(name, cases)]


def _cohorts(modalities: str, found: Sequence[Mapping[str, NDArray[Any]]]) -> list[RecordedCohort]:
    times, risk, survival = (np.stack([case[name] for case in found]).astype(float) for name in _OF_CASES)
    first, cohorts = found[0], []
    for place, name in enumerate(first["endpoints"]):
        known = ~np.isnan(times[:, place]).any(axis=1)
        days, event = times[known, place].T
        cohorts.append(
            RecordedCohort(
                modalities,
                str(name),
                days,
                event > 0,
                risk[known, place],
                survival[known, place],
                first["edges_days"].astype(float),
                float(first["horizon_days"]),
            )
        )
    return cohorts


def cohort_png(cohort: RecordedCohort) -> bytes:
    """Kaplan-Meier by predicted risk group, and beside it calibration where the head predicts a time."""
    predicted = survival_at(cohort.edges_days, cohort.survival, cohort.horizon_days)
    panels = 1 if predicted is None else 2
    figure = Figure(figsize=(4.6 * panels, 3.6), layout="constrained", facecolor="white")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    draw_curves(axes[0], cohort)
    if predicted is not None:
        draw_calibration(axes[1], cohort, predicted)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def risk_groups(risk: Floats) -> list[NDArray[np.int64]]:
    """The cases of each group, lowest risk first."""
    groups = 3 if risk.size >= FEWEST_FOR_THIRDS else 2
    return list(np.array_split(np.argsort(risk, kind="stable"), groups))


def draw_curves(panel: Axes, cohort: RecordedCohort) -> None:
    """Kaplan-Meier of each risk group with its interval."""
    groups = risk_groups(cohort.risk)
    for cases, colour, name in zip(groups, COLOURS[len(groups)], GROUPS[len(groups)], strict=True):
        curve = kaplan_meier(cohort.days[cases], cohort.event[cases])
        years = np.concatenate([[0.0], curve.days]) / DAYS_A_YEAR
        label = f"{name} ({int(cohort.event[cases].sum())} of {cases.size})"
        panel.step(years, np.concatenate([[1.0], curve.survival]), where="post", color=colour, label=label)
        low, high = (np.nan_to_num(np.concatenate([[1.0], ends]), nan=1.0) for ends in (curve.low, curve.high))
        panel.fill_between(years, low, high, step="post", color=colour, alpha=0.12, linewidth=0)
    panel.set(xlabel="years", ylabel="share without the event", ylim=(0, 1.02), xlim=(0, None), title=cohort.endpoint)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(loc="lower left", frameon=False, fontsize=8)


def draw_calibration(panel: Axes, cohort: RecordedCohort, predicted: Floats) -> None:
    """Observed against predicted survival at the horizon, by group; one that was not seen until then is left out."""
    groups = len(risk_groups(cohort.risk))
    points = calibration(cohort.days, cohort.event, predicted, cohort.horizon_days, groups)
    for point in points:
        if point.observed is not None:
            share, low, high = (float(end) for end in np.nan_to_num(point.observed, nan=point.observed[0]))
            panel.errorbar(point.predicted, share, [[share - low], [high - share]], fmt="o", color=COLOURS[2][0])
    panel.plot([0, 1], [0, 1], color="#8a929c", linestyle=":", linewidth=1)
    years = cohort.horizon_days / DAYS_A_YEAR
    panel.set(xlabel="predicted", ylabel="observed", title=f"survival at {years:.1f} years")
    panel.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    panel.spines[["top", "right"]].set_visible(False)


_OF_CASES: Sequence[str] = ("times", "risk", "survival")
_OF_ALL: Sequence[str] = ("endpoints", "edges_days", "horizon_days", "modalities")


def _read(path: Path) -> dict[str, NDArray[Any]]:
    found = read_arrays(path)
    try:
        return {name: found[name] for name in (*_OF_CASES, *_OF_ALL)}
    except KeyError as error:
        raise CaseError(f"prediction {path} cannot be read ({error!r}); evaluate the case again") from error


def _picture(cohort: RecordedCohort) -> TaskPicture:
    title = f"{cohort.endpoint}, from {formats.label(cohort.modalities)}"
    if cohort.days.size < FEWEST:
        problem = f"{cohort.days.size} case(s) with a known time; a curve by risk groups needs {FEWEST}"
        return TaskPicture(title, "", "", problem)
    found = concordance(cohort.days, cohort.event, cohort.risk)
    value = "undefined" if found.value is None else f"{found.value:.2f}"
    caption = (
        f"{title}: {cohort.days.size} cases, {int(cohort.event.sum())} events, concordance {value} over "
        f"{found.pairs} comparable pairs of this center's cases"
    )
    return TaskPicture(title, caption, base64.b64encode(cohort_png(cohort)).decode())
