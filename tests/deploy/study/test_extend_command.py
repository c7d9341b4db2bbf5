"""What `concilium extend` says to the coordinator, center by center."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.coordinator.cli import app
from deploy.study.extend_command import done_lines, plan_lines
from deploy.study.study_extension import extend_study, plan_extension
from protocol.messages.privacy import Privacy
from server.study.directory import StudyDirectory
from server.study.lock import hold_study
from tests.support.coordinator_root import init_root
from tests.support.extended_study import addition, three, write_addition
from tests.support.study_text import centers_text, stage_text

NEW = centers_text(["center-d"]) + stage_text("come", ["center-a", "center-d"], kind="arrive")


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return init_root(tmp_path / "root")


def test_every_center_is_told_what_to_do(directory: StudyDirectory, tmp_path: Path) -> None:
    write_addition(tmp_path, NEW)
    arguments = ["extend", str(tmp_path / "addition.toml"), "--study", str(directory.root)]
    plan = CliRunner().invoke(app, [*arguments, "--plan"])
    done = CliRunner().invoke(app, arguments)
    assert (plan.exit_code, done.exit_code) == (0, 0)
    assert done.stdout.endswith(
        f"go on with `concilium launch {directory.root}` when the centers of the next stage are enrolled\n"
    )
    for line in (
        "stage 'come' (arrive), 1 round(s): center-a, center-d",
        f"center 'center-d' is new: invite it with `concilium enroll center-d --study {directory.root}`",
        "center 'center-a' trains again, in come, which it has not agreed to: it sits out there until it joins",
        "nothing changes for center-b, center-c: they compare and are scored, as agreed",
    ):
        assert line in plan.stdout
        assert line in done.stdout
    again = CliRunner().invoke(app, arguments)
    assert (again.exit_code, "has center(s) ['center-d'] already" in again.stderr) == (1, True)


def test_of_a_study_under_way_it_says_when_the_addition_counts(directory: StudyDirectory, tmp_path: Path) -> None:
    directory.authority_key.unlink()
    with hold_study(directory.lock):
        lines = " ".join(done_lines(directory, extend_study(directory, addition(tmp_path, NEW))))
    assert "the stage under way ends as it began, what is added counts from its end on" in lines
    assert f"sign the log where it is, `concilium audit sign {directory.root}`" in lines


def test_of_a_private_study_it_says_that_the_ledger_decides(directory: StudyDirectory, tmp_path: Path) -> None:
    found = plan_extension(directory, addition(tmp_path, NEW))
    private = found.study.model_copy(update={"privacy": Privacy(epsilon=3, delta=1e-4, clip_norm=1.0)})
    object.__setattr__(found, "study", private)
    assert any("its ledger decides whether it can" in line for line in plan_lines(directory, found))


def test_of_a_simulation_it_names_the_command_that_goes_on(tmp_path: Path) -> None:
    found = three(tmp_path)
    lines = list(done_lines(found.directory, extend_study(found.directory, addition(tmp_path))))
    assert lines[-1].startswith(f"go on with `concilium simulate --study {found.root}/study.toml --out {found.root}")
    assert "center 'c' is new" in lines
