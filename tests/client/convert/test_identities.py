"""Case ids are keyed hashes, and what they stand for is its owner's alone to read."""

import base64
import hashlib
import hmac
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.convert.identities import (
    KEY_BYTES,
    Origin,
    PrivateFolder,
    default_private,
    open_private,
    read_private,
)
from client.data.checks import Issue
from protocol.errors import CaseError

KEY = bytes(range(KEY_BYTES))
ORIGIN = Origin("PHANTOM-1 1.2.3", "PHANTOM-1", "/archive", {"study_uid": "1.2.3", "ct_files": ["a", "b"]})


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_case_id_is_twelve_characters_of_the_keyed_hash(tmp_path: Path) -> None:
    digest = hmac.new(KEY, b"case 1.2.3", hashlib.sha256).digest()
    expected = base64.b32encode(digest)[:12].decode().lower()
    assert PrivateFolder(tmp_path, KEY).case_id("1.2.3") == f"case-{expected}"


def test_a_patient_and_a_case_of_one_name_have_other_hashes(tmp_path: Path) -> None:
    private = PrivateFolder(tmp_path, KEY)
    assert private.patient_id("A")[2:] != private.case_id("A")[5:]


@given(st.text(max_size=20), st.text(max_size=20))
def test_two_identities_share_an_id_only_if_they_are_equal(one: str, other: str) -> None:
    private = PrivateFolder(Path(), KEY)
    assert (private.case_id(one) == private.case_id(other)) == (one == other)


def test_ids_stay_over_runs_and_change_with_the_key(tmp_path: Path) -> None:
    first, again, other = (open_private(tmp_path / name) for name in ("one", "one", "two"))
    assert first.case_id("1.2.3") == again.case_id("1.2.3") != other.case_id("1.2.3")


def test_the_key_is_32_random_bytes_that_no_message_shows(tmp_path: Path) -> None:
    private = open_private(tmp_path / "private")
    assert len(private.key) == 32
    assert repr(private.key) not in repr(private)


def test_what_is_private_is_for_its_owner_alone(tmp_path: Path) -> None:
    private = open_private(tmp_path / "private")
    private.write_origins({"case-a": ORIGIN})
    private.write_issues([Issue("code", "case-a", "message", "note", source="/archive/name")])
    assert _mode(private.path) == 0o700
    assert {path.name: _mode(path) for path in private.path.iterdir()} == {
        "key": 0o600,
        "key.sha256": 0o600,
        "cases.json": 0o600,
        "issues.json": 0o600,
    }


def test_what_ids_stand_for_is_read_back(tmp_path: Path) -> None:
    private = open_private(tmp_path / "private")
    assert private.read_origins() == {}
    private.write_origins({"case-a": ORIGIN})
    assert private.read_origins() == {"case-a": ORIGIN}


def test_a_file_name_that_is_no_utf8_is_kept(tmp_path: Path) -> None:
    private, name = open_private(tmp_path), b"M\xfcller".decode("utf-8", "surrogateescape")
    private.write_origins({private.case_id(name): Origin(name, name, name)})
    assert private.read_origins()[private.case_id(name)].identity == name


def test_a_lost_key_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    private = open_private(tmp_path)
    private.write_origins({"case-a": ORIGIN})
    (tmp_path / "key").unlink()
    with pytest.raises(CaseError, match=r"cases.json but no key.*backup"):
        open_private(tmp_path)
    assert not (tmp_path / "key").exists()


def test_a_key_of_another_length_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "key").write_bytes(b"short")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(CaseError, match=r"5 byte\(s\), expected 32"):
        open_private(tmp_path)


def test_an_empty_folder_that_others_can_read_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert _mode(open_private(tmp_path).path) == 0o700


@pytest.mark.parametrize("place", [".", "cases.json", "key"])
def test_identities_that_others_can_read_are_refused(tmp_path: Path, place: str) -> None:
    open_private(tmp_path / "private").write_origins({"case-a": ORIGIN})
    (tmp_path / "private" / place).chmod(0o750)
    with pytest.raises(CaseError, match="chmod -R go="):
        open_private(tmp_path / "private")


def test_a_damaged_list_of_cases_is_told(tmp_path: Path) -> None:
    private = open_private(tmp_path)
    private.write_origins({"case-a": ORIGIN})
    (tmp_path / "cases.json").write_text('{"case-a"')
    with pytest.raises(CaseError, match=r"cases\.json cannot be read"):
        private.read_origins()


def test_one_conversion_at_a_time_holds_the_folder(tmp_path: Path) -> None:
    private = open_private(tmp_path / "private")
    with private.hold(), pytest.raises(CaseError, match="another conversion"), open_private(private.path).hold():
        pass
    with private.hold():
        assert _mode(private.path / "lock") == 0o600
    assert open_private(private.path) == private


def test_the_private_folder_lies_beside_the_data(tmp_path: Path) -> None:
    assert default_private(tmp_path / "data") == tmp_path / "data.private"


def test_a_folder_without_a_conversion_is_not_made_one(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="convert first"):
        read_private(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert open_private(tmp_path / "private") == read_private(tmp_path / "private")


def test_a_key_with_a_changed_bit_is_refused(tmp_path: Path) -> None:
    """Each case would be there twice, under two ids."""
    key = open_private(tmp_path / "private").path / "key"
    content = bytearray(key.read_bytes())
    content[5] ^= 1
    key.write_bytes(content)
    with pytest.raises(CaseError, match=r"restore key and key\.sha256 from a backup"):
        open_private(tmp_path / "private")
