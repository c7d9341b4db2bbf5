"""When each center's SuperNode last called: its silence shows within seconds, its missed heartbeats within a minute.

A SuperNode calls every three seconds: an idle one asks for messages, one that has a message about its run
(`client.node.run_watch`). Flower tells none of this; it calls a node offline once two heartbeats of thirty seconds are
missed. Here the calls are noted as they pass the fleet door, in memory: a table of what was accepted last from each
key, so that a caller who only shows another's key moves nothing. The control door gives the table to who asks.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from http import HTTPStatus

from pydantic import TypeAdapter

from server.superlink.doors import LAST_CALLS_PATH, App, Message, Receive, Send

FLEET = "/v1/fleet/"
KEY_HEADER = b"flwr-public-key"
"""Flower's name for where a SuperNode shows its key, base64 of PEM; tests compare it with Flower's own."""
TABLE = TypeAdapter(dict[str, float])


class LastCalls:
    """The table of one SuperLink.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._at: dict[bytes, float] = {}

    def note(self, app: App) -> App:
        """An application that notes what `app` accepts of a SuperNode, and answers for the table itself."""

        async def noting(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
            elif scope["path"] == LAST_CALLS_PATH:
                await self._answer(send)
            elif scope["path"].startswith(FLEET) and (key := _key_in(scope["headers"])):
                await app(scope, receive, self._noting(key, send))
            else:
                await app(scope, receive, send)

        return noting

    def _noting(self, key: bytes, send: Send) -> Send:
        """Notes the time with each piece of an answer that went out, since a large one takes long to a slow center."""
        accepted = False

        async def sending(message: Message) -> None:
            nonlocal accepted
            if message["type"] == "http.response.start":
                accepted = message["status"] < HTTPStatus.MULTIPLE_CHOICES
            await send(message)
            if accepted:
                self._at[key] = self._clock()

        return sending

    async def _answer(self, send: Send) -> None:
        body = json.dumps({_name(key): at for key, at in self._at.items()}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def name_of(public_key_pem: bytes) -> str:
    """What the table calls a SuperNode by its key, PEM."""
    return _name(b64encode(public_key_pem))


def read_table(text: str) -> Mapping[str, float]:
    """What the control door answers: name of a key -> time of its last call, seconds since the epoch.

    Raises:
        ValueError: it is no such table.
    """
    return TABLE.validate_json(text)


def _key_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    return next((value for name, value in headers if name == KEY_HEADER), None)


def _name(shown: bytes) -> str:
    return sha256(shown).hexdigest()[:32]
