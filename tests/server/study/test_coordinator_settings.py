"""The coordinator's settings: what is written is read, what a person spoiled is named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from protocol.errors import StudyError
from server.study.coordinator_settings import (
    CoordinatorSettings,
    free_link_port,
    read_coordinator,
    write_coordinator,
)

SETTINGS = CoordinatorSettings(consortium="North", endpoint="[fd00::1]:443", image="client:1")


def test_settings_read_back_as_they_were_written(tmp_path: Path) -> None:
    write_coordinator(tmp_path / "c.toml", SETTINGS)
    assert read_coordinator(tmp_path / "c.toml") == SETTINGS


def test_host_and_port_are_those_of_the_endpoint() -> None:
    assert (SETTINGS.host, SETTINGS.port, SETTINGS.link_port) == ("fd00::1", 443, 8443)


def test_the_superlink_gets_another_port_where_the_endpoint_has_its_usual_one() -> None:
    assert [free_link_port(f"a:{port}") for port in (443, 8443)] == [8443, 8444]


def test_endpoint_and_superlink_cannot_share_a_port() -> None:
    with pytest.raises(ValidationError, match="both name port 8443"):
        CoordinatorSettings(consortium="North", endpoint="a:8443", image="client:1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no coordinator's directory"),
        ("consortium = ", "cannot be read"),
        ('consortium = "N"\nendpoint = "nowhere"\nimage = "i"\n', r"has 1 problem\(s\):\n  endpoint: .*HOST:PORT"),
        ('consortium = "N"\nendpoint = "a:1"\nimage = "i"\nport = 3\n', r"has 1 problem\(s\):\n  port: "),
    ],
)
def test_what_cannot_be_used_is_named_with_what_to_do(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "c.toml").write_text(text)
    with pytest.raises(StudyError, match=message):
        read_coordinator(tmp_path / "c.toml")
