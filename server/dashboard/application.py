"""The page as a web application: its parts, their updates, and the report that lies beside it. Everything is read."""

from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from reporting.pages import open_templates
from reporting.serving.live_parts import LiveParts
from reporting.serving.token_session import Answer
from server.dashboard.page_content import PageContent
from server.dashboard.style import style_sheet

REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The report is one file with its styles inside; it has no script, and none would run."""
NO_REPORT = "There is no report yet: it is written when the study is done or stopped."


class Dashboard:
    """What answers a browser that was let in.

    Args:
        content: looks at the study.
        report: the study's report.html.
        mlflow: address of the MLflow server, or "".
        leave: whether the page offers to log out.
    """

    def __init__(self, content: PageContent, report: Path, mlflow: str, *, leave: bool) -> None:
        self._content, self._report, self._mlflow, self._leave = content, report, mlflow, leave
        self.live = LiveParts(content.look)
        environment = open_templates("server.dashboard")
        self._template, self._style = environment.get_template("dashboard.html"), style_sheet(environment)

    @property
    def title(self) -> str:
        """The study's."""
        return self._content.title

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
        parts = await self.live.now()
        return HTMLResponse(
            self._template.render(title=self._content.title, parts=parts, mlflow=self._mlflow, leave=self._leave)
        )

    async def style(self, _request: Request) -> Response:
        """The style sheet."""
        return Response(self._style, media_type="text/css")

    async def report(self, _request: Request) -> Response:
        """The report of the last run that ended."""
        if not self._report.is_file():
            return PlainTextResponse(NO_REPORT, 404)
        return FileResponse(self._report, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})
