"""`concilium-center pull` against a real PACS: exit codes, what is printed, what lies in the folder."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.cli.app import app
from client.cli.pull import describe
from client.pacs.pull import Outcome
from client.pacs.settings import Server
from protocol.errors import PacsError
from protocol.storage.locks import hold_lock
from tests.support.dicom_study import MadeStudy
from tests.support.loopback import wait_until
from tests.support.orthanc import PASSWORD, Orthanc, orthanc
from tests.support.pacs import dicomweb, dimse, servers, write_server_file, write_study

pytestmark = pytest.mark.network
STUDY = MadeStudy(study_uid="1.2.826.0.1.99", patient_id="P-9", patient_name="Secret^Name")


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("pacs")) as server:
        for paths in write_study(tmp_path_factory.mktemp("study"), STUDY).values():
            server.upload(paths)
        yield server


@pytest.fixture
def worklist(tmp_path: Path) -> Path:
    path = tmp_path / "worklist.csv"
    path.write_text(f"study_uid\n{STUDY.study_uid}\n")
    return path


def arguments(worklist: Path, server: Server, *more: str) -> list[str]:
    folder = worklist.parent
    file = write_server_file(folder / "pacs.toml", server)
    return ["pull", "--worklist", str(worklist), "--server", str(file), "--out", str(folder / "out"), *more]


def run(worklist: Path, server: Server, *more: str) -> Result:
    return CliRunner().invoke(app, arguments(worklist, server, *more))


@pytest.mark.parametrize("kind", ["dicomweb", "dimse"])
def test_a_worklist_is_fetched_and_told(pacs: Orthanc, worklist: Path, kind: str) -> None:
    found = run(worklist, servers(pacs)[kind])
    assert found.exit_code == 0, found.output
    assert f"line 2: complete; {STUDY.study_uid}; series 1 CT, 1 PT, 1 RTSTRUCT, 7 object(s); 7 came" in found.stderr
    out = worklist.parent / "out"
    assert len(list((out / STUDY.study_uid).rglob("*.dcm"))) == 7
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert json.loads((out / "pull.json").read_text())["counts"] == {"complete": 1}
    assert "Secret" not in found.output + (out / "pull.json").read_text()


def test_the_same_again_fetches_nothing_and_says_so_in_json(pacs: Orthanc, worklist: Path) -> None:
    run(worklist, dicomweb(pacs))
    found = run(worklist, dicomweb(pacs), "--json")
    said = json.loads(found.stdout)
    assert (found.exit_code, said["received_objects"], said["studies"][0]["objects"]) == (0, 0, 7)


def test_a_row_that_cannot_be_fetched_gives_exit_code_3(pacs: Orthanc, worklist: Path) -> None:
    worklist.write_text(worklist.read_text() + "1.2.3\n")
    found = run(worklist, dicomweb(pacs), "--modality", "CT")
    assert found.exit_code == 3
    assert "line 3: not-found; 1.2.3; the PACS has no such study" in found.stderr
    assert "line 2: complete" in found.stderr


def test_a_dry_run_fetches_nothing(pacs: Orthanc, worklist: Path) -> None:
    found = run(worklist, dicomweb(pacs), "--dry-run")
    assert found.exit_code == 0
    assert found.stdout.strip().endswith("series 1 CT, 1 PT, 1 RTSTRUCT, 7 object(s)")
    assert not (worklist.parent / "out").exists()
    assert json.loads(run(worklist, dicomweb(pacs), "--dry-run", "--json").stdout)["counts"] == {"found": 1}


def test_a_refused_title_stops_it_with_the_remedy_in_the_summary(pacs: Orthanc, worklist: Path) -> None:
    found = run(worklist, dimse(pacs, our_title="STRANGER"))
    assert isinstance(found.exception, PacsError)
    assert "does not know our AE title 'STRANGER'" in str(found.exception)
    said = json.loads((worklist.parent / "out" / "pull.json").read_text())
    assert said["stopped"] == str(found.exception)


def test_a_wrong_password_is_nowhere_to_be_seen(pacs: Orthanc, worklist: Path) -> None:
    found = run(worklist, dicomweb(pacs, password="a-wrong-secret"), "--json")
    assert "check username and password" in str(found.exception)
    assert "a-wrong-secret" not in found.output + str(found.exception)
    assert "a-wrong-secret" not in (worklist.parent / "out" / "pull.json").read_text()


def test_two_pulls_into_one_folder_are_refused(pacs: Orthanc, worklist: Path) -> None:
    out = worklist.parent / "out"
    out.mkdir()
    with hold_lock(out / ".lock"):
        found = run(worklist, dicomweb(pacs))
    assert f"{out} is filled by process" in str(found.exception)


def test_what_a_killed_pull_left_half_written_goes(pacs: Orthanc, worklist: Path) -> None:
    half = worklist.parent / "out" / STUDY.study_uid / ".1.dcm.abcd.part"
    half.parent.mkdir(parents=True)
    half.touch()
    assert run(worklist, dicomweb(pacs)).exit_code == 0
    assert not half.exists()


@pytest.mark.parametrize("kind", ["dicomweb", "dimse"])
def test_a_terminated_pull_keeps_what_came_and_says_143(
    pacs: Orthanc, worklist: Path, repository: Path, kind: str
) -> None:
    """At one kilobyte a second the second object waits; the process is in the middle of the first series then."""
    out = worklist.parent / "out"
    command = arguments(worklist, servers(pacs)[kind], "--megabytes-per-s", "0.001")
    assert PASSWORD not in " ".join(command)
    program = "from deploy.center.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *command],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: bool(list(out.rglob("*.dcm"))), "first object", within_s=60)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert json.loads((out / "pull.json").read_text())["stopped"] == "interrupted"
    assert not list(out.rglob("*.part"))
    assert run(worklist, dicomweb(pacs)).exit_code == 0


def test_a_line_says_what_came_and_what_is_wrong() -> None:
    outcome = Outcome(4, "incomplete", "1.2", {"CT": 2}, 9, 4, 2_500_000, "broke off")
    assert describe(outcome) == ("line 4: incomplete; 1.2; series 2 CT, 9 object(s); 4 came now (2.5 MB); broke off")
