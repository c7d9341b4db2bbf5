"""`concilium-center convert`: what it prints, what it returns, and what it refuses."""

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from client.cli.app import app
from client.cli.convert import choices_of, refuse_mixed
from client.convert.contract import Choices, GreyLevels
from protocol.errors import CaseError, StorageError
from tests.support.dicom_study import MadeGrid, MadeStudy, body_phantom, square, write_ct, write_pet, write_rtstruct
from tests.support.found_cases import CrewOfOne

GRID = MadeGrid((4.0, 4.0, 4.0))


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.convert.conversion_run.Crew", CrewOfOne)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One study: CT, PET, and a square contour of the tumour in each of five planes."""
    study, (hu, tumour) = MadeStudy(), body_phantom((12, 32, 32))
    ct = write_ct(tmp_path / "source/a", study, hu, GRID)
    write_pet(tmp_path / "source/a", study, 4000.0 * (hu > -500) + 20000.0 * tumour, GRID)
    contours = [square((40.0, 26.0), 20.0, 4.0 * plane) for plane in range(4, 9)]
    write_rtstruct(tmp_path / "source/rs", study, ct, {"GTV": contours, "Lung": contours})
    return tmp_path / "source"


def _run(source: Path, *options: str):
    return CliRunner().invoke(app, ["convert", str(source), str(source.parent / "data"), *options])


def test_a_study_is_converted_and_the_next_command_is_named(source: Path) -> None:
    result = _run(source, "--rois", "^gtv$")
    assert result.exit_code == 0, result.output
    (folder,) = (source.parent / "data").glob("case-*")
    assert sorted(path.name for path in folder.iterdir()) == [
        "conversion.json",
        "ct.nii.gz",
        "gtv.nii.gz",
        "pet.nii.gz",
    ]
    assert f"{folder.name} │ converted │ ct+pet" in result.stdout
    assert "rtstruct: GTV" in result.stdout
    assert f"check --data {source.parent / 'data'}" in result.stdout


def test_a_contour_that_cannot_be_told_is_a_warning_with_what_to_say(source: Path) -> None:
    result = _run(source)
    assert result.exit_code == 1, result.output
    assert "ct+pet (no gtv)" in result.stdout
    assert "the case goes on without gtv.nii.gz" in result.stdout
    assert "give --rois" in result.stdout
    assert json.loads(_run(source, "--json").stdout)["cases"][0]["lacking"] == ["gtv"]


def test_a_study_without_contours_lacks_nothing(source: Path) -> None:
    (source / "rs").unlink()
    result = _run(source)
    assert result.exit_code == 0, result.output
    assert "(no" not in result.stdout


def test_json_says_what_became_of_every_case(source: Path) -> None:
    found = json.loads(_run(source, "--json", "--rois", "gtv").stdout)
    (case,) = found["cases"]
    assert (found["complete"], found["found"], found["stopped"]) == (True, 1, False)
    assert case["state"] == "converted"
    assert case["files"] == ["ct.nii.gz", "gtv.nii.gz", "pet.nii.gz"]
    assert case["pet_values"]["values_from"] == "computed"
    assert json.loads(_run(source, "--json", "--rois", "gtv").stdout)["cases"][0]["state"] == "unchanged"


def test_a_dry_run_lists_cases_and_contours_and_writes_no_case(source: Path) -> None:
    result = _run(source, "--dry-run")
    assert result.exit_code == 0
    assert re.search(r"ct\+pet +│ GTV ", result.stdout)
    assert "Lung" in result.stdout
    assert not (source.parent / "data").exists()
    found = json.loads(_run(source, "--dry-run", "--json").stdout)
    assert found["cases"][0]["rois"] == ["GTV", "Lung"]


def test_a_case_that_lacks_its_pet_makes_the_exit_code_1(tmp_path: Path) -> None:
    study, (hu, _) = MadeStudy(weight_kg=None), body_phantom((12, 32, 32))
    write_ct(tmp_path / "source", study, hu, GRID)
    write_pet(tmp_path / "source", study, 4000.0 * (hu > -500), GRID)
    result = _run(tmp_path / "source")
    assert result.exit_code == 1
    assert "ct (no pet)" in result.stdout
    assert "(0010,1030)" in result.stdout


def test_a_full_disk_is_told_with_the_room_that_is_left(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StorageError("image could not be written")

    monkeypatch.setattr("client.convert.case_folder.write_volume", refuse)
    result = _run(source, "--rois", "^gtv$")
    assert result.exit_code == 1
    assert re.search(
        rf"\d+ MB are free at {source.parent / 'data'}; \d+ MB are free at .*data\.private\n", result.stderr
    )


def test_a_source_without_a_case_makes_the_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    assert _run(tmp_path / "source", "--layout", "dicom").exit_code == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rois", "("], "is no pattern"),
        (["--spacing", "3", "1", "1"], "are given together"),
        (["--layout", "other"], "Invalid value"),
        ([], "none of the layouts"),
        (["--private", "source/x"], "lies in"),
    ],
)
def test_what_cannot_be_is_refused_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source").mkdir()
    result = _run(tmp_path / "source", *options)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert not (tmp_path / "data").exists()


def test_an_interrupt_while_files_are_looked_at_makes_the_exit_code_130(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("client.convert.dicom_layout.index_source", interrupt)
    assert _run(source).exit_code == 130


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = _run(tmp_path / "none", "--layout", "dicom")
    assert (result.exit_code, "does not exist" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("source", "dest", "private"),
    [("/a", "/a/b", "/p"), ("/a/b", "/a", "/p"), ("/a", "/b", "/b/p"), ("/a", "/b", "/a/p"), ("/a", "/a", "/p")],
)
def test_folders_lie_beside_each_other(source: str, dest: str, private: str) -> None:
    with pytest.raises(CaseError, match="choose folders beside each other"):
        refuse_mixed(Path(source), Path(dest), Path(private))
    refuse_mixed(Path("/a"), Path("/b"), Path("/b.private"))


def test_options_for_pictures_are_one_choice() -> None:
    found = choices_of(None, "bw", declared_suv=False, pictures=((-100, 250), (0, 10), (3, 1, 1)))
    assert found == Choices(grey=GreyLevels((-100, 250), (0, 10), (3, 1, 1)))
    with pytest.raises(typer.BadParameter):
        choices_of(None, "bw", declared_suv=False, pictures=((-100, 250), None, None))
