"""The center's page as a web application: its parts, their updates, and the center's own report. Everything is read."""

from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from client.dashboard.page_content import PageContent
from client.data.manifest_file import read_manifest
from client.home.center_home import CenterHome
from client.report.center_report import center_html
from protocol.errors import ConciliumError
from reporting.pages import open_templates
from reporting.serving.live_parts import LiveParts
from reporting.serving.token_session import Answer

REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The report is one file with its styles and pictures inside; it has no script, and none would run."""


class Dashboard:
    """What answers the browser that was let in.

    Args:
        home: of the center.
        content: looks at it.
    """

    def __init__(self, home: CenterHome, content: PageContent) -> None:
        self._home, self._content = home, content
        self.live = LiveParts(content.look)
        environment = open_templates("client.dashboard")
        self._template = environment.get_template("dashboard.html")
        self._style = environment.get_template("dashboard.css").render()

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
        content, parts = self._content, await self.live.now()
        agreement = content.membership.agreement
        return HTMLResponse(self._template.render(center=content.center, agreement=agreement, parts=parts))

    async def style(self, _request: Request) -> Response:
        """The style sheet."""
        return Response(self._style, media_type="text/css")

    async def report(self, _request: Request) -> Response:
        """Cases, scores and pictures, made now."""
        try:
            page = await run_in_threadpool(self._report)
        except ConciliumError as error:
            return PlainTextResponse(f"There is nothing to show yet: {error}", 404)
        return HTMLResponse(page, headers={"content-security-policy": REPORT_POLICY})

    def _report(self) -> str:
        trainer = self._home.trainer
        return center_html(trainer, read_manifest(trainer / "manifest.json"), self._content.center, "")
