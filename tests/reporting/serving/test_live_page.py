"""What answers on a live page: parts as they are now, its own files, and the report or why there is none."""

import warnings

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from reporting.serving.live_page import REPORT_POLICY, LivePage, NoReportError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for httpx2, which is not what we depend on
    from starlette.testclient import TestClient


def browser(report: str) -> TestClient:
    def make() -> str:
        if not report:
            raise NoReportError("not yet")
        return report

    page = LivePage("t", lambda: {"a": "1"}, lambda parts: f"<p>{parts['a']}</p>", "p {}", make)
    return TestClient(Starlette(routes=[Route(path, answer) for path, answer in page.answers.items()]))


@pytest.mark.parametrize(
    ("path", "text", "kind"), [("/", "<p>1</p>", "text/html"), ("/static/dashboard.css", "p {}", "text/css")]
)
def test_the_page_is_made_of_its_parts_and_its_own_files(path: str, text: str, kind: str) -> None:
    found = browser("").get(path)
    assert (found.text, found.headers["content-type"].partition(";")[0]) == (text, kind)


def test_a_report_has_a_policy_without_scripts_and_one_that_is_not_there_says_why() -> None:
    found, missing = browser("<p>r</p>").get("/report"), browser("").get("/report")
    assert (found.text, found.headers["content-security-policy"]) == ("<p>r</p>", REPORT_POLICY)
    assert "script" not in REPORT_POLICY
    assert (missing.status_code, missing.text) == (404, "not yet")
