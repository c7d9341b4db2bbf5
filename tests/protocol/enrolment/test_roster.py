"""A roster is the authority's word on whose key is whose."""

from dataclasses import replace

import pytest

from protocol.enrolment.roster import check_roster, sign_roster
from protocol.errors import SecureSumError
from tests.support.enrolled_study import new_key, openssh
from tests.support.summing import authority_pem

AUTHORITY = new_key()
PEM = authority_pem(AUTHORITY)
ROSTER = sign_roster("sts", {"a": openssh(new_key())}, AUTHORITY)


def test_what_the_authority_signed_is_taken() -> None:
    assert check_roster(ROSTER, PEM, "sts") == ROSTER


@pytest.mark.parametrize(
    ("roster", "pem", "why"),
    [
        (replace(ROSTER, keys={"a": openssh(new_key())}), PEM, "not signed by the authority"),
        (replace(ROSTER, issued=9), PEM, "not signed by the authority"),
        (replace(ROSTER, signature=""), PEM, "not signed by the authority"),
        (ROSTER, authority_pem(new_key()), "not signed by the authority"),
        (replace(ROSTER, study="other"), PEM, "no roster of study 'sts'"),
        (None, PEM, "found none"),
        (ROSTER, "", "knows no authority"),
    ],
)
def test_anything_else_is_refused(roster, pem: str, why: str) -> None:
    with pytest.raises(SecureSumError, match=why):
        check_roster(roster, pem, "sts")
