import hashlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from client.audit.audit_run import Audited
from client.audit.pool import Scored
from client.cli import audit as command
from client.cli.app import app
from client.cli.interruption import StopNote
from client.data.block_file import RecordsError
from client.privacy.ledger_file import LEDGER, Promise
from client.privacy.privacy_ledger import PrivacyLedger
from client.privacy.release import Release, release_without_guarantee
from protocol.errors import CancelledError, CaseError
from protocol.messages.audit import read_audit
from tests.support.carded_study import audit_of, write_carded


def arguments(folder: Path, *more: str) -> list[str]:
    home = ["audit", "--home", str(folder), "--data", str(folder), "--center", "center-a"]
    return [*home, "--bank", str(folder / "bank"), *more]


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose audit finds what stands in the example."""
    patients = (tuple((name,) for name in "abcdefg"), tuple((name,) for name in "vwxyz"))
    scored = {"loss-threshold": Scored(*patients)}
    found = Audited(audit_of(write_carded(tmp_path)), scored, frozenset("abcdefgvwxyz"), "arrive-d", 12)  # type: ignore[arg-type]
    monkeypatch.setattr(command, "run_audit", lambda *_: found)
    return tmp_path


def test_what_was_found_is_printed_with_intervals_and_stays(audited: Path) -> None:
    done = CliRunner().invoke(app, arguments(audited))
    assert done.exit_code == 0, done.output
    assert "0.80 [0.55, 0.97]" in done.output
    assert "Nothing left this center" in done.output


def test_the_command_that_writes_the_page_is_named(audited: Path) -> None:
    done = CliRunner().invoke(app, arguments(audited))
    assert f"concilium-center report --home {audited} --center center-a" in done.output


def test_what_may_be_handed_on_is_a_file_of_figures(audited: Path) -> None:
    done = CliRunner().invoke(app, arguments(audited, "--out", str(audited / "a.json"), "--json"))
    assert json.loads(done.stdout)["attacks"][0]["auc"] == 0.8
    assert read_audit(audited / "a.json").center == "center-a"


def test_a_file_that_differs_by_one_patient_is_not_written(audited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(app, arguments(audited, "--out", str(audited / "a.json"))).exit_code == 0
    before = command.run_audit(*[None] * 4)  # type: ignore[arg-type]
    scored = before.scored["loss-threshold"]
    joined = replace(scored, members=(*scored.members, ("h",)))
    monkeypatch.setattr(command, "run_audit", lambda *_: replace(before, scored={"loss-threshold": joined}))
    done = CliRunner().invoke(app, arguments(audited, "--out", str(audited / "b.json")))
    assert isinstance(done.exception, CaseError)
    assert "1 patient(s) who trained differ" in str(done.exception)
    assert not (audited / "b.json").exists()


def test_a_file_that_is_handed_on_is_in_the_ledger_once_and_one_that_is_not_is_nowhere(audited: Path) -> None:
    assert CliRunner().invoke(app, arguments(audited)).exit_code == 0
    assert PrivacyLedger(audited).entries() == ()
    for name in ("a.json", "again.json"):
        done = CliRunner().invoke(app, arguments(audited, "--out", str(audited / name)))
        assert "guarantee" not in done.output
    (entry,) = PrivacyLedger(audited).entries(["v"])
    assert entry.release == release_without_guarantee("audit", "demo", "arrive-d", 12)
    assert entry.content == hashlib.sha256((audited / "a.json").read_bytes()).hexdigest()
    assert len(entry.subjects) == 12


def test_a_ledger_that_cannot_be_trusted_lets_no_file_be_written(audited: Path) -> None:
    PrivacyLedger(audited).record(release_without_guarantee("gram", "s", "a", 1), ["p"])
    (audited / LEDGER).unlink()
    done = CliRunner().invoke(app, arguments(audited, "--out", str(audited / "a.json")))
    assert isinstance(done.exception, RecordsError)
    assert not (audited / "a.json").exists()


def test_a_promise_to_anybody_in_the_file_is_said_to_be_no_guarantee_of_it(audited: Path) -> None:
    """Of another study than the version's."""
    release = Release("training", "subsampled-gaussian", 9.0, 0.1, 1, "earlier", "adapt", 1)
    PrivacyLedger(audited).spend(release, ["x"], Promise(8, 1e-3))
    done = CliRunner().invoke(app, arguments(audited, "--out", str(audited / "a.json")))
    assert "no guarantee covers them, and the epsilon that 'earlier' promised says nothing" in done.stderr


def test_of_a_private_study_the_file_is_said_to_carry_no_guarantee(
    audited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = command.run_audit(*[None] * 4)  # type: ignore[arg-type]
    found = before.found.model_copy(update={"private": True})
    monkeypatch.setattr(command, "run_audit", lambda *_: replace(before, found=found))
    done = CliRunner().invoke(app, arguments(audited, "--out", str(audited / "a.json")))
    assert "the epsilon that 'demo' promised says nothing" in done.stderr
    assert "guarantee" not in CliRunner().invoke(app, arguments(audited)).output


def test_what_is_withheld_from_the_file_is_shown_to_the_center(audited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = command.run_audit(*[None] * 4)  # type: ignore[arg-type]
    few = before.found.attacks[0].model_copy(update={"others": 4})
    found = before.found.model_copy(update={"attacks": (few,)})
    monkeypatch.setattr(command, "run_audit", lambda *_: replace(before, found=found))
    done = CliRunner().invoke(app, arguments(audited, "--out", str(audited / "a.json")))
    assert "withheld, for fewer than 5 patients of a kind: loss-threshold" in done.stderr
    assert "0.80 [0.55, 0.97]" in done.stdout
    assert read_audit(audited / "a.json").suppressed == ("loss-threshold",)


def test_an_odd_number_of_shadows_is_a_wrong_command(audited: Path) -> None:
    assert CliRunner().invoke(app, arguments(audited, "--shadows", "5")).exit_code == 2


def test_a_signal_ends_an_audit_with_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: Any) -> None:
        note: StopNote = given[2]
        os.kill(os.getpid(), signal.SIGTERM)
        assert note
        raise CancelledError("stopped")

    monkeypatch.setattr(command, "run_audit", interrupted)
    done = CliRunner().invoke(app, arguments(tmp_path))
    assert done.exit_code == 143
    assert "the same command goes on" in done.output


def test_the_word_of_stopping_stands_below_the_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def show(_: int) -> Iterator[None]:
        try:
            yield
        finally:
            typer.echo("the bar ends", err=True)

    def stop(*_: Any) -> None:
        raise CancelledError("stopped")

    monkeypatch.setattr(command, "show_shadows", show)
    monkeypatch.setattr(command, "run_audit", stop)
    done = CliRunner().invoke(app, arguments(tmp_path))
    assert done.output.splitlines() == ["the bar ends", "stopped: what is done stays; the same command goes on"]


def test_a_home_that_never_ran_knows_nobody_who_trained(tmp_path: Path) -> None:
    write_carded(tmp_path)
    done = CliRunner().invoke(app, arguments(tmp_path))
    assert isinstance(done.exception, CaseError)
    assert "no home of a trainer that has run" in str(done.exception)
