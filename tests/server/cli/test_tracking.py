"""The commands about MLflow refuse what they cannot do before they ask a server."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.app import app


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give either a CENTER or --writer NAME"),
        (("center-a", "--writer", "coordinator"), "give either a CENTER or --writer NAME"),
        (("center-a",), "name the MLflow server with --server or MLFLOW_TRACKING_URI"),
    ],
)
def test_a_user_is_made_for_one_reader_on_a_named_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("TERMINAL_WIDTH", "300")
    result = CliRunner().invoke(app, ["mlflow-user", *words, "--study", str(tmp_path)])
    assert result.exit_code == 2
    assert message in result.output


def test_a_folder_without_a_study_has_nothing_to_send(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["track", str(tmp_path / "nowhere")])
    assert (result.exit_code, result.stderr[:7]) == (1, "error (")
