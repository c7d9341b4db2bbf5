"""A page whose parts bring themselves up to date, its style sheet and script, and a report beside it; all is read."""

from collections.abc import Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from reporting.serving.live_parts import LiveParts, Look, Parts
from reporting.serving.token_session import Answer

REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The report is one file with its styles and pictures inside; it has no script, and none would run."""


class NoReportError(Exception):
    """There is no report yet; says why."""


class LivePage:
    """What answers a browser that was let in.

    Args:
        title: what the page is of.
        look: gives the page's parts.
        render: makes the page of them.
        style: its style sheet.
        report: makes the report, in a thread; raises `NoReportError` where there is none.
    """

    def __init__(
        self, title: str, look: Look, render: Callable[[Parts], str], style: str, report: Callable[[], str]
    ) -> None:
        self.title, self.live = title, LiveParts(look)
        self._render, self._style, self._report = render, style, report

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Path -> what answers there."""
        return {
            "/": self.page,
            "/events": self.live.stream,
            "/report": self.report,
            "/static/dashboard.css": self.style,
            "/static/live.js": self.live.script,
        }

    async def page(self, _request: Request) -> Response:
        """The page as things stand now."""
        return HTMLResponse(self._render(await self.live.now()))

    async def style(self, _request: Request) -> Response:
        """The style sheet."""
        return Response(self._style, media_type="text/css")

    async def report(self, _request: Request) -> Response:
        """The report, or why there is none."""
        try:
            page = await run_in_threadpool(self._report)
        except NoReportError as error:
            return PlainTextResponse(str(error), 404)
        return HTMLResponse(page, headers={"content-security-policy": REPORT_POLICY})
