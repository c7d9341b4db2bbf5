"""What answers a browser that was let in."""

import warnings
from pathlib import Path

import pytest

from reporting.serving.admission import Admission
from reporting.serving.live_page import REPORT_POLICY
from reporting.serving.token_session import serve_by_token
from server.dashboard.application import NO_REPORT, make_dashboard
from server.dashboard.page_content import PARTS, Around, PageContent
from server.dashboard.study_reader import StudyReader
from server.tls.authority import utc_now
from tests.support.coordinator_root import init_root
from tests.support.listed_link import ListedLink

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for httpx2, which is not what we depend on
    from starlette.testclient import TestClient


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "root" / "report.html"


@pytest.fixture
def inside(tmp_path: Path, report: Path) -> tuple[TestClient, str]:
    """A browser that was let in, and where the page is."""
    directory, admission = init_root(tmp_path / "root"), Admission()
    content = PageContent(StudyReader(directory), ListedLink, Around("", "localhost:9443"), utc_now)
    dashboard = make_dashboard(content, report, "https://mlflow.example", leave=False)
    browser = TestClient(serve_by_token(dashboard.answers, admission, "dashboard"), base_url="http://127.0.0.1")
    browser.get(f"/open?token={admission.token}")
    return browser, f"/{admission.path}"


def test_the_page_has_every_part_and_loads_its_own_files_alone(inside: tuple[TestClient, str]):
    browser, path = inside
    page = browser.get(f"{path}/").text
    assert all(f'id="{name}"' in page for name in PARTS)
    assert 'src="static/live.js"' in page
    assert 'href="https://mlflow.example"' in page
    assert "Log out" not in page
    for name, kind in (("dashboard.css", "text/css"), ("live.js", "text/javascript")):
        assert browser.get(f"{path}/static/{name}").headers["content-type"].startswith(kind)


def test_a_report_is_shown_with_its_own_styles_and_without_any_script(inside: tuple[TestClient, str], report: Path):
    browser, path = inside
    assert browser.get(f"{path}/report").text == NO_REPORT
    report.write_text("<p>the report</p>")
    answer = browser.get(f"{path}/report")
    assert answer.text == "<p>the report</p>"
    assert answer.headers.get_list("content-security-policy") == [REPORT_POLICY]
    assert "script-src" not in REPORT_POLICY


def test_nothing_can_be_sent(inside: tuple[TestClient, str]):
    browser, path = inside
    assert {browser.post(f"{path}/{name}").status_code for name in ("", "report", "events")} == {405}
