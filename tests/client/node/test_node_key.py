"""The center's key: on the curve Flower takes, for its owner alone, and in no other file."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from client.home.center_home import CenterHome
from client.node.node_key import read_node_key
from tests.support.joined_home import answer_in, files_of, joined_home


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return joined_home(tmp_path / "home")


def test_the_key_is_on_the_curve_flower_takes(home: CenterHome) -> None:
    key = load_ssh_private_key(home.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp384r1"


def test_the_private_key_is_in_no_other_file(home: CenterHome) -> None:
    body = home.key.read_bytes().splitlines()[1]
    assert [name for name, data in files_of(home).items() if body in data] == ["node/key"]


def test_the_public_key_in_the_answer_belongs_to_the_private_one(home: CenterHome) -> None:
    public = load_ssh_public_key(answer_in(home).public_key.encode())
    assert public == read_node_key(home.key).public_key()
