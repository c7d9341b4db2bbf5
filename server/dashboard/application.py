"""The coordinator's page as a web application, with the report of the last run that ended."""

from pathlib import Path

from reporting.pages import open_templates
from reporting.serving.live_page import LivePage, NoReportError
from reporting.serving.live_parts import Parts
from server.dashboard.page_content import PageContent
from server.dashboard.style import style_sheet

NO_REPORT = "There is no report yet: it is written when the study is done or stopped."


def make_dashboard(content: PageContent, report: Path, mlflow: str, *, leave: bool) -> LivePage:
    """The page of a study.

    Args:
        content: looks at the study.
        report: the study's report.html.
        mlflow: address of the MLflow server, or "".
        leave: whether the page offers to log out.
    """
    environment = open_templates("server.dashboard")
    template = environment.get_template("dashboard.html")

    def render(parts: Parts) -> str:
        return template.render(title=content.title, parts=parts, mlflow=mlflow, leave=leave)

    return LivePage(content.title, content.look, render, style_sheet(environment), lambda: _read_report(report))


def _read_report(report: Path) -> str:
    try:
        return report.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NoReportError(NO_REPORT) from None
