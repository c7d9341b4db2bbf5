"""`concilium-center check`: images alone, and all that a study asks for."""

import shutil
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.cli.app import app
from deploy.center.cli import main
from tests.support.clinical_table import STUDY, write_table
from tests.support.two_cases import write_two_cases


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sound cases, "one" and "two"."""
    return write_two_cases(tmp_path_factory.mktemp("images") / "center-a")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(arguments: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the console script says when it ends with exit code 1."""
    monkeypatch.setattr(sys, "argv", ["concilium-center", *map(str, arguments)])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    return capsys.readouterr().err


def test_check_lists_every_case_and_counts_the_usable(images: Path) -> None:
    found = run("check", "--data", images)
    assert found.exit_code == 0, found.output
    assert "2 of 2 case(s) can be used; digest " in found.stdout
    assert [line.split("│")[1].strip() for line in found.stdout.splitlines() if "│" in line] == ["one", "two"]


def test_check_without_a_usable_case_is_one_message_and_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = fails(["check", "--data", tmp_path / "none"], monkeypatch, capsys)
    assert shown.startswith("error (cases): center 'none': 0 of 0 case(s) can be used")
    assert "no such folder" in shown
    assert "Traceback" not in shown


def test_check_of_one_modality_ignores_the_other(images: Path) -> None:
    found = run("check", "--data", images, "--modalities", "pet")
    assert "ct+pet" not in found.stdout
    assert "mask-grid" not in found.stdout


def test_an_unknown_setting_is_refused_with_the_known_ones(images: Path) -> None:
    found = run("check", "--data", images, "--modalities", "mr")
    assert found.exit_code == 2
    assert "'mr' is not one of 'ct', 'pet', 'ehr'" in " ".join(found.stderr.replace("│", " ").split())


def test_a_study_shows_targets_and_ehr_and_counts_the_parts(tmp_path: Path, study: Path) -> None:
    cells = {f"p{n}": {"center": "x", "death_event": str(n % 2), "metastasis": str(n % 2)} for n in range(6)}
    folder = write_table(tmp_path / "hn" / "clinical.csv", {**cells, "q": {"center": "y"}}, key="patient").parent
    found = run("check", "--data", folder, "--study", study, "--center", "x")
    assert found.exit_code == 0, found.output
    (row,) = [line for line in found.stdout.splitlines() if "p1 " in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["p1", "ehr", "700 d", "61 d", "1", "yes", ""]
    (row,) = [line for line in found.stdout.splitlines() if "p2 " in line]
    assert "700 d+" in row
    assert "train 4, validation 1, test 1" in found.stdout
    assert "6 of 6 case(s) can be used" in found.stdout


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"death_days": "-5"}, "'-5' in column 'death_days'"),
        ({"death_event": "2"}, "'2' in column 'death_event'"),
        ({"age_years": "17"}, "expected 18 to 100 years"),
        ({"hpv": "unclear"}, "expected one of 0, 1"),
        ({"distant_months": "soon"}, "'soon' in column 'distant_months'"),
    ],
)
def test_one_cell_that_cannot_be_fails_the_check_and_names_the_case(
    cells: dict[str, str],
    told: str,
    tmp_path: Path,
    study: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = {f"p{n}": {"death_event": str(n % 2), "metastasis": str(n % 2)} for n in range(6)}
    folder = write_table(tmp_path / "y" / "labels.csv", {**table, "p6": cells}).parent
    shown = fails(["check", "--data", folder, "--study", study, "--modalities", "ehr"], monkeypatch, capsys)
    assert shown.startswith("error (labels): center 'y': 1 problem(s) with its labels:\n  center 'y', case 'p6': ")
    assert told in shown


def test_training_cases_of_one_class_fail_the_check(
    tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_table(tmp_path / "y" / "labels.csv", {f"p{n}": {} for n in range(6)}).parent
    shown = fails(["check", "--data", folder, "--study", study, "--modalities", "ehr"], monkeypatch, capsys)
    assert "error (labels): center 'y': 1 problem(s)" in shown
    assert "found 4 of '1', expected also 0" in shown


def test_labels_for_cases_that_do_not_exist_fail_the_check(
    images: Path, tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "y"
    shutil.copytree(images, folder)
    write_table(folder / "labels.csv", {"one": {}, "two": {"metastasis": "0"}, "nobody": {}})
    shown = fails(["check", "--data", folder, "--study", study, "--modalities", "ct"], monkeypatch, capsys)
    assert "1 row(s) that name no case: nobody" in shown


def test_a_center_that_the_study_does_not_have_is_named(
    tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = fails(["check", "--data", tmp_path, "--study", study, "--center", "z"], monkeypatch, capsys)
    assert "study 'prognosis' has no center 'z'; give --center, one of x" in shown
