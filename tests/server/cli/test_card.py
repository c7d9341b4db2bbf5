import json
from pathlib import Path

from typer.testing import CliRunner

from client.cli.app import app as center_app
from client.data.manifest_file import write_manifest
from client.privacy.ledger_file import Promise
from client.privacy.privacy_ledger import PrivacyLedger
from client.privacy.release import Release
from server.cli.app import app
from tests.support.audited_center import manifest_of
from tests.support.carded_study import write_carded
from tests.support.example_result import visible_text


def test_a_card_is_a_page_and_json(tmp_path: Path) -> None:
    write_carded(tmp_path)
    done = CliRunner().invoke(app, ["card", str(tmp_path), "--out", str(tmp_path / "card")])
    assert done.exit_code == 0, done.output
    assert "Of 44 items" in done.output
    assert json.loads((tmp_path / "card" / "card.json").read_text())["version"]["version"] == 2
    assert (tmp_path / "card" / "card.html").read_text().startswith("<!DOCTYPE html>")


def test_what_a_center_prints_of_its_ledger_stands_on_the_page(tmp_path: Path) -> None:
    """From the center's own command to the coordinator's card, but for the hand between."""
    write_carded(tmp_path)
    home = tmp_path / "home" / "trainer"
    release = Release("training", "gaussian", 4.0, 1.0, 1, "demo", "adapt", 1)
    PrivacyLedger(home).spend(release, ["a"], Promise(2.0, 1e-3))
    write_manifest(manifest_of(), home / "manifest.json")
    told = CliRunner().invoke(center_app, ["ledger", "--home", str(home.parent), "--privacy", "--json"])
    (tmp_path / "p.json").write_text(told.stdout)
    arguments = [str(tmp_path), "--out", str(tmp_path / "card"), "--privacy", str(tmp_path / "p.json")]
    done = CliRunner().invoke(app, ["card", *arguments])
    assert done.exit_code == 0, done.output
    epsilon = json.loads(told.stdout)["spent"][0]["epsilon"]
    page = visible_text((tmp_path / "card" / "card.html").read_text())
    assert f"center-a 0.001 {epsilon:.3g} 2" in page


def test_a_version_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_carded(tmp_path)
    done = CliRunner().invoke(app, ["card", str(tmp_path), "--version", "9", "--out", str(tmp_path / "card")])
    assert done.exit_code == 1
    assert "has no version 9" in done.output
    assert not (tmp_path / "card").exists()
