"""The kit and the answer: what is refused, and with which words."""

import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from protocol.enrolment.kit import (
    ANSWER_BYTES,
    EnrolmentAnswer,
    Kit,
    StudyAgreement,
    answer_bytes,
    host_and_port,
    read_answer,
    read_kit,
    token_proof,
    token_verifier,
    verifier_proof,
    write_answer,
    write_kit,
)
from protocol.errors import KitError

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
TERMS = StudyAgreement(
    study="sarcoma",
    title="Sarcoma",
    settings_sha256="a" * 64,
    model="pemma-unetr-tiny",
    modalities=("ct", "pet"),
    flower="1.41",
    concilium="0.1.0",
    bundle_sha256="b" * 64,
    image="client:1",
    disk_bytes=1,
    minimum_cases=3,
    bytes_down_per_round=5,
    bytes_up_per_round=4,
)
KIT = Kit(
    consortium="North",
    center="north",
    endpoint="fed.example.org:443",
    serial="0" * 32,
    token="t" * 43,
    issued_at=NOW,
    expires_at=NOW + timedelta(days=14),
    agreement=TERMS,
)
ANSWER = {"center": "north", "study": "sarcoma", "serial": "0" * 32, "public_key": "ecdsa-sha2-nistp384 AAAA"}


@pytest.fixture
def kit_file(tmp_path: Path) -> Path:
    write_kit(tmp_path / "north.kit", KIT, b"CERTIFICATE")
    return tmp_path / "north.kit"


def rewritten(kit_file: Path, **files: bytes | None) -> Path:
    """The kit with members replaced, added or, where None, left out; their names are written with `_` for `.`."""
    with zipfile.ZipFile(kit_file) as archive:
        content: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    content |= {name.replace("_", "."): data for name, data in files.items()}
    with zipfile.ZipFile(kit_file, "w") as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)
    return kit_file


def test_a_kit_reads_back_as_it_was_written(kit_file: Path) -> None:
    assert read_kit(kit_file) == (KIT, b"CERTIFICATE")


def test_a_kit_can_be_read_by_its_owner_alone(kit_file: Path) -> None:
    assert kit_file.stat().st_mode & 0o777 == 0o600


def test_the_same_kit_gives_the_same_bytes(kit_file: Path, tmp_path: Path) -> None:
    write_kit(tmp_path / "again.kit", KIT, b"CERTIFICATE")
    assert (tmp_path / "again.kit").read_bytes() == kit_file.read_bytes()


def test_a_kit_tells_its_reader_what_to_run_and_send(kit_file: Path) -> None:
    with zipfile.ZipFile(kit_file) as archive:
        text = archive.read("README.txt").decode()
    assert "concilium-center join north.kit --data DIR --home HOME" in text
    assert "north.answer" in text
    assert len(text.splitlines()) <= 11
    assert KIT.token not in text


def test_the_token_is_in_no_repr() -> None:
    assert KIT.token not in repr(KIT) + str(KIT)


@pytest.mark.parametrize(("seconds", "expired"), [(-1, False), (0, True)])
def test_a_kit_expires_to_the_second(seconds: int, expired: bool) -> None:
    assert KIT.expired(KIT.expires_at + timedelta(seconds=seconds)) is expired


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ca_crt": b"ANOTHER"}, "checksum of 'ca.crt' is"),
        ({"kit_json": b"{}"}, "checksum of 'kit.json' is"),
        ({"README_txt": b"run this instead"}, "checksum of 'README.txt' is"),
        ({"SHA256SUMS": b""}, "says nothing about it"),
        ({"ca_crt": None}, r"missing \['ca.crt'\]"),
        ({"run_sh": b"#!/bin/sh"}, r"unknown \['run.sh'\]"),
        ({"ca_crt": b"0" * (2 << 20)}, r"\['ca.crt'\] larger than"),
    ],
)
def test_a_kit_that_was_changed_is_refused_by_name(
    kit_file: Path, files: dict[str, bytes | None], message: str
) -> None:
    with pytest.raises(KitError, match=message):
        read_kit(rewritten(kit_file, **files))


