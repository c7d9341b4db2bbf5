"""Which lines of the SuperLink's log are left out."""

import inspect
import logging

import pytest
from flwr.superlink.servicer.control import control_handlers
from flwr.superlink.servicer.fleet import fleet_handlers

from server.superlink.routine_lines import LOGGERS, is_worth_a_line, leave_out_routine_lines


def access(call: str, status: int) -> str:
    """As uvicorn writes it."""
    return f' - "POST {call} HTTP/1.1" {status}'


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (access("/v1/fleet/get-run", 200), False),
        (access("/v1/fleet/get-run", 403), True),
        (access("/v1/control/list-nodes", 200), False),
        (access("/v1/control/start-run", 200), True),
        ("[Fleet.GetRun] Requesting `Run` for run_id=7", False),
        ("ControlServicer.ListRuns", False),
        ("ControlServicer.StartRun", True),
    ],
)
def test_what_was_answered_every_few_seconds_is_left_out(text: str, kept: bool):
    record = logging.LogRecord("flwr", logging.INFO, "", 0, text, None, None)
    assert is_worth_a_line(record) == kept


def test_a_warning_is_never_left_out():
    record = logging.LogRecord("flwr", logging.WARNING, "", 0, "ControlServicer.ListRuns", None, None)
    assert is_worth_a_line(record)


def test_flower_writes_these_lines():
    """Where another release words them otherwise, they are to be looked at anew."""
    assert '"[Fleet.GetRun] ' in inspect.getsource(fleet_handlers)
    assert "ControlServicer.ListNodes" in inspect.getsource(control_handlers)


def test_the_loggers_of_the_process_are_filtered():
    try:
        leave_out_routine_lines()
        assert all(is_worth_a_line in logging.getLogger(name).filters for name in LOGGERS)
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeFilter(is_worth_a_line)
