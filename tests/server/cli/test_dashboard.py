"""`concilium dashboard`: which of the two it starts, and the password."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.app import app
from server.dashboard import running
from server.dashboard.password_file import read_password
from server.dashboard.running import Door, login_file
from server.study.directory import StudyDirectory


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    found: list[object] = []
    monkeypatch.setattr(running, "run_by_token", lambda _directory, port, _tell, **_more: found.append(port))
    monkeypatch.setattr(running, "run_by_login", lambda _directory, door, _tell: found.append(door))
    return found


def test_alone_it_is_for_this_machine(tmp_path: Path, started: list[object]):
    assert CliRunner().invoke(app, ["dashboard", str(tmp_path), "--port", "8080"]).exit_code == 0
    assert started == [8080]


def test_with_an_address_it_is_for_a_team_and_shows_the_server_s_certificate(tmp_path: Path, started: list[object]):
    assert CliRunner().invoke(app, ["dashboard", str(tmp_path), "--listen", "127.0.0.1:8443"]).exit_code == 0
    (door,) = started
    assert isinstance(door, Door)
    assert door.certificate.certificate == tmp_path / "server" / "server.crt"
    assert door.login == login_file(StudyDirectory(tmp_path))


def test_a_certificate_needs_its_key(tmp_path: Path, started: list[object]):
    ran = CliRunner().invoke(app, ["dashboard", str(tmp_path), "--listen", "127.0.0.1:8443", "--certificate", "x"])
    assert (ran.exit_code, started) == (2, [])


def test_the_password_is_asked_for_twice(tmp_path: Path):
    arguments = ["dashboard", str(tmp_path), "--set-password"]
    ran = CliRunner().invoke(app, arguments, input="a long password\na long password\n")
    assert ran.exit_code == 0, ran.output
    assert read_password(login_file(StudyDirectory(tmp_path))).matches("a long password")
    assert "a long password" not in ran.output
