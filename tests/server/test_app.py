"""The options of a run."""

from typing import Any

import pytest

from protocol.errors import StudyError
from server.app import read_options


def test_run_options_name_the_study_directory(tmp_path: Any) -> None:
    (tmp_path / "study.toml").touch()
    assert read_options({"study-directory": str(tmp_path)}).study_directory == tmp_path


@pytest.mark.parametrize(
    ("run_config", "finding"),
    [
        ({}, "study-directory: Field required"),
        ({"study-directory": "/nowhere", "rounds": 3}, "rounds: Extra inputs"),
        ({"study-directory": "/nowhere"}, "'/nowhere' holds no study.toml"),
    ],
)
def test_wrong_run_options_are_named(run_config: dict[str, Any], finding: str) -> None:
    with pytest.raises(StudyError, match=finding):
        read_options(run_config)
