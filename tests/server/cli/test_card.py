import json
from pathlib import Path

from typer.testing import CliRunner

from server.cli.app import app
from tests.support.carded_study import write_carded


def test_a_card_is_a_page_and_json(tmp_path: Path) -> None:
    write_carded(tmp_path)
    done = CliRunner().invoke(app, ["card", str(tmp_path), "--out", str(tmp_path / "card")])
    assert done.exit_code == 0, done.output
    assert "Of 44 items" in done.output
    assert json.loads((tmp_path / "card" / "card.json").read_text())["version"]["version"] == 2
    assert (tmp_path / "card" / "card.html").read_text().startswith("<!DOCTYPE html>")


def test_a_version_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_carded(tmp_path)
    done = CliRunner().invoke(app, ["card", str(tmp_path), "--version", "9", "--out", str(tmp_path / "card")])
    assert done.exit_code == 1
    assert "has no version 9" in done.output
    assert not (tmp_path / "card").exists()
