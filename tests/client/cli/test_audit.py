import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from client.cli import audit as command
from client.cli.app import app
from client.cli.interruption import StopNote
from protocol.errors import CancelledError, CaseError
from protocol.messages.audit import read_audit
from tests.support.carded_study import audit_of, write_carded


def arguments(folder: Path, *more: str) -> list[str]:
    home = ["audit", "--home", str(folder), "--data", str(folder), "--center", "center-a"]
    return [*home, "--bank", str(folder / "bank"), *more]


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose audit finds what stands in the example."""
    found = audit_of(write_carded(tmp_path))
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
