"""Prognosis at real hospitals: one round of the study, then its bank on a table of patients of all hospitals."""

import json
from pathlib import Path

import numpy as np
import pytest
from sksurv.metrics import concordance_index_censored
from typer.testing import CliRunner

import deploy.coordinator.cli  # noqa: F401  (adds `simulate` to the coordinator's commands)
from client.cli.app import app as center_app
from server.cli.app import app as coordinator_app

TEST_PATIENTS = {"hgj": 10, "chus": 10, "hmr": 5, "chum": 8}
"""15 % of 65, 69, 33 and 51 patients, rounded half up."""


OF_A_CASE = ("days", "event", "risk")
ORDERED = ("death", "distant")
"""Endpoints that one round orders better than chance; local recurrences, of which these covariates say little, not."""


@pytest.fixture(scope="module")
def table(data_root: Path) -> Path:
    """The clinical table; skips where absent."""
    found = data_root / "hn_clinical" / "clinical.csv"
    if not found.is_file():
        pytest.skip(f"real data: {data_root} holds no hn_clinical/ folder")
    return found


@pytest.fixture(scope="module")
def out(repository: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one round of every stage leaves."""
    folder = tmp_path_factory.mktemp("hn")
    lines = (repository / "studies" / "hn-prognosis.toml").read_text().splitlines()
    shorter = folder / "study.toml"
    shorter.write_text("\n".join("rounds = 1" if line.startswith("rounds =") else line for line in lines))
    arguments = ["simulate", "--study", str(shorter), "--data", str(table.parents[1]), "--out", str(folder / "out")]
    result = CliRunner().invoke(coordinator_app, arguments)
    assert result.exit_code == 0, result.output
    return folder / "out"


@pytest.mark.realdata
def test_each_hospital_is_scored_on_its_own_test_patients(out: Path) -> None:
    found = json.loads((out / "result.json").read_text())
    assert {name: center["cases"]["test"] for name, center in found["centers"].items()} == TEST_PATIENTS
    matrix = found["matrices"]["ehr"]
    assert dict(zip(matrix["centers"], matrix["cases"][-1], strict=True)) == TEST_PATIENTS


@pytest.mark.realdata
def test_a_table_of_other_patients_gives_the_cohorts_concordance_of_each_endpoint(
    out: Path, table: Path, tmp_path: Path
) -> None:
    """Every third patient, of all hospitals: 72 cases."""
    header, *rows = table.read_text().splitlines()
    (tmp_path / "clinical.csv").write_text("\n".join([header, *rows[2::3]]) + "\n")
    arguments = ["evaluate", "--bank", str(out / "bank"), "--adapter", "shared", "--data", str(tmp_path), "--json"]
    result = CliRunner().invoke(center_app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found["cohort"]) == {"locoregional", "distant", "death"}
    for name, figures in found["cohort"].items():
        days, event, risk = (np.array([case[f"{what}/{name}"] for case in found["cases"]]) for what in OF_A_CASE)
        expected, *_ = concordance_index_censored(event.astype(bool), days, risk)
        assert (figures["cases"], figures["events"]) == (72, event.sum())
        assert figures["concordance"] == pytest.approx(expected)
    assert min(found["cohort"][name]["concordance"] for name in ORDERED) > 0.5