def test_one_flipped_bit_anywhere_is_noticed(kit_file: Path) -> None:
    whole = kit_file.read_bytes()
    start = whole.index(b"CERTIFICATE")
    kit_file.write_bytes(whole[:start] + b"D" + whole[start + 1 :])
    with pytest.raises(KitError, match=r"CRC|checksum"):
        read_kit(kit_file)


def test_a_file_that_is_no_archive_is_no_kit(tmp_path: Path) -> None:
    (tmp_path / "x.kit").write_bytes(b"PK but not really")
    with pytest.raises(KitError, match="is not a whole kit"):
        read_kit(tmp_path / "x.kit")


def test_a_kit_cut_short_on_its_way_is_no_kit(kit_file: Path) -> None:
    kit_file.write_bytes(kit_file.read_bytes()[:-40])
    with pytest.raises(KitError, match="is not a whole kit"):
        read_kit(kit_file)


def test_a_kit_that_is_not_there_says_which_file_to_give(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="No such file or directory"):
        read_kit(tmp_path / "none.kit")


def test_a_kit_of_another_schema_asks_for_an_update_and_shows_no_token(tmp_path: Path) -> None:
    other = Kit.model_construct(**{**dict(KIT), "schema_version": 2, "agreement": TERMS})
    write_kit(tmp_path / "new.kit", other, b"C")
    with pytest.raises(KitError, match=r"schema_version.*another version") as caught:
        read_kit(tmp_path / "new.kit")
    assert KIT.token not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("fed.example.org:443", ("fed.example.org", 443)),
        ("10.0.0.1:8443", ("10.0.0.1", 8443)),
        ("[fd00::1]:443", ("fd00::1", 443)),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(endpoint: str, expected: tuple[str, int]) -> None:
    assert host_and_port(endpoint) == expected


@pytest.mark.parametrize(
    "endpoint", ["fed.example.org", ":443", "a b:443", "https://a:443", "fd00::1:443", "a:0", "a:70000", "a;b:443", ""]
)
def test_anything_else_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|1 to 65535"):
        host_and_port(endpoint)


@pytest.mark.parametrize("center", ["../x", "a/b", "", "a b", "x" * 65])
def test_a_kit_names_a_center_that_is_safe_as_a_file_name(center: str) -> None:
    with pytest.raises(ValidationError, match="no name of a center"):
        Kit.model_validate({**KIT.model_dump(), "center": center})


def test_the_coordinator_checks_a_proof_without_the_token() -> None:
    message = answer_bytes(**ANSWER)
    assert verifier_proof(token_verifier(KIT.token), message) == token_proof(KIT.token, message)


@pytest.mark.parametrize("field", list(ANSWER))
def test_every_field_of_an_answer_is_under_its_proof(field: str) -> None:
    changed = {**ANSWER, field: ANSWER[field] + "x"}
    assert token_proof(KIT.token, answer_bytes(**changed)) != token_proof(KIT.token, answer_bytes(**ANSWER))


def test_the_bytes_under_a_proof_are_fixed_for_good() -> None:
    expected = (
        b'concilium-answer\n{"center":"north","public_key":"ecdsa-sha2-nistp384 AAAA","schema_version":1,'
        b'"serial":"00000000000000000000000000000000","study":"sarcoma"}'
    )
    assert answer_bytes(**ANSWER) == expected


def test_an_answer_reads_back_as_it_was_written(tmp_path: Path) -> None:
    answer = EnrolmentAnswer.model_validate({**ANSWER, "proof": "ab"})
    write_answer(tmp_path / "a", answer)
    assert read_answer(tmp_path / "a") == answer


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{}", "center: Field required"), (b"no json", "Invalid JSON"), (b" " * (ANSWER_BYTES + 1), "at most 65536")],
)
def test_what_is_no_answer_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(KitError, match=message):
        read_answer(tmp_path / "a")
