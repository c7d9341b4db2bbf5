"""A finished study is extended by a center and a stage: it ends as the study that had both from the beginning."""

import json
from pathlib import Path

from typer.testing import CliRunner

from deploy.coordinator.cli import app
from server.audit.verification import verify
from tests.support.extended_study import FROM_THE_BEGINNING, three, write_addition


def test_a_center_that_nobody_foresaw_arrives(tmp_path: Path) -> None:
    found, whole = three(tmp_path / "extended"), three(tmp_path / "whole", FROM_THE_BEGINNING)
    found.run()
    first = json.loads(found.directory.result.read_text())
    rows = found.state.history.rows
    done = CliRunner().invoke(app, ["extend", str(write_addition(tmp_path)), "--study", str(found.root)])
    assert done.exit_code == 0, done.stderr
    found.run()
    whole.run()
    assert found.hashes == whole.hashes
    assert found.state.history.rows[: len(rows)] == rows
    assert [row.stage for row in found.state.history.rows] == ["initial", "adapt", "come"]
    assert json.loads((found.directory.versions / "0001" / "result.json").read_text()) == first
    assert json.loads(found.directory.result.read_text())["status"] == "complete"
    assert verify(found.directory).findings == ()
