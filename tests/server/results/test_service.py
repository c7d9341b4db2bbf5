"""What the centers are served, as it is kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import StudyError
from server.results.service import OnValidation, read_services, write_services
from tests.support.own_service import SERVICE


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    other = replace(SERVICE, center="b", test=None, validation=(), alone_sha256="")
    write_services(tmp_path / "service.json", (SERVICE, other))
    assert read_services(tmp_path / "service.json") == (SERVICE, other)


def test_where_nothing_was_decided_there_is_nothing(tmp_path: Path) -> None:
    assert read_services(tmp_path / "service.json") == ()


def test_a_changed_digit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "service.json"
    write_services(path, [SERVICE])
    path.write_text(path.read_text().replace('"better_alone": true', '"better_alone": false'))
    with pytest.raises(StudyError, match=r"service.json is damaged .*; remove it, and `concilium simulate"):
        read_services(path)


@pytest.mark.parametrize("validation", [(), (replace(SERVICE.validation[0], bound=None),)])
def test_without_a_bound_nothing_is_decided(validation: tuple[OnValidation, ...]) -> None:
    assert SERVICE.is_decided
    assert not replace(SERVICE, validation=validation).is_decided
