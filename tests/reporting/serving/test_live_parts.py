"""Parts of a page that change while it is open: what is sent, when, and what happens when a look fails."""

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse

from reporting.serving import live_parts
from reporting.serving.live_parts import SCRIPT, LiveParts

REQUEST = Request({"type": "http"})


async def told(live: LiveParts, count: int) -> list[dict[str, object]]:
    events, found = live.events(), []
    for _ in range(count):
        event = await anext(events)
        assert event.startswith("data: ")
        assert event.endswith("\n\n")
        found.append(json.loads(event.removeprefix("data: ")))
    return found


def test_first_everything_is_sent_then_what_changed():
    looks = iter([{"a": "1", "b": "1"}, {"a": "1", "b": "2"}, {"a": "1", "b": "2"}])
    live = LiveParts(lambda: next(looks), every_s=0)
    parts = [event["parts"] for event in asyncio.run(told(live, 3))]
    assert parts == [{"a": "1", "b": "1"}, {"b": "2"}, {}]


def test_a_stream_ends_when_the_server_does():
    async def end_it() -> list[str]:
        live = LiveParts(lambda: {"a": "1"}, every_s=60)
        events = live.events()
        first = await anext(events)
        live.end()
        return [first, *[event async for event in events]]

    assert len(asyncio.run(end_it())) == 1


def test_all_browsers_share_a_look():
    looks: list[int] = []

    def look() -> Mapping[str, str]:
        looks.append(1)
        return {"a": "1"}

    async def ask() -> None:
        live = LiveParts(look, every_s=60)
        await asyncio.gather(live.now(), live.now(), live.now())

    asyncio.run(ask())
    assert len(looks) == 1


def test_a_look_that_fails_leaves_the_page_as_it_was_and_says_so_once_in_the_log(caplog: pytest.LogCaptureFixture):
    looks: Iterator[Mapping[str, str] | OSError] = iter(
        [{"a": "1"}, OSError(28, "No space left on device"), OSError(28, "again"), {"a": "2"}]
    )

    def look() -> Mapping[str, str]:
        found = next(looks)
        if isinstance(found, OSError):
            raise found
        return found

    with caplog.at_level(logging.ERROR):
        events = asyncio.run(told(LiveParts(look, every_s=0), 4))
    assert [(event["trouble"], event["parts"]) for event in events] == [
        ("", {"a": "1"}),
        ("OSError", {}),
        ("OSError", {}),
        ("", {"a": "2"}),
    ]
    assert len(caplog.records) == 1


def test_there_is_an_end_to_open_pages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_parts, "MOST_BROWSERS", 1)
    live = LiveParts(dict, every_s=0)

    async def open_two() -> None:
        first = await live.stream(REQUEST)
        assert isinstance(first, StreamingResponse)
        body: Any = first.body_iterator
        await anext(body)
        with pytest.raises(HTTPException, match="1 pages are open already"):
            await live.stream(REQUEST)
        await body.aclose()
        await live.stream(REQUEST)

    asyncio.run(open_two())


def test_the_script_is_there():
    assert "EventSource" in SCRIPT.read_text()
