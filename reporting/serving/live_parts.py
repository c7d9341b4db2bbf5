"""Parts of a page that change while it is open, sent to its browsers as server-sent events.

`static/live.js` puts each part where the element of its name is. A part is sent when it has changed; where nothing has,
a word goes out that the page is still being looked after, so that a browser can say when that ends.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

logger = logging.getLogger(__name__)

SCRIPT = Path(__file__).parent / "static" / "live.js"
LOOK_EVERY_S = 2.0
MOST_BROWSERS = 32

Parts = Mapping[str, str]
Look = Callable[[], Parts]


class LiveParts:
    """The parts of one page, looked for once for all browsers that show it.

    Args:
        look: gives the HTML of each part by the id of its element; called in a thread, never twice at once.
        every_s: seconds between two looks.
    """

    def __init__(self, look: Look, every_s: float = LOOK_EVERY_S) -> None:
        self._look, self._every_s = look, every_s
        self._looking, self._looked_at = asyncio.Lock(), -every_s
        self._parts: Parts = {}
        self._browsers = 0
        self._trouble, self._ended = "", False

    def end(self) -> None:
        """Let every stream end."""
        self._ended = True

    async def now(self) -> Parts:
        """The parts, no older than the time between two looks; those before where a look failed."""
        async with self._looking:
            if time.monotonic() - self._looked_at >= self._every_s:
                await self._look_again()
        return self._parts

    async def events(self) -> AsyncIterator[str]:
        """The stream to one browser: first every part, then what changes, until `end`."""
        shown: Parts = {}
        while not self._ended:
            parts = await self.now()
            changed = {name: html for name, html in parts.items() if shown.get(name) != html}
            shown = parts
            told = {"now": time.time(), "trouble": self._trouble, "parts": changed}
            yield f"data: {json.dumps(told)}\n\n"
            await self._pause()

    async def stream(self, _request: Request) -> Response:
        """The answer to a browser's EventSource; 503 where too many are open already."""
        if self._browsers >= MOST_BROWSERS:
            raise HTTPException(503, f"{MOST_BROWSERS} pages are open already; close one.")
        return StreamingResponse(self._counted(), media_type="text/event-stream")

    async def script(self, _request: Request) -> Response:
        """The page's script."""
        return FileResponse(SCRIPT, media_type="text/javascript")

    async def _pause(self) -> None:
        """Wait for the next look, in steps in which an end is noticed."""
        until = time.monotonic() + self._every_s
        while not self._ended and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))
        await asyncio.sleep(0)

    async def _counted(self) -> AsyncIterator[str]:
        self._browsers += 1
        try:
            async for event in self.events():
                yield event
        finally:
            self._browsers -= 1

    async def _look_again(self) -> None:
        try:
            self._parts, self._trouble = await asyncio.to_thread(self._look), ""
        except Exception as error:
            if not self._trouble:
                logger.exception("the page cannot be brought up to date")
            self._trouble = type(error).__name__
        self._looked_at = time.monotonic()
