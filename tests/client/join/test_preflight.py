"""The table of checks before joining: names, exit codes, and what the documents say of them."""

import os
from pathlib import Path

import pytest

from client.home.center_home import CenterHome
from client.join.contact import Contact
from client.join.findings import ok
from client.join.preflight import CHECKS, NODE_CHECKS, PREPARING_CHECKS, examine, exit_code
from client.join.situation import KeyStanding, Situation
from tests.support.coordinator_stand_in import PROXY_VARIABLES
from tests.support.join_checks import CODES


def test_each_check_has_an_exit_code_of_its_own() -> None:
    assert {check.name: check.exit_code for check in CHECKS if check.exit_code} == CODES
    assert len(set(CODES.values())) == len(CODES)


@pytest.mark.parametrize("name", sorted(CODES))
def test_the_documents_tell_every_check_with_its_exit_code(repository: Path, name: str) -> None:
    text = (repository / "docs" / "joining.md").read_text()
    assert f"| {CODES[name]} | {name} |" in text


def test_the_network_side_looks_at_no_data() -> None:
    assert {check.name for check in CHECKS} - {check.name for check in NODE_CHECKS} == {
        "privacy", "data", "gpu", "disk", "isolation",
    }  # fmt: skip


def test_no_test_here_ran_through_a_proxy_of_this_machine() -> None:
    assert not [name for name in PROXY_VARIABLES if name in os.environ]


@pytest.mark.parametrize(
    ("number", "status", "code"), [("", "warning", 0), ("7", "failed", 16)], ids=["not accepted yet", "revoked"]
)
def test_preparing_does_not_fail_for_a_key_that_is_not_accepted_yet(
    tmp_path: Path, number: str, status: str, code: int
) -> None:
    """The answer that is made here is what it is accepted by."""
    home = CenterHome(tmp_path / "home")
    home.make_folders()
    home.node_id.write_text(number)
    of = Situation(home, ok("kit"))
    of.__dict__["contact"] = Contact("localhost", 1, presented=object())  # type: ignore[arg-type]
    of.__dict__["key_standing"] = KeyStanding("unknown")
    (row,) = (check for check in PREPARING_CHECKS if check.name == "authentication")
    (found,) = examine(of, [row])
    assert (found.finding.status, exit_code([found])) == (status, code)
    assert [check.name for check in PREPARING_CHECKS] == [check.name for check in CHECKS]
