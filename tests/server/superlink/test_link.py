"""What a SuperLink answers: runs and nodes."""

import pytest

from server.superlink.link import RegisteredNode
from tests.support.listed_link import run


@pytest.mark.parametrize(
    ("status", "active"),
    [
        ("pending", True),
        ("starting", True),
        ("running", True),
        ("finished:completed", False),
        ("finished:failed", False),
        ("finished:stopped", False),
    ],
)
def test_a_run_holds_the_study_until_it_has_finished(status: str, active: bool) -> None:
    assert run(status).active is active


@pytest.mark.parametrize(("status", "online"), [("registered", False), ("online", True), ("offline", False)])
def test_a_node_is_there_while_its_heartbeats_come(status: str, online: bool) -> None:
    assert RegisteredNode("center-a", "1", "key", status, None).online is online
