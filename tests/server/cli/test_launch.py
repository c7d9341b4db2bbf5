"""The commands that launch, stop and show a study, as a person runs them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.app import app
from server.study.directory import StudyDirectory
from tests.support.coordinator_root import enroll, init_root, report
from tests.support.listed_link import ListedLink


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return init_root(tmp_path / "root")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["launch"], "error (launch): stage 'adapt' needs 2 of its 3 centers"),
        (["resume"], "error (launch): the study in"),
        (["stop"], "error (launch): the study in"),
    ],
)
def test_command_that_is_refused_ends_with_1_and_one_message(
    directory: StudyDirectory, command: list[str], said: str
) -> None:
    result = CliRunner().invoke(app, [*command, str(directory.root)])
    assert (result.exit_code, said in result.stderr) == (1, True)


def test_status_ends_with_0_while_the_superlink_is_down_and_says_so(directory: StudyDirectory) -> None:
    enroll(directory, ["center-a"])
    result = CliRunner().invoke(app, ["status", str(directory.root)])
    assert result.exit_code == 0
    assert "nothing answers" in result.stdout
    assert "enrolled" in result.stdout


def test_status_for_machines_is_json(directory: StudyDirectory) -> None:
    report(directory, "running", stage="adapt", stage_round=1, waiting_for=["center-a"])
    result = CliRunner().invoke(app, ["status", str(directory.root), "--json"])
    found = json.loads(result.stdout)
    assert (found["stage"], found["waiting_for"], found["run"]) == ("adapt", ["center-a"], None)


class Printed(ListedLink):
    """A SuperLink whose run has printed two pieces."""

    def log(self, run_id: str) -> Iterator[str]:
        yield from (f"run {run_id}: round 1\n", "round 2\n")


def test_log_shows_what_the_serverapp_of_the_latest_run_printed(
    directory: StudyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Printed()
    monkeypatch.setattr("server.superlink.control.connect_to", lambda _directory: link)
    refused = CliRunner().invoke(app, ["log", str(directory.root)])
    assert (refused.exit_code, "concilium launch" in refused.stderr) == (1, True)
    run_id = link.start_run(b"", {})
    result = CliRunner().invoke(app, ["log", str(directory.root)])
    assert (result.exit_code, result.stdout) == (0, f"run {run_id}: round 1\nround 2\n")


def test_status_of_what_is_no_coordinators_directory_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert (result.exit_code, "concilium study init" in result.stderr) == (1, True)
