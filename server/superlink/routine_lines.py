"""Leaves out of the SuperLink's log what every center that works, and every look at a study, writes every few seconds.

Flower leaves out the calls of an idle SuperNode. Of one at work (`client.node.run_watch`) and of watchdog, `status` and
page it writes two lines a call: sixty centers would push all else out of a log of 64 MiB within hours.
"""

import logging

from server.superlink.doors import LAST_CALLS_PATH

ROUTINE_PATHS = ("/v1/fleet/get-run", "/v1/control/list-nodes", "/v1/control/list-runs", LAST_CALLS_PATH)
ROUTINE_LINES = ("[Fleet.GetRun] ", "ControlServicer.ListNodes", "ControlServicer.ListRuns")
LOGGERS = ("flwr", "uvicorn.access")
DONE = " 200"


def leave_out_routine_lines() -> None:
    """Filter the loggers of this process; what was refused or failed is written as before."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(is_worth_a_line)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether a line is none of a routine call that was answered."""
    text = record.getMessage()
    if record.levelno > logging.INFO:
        return True
    return not text.startswith(ROUTINE_LINES) and not (
        text.endswith(DONE) and any(f" {path} " in text for path in ROUTINE_PATHS)
    )
