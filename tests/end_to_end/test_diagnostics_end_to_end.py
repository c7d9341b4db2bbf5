"""A federated vMambaX study: the figures of its gates, from a center's validation cases to every output."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.federation import TOGETHER, Federation, federation, result_of

GATED = TOGETHER.replace("pemma-unetr-tiny", "vmambax-tiny").replace(
    "crop_zyx = [16, 16, 16]", "crop_zyx = [4, 16, 16]"
)
NAMES = {
    f"gate/{stage}/{modality}/{figure}"
    for stage in (0, 1)
    for modality in ("ct", "pet")
    for figure in ("mean", "std", "saturated")
}


@pytest.fixture(scope="module")
def finished(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """Two rounds of center-a, which has CT and PET, and center-d, which has CT."""
    found = federation(tmp_path_factory.mktemp("gated"), cohort, GATED)
    found.run()
    return found


def reported(found: Federation) -> dict[tuple[str, int], dict[str, float]]:
    """Diagnostics by center and round, as the result has them."""
    return {(row["center"], row["server_round"]): row["diagnostics"] for row in result_of(found)["rounds"]}


def lines(found: Federation, center: str) -> list[dict[str, Any]]:
    log = found.trainers[center].home / "outgoing.jsonl"
    return [row for row in map(json.loads, log.read_text().splitlines()) if row["kind"] == "train"]


def test_only_a_center_with_both_modalities_reports_its_gates_each_round(finished: Federation) -> None:
    """The tiny network has two stages: 2 x 2 x 3 figures."""
    figures = reported(finished)
    assert {place: set(found) for place, found in figures.items()} == {
        ("center-a", 1): NAMES,
        ("center-a", 2): NAMES,
        ("center-d", 1): set(),
        ("center-d", 2): set(),
    }
    assert all(0 < figures["center-a", 1][name] < 1 for name in NAMES if name.endswith("mean"))


def test_what_is_recorded_is_what_the_center_logged_before_it_left(finished: Federation) -> None:
    figures = reported(finished)
    assert [row["diagnostics"] for row in lines(finished, "center-a")] == [
        figures["center-a", 1],
        figures["center-a", 2],
    ]


def test_mlflow_and_the_report_have_them_too(finished: Federation) -> None:
    query = "select step, value from metrics where key = 'diagnostics/gate/1/pet/mean' order by step"
    with closing(sqlite3.connect(finished.root / "mlflow.db")) as database:
        logged = database.execute(query).fetchall()
    assert logged == [(n, pytest.approx(reported(finished)["center-a", n]["gate/1/pet/mean"])) for n in (1, 2)]
    page = finished.directory.report.read_text()
    assert page.count('aria-label="Gates of ') == page.count('aria-label="Gates of center-a"') == 1
