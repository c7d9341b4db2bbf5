"""`concilium-center ledger --privacy` shows what was spent, and refuses a ledger that was changed."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.cli.app import app
from client.data.block_file import RecordsError
from client.outgoing.ledger import LedgerError
from client.privacy.ledger_file import LEDGER, Promise
from client.privacy.privacy_ledger import Bare, PrivacyLedger
from client.privacy.release import Release, release_without_guarantee

GRAM = Release("gram", "gaussian", 4.0, 1.0, 1, "s", "adapt", 1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A joined center's home in which one Gram sketch left, of epsilon 2 that was promised at delta 0.001."""
    PrivacyLedger(tmp_path / "trainer").spend(GRAM, ["a"], Promise(2.0, 1e-3))
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["ledger", "--privacy", *map(str, arguments)])


def test_spent_promised_and_left_are_shown_with_entries_by_kind_and_the_curve(home: Path) -> None:
    found = json.loads(run("--home", home, "--json").stdout)
    (row,) = found["spent"]
    assert (row["promised"], row["left"]) == (2.0, 2.0 - row["epsilon"])
    assert found["by_kind"] == {"gram": {"entries": 1, "without_mechanism": 0}}
    assert found["curve"] == [{"entries": 1, "epsilon": row["epsilon"]}]
    text = run("--home", home).stdout
    assert f"after    1 release(s)  {row['epsilon']:>12.3g}  {'#' * 40}" in text


def test_what_left_without_a_guarantee_is_said_by_name_beside_it(home: Path, tmp_path: Path) -> None:
    """Epsilon stays that of the private release; the training of patient a touches the promise."""
    before = json.loads(run("--home", home, "--json").stdout)
    bare = [
        Bare(release_without_guarantee("training", "open", "adapt", number), "hash", frozenset("a"))
        for number in (1, 2)
    ]
    PrivacyLedger(home / "trainer").record_bare(bare)
    found = json.loads(run("--home", home, "--json").stdout)
    assert (found["spent"], found["curve"]) == (before["spent"], before["curve"])
    assert [(row["kind"], row["releases"], row["of_promised"]) for row in found["without_guarantee"]] == [
        ("training", 2, 2)
    ]
    text = run("--home", home, "--chart", tmp_path / "c.html").stdout
    assert "left without a guarantee: 2 training(s), since 20" in text
    assert "(studies 'open')" in text
    assert "Left without a guarantee: 2 training(s), since 20" in (tmp_path / "c.html").read_text()


def test_a_picture_is_written_where_it_is_asked_for(home: Path, tmp_path: Path) -> None:
    assert run("--home", home / "trainer", "--delta", 1e-4, "--chart", tmp_path / "c.html").exit_code == 0
    assert "at delta 0.0001" in (tmp_path / "c.html").read_text()


def test_a_changed_ledger_and_none_are_refused_by_name(home: Path, tmp_path: Path) -> None:
    log = home / "trainer" / LEDGER
    log.write_text(log.read_text().replace("4.0", "9.0"))
    assert isinstance(run("--home", home).exception, RecordsError)
    empty = run("--home", tmp_path / "nowhere").exception
    assert isinstance(empty, LedgerError)
    assert "holds no privacy.jsonl" in str(empty)


def test_a_delta_that_is_no_probability_is_refused(home: Path) -> None:
    assert run("--home", home, "--delta", 1.5).exit_code == 2
