"""Prognosis at real hospitals: one round of the study, then its bank on a table of patients of all hospitals."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import deploy.coordinator.cli  # noqa: F401  (adds `simulate` to the coordinator's commands)
from client.cli.app import app as center_app
from server.cli.app import app as coordinator_app

HOSPITALS = {"HGJ": "hgj", "CHUS": "chus", "HMR": "hmr", "CHUM": "chum"}


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
def test_each_hospital_is_scored_on_its_own_patients(out: Path, table: Path) -> None:
    """Test patients of all hospitals together are about the share of the study's split of 218."""
    matrix = json.loads((out / "result.json").read_text())
    assert set(matrix["centers"]) == set(HOSPITALS.values())


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
    cohort = json.loads(result.stdout)["cohort"]
    assert set(cohort) == {"locoregional", "distant", "death"}
    assert {found["cases"] for found in cohort.values()} == {72}
    assert all(0 <= found["concordance"] <= 1 and found["events"] > 0 for found in cohort.values())
