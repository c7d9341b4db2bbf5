"""A key is renewed without a new kit: both lie side by side until the coordinator accepted the new one."""

import stat
from pathlib import Path

import pytest

from client.home.center_home import CenterHome, HomeError
from client.node.node_key import adopt_next_key
from client.node.renewal import prepare_renewal
from protocol.enrolment.answer import RENEWAL
from protocol.enrolment.public_keys import has_signed
from tests.support.joined_home import answer_in, joined_home


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return joined_home(tmp_path / "home")


def test_a_renewed_key_is_signed_by_the_one_in_use(home: CenterHome) -> None:
    in_use = answer_in(home).public_key
    prepare_renewal(home)
    renewal = answer_in(home)
    assert renewal.serial == RENEWAL
    assert has_signed(in_use, renewal.proof, renewal.message)


def test_renewal_leaves_the_key_in_use_until_it_is_adopted(home: CenterHome) -> None:
    before = home.key.read_bytes()
    prepare_renewal(home)
    following = home.next_key.read_bytes()
    assert home.key.read_bytes() == before
    adopt_next_key(home)
    assert (home.key.read_bytes(), home.next_key.exists()) == (following, False)


def test_asking_twice_for_renewal_asks_for_the_same_key(home: CenterHome) -> None:
    prepare_renewal(home)
    first = answer_in(home).public_key
    prepare_renewal(home)
    assert answer_in(home).public_key == first


def test_the_next_key_is_for_its_owner_alone(home: CenterHome) -> None:
    prepare_renewal(home)
    assert stat.S_IMODE(home.next_key.stat().st_mode) == 0o600


def test_renewal_without_a_joined_home_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="join first"):
        prepare_renewal(CenterHome(tmp_path))
