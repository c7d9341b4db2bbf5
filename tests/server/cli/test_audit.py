"""`concilium audit`: what it prints and how it ends."""

from pathlib import Path

from typer.testing import CliRunner

from server.audit.authority_copy import sign_with_authority
from server.cli.app import app
from server.study.audit_log import AuditLog
from server.study.recorder import Recorder
from tests.support.audited_study import log_lines, write_anew
from tests.support.coordinator_root import init_root

runner = CliRunner()


def test_a_log_is_signed_verified_and_found_out_when_it_is_cut(tmp_path: Path) -> None:
    """The head that was signed is kept beside the key, so that a log that was written anew without it is found."""
    directory = init_root(tmp_path / "root")
    Recorder(directory).prepare()
    root = str(directory.root)
    assert "signed up to no event" in runner.invoke(app, ["audit", "verify", root]).stdout
    kept = tmp_path / "kept.json"
    signed = runner.invoke(app, ["audit", "sign", root, "--out", str(kept)])
    assert "1 event(s) signed" in signed.stdout
    found = runner.invoke(app, ["audit", "verify", root])
    assert (found.exit_code, "signed up to event 1" in found.stdout) == (0, True)
    sign_with_authority(directory)
    write_anew(directory.audit, log_lines(directory.audit)[:1])
    found = runner.invoke(app, ["audit", "verify", root, "--signed", str(kept)])
    assert (found.exit_code, "BROKEN: signed head of" in found.stderr) == (1, True)


def test_what_an_earlier_version_did_not_record_is_said(tmp_path: Path) -> None:
    directory = init_root(tmp_path / "root")
    Recorder(directory).prepare()
    assert "not recorded" not in runner.invoke(app, ["audit", "verify", str(directory.root)]).stdout
    AuditLog(directory.audit).record("bank", {"sha256": ""})
    found = runner.invoke(app, ["audit", "verify", str(directory.root)])
    assert "not recorded: an earlier version began this log" in found.stdout


def test_events_are_shown_as_a_table_and_for_machines(tmp_path: Path) -> None:
    directory = init_root(tmp_path / "root")
    for _ in range(2):
        Recorder(directory).prepare()
    root = str(directory.root)
    assert "prepared" in runner.invoke(app, ["audit", "show", root]).stdout
    lines = runner.invoke(app, ["audit", "show", root, "--json", "--last", "1"]).stdout.splitlines()
    assert (len(lines), '"number": 2' in lines[0]) == (1, True)
