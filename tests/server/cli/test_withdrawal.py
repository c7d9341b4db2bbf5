"""`concilium withdraw`: the plan, and what is said when it is done."""

from pathlib import Path

from typer.testing import CliRunner

from server.cli.app import app
from tests.support.withdrawn_study import light_late_comer

runner = CliRunner()


def test_a_plan_changes_nothing_and_the_withdrawal_says_how_to_go_on(tmp_path: Path) -> None:
    study = light_late_comer(tmp_path)
    arguments = ["withdraw", "c", "--study", str(study.root)]
    plan = runner.invoke(app, [*arguments, "--plan"])
    assert "would lose their tensors for good: c/0001, shared/0002, shared/0003" in plan.stdout
    assert "would be in use: shared/0001" in plan.stdout
    done = runner.invoke(app, arguments)
    assert (done.exit_code, "in use: shared/0001" in done.stdout) == (0, True)
    assert f"--out {study.root}.without-c" in done.stdout
    shown = runner.invoke(app, ["bank", "show", "shared", "--version", "2", "--bank", str(study.directory.bank)])
    assert "shared/0002, withdrawn" in shown.stdout
    again = runner.invoke(app, arguments)
    assert (again.exit_code, "has withdrawn already" in again.stderr) == (1, True)
