"""`concilium simulate`: from a study file to the summary on the screen."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from deploy.coordinator.cli import provide_synthetic_cohort
from reporting.formats import figure
from server.cli.app import app
from tests.support.small_study import STUDY, write_cohort, write_study

ONE_STAGE = """
[centers.center-d]
modalities = ["ct"]

[[stages]]
name = "pretrain"
kind = "pretrain"
centers = ["center-d"]
rounds = 1
local_steps = 1
learning_rate = 1e-3
batch_size = 1
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)], env={"COLUMNS": "400"})


def _say(console: Console) -> str:
    console.print("tables of training alone")
    return "What federation brought: much."


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study") / "study.toml", STUDY.split("[centers")[0] + ONE_STAGE)


@pytest.fixture(scope="module")
def finished(study_file: Path, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("out") / "run"
    return out, run("--study", study_file, "--data", cohort, "--out", out, "--device", "cpu")


def test_a_run_ends_with_the_paths_of_all_it_left(finished: tuple[Path, Result]) -> None:
    out, found = finished
    assert found.exit_code == 0, found.output
    text = found.stdout.replace("\n", "")
    left = ["report.html", "centers/center-d/report.html", "result.json", "bank", "mlflow.db"]
    for path in (out / name for name in left):
        assert str(path) in text
        assert path.exists()
    assert f"mlflow ui --backend-store-uri sqlite:///{out / 'mlflow.db'}" in text


def test_the_summary_says_that_the_cohort_is_synthetic_and_shows_the_scores(finished: tuple[Path, Result]) -> None:
    out, found = finished
    matrix = json.loads((out / "result.json").read_text())["matrices"]["ct"]
    assert "test cases after the last stage, Dice / HD95 in mm (synthetic cohort)" in found.stdout
    rows = [line for line in found.stdout.splitlines() if line.startswith("│ center-d")]
    both = f"{figure(matrix['dice'][-1][0], 3)} / {figure(matrix['hd95_mm'][-1][0], 1)}"
    assert [cell.strip() for cell in rows[-1].split("│")[2:4]] == ["1", both]


def test_what_federation_brought_is_the_last_line_of_all(
    finished: tuple[Path, Result], study_file: Path, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training alone writes tables of its own, which must not stand between the study's table and the sentence."""
    monkeypatch.setattr("deploy.simulation.local_only.simulate_alone", lambda *_, console, **__: _say(console))
    arguments = ("--study", study_file, "--data", cohort, "--out", finished[0], "--device", "cpu", "--resume")
    lines = run(*arguments, "--against-local-only").stdout.splitlines()
    summary = next(place for place, line in enumerate(lines) if line.startswith("test cases after the last stage"))
    assert lines.index("tables of training alone") < summary
    assert lines[-1] == "What federation brought: much."


def test_a_folder_that_holds_a_study_is_left_alone(
    finished: tuple[Path, Result], study_file: Path, cohort: Path
) -> None:
    out, _ = finished
    found = run("--study", study_file, "--data", cohort, "--out", out)
    assert found.exit_code == 1
    assert "holds a study already; continue it with --resume" in found.stderr
    assert "Traceback" not in found.output


@pytest.mark.parametrize("arguments", [(), ("--data", "somewhere", "--synthetic")])
def test_data_and_synthetic_exclude_each_other_and_one_must_be_given(
    arguments: tuple[str, ...], study_file: Path, tmp_path: Path
) -> None:
    found = run("--study", study_file, "--out", tmp_path / "out", *arguments)
    assert found.exit_code == 2
    assert "give either --data DIR or --synthetic" in found.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_study_file_is_one_message(cohort: Path, tmp_path: Path) -> None:
    found = run("--study", tmp_path / "none.toml", "--data", cohort, "--out", tmp_path / "out")
    assert found.exit_code == 1
    assert found.stderr.startswith("error (study): study file ")
    assert "none.toml does not exist" in found.stderr


def test_the_phantoms_are_written_alone_with_the_seed_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Path, int]] = []
    monkeypatch.setattr("client.data.synthetic.write_synthetic_cohort", lambda root, *, seed: made.append((root, seed)))
    result = CliRunner().invoke(app, ["phantoms", str(tmp_path / "cohort"), "--seed", "3"])
    assert (result.exit_code, made) == (0, [(tmp_path / "cohort", 3)])
    assert "no patient is in them" in result.stdout


def test_the_synthetic_cohort_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def write(root: Path, *, seed: int) -> None:
        made.append(seed)
        root.mkdir()
        (root / "README.txt").write_text("synthetic")

    monkeypatch.setattr("client.data.synthetic.write_synthetic_cohort", write)
    for _ in range(2):
        assert provide_synthetic_cohort(tmp_path / "cohort", Console(quiet=True)) == tmp_path / "cohort"
    assert made == [0]
