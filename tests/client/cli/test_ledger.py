"""`concilium-center ledger` shows everything that left a center, as a table or as one object."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.cli.app import app
from deploy.center.cli import main
from protocol.messages.reply import Reply
from protocol.messages.tensors import content_hash
from protocol.storage.chain import append_line
from tests.support.outgoing_logs import TENSORS, TRAINED, send, write_logs


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write_logs(tmp_path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["ledger", *map(str, arguments)])


def shown(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("--json", *arguments).stdout)
    return found


def test_both_logs_are_merged_by_time(home: Path) -> None:
    lines = shown("--home", home)["sent"]
    assert [(line["by"], line["kind"], line["again"], line["error"]) for line in lines] == [
        ("trainer", "train", False, ""),
        ("node", "train", False, "failed"),
        ("trainer", "train", True, ""),
        ("trainer", "evaluate", False, ""),
    ]
    assert {(line["stage"], line["server_round"]) for line in lines} == {("adapt", 3)}


def test_every_line_says_how_much_left_under_which_hash_and_what_did_not(home: Path) -> None:
    lines = shown("--home", home)["sent"]
    assert [line["bytes"] for line in lines] == [8, 0, 8, 0]
    assert lines[0]["content_sha256"] == content_hash(TENSORS)
    assert all(len(line["text_sha256"]) == 64 and line["text_bytes"] > 100 for line in lines)
    assert lines[3]["held_back"] == ["scores of setting 'ct' stand on 4 case(s), this center sends from 5 on"]


def test_totals_count_by_kind(home: Path) -> None:
    totals = shown("--home", home)["totals"]
    assert set(totals) == {"evaluate", "train"}
    counts = {name: totals["train"][name] for name in ("replies", "again", "errors", "withheld", "tensors")}
    assert counts == {"replies": 3, "again": 1, "errors": 1, "withheld": 0, "tensors": 2}
    assert totals["train"]["bytes"] > 16
    assert totals["evaluate"]["withheld"] == 1


def test_the_newest_lines_alone_leave_the_totals_whole(home: Path) -> None:
    found = shown("--home", home, "--last", 1)
    assert [line["kind"] for line in found["sent"]] == ["evaluate"]
    assert found["totals"]["train"]["replies"] == 3


def test_the_table_shows_the_same(home: Path) -> None:
    text = run("--home", home).stdout
    assert content_hash(TENSORS)[:12] in text
    assert "2026-01-03 10:00:00" in text
    assert "scores of setting 'ct' stand on 4" in text
    assert "in total" in text


def test_brackets_in_a_reason_are_shown_as_they_are(tmp_path: Path) -> None:
    send(Reply("a", "register", facts={"patient": 1}), tmp_path / "outgoing.jsonl")
    log = tmp_path / "outgoing.jsonl"
    log.write_text(log.read_text().replace("fact 'patient'", "[red]fact"))
    assert "[red]" in run("--home", tmp_path).stdout


def test_a_trainers_home_without_a_node_is_shown_too(tmp_path: Path) -> None:
    send(TRAINED, tmp_path / "outgoing.jsonl")
    assert [line["by"] for line in shown("--home", tmp_path)["sent"]] == ["trainer"]


def test_a_line_that_a_crash_cut_off_is_said_and_makes_no_log_wrong(home: Path) -> None:
    log = home / "trainer" / "outgoing.jsonl"
    with log.open("ab") as file:
        file.write(b'{"kind": "tra')
    append_line(log, {"time": "2026-01-03T10:00:00+00:00", "kind": "train"})
    result = run("--home", home)
    assert result.exit_code == 0
    assert (
        f"1 line(s) were cut off by a crash or a full disk and are kept in {log.with_suffix('.torn')}" in result.stderr
    )
    assert shown("--home", home)["cut_off"] == {str(log.with_suffix(".torn")): 1}
    assert shown("--home", home)["unreadable"] == []


def test_lines_that_cannot_be_read_are_named_and_in_no_total(home: Path) -> None:
    log = home / "trainer" / "outgoing.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], "{", lines[1], '{"kind": "train"}', "", lines[2]]) + "\n")
    found = shown("--home", home)
    assert [row["line"] for row in found["unreadable"]] == [2, 4, 5]
    assert len(found["sent"]) == 4
    told = run("--home", home)
    assert f"{log}: line 4 cannot be read" in told.stderr
    assert "3 line(s) cannot be read; they are in none of the totals" in told.stderr
    assert "NOT as it was written from line 2 on: it was added" in told.stderr
    assert told.exit_code == 1


def test_a_whole_ledger_prints_the_head_of_each_log_and_knows_one_that_was_noted(home: Path) -> None:
    log = home / "trainer" / "outgoing.jsonl"
    head = json.loads(log.with_suffix(".head").read_text())["chain"]
    told = run("--home", home, "--verify")
    assert told.exit_code == 0
    assert f"trainer: 3 line(s) stand as written; head {head}" in told.stdout
    assert "time (UTC)" not in told.stdout
    send(TRAINED, log)
    later = run("--home", home, "--verify", "--noted", head)
    assert later.exit_code == 0
    assert "is that of line 3, unchanged up to there" in later.stdout


def test_a_chain_that_was_made_anew_does_not_have_the_head_that_was_noted(home: Path) -> None:
    """The whole log is written again without its second line: whole by itself, but not what it was."""
    log = home / "trainer" / "outgoing.jsonl"
    head = json.loads(log.with_suffix(".head").read_text())["chain"]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.unlink()
    log.with_suffix(".head").unlink()
    for line in (lines[0], lines[2]):
        append_line(log, line)
    assert run("--home", home, "--verify").exit_code == 0
    found = run("--home", home, "--verify", "--noted", head)
    assert found.exit_code == 1
    assert f"no log has head {head}: a line before it was changed or removed" in found.stderr


def test_an_edited_line_is_named_also_without_asking_for_it(home: Path) -> None:
    log = home / "trainer" / "outgoing.jsonl"
    log.write_text(log.read_text().replace('"tensors": 1', '"tensors": 0', 1))
    told = run("--home", home)
    assert told.exit_code == 1
    assert f"{log}: NOT as it was written from line 1 on: it was changed" in told.stderr
    assert shown("--home", home)["chains"]["trainer"]["broken"]["line"] == 1


def test_a_log_that_is_gone_while_its_head_stands_is_told(home: Path) -> None:
    (home / "node" / "outgoing.jsonl").unlink()
    told = run("--home", home, "--verify")
    assert told.exit_code == 1
    assert "0 chained line(s), the head knows 1: the last ones were changed, removed or cut" in told.stderr


def test_a_home_without_a_log_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["concilium-center", "ledger", "--home", str(tmp_path)])
    with pytest.raises(SystemExit, match="1"):
        main()
    assert f"error (ledger): {tmp_path} holds no outgoing.jsonl" in capsys.readouterr().err
