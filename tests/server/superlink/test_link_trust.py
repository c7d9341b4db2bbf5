"""Whose SuperLink answers at a study's door, where two studies share an authority."""

from pathlib import Path

import pytest

from protocol.errors import LaunchError
from server.centers.federation_init import renew_certificate
from server.study.coordinator_settings import CoordinatorSettings
from server.study.directory import StudyDirectory
from server.superlink.control import connect_to
from server.superlink.doors import Doors
from tests.support.enrolled_study import COORDINATOR, write_coordinator_directory
from tests.support.socket_server import serve_at

pytestmark = pytest.mark.network


@pytest.fixture
def studies(tmp_path: Path) -> list[StudyDirectory]:
    """Two studies of one authority."""
    shared = {**COORDINATOR.model_dump(), "authority": str(tmp_path / "authority")}
    settings = CoordinatorSettings.model_validate(shared)
    return [write_coordinator_directory(tmp_path / name, settings) for name in ("one", "two")]


def asked(study: StudyDirectory, key: Path, certificate: Path) -> str:
    """What a client of `study` says of a server with this key, which is no SuperLink and refuses every call."""
    with (
        serve_at(Doors(study.root).control, key, certificate),
        connect_to(study) as control,
        pytest.raises(LaunchError) as found,
    ):
        control.unregister("1")
    return str(found.value)


def test_superlink_of_another_study_is_asked_nothing(studies: list[StudyDirectory]) -> None:
    one, two = studies
    said = asked(two, one.server_key, one.server_certificate)
    assert "is not this study's" in said
    assert "Nothing was asked of it" in said
    assert str(two.server_certificate) in said


def test_superlink_of_the_study_is_asked(studies: list[StudyDirectory]) -> None:
    assert "answered HTTP 403" in asked(studies[0], studies[0].server_key, studies[0].server_certificate)


def test_superlink_that_still_shows_the_certificate_before_a_renewal_is_asked(
    studies: list[StudyDirectory], tmp_path: Path
) -> None:
    before = tmp_path / "before.crt"
    before.write_bytes(studies[0].server_certificate.read_bytes())
    renew_certificate(studies[0])
    assert before.read_bytes() != studies[0].server_certificate.read_bytes()
    assert "answered HTTP 403" in asked(studies[0], studies[0].server_key, before)
