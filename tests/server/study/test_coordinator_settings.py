"""`coordinator.toml` comes back as it was written; what cannot be is named."""

from pathlib import Path

import pytest

from protocol.errors import StudyError
from server.study.coordinator_settings import CoordinatorSettings, free_link_port, read_coordinator, write_coordinator

SETTINGS = CoordinatorSettings(consortium="Five", endpoint="fed.example.org:443", image="localhost/client:1")


def test_settings_come_back_with_host_and_port(tmp_path: Path) -> None:
    write_coordinator(tmp_path / "coordinator.toml", SETTINGS)
    found = read_coordinator(tmp_path / "coordinator.toml")
    assert found == SETTINGS
    assert (found.host, found.port, found.link_port) == ("fed.example.org", 443, 8443)


def test_one_port_cannot_be_both(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.toml"
    path.write_text('consortium = "Five"\nendpoint = "h:8443"\nimage = "i"\n')
    with pytest.raises(StudyError, match="endpoint and link_port both name port 8443"):
        read_coordinator(path)


def test_the_superlink_gives_way_to_an_endpoint_on_its_usual_port() -> None:
    assert (free_link_port("h:443"), free_link_port("h:8443")) == (8443, 8444)


def test_a_missing_file_says_how_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"is no coordinator's directory\. Make one with `concilium study init"):
        read_coordinator(tmp_path / "coordinator.toml")
