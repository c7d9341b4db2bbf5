"""One token opens one session."""

import pytest

from reporting.serving.admission import Admission


def test_a_token_opens_once():
    admission = Admission()
    assert admission.spend(admission.token)
    assert not admission.spend(admission.token)


@pytest.mark.parametrize("token", ["", "x", "é"])
def test_another_token_opens_nothing_and_spends_nothing(token: str):
    admission = Admission()
    assert not admission.spend(token)
    assert admission.spend(admission.token)


def test_the_cookie_admits_only_once_the_token_is_spent():
    admission = Admission()
    assert not admission.admits(admission.cookie)
    admission.spend(admission.token)
    assert admission.admits(admission.cookie)
    assert not admission.admits("")


def test_secrets_are_long_their_own_and_never_printed():
    one, other = Admission(), Admission()
    secrets = {one.token, one.path, one.cookie, other.token, other.path, other.cookie}
    assert len(secrets) == 6
    assert min(map(len, secrets)) == 43
    assert repr(one) == "Admission(spent=False)"
