"""When each SuperNode last called: what is noted at the fleet door, and what the control door tells of it."""

import asyncio
import json
from base64 import b64encode
from typing import Any

import pytest
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER

from server.superlink.doors import LAST_CALLS_PATH
from server.superlink.last_calls import KEY_HEADER, LastCalls, name_of, read_table

KEY = b"-----BEGIN PUBLIC KEY-----"
SHOWN = (KEY_HEADER, b64encode(KEY))
PULL = "/v1/fleet/pull-messages"


class Clock:
    """Says what it is set to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def call(calls: LastCalls, path: str, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = (SHOWN,)) -> str:
    """What a caller gets from a SuperLink that answers everything with `status`."""
    sent: list[bytes] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body", "body": b"passed"})

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    async def receive() -> Any:
        return {}

    async def ask() -> None:
        await calls.note(app)({"type": "http", "path": path, "headers": [(b"host", b"x"), *headers]}, receive, send)

    asyncio.run(ask())
    return b"".join(sent).decode()


def table(calls: LastCalls) -> dict[str, float]:
    return dict(read_table(call(calls, LAST_CALLS_PATH)))


def test_the_last_call_of_a_node_is_told_by_its_key():
    clock = Clock()
    calls = LastCalls(clock)
    assert call(calls, PULL) == "passed"
    clock.now = 103.0
    call(calls, PULL)
    assert table(calls) == {name_of(KEY): 103.0}


@pytest.mark.parametrize(
    ("path", "status", "headers"),
    [
        (PULL, 401, (SHOWN,)),
        (PULL, 403, (SHOWN,)),
        (PULL, 200, ()),
        ("/v1/control/list-nodes", 200, (SHOWN,)),
    ],
    ids=["a key without its signature", "refused", "no key", "another door's"],
)
def test_what_proves_no_node_moves_nothing(path: str, status: int, headers: tuple[tuple[bytes, bytes], ...]):
    calls = LastCalls(Clock())
    assert call(calls, path, status, headers) == "passed"
    assert table(calls) == {}


def test_a_long_answer_counts_until_it_has_gone_out():
    """Two pieces of an answer, ten seconds apart."""
    clock = Clock()
    calls = LastCalls(clock)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        clock.now = 110.0
        await send({"type": "http.response.body", "body": b"x"})

    async def send(_message: Any) -> None:
        pass

    async def receive() -> Any:
        return {}

    scope = {"type": "http", "path": PULL, "headers": [SHOWN]}

    async def ask() -> None:
        await calls.note(app)(scope, receive, send)

    asyncio.run(ask())
    assert table(calls) == {name_of(KEY): 110.0}


def test_the_key_is_looked_for_where_flower_shows_it():
    assert KEY_HEADER.decode() == FLEET_HTTP_PUBLIC_KEY_HEADER


@pytest.mark.parametrize("text", ["[]", json.dumps({"x": "soon"}), "no JSON"])
def test_a_table_that_is_none_is_refused(text: str):
    with pytest.raises(ValueError, match="validation error"):
        read_table(text)
