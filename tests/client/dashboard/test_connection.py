"""What a center's own machine says of its connection, from tables as the kernel writes them."""

import os
from pathlib import Path

import pytest

from client.dashboard.connection import Link, links_of
from client.home.center_home import CenterHome, read_membership, read_settings
from tests.support.dashboard_home import dashboard_home

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
PROBES, ENDPOINT = 9095, 443


def line(local: int, remote: int, state: str, account: int | None = None) -> str:
    uid = os.geteuid() if account is None else account
    return (
        f"   0: 0100007F:{local:04X} 0100007F:{remote:04X} {state} 00000000:00000000 00:00000000 00000000 {uid} 0 1\n"
    )


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return dashboard_home(tmp_path / "home")


def links(home: CenterHome, table: str, silent_s: float = 0.0) -> dict[str, Link]:
    path = home.root / "tcp"
    path.write_text(HEAD + table)
    found = links_of(home, read_membership(home), read_settings(home), silent_s, (path, home.root / "no-table"))
    return {link.name: link for link in found}


def test_a_center_that_is_connected_needs_nothing(home: CenterHome) -> None:
    home.node_id.write_text("7")
    found = links(home, line(PROBES, 0, "0A") + line(40000, ENDPOINT, "01"))
    assert all(link.well for link in found.values())


@pytest.mark.parametrize(
    ("table", "silent_s", "away"),
    [
        ("", 0.0, {"SuperNode", "Key", "Coordinator"}),
        (line(PROBES, 0, "0A") + line(40000, ENDPOINT, "06"), 0.0, {"Key", "Coordinator"}),
        (line(PROBES, 0, "0A") + line(40000, ENDPOINT, "01", os.geteuid() + 1), 0.0, {"Key", "Coordinator"}),
        (line(PROBES, 0, "0A") + line(40000, ENDPOINT, "01"), 16.0, {"Trainer", "Key"}),
    ],
    ids=["nothing runs", "closing", "of another account", "silent trainer"],
)
def test_what_is_missing_has_its_remedy(home: CenterHome, table: str, silent_s: float, away: set[str]) -> None:
    found = links(home, table, silent_s)
    assert {name for name, link in found.items() if not link.well} == away
    assert all(found[name].remedy for name in away)


def test_a_line_that_is_none_is_passed_over(home: CenterHome) -> None:
    assert not links(home, "torn\n")["Coordinator"].well
