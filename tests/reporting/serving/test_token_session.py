"""Who gets the pages of a session: the browser that brought the token, and nobody else."""

import warnings

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from reporting.serving.admission import COOKIE, Admission
from reporting.serving.token_session import serve_by_token

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for httpx2, which is not what we depend on
    from starlette.testclient import TestClient


async def page(_request: Request) -> Response:
    return PlainTextResponse("the page")


@pytest.fixture
def admission() -> Admission:
    return Admission()


@pytest.fixture
def browser(admission: Admission) -> TestClient:
    return TestClient(serve_by_token({"/": page}, admission, "dashboard"), base_url="http://127.0.0.1:8080")


def test_the_token_opens_the_page_once(browser: TestClient, admission: Admission):
    opened = browser.get(f"/open?token={admission.token}")
    assert (
        opened.headers["set-cookie"]
        == f"{COOKIE}={admission.cookie}; HttpOnly; Path=/{admission.path}/; SameSite=strict"
    )
    assert browser.get(f"/{admission.path}/").text == "the page"
    again = browser.get(f"/open?token={admission.token}")
    assert (again.status_code, again.text) == (
        403,
        "This address has been used: it opens one session in one browser. Start the dashboard again for a new address.",
    )


def test_a_wrong_token_opens_nothing_and_spends_nothing(browser: TestClient, admission: Admission):
    answer = browser.get("/open?token=x")
    assert (answer.status_code, admission.spent) == (403, False)
    assert answer.text.startswith("This address does not open the dashboard. Take the whole one that the dashboard")


def test_another_browser_gets_nothing_even_with_the_secret_path(browser: TestClient, admission: Admission):
    browser.get(f"/open?token={admission.token}")
    browser.cookies.clear()
    answer = browser.get(f"/{admission.path}/")
    assert (answer.status_code, answer.text.split(".")[0]) == (403, "No session in this browser")


def test_what_only_looks_at_the_head_does_not_spend_the_token(browser: TestClient, admission: Admission):
    assert browser.head(f"/open?token={admission.token}").status_code == 405
    assert not admission.spent
