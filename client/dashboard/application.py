"""The center's page as a web application, with the center's own report, which is made whenever it is asked for."""

from client.dashboard.page_content import PageContent
from client.data.manifest_file import read_manifest
from client.home.center_home import CenterHome
from client.report.center_report import center_html
from protocol.errors import ConciliumError
from reporting.pages import open_templates
from reporting.serving.live_page import LivePage, NoReportError
from reporting.serving.live_parts import Parts


def make_dashboard(home: CenterHome, content: PageContent) -> LivePage:
    """The page of a center.

    Args:
        home: of the center.
        content: looks at it.
    """
    environment = open_templates("client.dashboard")
    template, agreement = environment.get_template("dashboard.html"), content.membership.agreement

    def render(parts: Parts) -> str:
        return template.render(center=content.center, agreement=agreement, parts=parts)

    style = environment.get_template("dashboard.css").render()
    title = f"center {content.center}"
    return LivePage(title, content.look, render, style, lambda: _make_report(home, content.center))


def _make_report(home: CenterHome, center: str) -> str:
    """Cases, scores and pictures as they are now."""
    try:
        return center_html(home.trainer, read_manifest(home.trainer / "manifest.json"), center, "")
    except ConciliumError as error:
        raise NoReportError(f"There is nothing to show yet: {error}") from error
