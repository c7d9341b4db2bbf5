"""What one reply makes our code raise is that center's loss; what is this side's trouble ends the run."""

import logging

import pytest

from protocol.errors import PayloadError, StorageError
from server.grid.containment import contain, describe


def raising(error: BaseException) -> str:
    raise error


class PanicException(BaseException):
    """As a library in Rust raises it."""


class Stopped(BaseException):
    """As a signal handler raises it."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("train_cases"),
        RecursionError(),
        OverflowError(),
        ZeroDivisionError(),
        MemoryError(),
        PayloadError("x"),
        AttributeError("x"),
        PanicException("unwrap on None"),
    ],
)
def test_what_a_reply_raises_costs_its_center_and_is_named_once(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    assert contain("hgj", "read", lambda: raising(error), lambda: "left out") == "left out"
    assert [record.message.startswith("center 'hgj': its reply cannot be read: ") for record in caplog.records] == [
        True
    ]


@pytest.mark.parametrize(
    "error", [StorageError("the disk is full"), OSError("gone"), KeyboardInterrupt(), SystemExit(1), Stopped()]
)
def test_what_is_this_sides_trouble_is_passed_on(error: BaseException) -> None:
    with pytest.raises(type(error)):
        contain("hgj", "kept", lambda: raising(error), lambda: "left out")


def test_a_reply_that_can_be_handled_is() -> None:
    assert contain("hgj", "read", lambda: 1, lambda: 2) == 1


def test_a_log_line_is_one_line_however_the_error_reads(caplog: pytest.LogCaptureFixture) -> None:
    text = "\x1b[31mred\n2026-01-01 INFO study complete" + "x" * 1_000_000
    with caplog.at_level(logging.ERROR):
        contain("hgj", "read", lambda: raising(ValueError(text)), lambda: "")
    (line,) = caplog.messages
    assert (line.isprintable(), len(line) < 600) == (True, True)


def test_a_finding_of_ours_keeps_its_lines_and_no_more_than_twenty() -> None:
    assert describe(PayloadError("reply: 2 fields\n  loss: no number\n  seconds: \x07")).splitlines() == [
        "reply: 2 fields",
        "  loss: no number",
        "  seconds: \\x07",
    ]
    assert len(describe(PayloadError("\n".join(map(str, range(10**6))))).splitlines()) == 21
