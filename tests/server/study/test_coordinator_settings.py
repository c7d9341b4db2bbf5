"""The coordinator's settings: what is written is read, what a person spoiled is named."""

from pathlib import Path

import pytest

from protocol.errors import StudyError
from server.study.coordinator_settings import CoordinatorSettings, read_coordinator, write_coordinator

SETTINGS = CoordinatorSettings(consortium="North", endpoint="[fd00::1]:443", image="client:1")


def test_settings_read_back_as_they_were_written(tmp_path: Path) -> None:
    write_coordinator(tmp_path / "c.toml", SETTINGS)
    assert read_coordinator(tmp_path / "c.toml") == SETTINGS


def test_host_and_port_are_those_of_the_endpoint() -> None:
    assert (SETTINGS.host, SETTINGS.port) == ("fd00::1", 443)


def test_a_file_of_an_earlier_version_is_read_without_the_port_that_the_superlink_had(tmp_path: Path) -> None:
    write_coordinator(tmp_path / "c.toml", SETTINGS)
    (tmp_path / "c.toml").write_text("link_port = 8443\n" + (tmp_path / "c.toml").read_text())
    assert read_coordinator(tmp_path / "c.toml") == SETTINGS


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
