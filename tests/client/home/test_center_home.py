"""A center's home: folders for their owner alone, and one center, study and consortium."""

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from client.home.center_home import (
    CenterHome,
    CenterSettings,
    HomeError,
    check_same_owner,
    membership_of,
    read_membership,
    read_settings,
    write_settings,
)
from tests.support.coordinator_stand_in import kit
from tests.support.joined_home import ENDPOINT, joined_home


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return joined_home(tmp_path / "home")


@pytest.mark.parametrize("name", ["key", "superexec.secret"])
def test_secrets_are_for_their_owner_alone(home: CenterHome, name: str) -> None:
    assert stat.S_IMODE((home.node / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "node", "trainer", "run"])
def test_the_folders_are_for_their_owner_alone(home: CenterHome, name: str) -> None:
    assert stat.S_IMODE((home.root / name).stat().st_mode) == 0o700


def test_the_agreement_is_kept_without_the_token(home: CenterHome) -> None:
    assert read_membership(home) == membership_of(kit(ENDPOINT, changes={"issued_at": read_membership(home).issued_at}))


def test_an_older_kit_of_the_same_minute_is_told_from_the_newer_one(home: CenterHome) -> None:
    before = read_membership(home).issued_at - timedelta(seconds=1)
    with pytest.raises(HomeError) as refused:
        check_same_owner(home, membership_of(kit(ENDPOINT, changes={"issued_at": before})))
    assert f"{before:%H:%M:%S}, before it" in str(refused.value)


def test_a_changed_digit_in_the_settings_is_noticed_and_a_change_that_is_meant_is_taken(tmp_path: Path) -> None:
    """Five cases become one: everything about single patients could leave."""
    home = CenterHome(tmp_path)
    write_settings(home, CenterSettings(center="a", data=(tmp_path,), minimum_cases=5))
    home.settings.write_text(home.settings.read_text().replace("minimum_cases = 5", "minimum_cases = 1"))
    with pytest.raises(HomeError, match="remove the line that begins with seal where you mean it"):
        read_settings(home)
    meant = [line for line in home.settings.read_text().splitlines() if not line.startswith("seal")]
    home.settings.write_text("\n".join(meant))
    assert read_settings(home).minimum_cases == 1


def test_an_agreement_of_an_earlier_version_says_what_it_lacks_and_what_helps(home: CenterHome) -> None:
    """The kit that wrote it cannot: it has no plan either."""
    content = json.loads(home.agreement.read_text())
    del content["agreement"]["plan"], content["seal"]
    home.agreement.write_text(json.dumps(content))
    with pytest.raises(
        HomeError, match=r"writes it: agreement\.plan; .* a new one where an earlier version of concilium"
    ):
        read_membership(home)
