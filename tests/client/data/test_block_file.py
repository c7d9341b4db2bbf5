"""Blocks outlive every program, and a damaged byte of theirs stops figures."""

import json
from pathlib import Path

import pytest

from client.data.block_file import BLOCKS, RecordsError, digest, read_blocks, write_blocks
from client.data.blocks import Block
from protocol.storage.sealed_json import seal

MADE = (Block({"k1": "p1", "k2": "p2"}), Block({"k3": "p3"}))


def test_blocks_come_back_in_their_order_for_their_owner_alone(tmp_path: Path) -> None:
    assert read_blocks(tmp_path) == ()
    write_blocks(tmp_path, MADE)
    assert read_blocks(tmp_path) == MADE
    assert (tmp_path / BLOCKS).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda text: text.replace(b"k1", b"k9"), "cannot be trusted"),
        (lambda text: text[:-9], "cannot be trusted"),
        (lambda _: seal({"schema_version": 2, "blocks": []}), "has schema 2, expected 1"),
        (lambda _: seal({"schema_version": 1, "blocks": [3]}), "does not hold blocks"),
        (lambda _: seal({"schema_version": 1}), "does not hold blocks"),
    ],
)
def test_blocks_that_cannot_be_trusted_are_refused_by_file(tmp_path: Path, damage: object, named: str) -> None:
    write_blocks(tmp_path, MADE)
    path = tmp_path / BLOCKS
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RecordsError, match=f"{named}.*Put it back from a backup") as caught:
        read_blocks(tmp_path)
    assert caught.value.code == "records"


def test_a_case_is_known_by_name_and_patient_and_the_file_names_neither(tmp_path: Path) -> None:
    assert len({digest("a", "b"), digest("ab", ""), digest("a")}) == 3
    write_blocks(tmp_path, (Block({digest("case-1", "DOE"): digest("DOE")}),))
    assert "DOE" not in json.dumps(json.loads((tmp_path / BLOCKS).read_text()))
