"""The network side of a bare center cannot read the data, and cannot undo that; the trainer has no way out."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from client.home.center_home import CenterHome, CenterSettings, HomeError, membership_of
from client.join import isolation
from client.join.findings import ok
from client.join.isolation import data_of, hides_too_much, refuse_sight, without_data, without_network
from client.join.site_checks import check_isolation
from client.join.situation import Situation
from deploy.center.programs import node_programs
from tests.support.coordinator_stand_in import kit


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    found = CenterHome(tmp_path / "home")
    found.make_folders()
    (found.trainer / "manifest.json").write_text("case-1")
    (found.run / "trainer.sock.key").write_text("key")
    (tmp_path / "data" / "case-1").mkdir(parents=True)
    return found


@pytest.fixture
def settings(tmp_path: Path) -> CenterSettings:
    return CenterSettings(data=(tmp_path / "data", tmp_path / "data" / "case-1"))


@pytest.fixture(params=[0, 1], ids=["root", "user"])
def words(
    request: pytest.FixtureRequest, home: CenterHome, settings: CenterSettings, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, ...]:
    """The words before a command of the network side, by each of the two ways."""
    monkeypatch.setattr(isolation, "MOUNTS", isolation.MOUNTS[request.param : request.param + 1] * 2)
    found = without_data(data_of(home, settings))
    if not found:
        pytest.skip("this machine does not allow this way to a mount namespace")
    return found


def shell(words: Sequence[str], line: str) -> str:
    """What a shell line prints behind the words, errors included."""
    done = subprocess.run([*words, "/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_data_and_the_trainers_folder_are_empty_inside_alone(
    words: tuple[str, ...], home: CenterHome, settings: CenterSettings
) -> None:
    look = f"ls -A {settings.data[0]} {home.trainer}"
    assert "case-1" not in shell(words, look)
    assert "manifest.json" not in shell(words, look)
    assert {"case-1", "manifest.json"} <= set(shell((), look).split())


def test_the_network_sides_own_folders_stay_in_reach(words: tuple[str, ...], home: CenterHome) -> None:
    assert shell(words, f"cat {home.run}/trainer.sock.key; touch {home.node}/made") == "key"
    assert (home.node / "made").exists()


def test_nobody_inside_can_take_the_cover_away(words: tuple[str, ...], settings: CenterSettings) -> None:
    folder = settings.data[0]
    assert "case-1" not in shell(words, f"umount {folder}; ls -A {folder}")
    assert "case-1" not in shell(words, f"unshare --user --map-root-user --mount sh -c 'umount {folder}; ls {folder}'")


def test_nobody_inside_can_look_through_a_process_outside(words: tuple[str, ...], settings: CenterSettings) -> None:
    outside = subprocess.Popen(["sleep", "60"])
    try:
        shown = shell(words, f"ls -A /proc/{outside.pid}/root{settings.data[0]}")
    finally:
        outside.kill()
        outside.wait()
    assert "Permission denied" in shown


def test_both_programs_of_the_network_side_start_behind_the_words(home: CenterHome) -> None:
    for program in node_programs(home, membership_of(kit("nowhere.invalid:443")), 9094, isolation=("cover", "--")):
        assert program.command[:2] == ("cover", "--")


def test_where_a_side_cannot_be_kept_apart_the_check_says_which(
    home: CenterHome, settings: CenterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "MOUNTS", (("false",),) * 2)
    monkeypatch.setattr(isolation, "NETWORKS", (("true",),) * 2)
    found = check_isolation(Situation(home, ok("kit"), settings=settings))
    assert (found.status, found.text) == (
        "warning", "the network side can read the data, it has no mount namespace of its own"
    )  # fmt: skip


def test_a_home_among_the_data_cannot_be_covered_and_the_check_says_so(home: CenterHome, tmp_path: Path) -> None:
    among = CenterSettings(data=(tmp_path,))
    assert hides_too_much(home, data_of(home, among)) == tmp_path
    assert "the network side can read the data" in check_isolation(Situation(home, ok("kit"), settings=among)).text


def test_the_trainer_has_no_way_out_where_the_machine_allows() -> None:
    """Inside, only a loopback that is down: a connection to anywhere is unreachable."""
    words = without_network()
    if not words:
        pytest.skip("this machine allows no network namespace")
    attempt = "import socket; socket.create_connection(('192.0.2.1', 443), 2)"
    found = subprocess.run([*words, sys.executable, "-c", attempt], capture_output=True, text=True, check=False)
    assert "Network is unreachable" in found.stderr


def test_the_side_with_the_network_does_not_start_where_it_sees_the_data(tmp_path: Path) -> None:
    """Empty and absent folders are what hiding leaves."""
    (tmp_path / "empty").mkdir()
    refuse_sight([tmp_path / "empty", tmp_path / "absent"])
    (tmp_path / "scans" / "case").mkdir(parents=True)
    with pytest.raises(HomeError, match=r"can look into .*scans, where the data is; nothing was started"):
        refuse_sight([tmp_path / "empty", tmp_path / "scans"])
