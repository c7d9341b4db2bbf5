"""A small study's directory, its enrolment at a time that moves, and a register that behaves as Flower's."""

from pathlib import Path

import pytest

from server.centers.enrolment import Enrolment
from server.study.directory import StudyDirectory
from tests.support.enrolled_study import (
    Clock,
    Register,
    write_coordinator_directory,
)


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return write_coordinator_directory(tmp_path / "root")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def enrolment(directory: StudyDirectory, clock: Clock) -> Enrolment:
    return Enrolment(directory, clock)


@pytest.fixture
def register() -> Register:
    return Register()
