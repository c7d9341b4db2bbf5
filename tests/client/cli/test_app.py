"""The `concilium-center` command: what an engineer at a hospital types and reads."""

import json
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.cli.app import app, format_figures, table_lines
from client.service.activity import ACTIVITY
from client.service.trainer import Trainer
from deploy.center.cli import main
from deploy.study.prepare import initial_state
from protocol.messages.instruction import Instruction
from protocol.messages.tensors import BACKBONE
from server.study.file import read_study
from strategies.bank.bank import AdapterBank
from tests.support.small_study import write_cohort, write_study


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def place(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank with an untrained adapter, and the home of a trainer that has scored its test case with it."""
    root = tmp_path_factory.mktemp("place")
    study = read_study(write_study(root / "study.toml"))
    specs, initial, config = initial_state(study)
    groups = {spec.key: spec.group for spec in specs}
    bank = AdapterBank.create(root / "bank", study.settings, config)
    backbone = {key: array for key, array in initial.items() if groups[key] == BACKBONE}
    tensors = {key: array for key, array in initial.items() if groups[key] != BACKBONE}
    digest = bank.put_backbone(backbone)
    bank.add("shared", tensors, center="", stage="adapt", server_round=1, backbone=digest, support={"peft": 1})
    asked = Instruction(
        "evaluate", study.settings, "adapt", 1, backbone_hash=digest, tensors=tensors, backbone=backbone
    )
    Trainer("center-a", [cohort / "center-a"], ("ct", "pet"), root / "center-a").perform(asked)
    return root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_as_script(arguments: Sequence[object], monkeypatch: pytest.MonkeyPatch) -> int:
    """The console script's exit code."""
    monkeypatch.setattr(sys, "argv", ["concilium-center", *map(str, arguments)])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_evaluate_prints_one_json_object_on_its_last_line(place: Path, cohort: Path) -> None:
    data = cohort / "center-a"
    found = run("evaluate", "--bank", place / "bank", "--adapter", "shared", "--data", data, "--json")
    assert found.exit_code == 0, found.output
    table = json.loads(found.stdout.splitlines()[-1])
    assert len(found.stdout.splitlines()) == 1
    assert list(table) == ["cases", "mean", "undefined", "left_out", "warnings"]
    assert [(row["case"][-2:], row["modalities"]) for row in table["cases"]] == [
        (n, "ct+pet") for n in ("01", "02", "03")
    ]
    assert {tuple(row) for row in table["cases"]} == {("case", "modalities", "dice", "hd95_mm")}
    assert list(table["mean"]) == ["dice", "hd95_mm"]
    assert table["mean"]["dice"] == pytest.approx(np.mean([row["dice"] for row in table["cases"]]))
    assert table["undefined"] == sum(None in (row["dice"], row["hd95_mm"]) for row in table["cases"])
    assert table["left_out"] == []


def test_evaluate_scores_a_center_without_pet_on_ct(place: Path, cohort: Path) -> None:
    arguments = ("evaluate", "--bank", place / "bank", "--adapter", "shared", "--data", cohort / "center-d", "--json")
    table = json.loads(run(*arguments).stdout)
    assert {row["modalities"] for row in table["cases"]} == {"ct"}


def test_figures_of_a_cohort_have_a_line_for_each_endpoint() -> None:
    """Means over cases come first; a task without them has no such line."""
    death = {"cases": 5, "concordance": 0.7, "pairs": 9.0}
    table = {"mean": {"dice": 0.5, "hd95_mm": None}, "cohort": {"auc": 0.75, "death": death}}
    assert list(table_lines(table, ["one", "two"])) == [
        "mean Dice 0.500, HD95 undefined mm, 2 case(s)",
        "cohort AUC 0.750, 2 case(s)",
        "death concordance 0.700, comparable pairs 9, 5 case(s)",
    ]
    assert list(table_lines({"mean": {}, "cohort": {"death": death}}, ["one"])) == [
        "death concordance 0.700, comparable pairs 9, 5 case(s)"
    ]


def test_what_is_no_metric_is_printed_by_its_name() -> None:
    assert format_figures({"risk/death": 0.25, "concordance/death": None}) == (
        "risk/death 0.250, concordance death undefined"
    )


def test_evaluate_speaks_to_people_without_json(place: Path, cohort: Path) -> None:
    arguments = ("--data", cohort / "center-a", "--modalities", "ct", "--version", 1)
    found = run("evaluate", "--bank", place / "bank", "--adapter", "shared", *arguments)
    first, last = found.stdout.splitlines()
    assert first.startswith("mean Dice ")
    assert first.endswith("mm, 3 case(s)")
    assert last.startswith("cases with an undefined score: ")
    assert last.endswith("left out: none")


@pytest.mark.parametrize(
    ("adapter", "bank", "center", "modalities", "message"),
    [
        ("nobody", "bank", "center-a", "ct", "nobody"),
        ("shared", "nowhere", "center-a", "ct", "nowhere"),
        ("shared", "bank", "center-x", "ct", "no such folder"),
        ("shared", "bank", "center-d", "pet", "center 'center-d': 0 of 3 case(s) can be used, and 3 issue(s)"),
    ],
)
def test_evaluate_says_what_is_missing(
    adapter: str,
    bank: str,
    center: str,
    modalities: str,
    message: str,
    place: Path,
    cohort: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["evaluate", "--bank", place / bank, "--adapter", adapter, "--data", cohort / center, "--json"]
    assert run_as_script([*arguments, "--modalities", modalities], monkeypatch) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert "Traceback" not in shown.err


def test_report_writes_the_centers_own_page_and_names_it(place: Path, tmp_path: Path) -> None:
    found = run("report", "--home", place / "center-a", "--out", tmp_path / "page.html")
    assert found.exit_code == 0, found.output
    assert found.stdout.strip() == str(tmp_path / "page.html")
    assert "center-a" in (tmp_path / "page.html").read_text()


def test_report_names_the_center_and_not_the_folder_of_its_trainer(place: Path, tmp_path: Path) -> None:
    """`join` keeps what the trainer has in HOME/trainer; both that folder and HOME may be given."""
    home = tmp_path / "home"
    shutil.copytree(place / "center-a", home / "trainer")
    for given in (home, home / "trainer"):
        assert run("report", "--home", given, "--out", tmp_path / "page.html").exit_code == 0
        assert "<title>center-a" in (tmp_path / "page.html").read_text()


def test_report_of_a_folder_that_is_no_home_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_as_script(["report", "--home", tmp_path], monkeypatch) == 1
    assert "is no center's home: manifest.json not found" in capsys.readouterr().err


def test_the_trainer_checks_its_cases_before_it_listens(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    served: list[tuple[str, Path]] = []
    monkeypatch.setattr(
        "client.service.trainer_service.serve", lambda made, socket, _: served.append((made.center, socket))
    )
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    caplog.set_level(logging.INFO, logger="client.service.work_told")
    socket = tmp_path / "t.sock"
    arguments = ("--center", "center-d", "--home", tmp_path / "home", "--socket", socket, "--modalities", "ct")
    assert run("trainer", "--data", cohort / "center-d", *arguments).exit_code == 0
    assert served == [("center-d", socket)]
    said = [record.getMessage() for record in caplog.records if record.name == "client.service.work_told"]
    assert [line[:13] for line in said] == ["starts: loads", "starts: looks", "waits for the"]
    assert not (tmp_path / "home" / ACTIVITY).exists(), "it ended"
    refused = run("trainer", "--data", cohort / "nowhere", *arguments)
    assert (type(refused.exception).__name__, len(served)) == ("CaseError", 1)
    assert run("trainer", "--data", tmp_path / "none", *arguments).exit_code == 1
    assert len(served) == 1
