"""A cohort of predicted times: what rows of scored cases hold, and every figure of it.

Per endpoint, over the cases whose time and event are known. Over endpoints, concordances are weighed by their
comparable pairs (a pair is always of one endpoint), Brier scores count alike, pairs and events are sums.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.tasks.contract import CaseScore
from strategies.evaluation.matrix import Floats
from strategies.evaluation.survival_metrics import (
    Concordance,
    concordance,
    integrated_brier,
    pair_weighted_mean,
    ratio,
    sums_over_pairs,
    uno_concordance,
)

DAYS, EVENT, RISK, SURVIVAL = "days", "event", "risk", "survival"
Values = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class EndpointCohort:
    """The cases of a cohort whose endpoint is known.

    known: which of the cohort, (cases,). days, event, risk: of the known, (n,). survival: at the study's edges (n, k).
    """

    known: NDArray[np.bool_]
    days: Floats
    event: NDArray[np.bool_]
    risk: Floats
    survival: Floats


def values_of(
    endpoints: Sequence[str], times: NDArray[np.float32], prediction: NDArray[np.float32]
) -> Mapping[str, float | None]:
    """What the row of a case holds, by name.

    Args:
        times: days and event of each endpoint (n, 2), NaN where missing.
        prediction: risk and survival at the edges of each endpoint, (n, 1 + k).
    """
    found: Values = {}
    for name, (days, event), (risk, *survival) in zip(endpoints, times.tolist(), prediction.tolist(), strict=True):
        missing = math.isnan(days) or math.isnan(event)
        found |= {f"{DAYS}/{name}": None if missing else days, f"{EVENT}/{name}": None if missing else event}
        found |= {f"{RISK}/{name}": risk, **{f"{SURVIVAL}/{name}/{j}": at for j, at in enumerate(survival)}}
    return found


def without_endpoints(values: Mapping[str, float | None], endpoints: Iterable[str]) -> Mapping[str, float | None]:
    """The values of a row as if these endpoints were not known of its case."""
    return {**values, **{f"{what}/{name}": None for name in endpoints for what in (DAYS, EVENT)}}


def read_endpoint(rows: Sequence[CaseScore], name: str, edges: int) -> EndpointCohort:
    """The cohort of one endpoint; `edges`: how many times each row has a predicted survival at."""
    known = np.array([row.values[f"{DAYS}/{name}"] is not None for row in rows], dtype=bool)
    there = [row.values for row, has in zip(rows, known, strict=True) if has]
    curves = [[values[f"{SURVIVAL}/{name}/{j}"] for j in range(edges)] for values in there]
    return EndpointCohort(
        known,
        np.array([values[f"{DAYS}/{name}"] for values in there], dtype=np.float64),
        np.array([values[f"{EVENT}/{name}"] for values in there], dtype=bool),
        np.array([values[f"{RISK}/{name}"] for values in there], dtype=np.float64),
        np.array(curves, dtype=np.float64).reshape(len(there), edges),
    )


def cohort_figures(
    cohorts: Mapping[str, EndpointCohort], edges_days: Sequence[float], window_days: float
) -> tuple[Values, dict[str, int]]:
    """Every metric of the task by name, and how many cases a figure does not stand on.

    Args:
        cohorts: by endpoint. edges_days: of the predicted survival; none where the head predicts no time.
        window_days: end of the window that the Brier score is integrated over, the same at every center.
    """
    by_endpoint = {name: _figures(cohort, edges_days, window_days) for name, cohort in cohorts.items()}
    values = _over_endpoints(by_endpoint.values())
    values |= {f"{metric}/{name}": value for name, found in by_endpoint.items() for metric, value in found.items()}
    unknown = {name: int((~cohort.known).sum()) for name, cohort in cohorts.items()}
    cases = max((cohort.known.size for cohort in cohorts.values()), default=0)
    anywhere = np.any([cohort.known for cohort in cohorts.values()], axis=0) if cohorts else np.zeros(0, dtype=bool)
    missing = {metric: unknown.get(metric.partition("/")[2], int((~anywhere).sum())) for metric in values}
    undefined = {metric: cases if values[metric] is None else count for metric, count in missing.items()}
    return values, {metric: count for metric, count in undefined.items() if count}


def events_behind(values: Mapping[str, float | None]) -> dict[str, int]:
    """The events that each figure stands on, those of its endpoint or of all."""
    of_events = {name: "/".join(["events", *name.split("/")[1:]]) for name in values}
    return {name: int(values[events] or 0) for name, events in of_events.items()}


def concordance_of_draws(cohorts: Iterable[EndpointCohort], weights: Floats) -> Floats:
    """Concordance over the pairs of all endpoints in each resample of the cases, (draws,); NaN where there is no pair.

    Args:
        weights: how often each draw has each case, (draws, cases).
    """
    sums = [sums_over_pairs(cohort.days, cohort.event, cohort.risk, weights[:, cohort.known]) for cohort in cohorts]
    concordant, pairs = np.sum(sums, axis=0)
    return ratio(concordant, pairs)


def _figures(cohort: EndpointCohort, edges_days: Sequence[float], window_days: float) -> Values:
    found = concordance(cohort.days, cohort.event, cohort.risk)
    edges = np.asarray(edges_days, dtype=np.float64)
    brier = integrated_brier(cohort.days, cohort.event, edges, cohort.survival, window_days) if edges.size else None
    return {
        "concordance": found.value,
        "uno": uno_concordance(cohort.days, cohort.event, cohort.risk),
        "brier": brier,
        "pairs": found.pairs,
        "events": int(cohort.event.sum()),
    }


def _over_endpoints(found: Iterable[Values]) -> Values:
    rows = list(found)
    pairs = [int(row["pairs"] or 0) for row in rows]
    briers = [brier for row in rows if (brier := row["brier"]) is not None]
    means = {
        name: pair_weighted_mean(Concordance(row[name], count) for row, count in zip(rows, pairs, strict=True)).value
        for name in ("concordance", "uno")
    }
    return {
        **means,
        "brier": math.fsum(briers) / len(briers) if briers else None,
        "pairs": sum(pairs),
        "events": sum(int(row["events"] or 0) for row in rows),
    }
