import tomllib
from pathlib import Path

import pytest

from server.grid.pace import ONCE_SHORTEST_S, SHORTEST_S
from server.study.extension import extend, read_addition
from server.study.file import read_study
from tests.rehearsal.own_studies import ADDITION, LONGEST_S, NEW, RECONNECT_S, SCORES_S, WITH_GATE, WITHOUT_DEADLINE
from tests.rehearsal.short_study import NAMES, STUDY


@pytest.mark.parametrize("text", [WITHOUT_DEADLINE, WITH_GATE])
def test_each_study_can_be_run(text: str, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(text)
    assert tuple(read_study(tmp_path / "study.toml").centers) == NAMES


def test_the_study_of_the_silent_center_names_no_deadline_and_its_wait_is_far_below_six_hours() -> None:
    assert "deadline_s" not in tomllib.loads(WITHOUT_DEADLINE)
    assert 2 * (RECONNECT_S + SHORTEST_S) < LONGEST_S < 21600 / 10
    assert RECONNECT_S + ONCE_SHORTEST_S < SCORES_S < 21600 / 4


def test_the_short_study_takes_the_addition(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "addition.toml").write_text(ADDITION)
    _, new = extend(read_study(tmp_path / "study.toml"), STUDY, read_addition(tmp_path / "addition.toml"))
    assert new.stages[-1].centers == (NEW,)
