"""Pictures of predicted times."""

import base64
from pathlib import Path

import numpy as np
import pytest

from client.report.survival_pictures import (
    FOLDER,
    RecordedCohort,
    cohort_png,
    read_cohorts,
    risk_groups,
    survival_pictures,
)
from client.report.task_rows import CaseRow
from protocol.errors import CaseError

PNG = b"\x89PNG"


def write_cases(home: Path, count: int, edges: int = 2, full: int = 99) -> None:
    """Cases whose risk falls with their time; the last one's second endpoint is unknown, PET is of the first `full`."""
    (home / FOLDER).mkdir(parents=True)
    for n in range(1, count + 1):
        second = [np.nan, np.nan] if n == count else [50.0 * n, 0.0]
        np.savez(
            home / FOLDER / f"case-{n:02d}.npz",
            times=np.array([[100.0 * n, n % 2], second]),
            risk=np.array([-n, n]),
            survival=np.full((2, edges), n / (count + 1)),
            edges_days=np.array([300.0, 600.0][:edges]),
            horizon_days=np.asarray(300.0),
            endpoints=np.asarray(["death", "distant"]),
            modalities=np.asarray("ct+pet" if n <= full else "ct"),
        )


def scored(count: int, setting: str = "ct+pet") -> list[CaseRow]:
    return [CaseRow("adapt", f"case-{n:02d}", setting, {}) for n in range(1, count + 1)]


def cohort(count: int) -> RecordedCohort:
    days = np.arange(1.0, count + 1)
    survival = np.linspace(0.2, 0.9, count)[:, None]
    return RecordedCohort("ct+pet", "death", days, days % 2 > 0, -days, survival, np.array([3.0]), 3.0)


def test_cases_are_read_by_endpoint_as_far_as_it_is_known(tmp_path: Path) -> None:
    write_cases(tmp_path, 5)
    death, distant = read_cohorts(tmp_path, scored(5))
    assert (death.endpoint, death.days.tolist(), death.event.tolist()) == (
        "death",
        [100, 200, 300, 400, 500],
        [True, False, True, False, True],
    )
    assert (distant.days.size, death.survival.shape) == (4, (5, 2))


def test_each_endpoint_has_a_picture_that_says_what_it_stands_on(tmp_path: Path) -> None:
    """Events at 100, 300 and 500 come before 4, 2 and 0 other cases, all ranked right."""
    write_cases(tmp_path, 5)
    death, distant = survival_pictures(tmp_path, scored(5))
    assert death.caption == (
        "death, from CT+PET: 5 cases, 3 events, concordance 1.00 over 6 comparable pairs of this center's cases"
    )
    assert "concordance undefined over 0" in distant.caption
    assert base64.b64decode(death.png).startswith(PNG)


def test_a_cohort_is_of_one_input_the_fullest(tmp_path: Path) -> None:
    """All six are scored from CT, whose figures the stored predictions of four could not tell."""
    write_cases(tmp_path, 6, full=4)
    found = read_cohorts(tmp_path, [*scored(4), *scored(6, "ct")])
    assert [(cohort.modalities, cohort.days.size) for cohort in found] == [("ct+pet", 4)] * 2


def test_cases_that_are_no_longer_for_test_are_left_out(tmp_path: Path) -> None:
    write_cases(tmp_path, 6)
    assert read_cohorts(tmp_path, scored(4))[0].days.tolist() == [100, 200, 300, 400]


def test_too_few_cases_are_told_and_not_drawn(tmp_path: Path) -> None:
    write_cases(tmp_path, 3)
    assert [(picture.png, bool(picture.problem)) for picture in survival_pictures(tmp_path, scored(3))] == [
        ("", True)
    ] * 2


def test_without_predictions_there_is_nothing(tmp_path: Path) -> None:
    assert survival_pictures(tmp_path, scored(3)) == []


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    write_cases(tmp_path, 4)
    (tmp_path / FOLDER / "case-02.npz").write_bytes(b"no archive")
    with pytest.raises(CaseError, match=r"case-02\.npz"):
        read_cohorts(tmp_path, scored(4))
    assert "evaluate the case again" in survival_pictures(tmp_path, scored(4))[0].problem


def test_an_order_without_a_time_is_drawn_without_calibration(tmp_path: Path) -> None:
    """One panel in place of two: half as wide."""
    widths = []
    for edges in (2, 0):
        home = tmp_path / str(edges)
        write_cases(home, 6, edges)
        png = cohort_png(read_cohorts(home, scored(6))[0])
        widths.append(int.from_bytes(png[16:20]))
    assert widths[0] == pytest.approx(2 * widths[1], abs=1)


@pytest.mark.parametrize(("cases", "groups"), [(4, [2, 2]), (29, [15, 14]), (30, [10, 10, 10])])
def test_risk_groups_are_of_equal_size_lowest_risk_first(cases: int, groups: list[int]) -> None:
    found = risk_groups(np.arange(float(cases))[::-1])
    assert [len(group) for group in found] == groups
    assert found[0][0] == cases - 1


def test_thirds_are_drawn_too() -> None:
    assert cohort_png(cohort(30)).startswith(PNG)
