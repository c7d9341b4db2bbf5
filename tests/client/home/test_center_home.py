"""A center's home: folders for their owner alone, and one center, study and consortium."""

import stat
from pathlib import Path

import pytest

from client.home.center_home import CenterHome, membership_of, read_membership
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
