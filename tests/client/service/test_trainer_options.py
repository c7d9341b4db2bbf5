"""A trainer's options: the command line over the home over the defaults."""

from pathlib import Path

import pytest

from client.home.center_home import CenterHome, CenterSettings, HomeError
from client.home.own_privacy import OwnPrivacy
from client.join.joining import keep_settings
from client.service.trainer_options import trainer_options


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    """A home before its settings are written."""
    found = CenterHome(tmp_path / "home")
    found.make_folders()
    return found


def test_the_trainer_finds_its_options_in_the_home(home: CenterHome, tmp_path: Path) -> None:
    settings = CenterSettings(center="center-a", data=(tmp_path,), modalities=("ct",), device="cpu", minimum_cases=3)
    keep_settings(home, settings)
    found = trainer_options(home.root)
    assert (found.center, found.home, found.socket) == ("center-a", home.trainer, home.socket)
    assert (found.modalities, found.minimum_cases, found.agreement) == (("ct",), 3, home.trainer_agreement)


def test_what_the_command_line_says_stands_over_the_home(home: CenterHome, tmp_path: Path) -> None:
    keep_settings(home, CenterSettings(center="center-a", data=(tmp_path,), device="cpu"))
    found = trainer_options(home.root, data=tmp_path / "mounted", minimum_cases=7)
    assert (found.data, found.minimum_cases) == ((tmp_path / "mounted",), 7)


def test_a_center_that_joins_says_nothing_of_fewer_than_five_cases(home: CenterHome, tmp_path: Path) -> None:
    keep_settings(home, CenterSettings(center="center-a", data=(tmp_path,), device="cpu"))
    bare = trainer_options(tmp_path / "bare", center="center-a", data=tmp_path, socket=tmp_path / "t.sock")
    assert (trainer_options(home.root).minimum_cases, bare.minimum_cases) == (5, 5)


def test_a_joined_trainer_obeys_the_steps_its_center_allows(home: CenterHome, tmp_path: Path) -> None:
    keep_settings(home, CenterSettings(center="center-a", data=(tmp_path,), device="cpu", maximum_steps=30))
    assert trainer_options(home.root).maximum_steps == 30
    assert trainer_options(home.root, maximum_steps=9).maximum_steps == 9


def test_a_trainer_without_home_must_be_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="give --data and --socket, or"):
        trainer_options(tmp_path, center="center-a")


def test_a_command_that_needs_no_socket_of_its_own_is_asked_for_none(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="give --center and --data, or"):
        trainer_options(tmp_path, socket=tmp_path / "t.sock")


def test_a_joined_trainer_holds_to_the_privacy_that_its_center_gave(home: CenterHome, tmp_path: Path) -> None:
    own = OwnPrivacy(epsilon=3, delta=1e-4, weaker="tighten")
    keep_settings(home, CenterSettings(center="center-a", data=(tmp_path,), device="cpu", privacy=own))
    assert trainer_options(home.root).privacy == own
    stricter = OwnPrivacy(epsilon=1, delta=1e-4)
    assert trainer_options(home.root, privacy=stricter).privacy == stricter


def test_a_center_that_asks_for_no_attack_tries_none(home: CenterHome, tmp_path: Path) -> None:
    keep_settings(home, CenterSettings(center="center-a", data=(tmp_path,), device="cpu"))
    assert trainer_options(home.root).maximum_attack_auc == 0
    assert trainer_options(home.root, maximum_attack_auc=0.7).maximum_attack_auc == 0.7
