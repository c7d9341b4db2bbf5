"""A center's answer: what its proof covers, and what is no answer."""

from pathlib import Path

import pytest

from protocol.enrolment.answer import (
    ANSWER_BYTES,
    EnrolmentAnswer,
    answer_bytes,
    read_answer,
    token_proof,
    token_verifier,
    verifier_proof,
    write_answer,
)
from protocol.errors import KitError

TOKEN = "t" * 43
ANSWER = {"center": "north", "study": "sarcoma", "serial": "0" * 32, "public_key": "ecdsa-sha2-nistp384 AAAA"}


def test_the_coordinator_checks_a_proof_without_the_token() -> None:
    message = answer_bytes(**ANSWER)
    assert verifier_proof(token_verifier(TOKEN), message) == token_proof(TOKEN, message)


@pytest.mark.parametrize("field", list(ANSWER))
def test_every_field_of_an_answer_is_under_its_proof(field: str) -> None:
    changed = {**ANSWER, field: ANSWER[field] + "x"}
    assert token_proof(TOKEN, answer_bytes(**changed)) != token_proof(TOKEN, answer_bytes(**ANSWER))


def test_the_bytes_under_a_proof_are_fixed_for_good() -> None:
    expected = (
        b'concilium-answer\n{"center":"north","public_key":"ecdsa-sha2-nistp384 AAAA","schema_version":1,'
        b'"serial":"00000000000000000000000000000000","study":"sarcoma"}'
    )
    assert answer_bytes(**ANSWER) == expected
    assert EnrolmentAnswer.model_validate({**ANSWER, "proof": "ab"}).message == expected


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
