"""`concilium-center check`: images alone, and all that a study asks for."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from client.cli.app import app
from client.cli.check import examine
from client.cli.check_view import case_table
from client.convert.identities import Origin, open_private
from client.data.conversion import Conversion, PetValues
from client.data.conversion_file import write_conversion
from client.data.scan_progress import tell_nobody
from protocol.errors import StudyError
from tests.support.clinical_table import STUDY, write_table
from tests.support.small_study import STUDY as SMALL
from tests.support.small_study import write_study
from tests.support.two_cases import write_two_cases


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sound cases, "one" and "two"."""
    return write_two_cases(tmp_path_factory.mktemp("images") / "center-a")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of two tasks that no model answers both; its labels are what is tested."""
    monkeypatch.setattr("client.cli.check.model_issues", lambda *_: [])
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """What the command says when it ends with exit code 1."""
    found = run(*arguments)
    assert found.exit_code == 1, found.output
    return found.output


def lists(*arguments: object) -> dict[str, Any]:
    """The object of --json."""
    return json.loads(run(*arguments, "--json").stdout)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_a_home_that_is_no_folder_is_named_whole_however_narrow_the_terminal(tmp_path: Path) -> None:
    home = tmp_path / "a-folder-of-a-name-that-is-longer" / "than-a-terminal-of-eighty-columns-is-wide" / "home"
    found = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["check", "--data", str(tmp_path), "--home", str(home)])
    assert (found.exit_code, f"--home {home} is no folder" in found.stderr) == (2, True)


def test_check_lists_every_case_and_counts_the_usable(images: Path) -> None:
    found = run("check", "--data", images)
    assert found.exit_code == 0, found.output
    assert "2 of 2 case(s) can be used; digest " in found.stdout
    assert [cells(line)[0] for line in found.stdout.splitlines() if "│" in line] == ["one", "two"]
    assert "0 errors, 0 warnings, 0 notes" in found.stdout
    assert "modalities: 2 ct+pet" in found.stdout
    assert "contour: 2 yes, 0 no" in found.stdout


def test_check_without_a_usable_case_ends_with_exit_code_1(tmp_path: Path) -> None:
    told = refused("check", "--data", tmp_path / "none")
    assert "not ready: 1 finding(s) above must be mended: no-cases" in told
    assert "no such folder" in told


def test_findings_are_told_by_grade_and_never_cut(images: Path, tmp_path: Path) -> None:
    """A path of more than 80 characters is on one line whole, also where the output is a pipe."""
    folder = tmp_path / ("long" * 20) / "center-a"
    shutil.copytree(images, folder)
    (folder / "one" / "gtv.nii.gz").unlink()
    (folder / "two" / "pet.nii.gz").write_bytes(b"no image")
    found = run("check", "--data", folder)
    assert found.exit_code == 0
    assert f"({folder / 'one' / 'gtv.nii.gz'})" in found.stdout
    lines = found.stdout.splitlines()
    assert lines.index("error unreadable: 1") < lines.index("warning no-mask: 1")
    assert "1 error, 1 warning, 0 notes" in lines
    assert "expected 2 (the case folders and rows), used 1, left out 1, absent 0" in lines


def test_json_has_every_issue_with_grade_case_file_and_remedy(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "center-a"
    shutil.copytree(images, folder)
    (folder / "two" / "pet.nii.gz").write_bytes(b"no image")
    write_conversion(Conversion("dicom", "concilium", PetValues("bw", "computed", "BQML", "START")), folder / "one")
    found = lists("check", "--data", folder)
    (issue,) = found["issues"]
    assert {name: issue[name] for name in ("grade", "code", "case", "file", "hinders")} == {
        "grade": "error",
        "code": "unreadable",
        "case": "two",
        "file": "pet.nii.gz",
        "hinders": False,
    }
    assert issue["remedy"] == "export the file again, or remove it if the case has none"
    assert "source" not in issue
    assert (found["ready"], found["used"], found["left_out"]) == (True, 1, ["two"])
    assert found["cases"][0]["pet_values"] == {
        "kind": "bw",
        "values_from": "computed",
        "units": "BQML",
        "decay": "START",
    }


@pytest.mark.parametrize(
    ("names", "code"), [("2", 0), ("3", 1), ("one\ntwo\n", 0), ("case,center\none,a\nthree,a\n", 1)]
)
def test_fewer_cases_than_expected_end_with_exit_code_1(images: Path, tmp_path: Path, names: str, code: int) -> None:
    listed = tmp_path / "expected.csv"
    listed.write_text(names)
    found = run("check", "--data", images, "--expected", names if names.isdecimal() else listed)
    assert found.exit_code == code, found.output
    assert ("not there: three" in found.stdout) == ("three" in names)


def test_a_converted_case_that_is_gone_is_told_from_the_private_folder(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "center-a"
    shutil.copytree(images, folder)
    private = open_private(tmp_path / "center-a.private")
    private.write_origins({name: Origin("i", "p", "/export") for name in ("one", "two", "three")})
    found = lists("check", "--data", folder)
    assert found["expected"]["cases"] == 3
    assert found["absent"] == ["three"]
    assert [(issue["code"], issue["grade"]) for issue in found["issues"]] == [("expected", "warning")]


def test_a_study_whose_requirements_are_not_met_ends_with_exit_code_1(images: Path, tmp_path: Path) -> None:
    """Two patients: nobody validates."""
    study = write_study(tmp_path / "study.toml")
    told = refused("check", "--data", images, "--study", study, "--center", "center-a")
    assert "not ready: 1 finding(s) above must be mended: part-empty" in told
    assert "found train 1, validation 0, test 1" in told


def test_a_crop_that_the_model_cannot_take_is_told_before_joining(images: Path, tmp_path: Path) -> None:
    study = write_study(tmp_path / "study.toml", SMALL.replace("crop_zyx = [16, 16, 16]", "crop_zyx = [16, 16, 15]"))
    told = refused("check", "--data", images, "--study", study, "--center", "center-a")
    assert "error model: 1" in told
    assert "a network for crops of 16x16x15 voxels" in told


def test_an_estimate_without_a_study_is_a_wrong_option(images: Path) -> None:
    assert run("check", "--data", images, "--estimate").exit_code == 2


def test_a_table_in_80_columns_cuts_no_word(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "center-a"
    shutil.copytree(images / "one", folder / f"case-{'x' * 90}")
    result = examine(folder, ("ct", "pet"), None, "", 5, "", progress=tell_nobody)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(case_table(result, {}))
    assert "".join(cells(line)[0] for line in console.export_text().splitlines() if "│" in line) == f"case-{'x' * 90}"


def test_check_of_one_modality_ignores_the_other(images: Path) -> None:
    found = run("check", "--data", images, "--modalities", "pet")
    assert "ct+pet" not in found.stdout
    assert "mask-grid" not in found.stdout


def test_an_unknown_setting_is_refused_with_the_known_ones(images: Path) -> None:
    found = run("check", "--data", images, "--modalities", "mr")
    assert found.exit_code == 2
    assert "'mr' is not one of 'ct', 'pet', 'ehr'" in " ".join(found.stderr.replace("│", " ").split())


def test_a_study_shows_targets_and_ehr_and_counts_the_parts(tmp_path: Path, study: Path) -> None:
    rows = {f"p{n}": {"center": "x", "death_event": str(n % 2), "metastasis": str(n % 2)} for n in range(6)}
    folder = write_table(tmp_path / "hn" / "clinical.csv", {**rows, "q": {"center": "y"}}, key="patient").parent
    found = run("check", "--data", folder, "--study", study, "--center", "x")
    assert found.exit_code == 0, found.output
    (row,) = [line for line in found.stdout.splitlines() if "p1 " in line]
    assert cells(row) == ["p1", "ehr", "700 d", "61 d", "1", cells(row)[5], "-", "yes", "-"]
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
) -> None:
    table = {f"p{n}": {"death_event": str(n % 2), "metastasis": str(n % 2)} for n in range(6)}
    folder = write_table(tmp_path / "y" / "labels.csv", {**table, "p6": cells}).parent
    shown = refused("check", "--data", folder, "--study", study, "--modalities", "ehr")
    assert "not ready: 1 finding(s)" in shown
    assert "  center 'y', case 'p6': " in shown
    assert told in shown


def test_training_cases_of_one_class_fail_the_check(tmp_path: Path, study: Path) -> None:
    folder = write_table(tmp_path / "y" / "labels.csv", {f"p{n}": {} for n in range(6)}).parent
    shown = refused("check", "--data", folder, "--study", study, "--modalities", "ehr")
    assert "must be mended: one-class" in shown
    assert "found 4 of '1', expected also 0" in shown


def test_labels_for_cases_that_do_not_exist_fail_the_check(images: Path, tmp_path: Path, study: Path) -> None:
    folder = tmp_path / "y"
    shutil.copytree(images, folder)
    write_table(folder / "labels.csv", {"one": {}, "two": {"metastasis": "0"}, "nobody": {}})
    shown = refused("check", "--data", folder, "--study", study, "--modalities", "ct")
    assert "1 row(s) that name no case: nobody" in shown


def test_a_center_that_the_study_does_not_have_is_named(tmp_path: Path, study: Path) -> None:
    found = run("check", "--data", tmp_path, "--study", study, "--center", "z")
    assert isinstance(found.exception, StudyError)
    assert "study 'prognosis' has no center 'z'; give --center, one of x" in str(found.exception)
