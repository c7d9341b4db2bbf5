"""What a cohort of predicted times says, from the rows of its cases."""

import numpy as np
import pytest

from client.tasks.contract import CaseScore
from client.tasks.survival_cohorts import cohort_figures, concordance_of_draws, events_behind, read_endpoint, values_of

NAN = float("nan")
EDGES = (1.5, 2.5, 3.5)


def row(case: str, times: list[list[float]], risks: list[float]) -> CaseScore:
    """A case whose survival falls by its risk at each edge."""
    curves = [[1 - risk / 10 * (j + 1) for j in range(len(EDGES))] for risk in risks]
    prediction = np.array([[risk, *curve] for risk, curve in zip(risks, curves, strict=True)], dtype=np.float32)
    return CaseScore(case, "ehr", values_of(("death", "distant"), np.array(times, dtype=np.float32), prediction))


ROWS = [
    row("a", [[1, 1], [4, 1]], [3, 0]),
    row("b", [[2, 1], [NAN, NAN]], [1, 9]),
    row("c", [[3, 0], [2, 1]], [2, 1]),
    row("d", [[4, 1], [3, 0]], [0, 2]),
]


def figures(rows: list[CaseScore]) -> tuple[dict[str, float | None], dict[str, int]]:
    return cohort_figures({name: read_endpoint(rows, name, len(EDGES)) for name in ("death", "distant")}, EDGES, 2.5)


def test_a_row_keeps_what_is_missing_as_missing() -> None:
    assert (ROWS[1].values["days/distant"], ROWS[1].values["event/distant"]) == (None, None)
    assert ROWS[1].values["risk/distant"] == 9


def test_an_endpoint_is_read_from_the_cases_that_know_it() -> None:
    cohort = read_endpoint(ROWS, "distant", len(EDGES))
    assert cohort.known.tolist() == [True, False, True, True]
    assert cohort.days.tolist() == [4, 2, 3]
    assert cohort.survival.shape == (3, 3)


def test_concordance_weighs_endpoints_by_their_pairs() -> None:
    """Death: b before c is wrong, four others right: 4 / 5. Distant: c before a right, before d wrong: 1 / 2."""
    values, _ = figures(ROWS)
    assert values["concordance/death"] == pytest.approx(4 / 5)
    assert values["concordance/distant"] == pytest.approx(1 / 2)
    assert values["concordance"] == pytest.approx(5 / 7)


def test_pairs_and_events_are_counted_by_endpoint_and_in_all() -> None:
    values, _ = figures(ROWS)
    assert [values[name] for name in ("pairs", "pairs/death", "pairs/distant")] == [7, 5, 2]
    assert [values[name] for name in ("events", "events/death", "events/distant")] == [5, 3, 2]


def test_a_figure_stands_on_the_events_of_its_endpoint() -> None:
    values, _ = figures(ROWS)
    found = events_behind(values)
    assert [found[name] for name in ("concordance", "uno/death", "brier/distant")] == [5, 3, 2]


def test_brier_scores_of_endpoints_count_alike() -> None:
    values, _ = figures(ROWS)
    parts = [values["brier/death"], values["brier/distant"]]
    assert values["brier"] == pytest.approx(np.mean([part for part in parts if part is not None]))


def test_a_figure_names_the_cases_that_it_does_not_stand_on() -> None:
    _, undefined = figures(ROWS)
    assert undefined == dict.fromkeys(
        (f"{name}/distant" for name in ("concordance", "uno", "brier", "pairs", "events")), 1
    )


def test_what_is_undefined_stands_on_no_case() -> None:
    """Nobody has an event: no pair, no concordance."""
    censored = [row(name, [[day, 0], [day, 0]], [1, 1]) for day, name in enumerate("xyz", start=1)]
    values, undefined = figures(censored)
    assert values["concordance"] is None
    assert values["pairs"] == 0
    assert undefined["concordance"] == 3
    assert "pairs" not in undefined


def test_a_cohort_that_was_not_seen_beyond_the_window_has_no_brier_score() -> None:
    cohorts = {name: read_endpoint(ROWS[:2], name, len(EDGES)) for name in ("death", "distant")}
    values, undefined = cohort_figures(cohorts, EDGES, 2.5)
    assert (values["brier/death"], undefined["brier/death"]) == (None, 2)
    assert values["brier/distant"] == values["brier"] is not None


def test_without_edges_there_is_no_brier_score() -> None:
    values, undefined = cohort_figures({"death": read_endpoint(ROWS, "death", 0)}, (), NAN)
    assert (values["brier"], undefined["brier"]) == (None, 4)


def test_no_case_at_all_defines_nothing() -> None:
    values, _ = figures([])
    assert values["concordance"] is None
    assert values["events"] == 0


def test_a_draw_weighs_pairs_of_all_endpoints() -> None:
    """The cohort itself; then c and d alone: no pair of death (c is censored first), a wrong one of distant."""
    cohorts = [read_endpoint(ROWS, name, 0) for name in ("death", "distant")]
    found = concordance_of_draws(cohorts, np.array([[1.0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 0]]))
    assert found[:2] == pytest.approx([5 / 7, 0])
    assert np.isnan(found[2])
