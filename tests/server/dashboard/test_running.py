"""Where the page listens, and what is refused before it does."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from protocol.errors import LaunchError, PortError, StudyError
from reporting.serving import alone
from reporting.serving.server import Certificate, bind
from server.dashboard import running
from server.dashboard.password_file import write_password
from server.dashboard.running import Door, login_file, run_by_login, run_by_token
from server.study.directory import StudyDirectory
from tests.support.coordinator_root import init_root


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return init_root(tmp_path / "root")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[object], Certificate | None]]:
    """Where a server was started, and with which certificate."""
    found: list[tuple[Sequence[object], Certificate | None]] = []

    def serve(_pages, bound, *, certificate=None, on_end=None) -> None:
        found.append((bound.getsockname(), certificate))

    for place in (alone, running):
        monkeypatch.setattr(place, "serve", serve)
    return found


def door(directory: StudyDirectory, listen: str) -> Door:
    return Door(listen, login_file(directory), Certificate(directory.server_certificate, directory.server_key))


def test_by_token_it_listens_on_loopback_and_tells_the_address(directory: StudyDirectory, served):
    told: list[str] = []
    run_by_token(directory, 0, told.append, with_browser=False)
    assert served[0][0][0] == "127.0.0.1"
    assert "/open?token=" in told[0]


def test_two_on_one_port_are_told_apart(directory: StudyDirectory):
    with bind(0) as taken, pytest.raises(PortError, match="Address already in use"):
        run_by_token(directory, taken.getsockname()[1], lambda _: None, with_browser=False)


def test_two_for_teams_on_one_port_are_told_apart(directory: StudyDirectory):
    write_password(login_file(directory), "a long password")
    with bind(0) as taken, pytest.raises(PortError, match="Address already in use"):
        run_by_login(directory, door(directory, f"127.0.0.1:{taken.getsockname()[1]}"), lambda _: None)


def test_a_directory_of_another_version_is_refused_before_anything_listens(directory: StudyDirectory, served):
    study = directory.study_file.read_text()
    directory.study_file.write_text(f"of_a_later_version = true\n{study}")
    with pytest.raises(StudyError, match="of_a_later_version"):
        run_by_token(directory, 0, lambda _: None, with_browser=False)
    assert served == []


def test_by_login_it_needs_a_password_first(directory: StudyDirectory, served):
    with pytest.raises(LaunchError, match="--set-password"):
        run_by_login(directory, door(directory, "127.0.0.1:18443"), lambda _: None)
    write_password(login_file(directory), "a long password")
    told: list[str] = []
    run_by_login(directory, door(directory, "127.0.0.1:18443"), told.append)
    (where, certificate) = served[0]
    assert where == ("127.0.0.1", 18443)
    assert certificate == Certificate(directory.server_certificate, directory.server_key)
    assert told == [f"dashboard of {directory.root}: https://localhost:18443/ for those with the password"]


def test_it_never_listens_on_the_centers_port(directory: StudyDirectory):
    with pytest.raises(LaunchError, match="port 9443 is the centers'"):
        run_by_login(directory, door(directory, "0.0.0.0:9443"), lambda _: None)


def test_an_address_that_is_none_is_named(directory: StudyDirectory):
    with pytest.raises(LaunchError, match="--listen 8443 is no ADDRESS:PORT"):
        run_by_login(directory, door(directory, "8443"), lambda _: None)


def test_a_folder_that_is_no_coordinator_s_is_refused(tmp_path: Path):
    with pytest.raises(StudyError):
        run_by_token(StudyDirectory(tmp_path), 0, lambda _: None, with_browser=False)
