"""A line for each reply, on the disk before the reply leaves."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from client.outgoing.payload_egress import EgressLimits
from protocol.errors import StorageError
from protocol.messages.reply import Reply
from protocol.messages.tensors import content_hash
from protocol.messages.text import to_text
from tests.support.leaving import (
    INSTRUCTION,
    REPLY,
    TENSORS,
    leave,
    lines_of,
    send,
)


def test_agreed_reply_leaves_unchanged_and_is_logged(tmp_path: Path) -> None:
    """Two float32 values are 8 bytes, the cap exactly; 5 cases stand behind them, the minimum exactly."""
    log = tmp_path / "logs" / "outgoing.jsonl"
    assert send(REPLY, log) == REPLY
    (line,) = lines_of(log)
    assert line.pop("time").endswith("+00:00")
    assert len(line.pop("names_sha256")) == 64
    text = to_text(REPLY).encode()
    assert (line.pop("text_bytes"), line.pop("text_sha256")) == (len(text), hashlib.sha256(text).hexdigest())
    assert (line.pop("number"), line.pop("chain")) == (1, 64 * "0")
    assert line == {
        "again": False,
        "loss": 0.4,
        "center": "a",
        "kind": "train",
        "error": "",
        "stage": "adapt",
        "server_round": 3,
        "tensors": 1,
        "bytes": 8,
        "phase": "",
        "statistics": [],
        "support": {"peft": 5},
        "content_sha256": content_hash(TENSORS),
        "scores": {
            "ct+pet": {
                "cases": 5,
                "values": {"dice": 0.7, "hd95_mm": 4.0},
                "undefined": {"dice": 0, "hd95_mm": 0},
            }
        },
        "comparison": None,
        "diagnostics": {},
        "facts": {"train_cases": 5, "modalities": "ct+pet"},
        "suppressed": [],
        "held_back": [],
    }


def test_every_line_has_its_stage_and_round(tmp_path: Path) -> None:
    """Also where no payload carries them."""
    asked = replace(INSTRUCTION, stage="arrive", server_round=7)
    leave(Reply("a", "evaluate"), tmp_path / "log", EgressLimits((), 5, 8), instruction=asked, again=True)
    line = lines_of(tmp_path / "log")[0]
    assert (line["stage"], line["server_round"], line["again"]) == ("arrive", 7, True)


def test_a_line_that_a_crash_cut_off_does_not_swallow_the_next(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"kind": "tra')
    send(REPLY, tmp_path / "log")
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first == '{"kind": "tra'
    assert json.loads(second)["kind"] == "train"


def test_failed_log_keeps_the_reply_in(tmp_path: Path) -> None:
    """A folder stands where the log should be: the reply must not leave unlogged."""
    with pytest.raises(StorageError, match="nothing leaves until it can"):
        send(REPLY, tmp_path)


def test_log_keeps_earlier_lines(tmp_path: Path) -> None:
    for _ in range(3):
        send(REPLY, tmp_path / "log")
    assert len(lines_of(tmp_path / "log")) == 3
