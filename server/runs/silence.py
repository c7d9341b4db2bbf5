"""Which connected centers have fallen silent: two calls in a row have not come, long before Flower misses a heartbeat.

It is said and nothing more: a connection that stumbles for seconds is no alarm, sends no notice, and a center that is
silent is waited for, asked and heard as before. Where it lasts, Flower calls the center offline within a minute.
"""

from collections.abc import Mapping
from datetime import datetime

from server.superlink.link import RegisteredNode

SILENT_S = 6.0
"""A SuperNode calls every three seconds, whether it is idle or at work."""
MOST_NAMED = 5
REMEDY = (
    "see at the center that the machine runs and reaches the coordinator, and that `concilium-center join` runs (start "
    "it again: it goes on where it was). Within a minute it is online again or called offline"
)


def silent_since(node: RegisteredNode, now: datetime) -> datetime | None:
    """When a node that counts as online called for the last time, where that is too long ago; else None."""
    last = node.last_call
    return last if node.online and last is not None and (now - last).total_seconds() >= SILENT_S else None


def silence_note(silent: Mapping[str, datetime]) -> str:
    """What a person should know of centers that are silent, each with its last call, and what to do; "" for none."""
    if not silent:
        return ""
    if len(silent) == 1:
        [(center, since)] = silent.items()
        return f"center '{center}' has not called since {since:%H:%M:%S} UTC and should every 3 s; {REMEDY}"
    more = len(silent) - MOST_NAMED
    named = ", ".join(list(silent)[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    first = min(silent.values())
    return f"{len(silent)} centers have not called since {first:%H:%M:%S} UTC or later: {named}; {REMEDY}"
